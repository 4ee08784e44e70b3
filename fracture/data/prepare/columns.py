"""Which column of a table means what: as the user says, by its name, or, for the path, by what its values lead to."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from fracture.data.listing import some
from fracture.data.manifest import SPLITS, split_name
from fracture.data.personal import personal_columns
from fracture.data.prepare.could import FEW, could_be_patients, could_leave_out, could_split, repeats
from fracture.data.prepare.dicom_tags import Tagged, find_tagged
from fracture.data.prepare.index import FileIndex, Place
from fracture.data.prepare.label_column import HINT, LABEL, candidates, check_label, hint, sounds_like_class
from fracture.data.prepare.pairs import canonical
from fracture.data.prepare.path_column import folder_columns, is_distinct, path_column
from fracture.data.prepare.sheet import ROUNDED, Sheet
from fracture.data.tables import named_column, plain
from fracture.errors import DataError

SPELLINGS: dict[str, tuple[str, ...]] = {
    "path": (
        "path", "file", "filename", "file_name", "image", "image_path", "filepath", "file_path", "image_id",
        "image_index", "image_name", "imagename", "imageid", "img", "filestem", "dicom_id",
    ),
    "label": LABEL,
    "labels": (),
    "keep": (),
    "patient": (
        "patient", "patient_id", "patientid", "subject", "subject_id", "pid", "mrn",
    ),
    "split": ("split", "set", "subset", "partition"),
    "source": ("source", "site", "hospital", "dataset", "origin"),
    "study": (),
    "reader": ("reader", "reader_id", "rad_id", "radiologist", "annotator", "annotator_id", "rater"),
}  # fmt: skip
"""The column names that are understood without ``--columns``, the first present counting; a space is as good as _."""

_ID = r"s?(?:_?(?:id|no|nr|num|number|nummer|key|name|hash|code|uid|identifier))?"
_PATIENTS = (  # who is in the images, else when they were taken, since a patient has several studies; else any group
    re.compile(
        rf"(?:id_|anon_)?(?:patient|pat|subject|participant|person|pa[cz]ient[ei]|patienten){_ID}|patientennummer"
        r"|medical_record_(?:number|no|nr|id)|(?:hospital|chart)_(?:number|no|nr|id)"
    ),
    re.compile(rf"(?:id_|anon_)?(?:case|accession|study){_ID}|studyinstanceuid"),
    re.compile("group"),
)
OURS = {"group", "sha256", "phash"}  # columns of a manifest that `prepare` has written
_ROBOFLOW = "_classes.csv"  # Roboflow's table: a column for each class


@dataclass(frozen=True)
class Columns:
    """The columns of one table by meaning.

    Attributes:
        one: column of path, label, patient, split, source, study and reader, as far as there is one.
        labels: columns that are each one class, 1 where an image has it.
        notes: what was found out, in sentences.
        unused: what is said of columns that are not used and may mean something, in sentences.
        tagged: how images are found, where the path is none but a tag of DICOM files.
        personal: columns that are not kept, since they may identify a person.
        missed: why they are not found so, in a sentence, where that was tried.
        folders: columns of the folders in front of the path.
    """

    one: Mapping[str, str]
    labels: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    unused: tuple[str, ...] = ()
    tagged: Tagged | None = None
    missed: str = ""
    personal: tuple[str, ...] = ()
    folders: tuple[str, ...] = ()

    def place(self, row: Mapping[str | None, str], index: FileIndex) -> Place:
        """What a row leads to."""
        return self.tagged.find(row) if self.tagged else index.find(self.path(row))

    def path(self, row: Mapping[str | None, str]) -> str:
        """The path that a row names, empty if none."""
        name = row.get(self.one["path"], "")
        return "/".join([*(canonical(row[folder]) for folder in self.folders), name]) if name else ""


def find_columns(
    sheet: Sheet, wanted: Mapping[str, Sequence[str]], labelled: bool, resplit: bool = False, tags: bool = False
) -> Columns:
    """Find the columns.

    Args:
        sheet: the table.
        wanted: what the user says.
        labelled: whether a label is needed.
        resplit: whether splits that it names do not count.
        tags: whether a column may name images by a tag of their DICOM files, where none leads to a file.

    Raises:
        DataError: a column that the user names is missing, none is found for the path or the label, two contradict each
            other, or splits are called by words that are not known.
    """
    said, rows, index = _checked(sheet, wanted), sheet.rows, sheet.index
    if sheet.path.name.lower() == _ROBOFLOW and "label" not in said:
        said.setdefault("labels", [name for name in sheet.names if plain(name) != "filename"])
    labels, keep = tuple(said.pop("labels", ())), said.pop("keep", [])
    own = {meaning: listed[0] for meaning, listed in said.items()}
    meaning = {m: column for m, column in {**_by_names(sheet.names), **own}.items() if column}
    notes, unused = ([], []) if "path" in own else _find_path(sheet, labels, meaning)
    tagged, missed = None, ""
    if tags and not any(index.find(row[meaning["path"]]).files for row in rows if "path" in meaning):
        tagged, missed = find_tagged(sheet, own.get("path", ""))
    if tagged:
        meaning["path"] = tagged.column
        notes.append(tagged.note())
        if "patient" not in own and _PATIENTS[1].fullmatch(plain(meaning.get("patient", ""))):
            meaning.pop("patient", None)
    notes += [] if "patient" in own else _repeated_patient(sheet, meaning)
    _check_lost(sheet, meaning, ("patient",) if resplit else ("patient", "split"))
    _split_by_values(sheet, meaning, own, "" if labels or not labelled else meaning.get("label", ""))
    unused += [] if tagged else could_be_patients(sheet, meaning)
    _by_position(sheet, meaning, bool(labels))
    unused += [] if resplit or "split" in meaning else could_split(sheet, meaning.get("source", ""))
    notes += [] if resplit else _check_split(sheet, meaning, own)
    if labels:
        meaning.pop("label", None)
    if labelled and "label" not in own:
        check_label(sheet, meaning)
    unused += could_leave_out(sheet, meaning) if labelled else []
    _check_missing(sheet, meaning, ("path",) if labels or not labelled else ("path", "label"), missed)
    folders = () if tagged else folder_columns(sheet, meaning["path"])
    notes += [f"several files have one name: their folders are in {' and '.join(folders)}"] if folders else []
    listed = [f"{m}={column}" for m, column in meaning.items()] + ([f"labels={','.join(labels)}"] if labels else [])
    personal = {*personal_columns(sheet.names, rows), *((*tagged.identifying, tagged.date) if tagged else ())} - {""}
    personal -= {*meaning.values(), *labels, *keep}
    told = (f"columns: {', '.join(listed)}", *notes)
    return Columns(meaning, labels, told, tuple(unused), tagged, missed, tuple(sorted(personal)), folders)


def _find_path(sheet: Sheet, labels: Sequence[str], meaning: dict[str, str]) -> tuple[list[str], list[str]]:
    """Add the column that leads to the images, by its name and its values; what is said of it, and of further ones."""
    known = list(dict.fromkeys(c for spelt in SPELLINGS["path"] if (c := named_column(spelt, sheet.names))))
    others = {c for m, c in meaning.items() if m != "path"} - set(known)
    if not known and is_distinct(meaning.get("patient", ""), sheet):
        others.discard(meaning["patient"])  # it may name the images
    could = [name for name in sheet.names if name not in others and name not in labels]
    column, note, further = path_column(sheet, could, known)
    known = [meaning[m] for m in ("label", "split") if m in meaning]  # a class is called as a folder
    could = [name for name in sheet.names if name not in known]  # the patient's may name the image as well
    column = column or path_column(sheet, could, [])[0]
    meaning |= {"path": column} if column else {}
    return [note] if note else [], [further] if further else []


def _check_missing(sheet: Sheet, meaning: Mapping[str, str], needed: Sequence[str], missed: str) -> None:
    """What is needed must be found; ``missed``: why images are not found by tags.

    Raises:
        DataError: it is not; ``missing`` says what.
    """
    if missing := [m for m in needed if m not in meaning]:
        taken = f"; {meaning['split']} holds splits" if "split" in meaning else ""
        lost = "path" in missing and sheet.option and sheet.names
        root = f"; none leads to a file below {sheet.index.real} (--root names another folder)" if lost else ""
        held = f"found {', '.join(sheet.names) or 'no column'}{taken}{root}{missed}{candidates(sheet, meaning)}"
        raise DataError(
            f"{sheet.path}: no column for {' and '.join(missing)}, {held}", hint(sheet, meaning), missing=missing
        )


def _checked(sheet: Sheet, wanted: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    """What the user says, spelt as the table does."""
    path, names = sheet.path, sheet.names
    said = {m: [named_column(name, names) or name for name in listed] for m, listed in wanted.items()}
    problems = [f"{path}: columns={m}: must be one of {', '.join(SPELLINGS)}" for m in wanted if m not in SPELLINGS]
    problems += [
        f"{path}: column {name!r} ({m}) missing, found {', '.join(names) or 'no column'}"
        for m, listed in said.items()
        for name in listed
        if name not in names
    ]
    if problems:
        raise DataError(problems, HINT)
    return said


def _by_names(names: Sequence[str]) -> dict[str, str]:
    """The column of each meaning as far as names tell, empty where they do not."""
    known = {m: next((c for s in spelt if (c := named_column(s, names))), "") for m, spelt in SPELLINGS.items()}
    if set(names) >= OURS:
        known["patient"] = "group"
    known["patient"] = known["patient"] or next(
        (name for kind in _PATIENTS for name in names if kind.fullmatch(plain(name))), ""
    )
    return known


def _repeated_patient(sheet: Sheet, meaning: dict[str, str]) -> list[str]:
    """Of several columns that name patients, one with a value of its own in each row gives way to one that repeats."""
    column = meaning.get("patient")
    if not column or not _PATIENTS[0].fullmatch(plain(column)) or repeats(column, sheet):
        return []
    others = [name for name in sheet.names if _PATIENTS[0].fullmatch(plain(name)) and name not in meaning.values()]
    found = next((name for name in others if repeats(name, sheet)), "")
    if not found:
        return []
    meaning["patient"] = found
    way = sheet.say("patient", column)
    return [f"patients: column {found}, since {column} differs in each row; {way} takes that"]


def _check_lost(sheet: Sheet, meaning: Mapping[str, str], wanted: Sequence[str]) -> None:
    """What a spreadsheet lost when it was saved: the cells that were merged, and the last digits of long numbers.

    Raises:
        DataError: the patient or the split of most rows is lost.
    """
    for column in [meaning[what] for what in wanted if what in meaning]:
        held, count = sheet.cells(column), len(sheet.rows)
        if held and sheet.rows[0][column] and len(held) == len(set(held)) and 2 * len(held) <= count:
            raise DataError(
                f"{sheet.path}: the column {column} is filled in {len(held):,} of {count:,} rows, each time with "
                f"another value, as merged cells of a spreadsheet are saved: {some(held)}",
                "Split the merged cells and fill the values down, then save the table again; or take out the column.",
            )
        if column == meaning.get("patient") and (rounded := sorted({one for one in held if ROUNDED.fullmatch(one)})):
            raise DataError(
                f"{sheet.path}: the column {column} holds {some(rounded)}: a spreadsheet has rounded these numbers, "
                "so that several patients are one",
                f"Export the column as text, or name another one: {sheet.say('patient')}.",
            )


def _by_position(sheet: Sheet, meaning: dict[str, str], one_hot: bool) -> None:
    """In a table of two columns, the one that is no path is the label; if a header does not call it something else."""
    if len(sheet.names) == 2 and "path" in meaning and "label" not in meaning and not one_hot:
        other = next(name for name in sheet.names if name != meaning["path"])
        if not sheet.header or sounds_like_class(sheet, meaning, other):
            meaning["label"] = other


def _split_by_values(sheet: Sheet, meaning: dict[str, str], own: Mapping[str, str], label: str) -> None:
    """A column but the label that holds nothing but two splits or more is one of splits, whatever it is called."""
    if "split" in own:
        return
    for name in sheet.names:
        values = set(sheet.cells(name))
        splits = {split_name(value) for value in values} if len(values) <= FEW else set()
        if name not in (label, *own.values()) and len(splits) > 1 and "" not in splits:
            for other in [m for m, column in meaning.items() if column == name]:
                del meaning[other]
            meaning["split"] = name
            return


def _check_split(sheet: Sheet, meaning: dict[str, str], own: Mapping[str, str]) -> list[str]:
    """A column that only its name makes one of splits must hold some; what is said where it does not.

    Raises:
        DataError: it holds another word as well and lacks a split, which that word may be.
    """
    column = meaning.get("split")
    if not column:
        return []
    values = sorted(set(sheet.cells(column)))
    if any(split_name(value) for value in values):
        others = [value for value in values if not split_name(value)]
        lacking = [split for split in SPLITS if split not in map(split_name, values)]
        if others and lacking:
            raise DataError(
                f"{sheet.path}: the column {column} holds {some(others)}, which is none of {', '.join(SPLITS)}, and no "
                f"{' and no '.join(lacking)}",
                "Write train, val or test there, or make new splits with --resplit true.",
            )
        known = [
            f"{value} is {split_name(value)}" for value in values if value.lower() not in SPLITS and split_name(value)
        ]
        return [f"splits in the column {column}: {some(known, 6)}"] if known else []
    if not values or "split" in own:
        return []
    if plain(column) == "split":
        raise DataError(
            f"{sheet.path}: the column {column} holds {some(values)}, none of which is {', '.join(SPLITS)}",
            "Write train, val or test there, or make new splits with --resplit true.",
        )
    del meaning["split"]
    return [f"the column {column} holds {some(values)}: no splits, so it is not used as such"]
