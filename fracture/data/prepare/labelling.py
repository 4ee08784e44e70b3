"""What the paths of a tree say of each image: its class, split, patient and original image."""

import re
import shlex
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePosixPath

from fracture.data.annotations import Annotated, find
from fracture.data.class_names import MAX_CLASSES, put_aside, structure
from fracture.data.exclusions import Exclusion
from fracture.data.inspection.identity import is_placeholder
from fracture.data.listing import some
from fracture.data.manifest import split_name
from fracture.data.originals import stem_of
from fracture.data.prepare.beside import check_boxes, read_beside
from fracture.data.prepare.config import PrepareConfig
from fracture.data.prepare.drawn_boxes import DrawnBoxes
from fracture.data.prepare.label_files import how_to_read
from fracture.data.prepare.layouts import Layout, named, recognise
from fracture.data.prepare.levels import Levels, class_at, levels_of, patient_at, told_patients
from fracture.data.prepare.pairs import found_by, parse_pairs
from fracture.data.prepare.paths import beside_splits, class_folders, split_of
from fracture.data.prepare.records import Record
from fracture.data.prepare.tables import read_lookup
from fracture.data.trees import Tree
from fracture.errors import DataError

_FEW = 8  # names that an expression lists


@dataclass(frozen=True)
class Labelled:
    """What a tree says.

    Attributes:
        records: its images.
        excluded: what was left out, with the reason.
        layout: the data set that it was recognised as, if any.
        notes: what was found out, in sentences.
    """

    records: list[Record]
    excluded: list[Exclusion]
    layout: Layout | None
    notes: list[str]


def label_tree(tree: Tree, config: PrepareConfig, source: str = "", named: bool = False) -> Labelled:
    """The records of a tree, by a layout known by name, by annotation files or by its folders.

    Args:
        tree: the files.
        config: the settings.
        source: of the images, by default the tree's name; a layout known by name is one itself.
        named: the user gave the source, which counts in any case.

    Raises:
        DataError: the tree does not fit the layout that was given, its table is missing, or its folders can be no
            classes; the message names the label files that lie there and the command that reads them.
    """
    layout = _layout(tree, config)
    source = layout.name if layout and not named else source or tree.name
    looked = config.layout in ("auto", "annotations") or layout
    sets = [one for one in find(tree.root, tree.images, tree.labels) if one.findings] if looked else []
    notes: list[str] = []
    if not layout:
        _check_splits(tree, config)
    if layout:
        records, excluded = _by_layout(tree, layout, config)
        notes += _told_layout(layout) if config.layout == "auto" else []
    elif sets and (config.layout == "annotations" or not _Folders.read(tree, config).are_classes):
        records, excluded = _by_annotations(tree, sets[0])
        notes += [f"classes come from {sets[0].kind} annotations: {some(sets[0].files)}", *sets[0].notes]
    elif config.layout == "annotations":
        raise DataError(f"{tree.root}: no annotation files that are understood lie there{how_to_read(tree)}")
    else:
        records, excluded = _by_folders(tree, config, sets, notes), []
    records = [_override(record, tree, config) for record in records]
    without = [record for record in records if not record.label and record.findings is None]
    excluded += [Exclusion(str(one.path), _no_class(config), source=source) for one in without]
    kept = [record for record in records if record.label or record.findings is not None]
    return Labelled(_finished(kept, tree, source, sets), excluded, layout, notes)


def _no_class(config: PrepareConfig) -> str:
    return (
        "label_pattern finds no class in its path" if config.label_pattern
        else "lies beside the class folders, so it has no class"
    )  # fmt: skip


def _layout(tree: Tree, config: PrepareConfig) -> Layout | None:
    if config.layout in ("folders", "annotations"):
        return None
    return recognise(tree.images) if config.layout == "auto" else named(config.layout)


def _finished(records: list[Record], tree: Tree, source: str, sets: Sequence[Annotated]) -> list[Record]:
    """The records with their source and the boxes that annotation files draw on them."""
    places = [tree.place(record.path) for record in records]
    drawn = {path: finding for one in reversed(sets) if one.has_boxes for path, finding in one.findings.items()}
    return [
        replace(
            record, source=source, patient=f"{source}/{record.patient}" if record.patient else "",
            patients=tuple(f"{source}/{who}" for who in record.patients),
            drawn=DrawnBoxes.of(drawn[path]) if path in drawn else None,
        )
        for path, record in zip(places, records, strict=True)
    ]  # fmt: skip


def _by_layout(tree: Tree, layout: Layout, config: PrepareConfig) -> tuple[list[Record], list[Exclusion]]:
    """What the layout says of each image; a class that it leaves out is kept where the user maps or finds it."""
    table = _table(tree, layout)
    pattern = re.compile(layout.path, re.IGNORECASE)
    renamed = {name.lower(): name for name in parse_pairs(config.label_map)}
    records: list[Record] = []
    excluded: list[Exclusion] = []
    for path in tree.images:
        found = pattern.search(path)
        if not found:
            excluded.append(Exclusion(str(tree.root / path), f"its path is not of the layout {layout.name}"))
            continue
        parts = found.groupdict(default="")
        row = table.get(PurePosixPath(path).name) or table.get(stem_of(path))
        value = (row[layout.column] if row else parts.get("label", "")).strip().lower()
        value = value.removesuffix(".0")  # what pandas makes of a column with gaps
        label = renamed.get(value) or layout.labels.get(value, value)
        reason = _left_out(layout, row, value, "label" in parts, value in renamed or bool(config.label_pattern))
        if reason:
            excluded.append(Exclusion(str(tree.root / path), reason, label, layout.name))
        else:
            split = split_name(parts.get("split", ""))
            extra = {"study": parts["study"]} if parts.get("study") else {}
            records.append(Record(tree.root / path, label, split, parts.get("patient", ""), extra=extra))
    return records, excluded


def _told_layout(layout: Layout) -> list[str]:
    """What is said of a data set that was recognised and whose folders are merged into fewer classes."""
    renamed = Counter(new for old, new in layout.labels.items() if old != new and not old.isdecimal())
    merged = [f"{count} folders are {new}" for new, count in renamed.items() if count > 1]
    left = f", {len(layout.excluded)} are left out" if layout.excluded else ""
    return [f"{', '.join(merged)}{left}; --layout folders takes each folder for a class"] if merged else []


def _left_out(layout: Layout, row: dict[str, str] | None, value: str, in_path: bool, by_user: bool) -> str:
    """Why an image that fits the layout is not used, empty where it is; ``by_user``: the user named its class."""
    if layout.table and row is None and not in_path:
        return f"{layout.table} has no row for it"
    if dropped := [why for name, why in layout.drop.items() if row and row.get(name, "").startswith("1")]:
        return dropped[0]
    if value in layout.labels or by_user:
        return ""
    return layout.excluded.get(value, f"{value!r} is no class of the layout {layout.name}")


def _table(tree: Tree, layout: Layout) -> dict[str, dict[str, str]]:
    """The rows of the layout's table by its key, empty where it has none."""
    if not layout.table:
        return {}
    places = [path for path in tree.labels if PurePosixPath(path).name.lower() == layout.table]
    if not places:
        if "(?P<label>" in layout.path:
            return {}
        raise DataError(
            f"{tree.root}: {layout.name} keeps its labels in {layout.table}, which is not there{how_to_read(tree)}",
            f"It comes with the data set: {layout.where}. Or give a CSV of your own, or --label-pattern.",
        )
    return read_lookup(tree.root / places[0], layout.key, (layout.column, *layout.drop))


def _by_annotations(tree: Tree, one: Annotated) -> tuple[list[Record], list[Exclusion]]:
    """The classes that annotation files name for each image; `gather` makes one label of them."""
    records = [
        Record(tree.root / path, "", split_of(path), findings=tuple(dict.fromkeys(one.findings[path].labels)))
        for path in tree.images
        if path in one.findings
    ]
    silent = [path for path in tree.images if path not in one.findings]
    excluded = [
        Exclusion(str(tree.root / path), f"the {one.kind} annotations have nothing usable for it") for path in silent
    ]
    return records, [*excluded, *(Exclusion(str(tree.root / path), reason) for path, reason in one.problems)]


@dataclass(frozen=True)
class _Folders:
    """What the folders of a tree say; those of splits and of augmented copies do not count.

    Attributes:
        of: folders of each image, by its path.
        levels: what they mean.
        labels: class of each image, empty where it has none.
        left_out: classes that the user leaves out.
        insisted: the user says where the classes are.
    """

    of: Mapping[str, Sequence[str]]
    levels: Levels
    labels: Mapping[str, str]
    left_out: frozenset[str]
    insisted: bool

    @classmethod
    def read(cls, tree: Tree, config: PrepareConfig) -> "_Folders":
        """Find the levels of classes and patients."""
        folders = {path: class_folders(path) for path in tree.images}
        left_out = frozenset(name for name, new in parse_pairs(config.label_map).items() if not new)
        levels = levels_of(folders, tree.name, left_out)
        loose = any(folders.values())
        labels = {path: class_at(one, levels.classes, tree.name, loose) for path, one in folders.items()}
        return cls(folders, levels, labels, left_out, bool(config.label_pattern))

    @property
    def classes(self) -> list[str]:
        """Names of the classes that count, sorted."""
        return sorted(set(self.labels.values()) - self.left_out - {""})

    @property
    def are_classes(self) -> bool:
        """Whether the folders can be two classes or more, or the user says so."""
        return self.insisted or (not self.levels.problem and len(self.classes) > 1)


def _by_folders(tree: Tree, config: PrepareConfig, sets: Sequence[Annotated], notes: list[str]) -> list[Record]:
    """The class, and the patient, by the folders' names; the patient also by the tables that lie beside them."""
    folders = _Folders.read(tree, config)
    if not folders.insisted:
        _check(tree, folders, config)
        notes += _told(folders)
        check_boxes(tree, folders.labels, sets)
        notes += [f"classes come from the folders, boxes from {one.kind} annotations" for one in sets if one.has_boxes]
    beside = read_beside(tree, folders.labels, folders.insisted or config.layout == "folders")
    notes += beside.notes
    return [
        _with_patients(Record(tree.root / path, folders.labels[path], split_of(path)), [
            patient_at(one, folders.levels), beside.patients.get(path, ""),
        ])
        for path, one in folders.of.items()
    ]  # fmt: skip


def _with_patients(record: Record, patients: Sequence[str]) -> Record:
    """The record with the identifiers of its patient, as far as they are known."""
    known = [who for who in patients if who]
    further = tuple(who for who in known[1:] if not is_placeholder(who))
    return replace(record, patient=known[0], patients=further) if known else record


def _check_splits(tree: Tree, config: PrepareConfig) -> None:
    """Folders that are parts of a data set must be called as splits are, unless there are to be new ones.

    Raises:
        DataError: some are called otherwise.
    """
    if not config.resplit and (problem := beside_splits(tree.images)):
        raise DataError(f"{tree.root}: {problem}", _RENAME)


_RENAME = "Rename them to train, val or test, move them elsewhere, or make new splits with --resplit true."


def _check(tree: Tree, folders: _Folders, config: PrepareConfig) -> None:
    for level in range(0 if config.resplit else max(folders.levels.classes, 0)):
        found = structure({one[level] for one in folders.of.values() if len(one) > level})
        if found and found.kind == "splits":
            raise DataError(f"{tree.root}: the folders {some(found.names)} look like splits", _RENAME)
    classes, problem = folders.classes, folders.levels.problem
    if len(classes) > MAX_CLASSES:
        problem = f"its folders would make {len(classes):,} classes, more than {MAX_CLASSES} classes: {some(classes)}"
    if problem:
        raise DataError(f"{tree.root}: {problem}{how_to_read(tree)}", _insist(folders))
    if aside := put_aside(classes):
        raise DataError(
            f"{tree.root}: {aside}", f"Move them elsewhere, or leave them out: --label-map NAME=. {_insist(folders)}"
        )


def _insist(folders: _Folders) -> str:
    """How the user says that folders are the classes: by an expression that finds those of the level in doubt."""
    levels = folders.levels
    level = max(levels.classes if levels.other is None else levels.other, 0)
    deep = next(((path, one) for path, one in folders.of.items() if len(one) > level), None)
    if deep is None:
        return "Say where the class is in each path: --label-pattern 'EXPRESSION with a group'."
    names = sorted({one[level] for one in folders.of.values() if len(one) > level})
    before = deep[0].split("/").index(deep[1][level])
    few = "|".join(re.sub(r"([.^$*+?{}\[\]\\|()])", r"\\\1", name) for name in names)
    expression = rf"(?:^|/)({few})/" if len(names) <= _FEW else f"^{'[^/]+/' * before}([^/]+)/"
    where = "they" if levels.other is None else some(names)
    return f"Where {where} are the classes: --label-pattern {shlex.quote(expression)}."


def _told(folders: _Folders) -> list[str]:
    """What was found out from folders further down than the first."""
    levels = folders.levels
    notes = [f"classes are the folders at level {levels.classes + 1}: {some(folders.classes, 5)}"]
    people = [told_patients(levels)] if levels.patients is not None else []
    return [*(notes if levels.classes > 0 else []), *people]


def _override(record: Record, tree: Tree, config: PrepareConfig) -> Record:
    """What the user's own expressions find takes precedence."""
    path = tree.place(record.path)
    if config.label_pattern:
        record = replace(record, label=found_by(config.label_pattern, "label", path) or "", findings=None)
    if config.group_pattern:
        found = found_by(config.group_pattern, "group", path)
        record = replace(record, patient=found, patients=()) if found else record
    return record
