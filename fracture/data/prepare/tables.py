"""CSV files: a user's own list of images, and the label tables of published data sets."""

import os
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from fracture.data.annotations.shares import Unusable
from fracture.data.cache import folder_of
from fracture.data.exclusions import Exclusion
from fracture.data.inspection.identity import digest, is_placeholder
from fracture.data.inspection.inspect import patient_key
from fracture.data.listing import some
from fracture.data.manifest import COLUMNS, SPLITS, STUDY, split_name, study_of
from fracture.data.patients import plain_identifier
from fracture.data.personal import is_name, not_kept
from fracture.data.prepare.cells import COLD, EMPTY, HOT, findings_of, is_code, is_unknown, mixed_note
from fracture.data.prepare.columns import OURS, Columns, find_columns
from fracture.data.prepare.config import PrepareConfig
from fracture.data.prepare.dicom_tags import Tagged
from fracture.data.prepare.drawn_boxes import DrawnBoxes, together
from fracture.data.prepare.index import FileIndex, Indexes
from fracture.data.prepare.label_column import said_columns
from fracture.data.prepare.levels import are_small
from fracture.data.prepare.pairs import canonical, found_by, parse_columns, parse_pairs
from fracture.data.prepare.paths import patient_of, split_of
from fracture.data.prepare.records import Record
from fracture.data.prepare.table_boxes import BoxColumns, find_boxes
from fracture.data.tables import EXCESS, named_column, open_table, plain
from fracture.data.trees import is_image
from fracture.errors import DataError
from fracture.files import expanded

Row = Mapping[str | None, str]
DRAWN, UNNAMED = "boxes: columns", "are named by no row of"


@dataclass(frozen=True)
class TableRecords:
    """What a table says: a record for each row, several where rows name one image; ``base`` is where paths start."""

    records: list[Record]
    excluded: list[Exclusion]
    notes: list[str]
    base: Path


@dataclass(frozen=True)
class _Reading:
    """How the rows of one table are read; ``several``: each names images in several columns."""

    columns: Columns
    index: FileIndex
    source: str
    config: PrepareConfig
    known: frozenset[str]
    ours: bool
    labels: frozenset[str]
    mapped: frozenset[str]
    boxes: BoxColumns | None
    key: bytes
    several: bool


def read_table(path: Path, config: PrepareConfig, source: str, indexes: Indexes | None = None) -> TableRecords:
    """The records of a CSV that names images.

    Args:
        path: the CSV; its first line names the columns, or is a row.
        config: which column means what, and the folder that paths start from, by default the CSV's own; files are
            looked for in all of it. A manifest that `prepare` has written may name absolute paths anywhere, and its
            groups are taken as they are.
        source: of images whose row names none; by default the CSV's name.
        indexes: of the folders that other tables of the same call have been read from.

    Raises:
        DataError: not a CSV, a column missing, no row, or no row's file there.
    """
    with open_table(path, foreign=True) as table:
        names, rows = table.names, list(table.rows)
    wanted = parse_columns(config.columns)
    several = [named_column(name, names) for name in wanted.get("path", [])]
    if several := several if len(several) > 1 and all(several) else []:
        names, rows, wanted["path"] = *_a_row_each(names, rows, several), several[:1]
    ours = set(names) >= OURS
    index = (indexes or Indexes()).of(expanded(config.root) if config.root else path.parent, anywhere=ours)
    columns = find_columns(
        path, names, [row for _, row in rows], wanted, index, not config.label_pattern, table.header, config.resplit,
        tags=not ours,
    )  # fmt: skip
    boxes = None if ours else find_boxes(names, [row for _, row in rows])
    drawn = boxes.names if boxes else ()
    tagged = columns.tagged
    gone = () if ours else tuple(name for name in columns.personal if name not in drawn)
    known = frozenset({*columns.one.values(), *columns.labels, *drawn, *COLUMNS, *gone})
    who = columns.one.get("patient")
    named = bool(who) and any(is_name(row[who]) for _, row in rows)
    key = patient_key(folder_of(config.cache_dir)) if tagged or named else b""
    mapped = frozenset(parse_pairs(config.label_map))
    label = columns.one.get("label")
    labels = frozenset(canonical(row[label]) for _, row in rows) if label else frozenset()
    reading = _Reading(
        columns, index, source or path.stem, config, known, ours, labels, mapped, boxes, key, bool(several)
    )
    records: list[_Named] = []
    excluded: list[Exclusion] = []
    refused: set[Path] = set()
    listed = 0
    for number, row in rows:
        found, problem = _records(row, reading)
        apart = not several and (len(found) < 2 or tagged or found[0].folder)
        records += found if apart else [replace(one, record=_of_study(one.record, f"line {number}")) for one in found]
        listed += not apart and not several
        if problem:
            refused.update(map(Path, columns.place(row, index).files))
            name = "" if tagged else columns.path(row)[:300]
            excluded.append(Exclusion(f"{path}:{number} {name}".rstrip(), problem))
    records = _with_studies(_believed(path, records, index, excluded))
    if not records:
        missed = [columns.missed.removeprefix("; ")] if columns.missed else []
        raise _nothing_usable(path, index, excluded, [*table.notes, *missed])
    notes = [
        *table.notes,
        *columns.notes,
        *([f"each row names images in the columns {some(several)}: they stay together"] if several else []),
        *([f"{listed:,} rows name several images: they stay together"] if listed else []),
        *([f"{not_kept(gone)}; {said_columns(keep=','.join(gone))} keeps them"] if gone else []),
        *mixed_note(labels),
        *_found_by_name(records),
        *([] if ours or tagged else _unnamed(path.name, records, refused)),
    ]
    if tagged:
        excluded += _unnamed_by_tag(tagged, index, {one.record.path for one in records}, reading.source)
    kept = [one.record for one in records]
    notes += [f"{DRAWN} {', '.join(drawn)}"] if drawn else []
    return TableRecords(_together(kept) if boxes else kept, excluded, notes, Path(index.real))


def _a_row_each(
    names: Sequence[str], rows: Sequence[tuple[int, Row]], paths: Sequence[str]
) -> tuple[tuple[str, ...], list[tuple[int, dict[str | None, str]]]]:
    """The table with a row for each image where rows name images in several columns; its first column takes them."""
    first, *others = paths
    kept = [(number, row, {name: value for name, value in row.items() if name not in others}) for number, row in rows]
    return tuple(name for name in names if name not in others), [
        (number, {**rest, first: row[name]})
        for number, row, rest in kept
        for name in ([name for name in paths if row[name]] or paths[:1])
    ]


def _nothing_usable(path: Path, index: FileIndex, excluded: Sequence[Exclusion], notes: Sequence[str]) -> DataError:
    """What is said of a table of which no row can be used."""
    first = f"; the first: {excluded[0].path}: {excluded[0].reason}" if excluded else ""
    unlabelled = bool(excluded) and all(one.reason.startswith("its ") for one in excluded)
    return DataError(
        f"{path}: of {len(excluded):,} rows none {'has a label' if unlabelled else 'names an existing image'}"
        f"{first}{''.join(f'; {note}' for note in notes)}",
        "--columns names other columns." if unlabelled else
        f"Its paths start from {index.real}; --root names another folder, --columns other columns.",
    )  # fmt: skip


def read_paths(path: Path) -> list[Path]:
    """The images that a CSV names, by their files or by a tag of DICOM files, each once; it needs no labels.

    Raises:
        DataError: not a CSV, no column that leads to images, or a row that leads to none.
    """
    return list(dict.fromkeys(file for _, files in _found(path)[1] for file in files))


def read_studies(path: Path) -> dict[str, list[Path]]:
    """The images of each study that a CSV names, an image once a study; without that column, of each patient or group.

    An image of neither is a study of its own, by its path. Studies of two patients are two, be their names the same.
    Where tags name DICOM files, these say the studies, which are called after their first images.

    Raises:
        DataError: as `read_paths`, or there is no column of studies, patients or groups.
    """
    columns, rows = _found(path)
    studies: dict[str, dict[Path, None]] = {}
    if columns.tagged:
        names: dict[str, str] = {}
        for file in [file for _, files in rows for file in files]:
            name = names.setdefault(columns.tagged.study(str(file)), str(file))
            studies.setdefault(name, {})[file] = None
        return {name: list(files) for name, files in studies.items()}
    study = next((name for name in rows[0][0] if name is not None and plain(name) in STUDY), "") if rows else ""
    patient = columns.one.get("patient", "")
    if not study and not patient:
        raise DataError(f"{path}: no column study, patient or group says which images belong together")
    meant = [name for name in dict.fromkeys((patient, study)) if name]
    for row, files in rows:
        own = [row[name].strip() for name in meant] if row[study or patient].strip() else []
        for file in files:
            studies.setdefault("/".join(filter(None, own)) or str(file), {})[file] = None
    return {name: list(files) for name, files in studies.items()}


def _found(path: Path) -> tuple[Columns, list[tuple[Row, list[Path]]]]:
    """The columns of a CSV, and each row with the images that it names.

    Raises:
        DataError: see `read_paths`.
    """
    index = FileIndex(path.parent, anywhere=True)
    with open_table(path, foreign=True) as table:
        rows = list(table.rows)
    held = [row for _, row in rows]
    try:
        columns = find_columns(path, table.names, held, {}, index, False, table.header, resplit=True, tags=True)
    except DataError as error:
        way = "Call the column of the images path, and take out others that name images."
        raise DataError(error.problems, error.hint if error.hint and "--" not in error.hint else way) from error
    found: list[tuple[Row, list[Path]]] = []
    problems = []
    for number, row in rows:
        place = columns.place(row, index)
        found.append((row, [Path(file) for file in place.files]))
        if not place.files:
            named = "" if columns.tagged else f" {columns.path(row)[:300]}"
            problems.append(f"{path}:{number}{named}: {place.problem}")
    if problems:
        raise DataError(problems[:20] + ([f"... and {len(problems) - 20} more"] if len(problems) > 20 else []))
    return columns, found


def read_lookup(path: Path, key: str, columns: Sequence[str]) -> dict[str, dict[str, str]]:
    """Some columns of a CSV by the value of another.

    Raises:
        DataError: not a CSV, or a column missing.
    """
    with open_table(path) as table:
        if missing := [name for name in (key, *columns) if name not in table.names]:
            raise DataError(f"{path}: column {' and '.join(missing)} missing, found {', '.join(table.names)}")
        return {row[key]: {name: row[name] for name in columns} for _, row in table.rows}


@dataclass(frozen=True, slots=True)
class _Named:
    """A record and the name that led to its file.

    Attributes:
        record: of the file.
        name: in the table.
        elsewhere: the file lies in another folder than the name says.
        folder: that the name is of, empty where it is of a file.
    """

    record: Record
    name: str
    elsewhere: bool
    folder: str


def _records(row: Row, reading: _Reading) -> tuple[list[_Named], str]:
    """The records of one row, several where it names a folder, or what is wrong with it."""
    text = {meaning: row[name] for meaning, name in reading.columns.one.items()}
    if row.get(EXCESS):
        return [], f"the row has more cells than the header has columns: {row[EXCESS][:60]}"
    if not text["path"] and not reading.columns.tagged:
        return [], "its path is empty"
    given = text.get("split", "")
    if given and not split_name(given) and not reading.config.resplit:
        return [], f"split {given!r} is none of {', '.join(SPLITS)}"
    label, findings, problem = _label(row, text, reading)
    found = reading.columns.place(row, reading.index)
    if problem or found.problem:
        return [], problem or found.problem
    try:
        drawn = reading.boxes.read(row, label or "|".join(findings or ()) or "finding") if reading.boxes else None
    except Unusable as error:
        return [], str(error)
    if drawn and (drawn.shares or drawn.pixels) and (len(found.files) > 1 or reading.several):
        return [], "its box is drawn on one image, and rows name several: write a row for each image"
    made = [_record(file, row, text, reading, label, findings, drawn) for file in found.files]
    folder = _around(found.files, reading.index) if found.folder else ""
    if not all(one.label or one.findings is not None or "" in reading.mapped for one in made):
        return [], "label_pattern finds no class in its path"
    return [_Named(one, reading.columns.path(row), found.elsewhere, folder) for one in made], ""


def _around(files: Sequence[str], index: FileIndex) -> str:
    """The folder that holds all of some files, from the folder that paths start from."""
    folder = os.path.commonpath([os.path.dirname(file) for file in files])  # noqa: PTH120
    return os.path.relpath(folder, index.real).replace(os.sep, "/")


def _label(row: Row, text: Mapping[str, str], reading: _Reading) -> tuple[str, tuple[str, ...] | None, str]:
    """The row's label, or all classes that it names, or what is wrong."""
    columns, config = reading.columns, reading.config
    if config.label_pattern:
        return "", None, ""
    if columns.labels:
        odd = [name for name in columns.labels if canonical(row[name]).lower() not in HOT | COLD]
        if odd:
            return "", None, f"its {odd[0]} is {row[odd[0]]!r}, neither 1 nor 0"
        return "", tuple(name for name in columns.labels if canonical(row[name]).lower() in HOT), ""
    label = canonical(text["label"])
    if is_unknown(label, reading.labels) and not {label, text["label"]} & reading.mapped:
        return "", None, f"its label is {label!r}: its class is unknown"
    if is_code(label) and not {label, text["label"]} & reading.mapped:
        return "", None, f"its label is a value of a program that names no class: {label[:60]}"
    parts = findings_of(label, reading.labels)
    if reading.boxes or (label and parts != [label]):
        return "", tuple(parts), ""
    if not label and "" not in reading.mapped:
        return "", None, EMPTY
    return label, None, ""


def _record(
    file: str, row: Row, text: Mapping[str, str], reading: _Reading, label: str, findings: tuple[str, ...] | None,
    drawn: DrawnBoxes | None,
) -> Record:  # fmt: skip
    config, source = reading.config, reading.source
    below = os.path.relpath(file, reading.index.real).replace(os.sep, "/")
    said = "" if reading.ours else _patient(text.get("patient", ""), reading)
    named = said
    if not named and not reading.ours:
        named = (found_by(config.group_pattern, "group", below) or "") if config.group_pattern else patient_of(below)
    if config.label_pattern:
        label = found_by(config.label_pattern, "label", below) or ""
    split = split_name(text.get("split", ""))
    if "split" not in text and not reading.ours:  # the folders say it, or the one that the table lies in
        split = split_of(below) or split_name(Path(reading.index.real).name)
    extra = {name: value for name, value in row.items() if isinstance(name, str) and name not in reading.known}
    return Record(
        Path(file), label, split, group=text.get("patient", "") if reading.ours else "",
        patient=f"{source}/{named}" if named else "",  # one in all of a table, whatever site each image is from
        source=text.get("source") or source, findings=findings, reader=text.get("reader", ""), drawn=drawn,
        extra=extra,
    )  # fmt: skip


def _with_studies(records: Sequence[_Named]) -> list[_Named]:
    """The records of rows that name folders with a few images each as studies: these were taken together."""
    folders = Counter(one.folder for one in records if one.folder)
    return [
        replace(one, record=_of_study(one.record, one.folder)) if one.folder and are_small(folders) else one
        for one in records
    ]


def _of_study(record: Record, folder: str) -> Record:
    extra = record.extra if study_of(record.extra) else {**record.extra, "study": folder}
    return replace(record, study=f"{record.source}/{folder}", extra=extra)


def _patient(text: str, reading: _Reading) -> str:
    """The patient that a cell names, as a digest where it is a name, or where tags of DICOM files name the images."""
    patient = canonical(text)
    if is_placeholder(patient) or not (reading.columns.tagged or is_name(patient)):
        return patient
    return digest(f"patient {plain_identifier(patient)}", reading.key)


def _together(records: Sequence[Record]) -> list[Record]:
    """One record an image and reader, with all its boxes and their classes."""
    rows: dict[tuple[Path, str], list[Record]] = {}
    for record in records:
        rows.setdefault((record.path, record.reader), []).append(record)
    return [
        replace(held[0], findings=_classes(held), drawn=together(one.drawn for one in held)) for held in rows.values()
    ]


def _classes(rows: Sequence[Record]) -> tuple[str, ...] | None:
    if all(row.findings is None for row in rows):
        return None
    return tuple(dict.fromkeys(one for row in rows for one in row.findings or ()))


def _believed(table: Path, records: Sequence[_Named], index: FileIndex, excluded: list[Exclusion]) -> list[_Named]:
    """The records whose file is certainly the one that the table means; ``excluded`` takes the others."""
    doubtful = {id(one): reason for one, reason in _doubtful(records, index)}
    excluded += [
        Exclusion(f"{table} {one.name[:300]}", f"{doubtful[id(one)]}: {one.record.path}", one.record.label,
                  one.record.source)
        for one in records if id(one) in doubtful
    ]  # fmt: skip
    return [one for one in records if id(one) not in doubtful]


def _doubtful(records: Sequence[_Named], index: FileIndex) -> list[tuple[_Named, str]]:
    """Those whose file was found in another folder than the table says, with the reason why it is not believed.

    It is where all rows with folders are so found and none of these is there: they are those of another machine.
    """
    names: dict[Path, set[str]] = {}
    for one in records:
        names.setdefault(one.record.path, set()).add(one.name)
    found = any("/" in one.name.replace("\\", "/") and not one.elsewhere for one in records)
    twice = "only a file of the same name in another folder is there, and other rows name it"
    alone = "only a file of the same name in another folder is there, while other folders of the table are there"
    return [
        (one, twice if len(names[one.record.path]) > 1 else alone)
        for one in records
        if one.elsewhere and (found or len(names[one.record.path]) > 1 or index.has_folder_of(one.name))
    ]


def _found_by_name(records: Sequence[_Named]) -> list[str]:
    """A sentence on rows whose folders are not there."""
    elsewhere = [one for one in records if one.elsewhere]
    return [
        f"{len(elsewhere):,} rows name folders that are not there; their files were found by name alone, e.g. "
        f"{one.name[:100]} as {one.record.path}"
        for one in elsewhere[:1]
    ]


def _unnamed_by_tag(tagged: Tagged, index: FileIndex, named: Collection[Path], source: str) -> list[Exclusion]:
    """The images below the root that no row names by a tag, each with the reason."""
    left = [path for one in index.tree.images if (path := index.tree.root / one) not in named]
    return [Exclusion(str(path), tagged.why_unnamed(str(path)), source=source) for path in left]


def _unnamed(table: str, records: Sequence[_Named], refused: Collection[Path]) -> list[str]:
    """A sentence on the images that lie beside those of the table and that no row names, be it one that is left out."""
    used = {one.record.path for one in records}
    named = used | set(refused)
    beside = [
        entry.path
        for folder in sorted({path.parent for path in used})
        for entry in os.scandir(folder)
        if not entry.name.startswith(".") and entry.is_file() and Path(entry.path) not in named and is_image(entry.path)
    ]
    if not beside:
        return []
    shown = ", ".join(sorted(os.path.basename(path) for path in beside)[:3])  # noqa: PTH119
    return [f"{len(beside):,} images beside them {UNNAMED} {table}: {shown}"]
