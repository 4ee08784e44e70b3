"""What the paths of a tree say of each image: its class, split, patient and original image."""

import re
from collections.abc import Sequence
from pathlib import PurePosixPath

from fracture.data.groups import original_keys
from fracture.data.manifest import split_name
from fracture.data.prepare.config import PrepareConfig
from fracture.data.prepare.layouts import Layout, named, recognise
from fracture.data.prepare.pairs import found_by
from fracture.data.prepare.paths import class_folders, place, split_of
from fracture.data.prepare.records import Exclusion, Record
from fracture.data.prepare.tables import read_lookup
from fracture.data.prepare.trees import Tree
from fracture.errors import DataError

_MAX_CLASSES = 50
Said = tuple[str, str, str]  # label or what stands for it, split, patient


def label_tree(tree: Tree, config: PrepareConfig, source: str) -> tuple[list[Record], list[Exclusion], Layout | None]:
    """The records of a tree, by a layout known by name or by its folders.

    Raises:
        DataError: the tree does not fit the layout that was asked for, or its table is missing.
    """
    layout = _layout(tree, config)
    source = source or (layout.name if layout else tree.name)
    if layout:
        said, refused = _by_layout(tree, layout)
    else:
        said, refused = _by_folders(tree), {}
    excluded = [Exclusion(str(tree.root / path), reason, said[path][0], source) for path, reason in refused.items()]
    kept = [path for path in tree.images if path in said and path not in refused]
    originals = original_keys([place(path, said[path][1]) for path in kept])
    records = []
    for path, original in zip(kept, originals, strict=True):
        label, split, patient = _override(path, said[path], config)
        if label:
            patient = f"{source}/{patient}" if patient else ""
            records.append(Record(tree.root / path, label, split, patient, f"{source}/{original}", source))
        else:
            excluded.append(Exclusion(str(tree.root / path), "label_pattern finds no class in its path", source=source))
    return records, excluded, layout


def _layout(tree: Tree, config: PrepareConfig) -> Layout | None:
    if config.layout == "folders" or (config.layout == "auto" and config.label_pattern):
        return None
    return recognise(tree.images) if config.layout == "auto" else named(config.layout)


def _by_layout(tree: Tree, layout: Layout) -> tuple[dict[str, Said], dict[str, str]]:
    """What the layout says of each path, and the paths that it leaves out, with the reason."""
    table = _table(tree, layout)
    pattern = re.compile(layout.path, re.IGNORECASE)
    said: dict[str, Said] = {}
    refused: dict[str, str] = {}
    for path in tree.images:
        found = pattern.search(path)
        if not found:
            said[path], refused[path] = ("", "", ""), f"its path is not of the layout {layout.name}"
            continue
        parts = found.groupdict(default="")
        row = table.get(PurePosixPath(path).name) or table.get(PurePosixPath(path).stem)
        value = (row[layout.column] if row else parts.get("label", "")).strip().lower()
        value = value.removesuffix(".0")  # what pandas makes of a column with gaps
        label = layout.labels.get(value, value)
        said[path] = label, split_name(parts.get("split", "")), parts.get("patient", "")
        if layout.table and row is None and "label" not in parts:
            refused[path] = f"{layout.table} has no row for it"
        elif dropped := [why for name, why in layout.drop.items() if row and row.get(name, "").startswith("1")]:
            refused[path] = dropped[0]
        elif value not in layout.labels:
            refused[path] = layout.excluded.get(value, f"{value!r} is no class of the layout {layout.name}")
    return said, refused


def _table(tree: Tree, layout: Layout) -> dict[str, dict[str, str]]:
    """The rows of the layout's table by its key, empty where it has none."""
    if not layout.table:
        return {}
    places = [path for path in tree.tables if PurePosixPath(path).name.lower() == layout.table]
    if not places:
        if "(?P<label>" in layout.path:
            return {}
        raise DataError(
            f"{tree.root}: {layout.name} keeps its labels in {layout.table}, which is not there",
            f"It comes with the data set: {layout.where}. Or give a CSV of your own, or --label-pattern.",
        )
    return read_lookup(tree.root / places[0], layout.key, (layout.column, *layout.drop))


def _by_folders(tree: Tree) -> dict[str, Said]:
    """The class is the first folder where the tree branches; folders of splits and of augmented copies do not count."""
    parts = {path: class_folders(path) for path in tree.images}
    shared = _shared_depth(list(parts.values()))
    said = {}
    for path, folders in parts.items():
        label = folders[shared] if len(folders) > shared else folders[-1] if folders else tree.name
        said[path] = label, split_of(path), ""
    if len({label for label, _, _ in said.values()}) > _MAX_CLASSES:
        raise DataError(
            f"{tree.root}: its folders would make more than {_MAX_CLASSES} classes",
            "Say where the class stands: --label-pattern 'EXPRESSION with a group', e.g. --label-pattern '^([^/]+)/'.",
        )
    return said


def _shared_depth(lists: Sequence[list[str]]) -> int:
    """How many leading folders all paths share."""
    if not lists:
        return 0
    first, last = min(lists), max(lists)
    return next((i for i, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), min(len(first), len(last)))


def _override(path: str, said: Said, config: PrepareConfig) -> Said:
    """What the user's own expressions find takes precedence."""
    label, split, patient = said
    if config.label_pattern:
        label = found_by(config.label_pattern, "label", path) or ""
    if config.group_pattern:
        patient = found_by(config.group_pattern, "group", path) or patient
    return label, split, patient
