"""Tables beside classified images, and boxes beside folders of classes: their patients, and contradictions."""

import os
import re
import shlex
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from fracture.data.annotations import Annotated
from fracture.data.class_names import MAX_CLASSES, spelling, structure
from fracture.data.inspection.identity import digest, is_placeholder
from fracture.data.listing import some
from fracture.data.manifest import split_name
from fracture.data.patients import plain_identifier
from fracture.data.personal import names_persons
from fracture.data.prepare.cells import is_unknown
from fracture.data.prepare.columns import OURS, SPELLINGS, Columns, find_columns
from fracture.data.prepare.index import Indexes
from fracture.data.prepare.label_column import FRACTURED
from fracture.data.prepare.pairs import canonical, said_columns
from fracture.data.prepare.paths import split_of
from fracture.data.prepare.sheet import Sheet
from fracture.data.tables import is_table, named_column, open_table, plain
from fracture.data.trees import Tree
from fracture.errors import DataError

_MOST = 20  # tables that are looked at
_LINE = 1000  # characters
_OWN = 0.9  # images a row at least, where only its values make a column one of paths
_WHICH = "Say which count: --layout annotations or --layout folders."


@dataclass(frozen=True)
class Beside:
    """What the tables of a tree say of its images.

    Attributes:
        patients: identifier by the image's path from the root, of those that a table names one for; where some are
            names of persons, or tags of DICOM files name the images, no identifier tells of anybody.
        notes: what was found, in sentences.
    """

    patients: Mapping[str, str]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class _Table:
    """One table: the folder its paths start from, its columns, and its rows with the images that each leads to."""

    path: Path
    base: Path
    columns: Columns
    rows: Sequence[tuple[Mapping[str | None, str], Sequence[str]]]

    def values(self, column: str) -> dict[str, str]:
        """What a column says of each image; the last of several rows counts."""
        return {image: value for row, images in self.rows if (value := canonical(row[column])) for image in images}


def read_beside(tree: Tree, labels: Mapping[str, str], insisted: bool = False, by: str = "folders") -> Beside:
    """Read the tables that lie beside the images of a tree.

    Tables that `prepare` has written, and those that name none of the images, say nothing.

    Args:
        tree: the files.
        labels: class of each image, empty where it has none.
        insisted: the user says that these count, whatever tables say of the classes.
        by: what names the classes, ``folders`` or ``annotations``.

    Raises:
        DataError: a table names other classes.
    """
    patients: dict[str, str] = {}
    notes: list[str] = []
    indexes = Indexes()
    telling = False
    for place in [place for place in tree.labels if is_table(Path(place))][:_MOST]:
        table = _read(tree, place, indexes, notes)
        if table is None:
            continue
        if not insisted:
            _check_classes(tree, table, labels, by)
        column = table.columns.one.get("patient", "")
        new = {image: who for image, who in table.values(column).items() if image not in patients} if column else {}
        patients |= new
        telling |= table.columns.tagged is not None or (column != "" and names_persons(column, new.values()))
        notes += _said(table, place, column, new, len(labels))
    return Beside(_nameless(patients) if telling else patients, (*notes, *_split_lists(tree)))


def _nameless(patients: Mapping[str, str]) -> dict[str, str]:
    """The patients of images, each called by a digest of the path of its first image."""
    first: dict[str, str] = {}
    for image in sorted(patients):
        first.setdefault(plain_identifier(patients[image]), image)
    return {
        image: who if is_placeholder(who) else digest(first[plain_identifier(who)], b"")
        for image, who in patients.items()
    }


def _split_lists(tree: Tree) -> list[str]:
    """A sentence on lists called ``train``, or ``train_a`` where they name images, if the folders name no splits."""
    if any(split_of(image) for image in tree.images):
        return []
    stems = {image.rpartition("/")[2].rpartition(".")[0] for image in tree.images} if tree.labels else set()
    lists = {place: split for place in tree.labels if (split := _split_of_list(tree.root / place, stems))}
    if len(set(lists.values())) < 2:
        return []
    named = " ".join(shlex.quote(str(tree.root / place)) for place in lists if is_table(Path(place)))
    way = f"`fracture prepare {named} --out manifest.csv` uses those of tables" if named else "make folders of them"
    return [f"the splits in {some(list(lists))} are not used: {way}"]


def _split_of_list(path: Path, images: Collection[str]) -> str:
    """The split that a list is called after; with a further word in its name only if its first line names an image."""
    if known := split_name(path.stem):
        return known
    found = next((known for word in re.split(r"[\W_]+", path.stem) if (known := split_name(word))), "")
    if not found or path.suffix.lower() not in (".txt", ".lst"):
        return ""
    with suppress(OSError), path.open(encoding="utf-8", errors="replace") as file:
        words = file.readline(_LINE).split()
        return found if words and Path(words[0]).stem in images else ""
    return ""


def check_boxes(tree: Tree, labels: Mapping[str, str], sets: Sequence[Annotated]) -> None:
    """Boxes that have the name of a class must lie on images of that class's folder, and most boxes in some folder.

    Raises:
        DataError: some lie on images of other folders only, or most on images that the folders leave without a class.
    """
    spelt = {spelling(label): label for label in labels.values() if label}
    for one in sets:
        found = {path: {spelt[s] for own in finding.labels if (s := spelling(own)) in spelt}
                 for path, finding in one.findings.items()}  # fmt: skip
        wrong = [path for path, named in found.items() if named and labels.get(path, "") not in {"", *named}]
        if wrong:
            raise DataError(
                f"{tree.root}: {one.kind} annotations contradict the folders of {len(wrong):,} of {len(found):,} "
                f"images, e.g. {wrong[0]} has {some(sorted(found[wrong[0]]))}",
                _WHICH,
            )
        drawn = [path for path, finding in one.findings.items() if finding.labels]
        if 2 * len(lone := [path for path in drawn if not labels.get(path)]) > len(drawn):
            raise DataError(
                f"{tree.root}: the folders {some(sorted(set(labels.values()) - {''}))} leave {len(lone):,} of "
                f"{len(drawn):,} images with {one.kind} annotations without a class, e.g. {lone[0]}",
                _WHICH,
            )


def _read(tree: Tree, place: str, indexes: Indexes, notes: list[str]) -> _Table | None:
    """A table of the tree; None where it is not understood, is one of ours, or names none of the images.

    ``notes`` takes why one that leads to images is not understood.
    """
    path = tree.root / place
    held = frozenset(tree.images)
    around = path.parent.relative_to(tree.root).as_posix()
    base = path.parent if any(image.startswith(f"{around}/") for image in held) else tree.root
    index = indexes.of(base, tree=tree if base == tree.root else None)
    try:
        with open_table(path, foreign=True) as table:
            rows = [row for _, row in table.rows]
        if set(table.names) >= OURS:
            return None
        sheet = Sheet(path, table.names, rows, index, table.header, option="")
        columns = find_columns(sheet, {}, labelled=False, resplit=True, tags=True)
    except DataError as error:
        if "path" not in error.missing:
            way = f". {error.hint.removesuffix('.')}" if error.hint else ""
            notes.append(f"{place} is not used: {error.problems[0].removeprefix(f'{path}: ')}{way}")
        return None
    column = columns.one["path"]
    found = []
    for row in rows:
        place_of = columns.place(row, index)
        elsewhere = place_of.elsewhere and index.has_folder_of(columns.path(row))
        own = [] if elsewhere else [one for file in place_of.files if (one := _below(tree, file)) in held]
        found += [(row, own)] if own else []
    images = {image for _, own in found for image in own}
    named = column in [named_column(spelt, table.names) for spelt in SPELLINGS["path"]]
    by_chance = not named and not columns.tagged and len(images) < _OWN * len(rows)
    return None if by_chance or not images else _Table(path, base, columns, found)


def _below(tree: Tree, file: str) -> str:
    """A file's path from the root of a tree, which may be a link."""
    roots = (str(tree.root), os.path.realpath(tree.root))
    return next((file[len(root) + 1 :].replace(os.sep, "/") for root in roots if file.startswith(root + os.sep)), "")


def _check_classes(tree: Tree, table: _Table, labels: Mapping[str, str], by: str) -> None:
    """The classes of a table must be those of the folders or annotations, be it in other words or in more detail.

    Raises:
        DataError: they contradict each other.
    """
    column = table.columns.one.get("label") or _fractured(table)
    values = table.values(column) if column else {}
    theirs = set(values.values())
    pairs = {
        image: (labels[image], value) for image, value in values.items()
        if labels.get(image) and not is_unknown(value, theirs)
    }  # fmt: skip
    if len(theirs) > MAX_CLASSES or structure(theirs) or not (wrong := _contradicting(pairs)):
        return
    image = wrong[0]
    folder, value = pairs[image]
    root, name = shlex.quote(str(tree.root)), shlex.quote(str(table.path))
    option = said_columns(path=table.columns.one["path"], label=column)
    option += f" --root {root}" if table.base != table.path.parent else ""
    raise DataError(
        f"{table.path}: its column {column} contradicts the {by} of {len(wrong):,} of {len(pairs):,} images, e.g. "
        f"{image} {'lies in' if by == 'folders' else 'is annotated as'} {folder} and is {value} there",
        f"If the table is right: `fracture prepare {name} {option} --out manifest.csv`. If the {by} are: "
        f"`fracture prepare {root} --layout {by} --out manifest.csv`.",
    )


def _fractured(table: _Table) -> str:
    """A column that only says whether there is a fracture, empty if there is none."""
    names = table.rows[0][0]
    return next((name for name in names if isinstance(name, str) and FRACTURED.fullmatch(plain(name))), "")


def _contradicting(pairs: Mapping[str, tuple[str, str]]) -> list[str]:
    """The images whose folder and value do not belong together, of pairs by image.

    A value that is called as another folder is wrong; else one side must follow from the other.
    """
    counts = Counter(pairs.values())
    own, theirs = ({pair[side] for pair in counts} for side in (0, 1))
    spelt = {spelling(folder): folder for folder in own}
    named = {(folder, value) for folder, value in counts if spelt.get(spelling(value), folder) != folder}
    if named:
        return [image for image, pair in pairs.items() if pair in named]
    if len(counts) == max(len(own), len(theirs)):
        return []
    fine = int(len(theirs) > len(own))  # of the side with more classes each has one of the other
    usual = {pair[fine]: pair[1 - fine] for pair, _ in reversed(counts.most_common())}
    return [image for image, pair in pairs.items() if pair[1 - fine] != usual[pair[fine]]]


def _said(table: _Table, place: str, column: str, new: Mapping[str, str], images: int) -> list[str]:
    """What a user should know of a table: the patients that it names, and splits, which are not used."""
    notes = [f"{place}: {note}" for note in table.columns.unused]
    if new:
        count = len(set(new.values()))
        tagged = table.columns.tagged
        by = f", found by {tagged.files.tag} in their headers" if tagged else ""
        patients = f"{count:,} patient{'s' if count > 1 else ''}"
        told = f"{patients}, for {len(new):,} of {images:,} images{by}"
        notes.append(f"patients come from {place}, column {column}: {told}")
    if split := table.columns.one.get("split", ""):
        notes.append(f"the splits in {place}, column {split}, are not used")
    return notes
