"""The classes, patients and splits that the folders of a tree name."""

import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from fracture.data.annotations import Annotated
from fracture.data.class_names import MAX_CLASSES, put_aside, structure
from fracture.data.inspection.identity import is_placeholder
from fracture.data.listing import some
from fracture.data.prepare.beside import check_boxes, read_beside
from fracture.data.prepare.config import PrepareConfig
from fracture.data.prepare.label_files import how_to_read
from fracture.data.prepare.levels import Levels, class_at, levels_of, patient_at, told_patients
from fracture.data.prepare.pairs import parse_pairs
from fracture.data.prepare.paths import beside_splits, class_folders, split_of
from fracture.data.prepare.records import Record
from fracture.data.trees import Tree
from fracture.errors import DataError

_FEW = 8  # names that an expression lists
_RENAME = "Rename them to train, val or test, move them elsewhere, or make new splits with --resplit true."


@dataclass(frozen=True)
class Folders:
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
    def read(cls, tree: Tree, config: PrepareConfig) -> "Folders":
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


def by_folders(tree: Tree, config: PrepareConfig, sets: Sequence[Annotated]) -> tuple[list[Record], list[str]]:
    """The class, and the patient, by the folders' names; the patient also by the tables that lie beside them.

    Args:
        tree: the files.
        config: the settings.
        sets: annotation files, which give boxes.

    Returns:
        The records, and what was found out, in sentences.

    Raises:
        DataError: the folders can be no classes, or a table or boxes beside them contradict them.
    """
    folders = Folders.read(tree, config)
    notes: list[str] = []
    if not folders.insisted:
        _check(tree, folders, config)
        notes += _level_notes(folders)
        check_boxes(tree, folders.labels, sets)
        notes += [f"classes come from the folders, boxes from {one.kind} annotations" for one in sets if one.has_boxes]
    beside = read_beside(tree, folders.labels, folders.insisted or config.layout == "folders")
    notes += beside.notes
    records = [
        with_patients(Record(tree.root / path, folders.labels[path], split_of(path)), [
            patient_at(one, folders.levels), beside.patients.get(path, ""),
        ])
        for path, one in folders.of.items()
    ]  # fmt: skip
    return records, notes


def with_patients(record: Record, patients: Sequence[str]) -> Record:
    """The record with the identifiers of its patient, as far as they are known."""
    known = [who for who in patients if who]
    further = tuple(who for who in known[1:] if not is_placeholder(who))
    return replace(record, patient=known[0], patients=further) if known else record


def check_splits(tree: Tree, config: PrepareConfig) -> None:
    """Folders that are parts of a data set must be called as splits are, unless there are to be new ones.

    Raises:
        DataError: some are called otherwise.
    """
    if not config.resplit and (problem := beside_splits(tree.images)):
        raise DataError(f"{tree.root}: {problem}", _RENAME)


def _check(tree: Tree, folders: Folders, config: PrepareConfig) -> None:
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


def _insist(folders: Folders) -> str:
    """How the user says that folders are the classes: by an expression that finds those of the level in doubt."""
    levels = folders.levels
    level = max(levels.classes if levels.other is None else levels.other, 0)
    deep = next(((path, one) for path, one in folders.of.items() if len(one) > level), None)
    if deep is None:
        return "Say where the class is in each path: --label-pattern 'EXPRESSION with a group'."
    held = {one[level] for one in folders.of.values() if len(one) > level}
    found = structure(held)
    names = sorted(held.difference(found.names if found else ()) or held)
    before = deep[0].split("/").index(deep[1][level])
    few = "|".join(re.sub(r"([.^$*+?{}\[\]\\|()])", r"\\\1", name) for name in names)
    expression = rf"(?:^|/)({few})/" if len(names) <= _FEW else f"^{'[^/]+/' * before}([^/]+)/"
    where = "they" if levels.other is None and len(names) == len(held) else some(names)
    return f"Where {where} are the classes: --label-pattern {shlex.quote(expression)}."


def _level_notes(folders: Folders) -> list[str]:
    """What was found out from folders further down than the first."""
    levels = folders.levels
    notes = [f"classes are the folders at level {levels.classes + 1}: {some(folders.classes, 5)}"]
    people = [told_patients(levels)] if levels.patients is not None else []
    return [*(notes if levels.classes > 0 else []), *people]
