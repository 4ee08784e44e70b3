"""What the paths of a tree say of each image: its class, split, patient and original image."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import PurePosixPath

from fracture.data.annotations import Annotated, find
from fracture.data.exclusions import Exclusion
from fracture.data.listing import some
from fracture.data.manifest import split_name
from fracture.data.originals import stem_of
from fracture.data.prepare.beside import read_beside
from fracture.data.prepare.by_folders import Folders, by_folders, check_splits, with_patients
from fracture.data.prepare.config import PrepareConfig
from fracture.data.prepare.drawn_boxes import DrawnBoxes
from fracture.data.prepare.label_files import how_to_read
from fracture.data.prepare.layouts import Layout, named, recognise
from fracture.data.prepare.pairs import found_by, parse_pairs
from fracture.data.prepare.paths import patient_of, split_of
from fracture.data.prepare.records import Record
from fracture.data.tables import read_lookup
from fracture.data.trees import Tree
from fracture.errors import DataError


@dataclass(frozen=True)
class Labelled:
    """What a tree says.

    Attributes:
        records: its images.
        excluded: what was left out, with the reason.
        layout: the data set that it was recognised as, if any.
        notes: what was found out, in sentences.
        annotated: classes come from annotations.
        unlisted: and images lie there that these do not name.
    """

    records: list[Record]
    excluded: list[Exclusion]
    layout: Layout | None
    notes: list[str]
    annotated: bool
    unlisted: bool


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
    annotated = unlisted = False
    if not layout:
        check_splits(tree, config)
    if layout:
        records, excluded = _by_layout(tree, layout, config)
        records, more = (records, []) if layout.table else _with_patients(records, tree, config, "folders")
        notes += [*(_layout_notes(layout) if config.layout == "auto" else []), *more]
    elif annotated := bool(sets and (config.layout == "annotations" or not Folders.read(tree, config).are_classes)):
        records, excluded = _by_annotations(tree, sets[0])
        unlisted = len(records) < len(tree.images)
        notes += [f"classes come from {sets[0].kind} annotations: {some(sets[0].files)}", *sets[0].notes]
        records, more = _with_patients(records, tree, config, "annotations")
        notes += more
    elif config.layout == "annotations":
        raise DataError(f"{tree.root}: no annotation files that are understood lie there{how_to_read(tree)}")
    else:
        (records, more), excluded = by_folders(tree, config, sets), []
        notes += more
    records = [_override(record, tree, config) for record in records]
    without = [record for record in records if not record.label and record.findings is None]
    excluded += [Exclusion(str(one.path), _no_class(config), source=source) for one in without]
    kept = [record for record in records if record.label or record.findings is not None]
    return Labelled(_finished(kept, tree, source, sets), excluded, layout, notes, annotated, unlisted)


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
            extra = {"study": found.expand(layout.study)} if layout.study else {}
            records.append(Record(tree.root / path, label, split, parts.get("patient", ""), extra=extra))
    return records, excluded


def _layout_notes(layout: Layout) -> list[str]:
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
    reason = f"the {one.kind} annotations have nothing usable for it"
    excluded = [Exclusion(str(tree.root / path), reason) for path in silent]
    return records, [*excluded, *(Exclusion(str(tree.root / path), reason) for path, reason in one.problems)]


def _with_patients(
    records: list[Record], tree: Tree, config: PrepareConfig, by: str
) -> tuple[list[Record], list[str]]:  # fmt: skip
    """The records with the patients that folders and tables beside them name, and what was found, in sentences.

    Args:
        records: of images.
        tree: their files.
        config: the settings.
        by: what names the classes, ``folders`` or ``annotations``.

    Raises:
        DataError: a table names other classes.
    """
    said = {
        tree.place(one.path): (one.label,) if one.label else one.findings or (config.background,) for one in records
    }
    labels = {path: classes[0] if len(classes) == 1 else "" for path, classes in said.items()}
    beside = read_beside(tree, labels, config.layout == by, by)
    named = [one.patient or patient_of(path) for path, one in zip(labels, records, strict=True)]
    folders = sorted({who for who, one in zip(named, records, strict=True) if who != one.patient})
    return [
        with_patients(record, [who, beside.patients.get(path, "")])
        for path, who, record in zip(labels, named, records, strict=True)
    ], [*([f"patients are folders: {some(folders)}"] if folders else []), *beside.notes]


def _override(record: Record, tree: Tree, config: PrepareConfig) -> Record:
    """What the user's own expressions find takes precedence."""
    path = tree.place(record.path)
    if config.label_pattern:
        record = replace(record, label=found_by(config.label_pattern, "label", path) or "", findings=None)
    if config.group_pattern:
        found = found_by(config.group_pattern, "group", path)
        record = replace(record, patient=found, patients=()) if found else record
    return record
