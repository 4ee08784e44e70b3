"""Class folders, with or without split folders, as a manifest."""

import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from fracture.data.class_names import MAX_CLASSES, named_twice, put_aside, structure
from fracture.data.exclusions import kind_of, reasons
from fracture.data.groups import grouped, merge
from fracture.data.images import SUFFIXES
from fracture.data.inspection.identity import Identity
from fracture.data.listing import some
from fracture.data.manifest import SPLITS, Manifest, Row, split_name
from fracture.data.originals import originals, stem_of, unlikely
from fracture.data.patients import patients_of
from fracture.data.prepare.beside import Beside, read_beside
from fracture.data.prepare.cells import is_unknown
from fracture.data.prepare.levels import Levels, class_at, levels_of, patient_at, told_patients
from fracture.data.prepare.paths import class_folders
from fracture.data.prepare.patient_names import patients_in_names, proposal
from fracture.data.trees import Tree, is_visible, walk
from fracture.errors import DataError

Folders = Mapping[str, Sequence[str]]  # of each image, by its path from the root: those that may be classes or patients
LAYOUTS = (
    "Allowed: DIR/{train,val,test}/CLASS/*.jpg, DIR/CLASS/{train,val,test}/*.jpg, or DIR/CLASS/*.jpg (split 70/15/15 "
    "by group), or a manifest CSV with the columns path and label. Images end in " + ", ".join(sorted(SUFFIXES)) + "."
)


def read_folder(root: Path, problems: list[str]) -> Manifest:
    """Read ``root/{train,val,test}/CLASS/**``, ``root/CLASS/{train,val,test}/**`` or ``root/CLASS/**``.

    A group is a patient, by a folder below the class's or by file names, else a stem without augmentation suffix. The
    images, and their patients, are those that `prepare` finds.

    What is wrong with the layout is appended to ``problems``; the manifest holds what was found nevertheless.
    """
    root = root.resolve()
    tree = walk(root)
    paths = (root / image for image in tree.images)
    below = grouped((folder, path) for path in paths for folder in path.parents)
    folders = _subfolders(root)
    named = [folder for folder in folders if split_name(folder.name) in SPLITS]
    splits = {split_name(folder.name): folder for folder in named}
    if splits:
        problems += [
            f"{folder}: means {split} as {splits[split].name}/ does; merge them"
            for folder in named
            if splits[split := split_name(folder.name)] is not folder
        ]
        problems += [
            f"{root}: no {split}/ folder beside {'/, '.join(splits)}/" + _taken_from_train(split, splits, root)
            for split in SPLITS
            if split not in splits
        ]
        problems += [
            f"{folder}: holds images but is none of train/, val/, test/; move it out"
            for folder in folders
            if folder not in named and below.get(folder)
        ]
        rows = [row for split, folder in splits.items() for row in _class_rows(folder, split, below, problems)]
    else:
        rows = _split_below(_class_rows(root, "", below, problems), root, problems)
    problems += _unusable(tree, rows)
    before = len(problems)
    held = {place: class_folders(place) for place in (tree.place(row.path) for row in rows)}
    levels = levels_of(held, root.name)
    in_groups, notes = _grouped(rows, tree, held, levels, problems)
    problems += _no_classes(rows, tree, held, levels)
    if len(problems) > before or (tree.labels and problems):
        problems.append(_prepare_hint(tree))
    return Manifest(root.name, root, in_groups, notes=notes)


def _unusable(tree: Tree, rows: list[Row]) -> list[str]:
    """What lies there and cannot be read: folders and names, kinds of images, broken links."""
    kinds = dict(reasons(tree.excluded))
    first = {kind_of(one.reason): one for one in reversed(tree.excluded)}
    problems = [
        f"{one.path}: {one.reason}" + (f", and {kinds[kind] - 1:,} more like it" if kinds[kind] > 1 else "")
        for kind, one in first.items()
    ]
    gone = [row.path for row in rows if not row.path.is_file()]
    more = f", and {len(gone) - 1} more" if len(gone) > 1 else ""
    return problems + ([f"{gone[0]}: is a broken link or no regular file{more}; fix or remove it"] if gone else [])


def _no_classes(rows: Sequence[Row], tree: Tree, folders: Folders, levels: Levels) -> list[str]:
    """Why the folders' names can be no classes, or why other folders seem to be the classes."""
    labels = {row.label for row in rows}
    if len(labels) > MAX_CLASSES:
        return [f"{tree.root}: its folders would make {len(labels):,} classes, more than {MAX_CLASSES}"]
    unknown = sorted(label for label in labels if is_unknown(label))
    told = f"the class of images in {some(unknown)} is unknown; prepare leaves them out" if unknown else ""
    if found := structure(labels) or named_twice(labels)[0] or put_aside(labels) or told:
        return [f"{tree.root}: {found}"]
    named = {class_at(held, levels.classes, tree.root.name, True) for held in folders.values()}
    if levels.classes < 0 or levels.problem or not rows or len(named) < 2 or labels <= named:
        return []
    return [f"{tree.root}: the classes seem to be {some(sorted(named))}, not {some(sorted(labels))}"]


def _prepare_hint(tree: Tree) -> str:
    """The command that reads more layouts and tables than this one."""
    tables = f" (files that may hold labels lie there: {some(tree.labels)})" if tree.labels else ""
    return (
        f"`fracture prepare {shlex.quote(str(tree.root))} --out manifest.csv` reads other layouts and says more{tables}"
    )


def _taken_from_train(split: str, splits: Iterable[str], root: Path) -> str:
    if split == "train" or "train" not in splits:
        return ""
    return f"; `fracture prepare {shlex.quote(str(root))} --out manifest.csv` takes it from train"


def _class_rows(folder: Path, split: str, below: dict[Path, list[Path]], problems: list[str]) -> list[Row]:
    classes = _subfolders(folder)
    if not classes:
        problems.append(f"{folder}: no class folders")
    if loose := sum(path.parent == folder for path in below.get(folder, [])):
        problems.append(f"{folder}: {loose} images lie beside the class folders, and so have no class")
    rows: list[Row] = []
    for place in classes:
        files = below.get(place, [])
        if not files:
            problems.append(f"{place}: no images in this class")
        rows += [Row(path, place.name, split) for path in sorted(files)]
    return rows


def _split_below(rows: list[Row], root: Path, problems: list[str]) -> list[Row]:
    """The same rows with the splits that folders inside the class folders name; all rows must have one, or none."""
    splits = [split_name(row.path.relative_to(root).parts[1]) for row in rows]
    without = [row for row, split in zip(rows, splits, strict=True) if not split]
    if not any(splits):
        return rows
    problems += [
        f"{folder}: its images lie in none of train/, val/, test/, as those of other classes do; move them"
        for folder in dict.fromkeys(row.path.parent for row in without)
    ]
    return [replace(row, split=split) for row, split in zip(rows, splits, strict=True)]


def _grouped(
    rows: list[Row], tree: Tree, folders: Folders, levels: Levels, problems: list[str]
) -> tuple[tuple[Row, ...], tuple[str, ...]]:
    """The rows with their groups, whatever splits they lie in, and sentences on the patients that were found.

    Files of one patient are a group, and so are those whose names say that they were made from one original.
    """
    root = tree.root
    scopes = [_without(row.split, row.path.parent.relative_to(root).parts) for row in rows]
    found = originals([("/".join(s), row.split, stem_of(str(row.path))) for s, row in zip(scopes, rows, strict=True)])
    problems += [
        f"{root}: {sentence}; if they are different images: "
        f"`fracture prepare {shlex.quote(str(root))} --originals ignore --out manifest.csv`"
        for sentence in unlikely(found, [row.label for row in rows], [str(row.path) for row in rows])
    ]
    labels = dict(zip(folders, (row.label for row in rows), strict=True))
    people, notes = _patients(tree, labels, folders, levels, problems)
    if not any(people) and (hint := proposal([str(row.path) for row in rows], [one.key for one in found])):
        notes += (f"no patient is known{hint}: an option of `fracture prepare`",)
    keys = [[*(("patient", who) for who in own), ("original", one.key)] for own, one in zip(people, found, strict=True)]
    numbers = merge(keys)
    names = {number: one.key for number, one in reversed(list(zip(numbers, found, strict=True)))}
    names |= {number: own[0] for number, own in reversed(list(zip(numbers, people, strict=True))) if own}
    return tuple(replace(row, group=names[number]) for row, number in zip(rows, numbers, strict=True)), notes


def _patients(
    tree: Tree, labels: Mapping[str, str], folders: Folders, levels: Levels, problems: list[str]
) -> tuple[list[list[str]], tuple[str, ...]]:
    """The patients of each image by the tables beside them, and by a level of folders or else by its name."""
    beside = Beside({}, ())
    try:
        beside = read_beside(tree, labels)
    except DataError as error:
        problems.append(str(error))
    named = [f"/{beside.patients[path]}" if path in beside.patients else "" for path in labels]
    known = patients_of(named, [Identity()] * len(named))
    if levels.classes == 0 and levels.patients:
        found, note = [patient_at(folders[path], levels) for path in labels], told_patients(levels)
    elif beside.patients:
        found, note = [""] * len(labels), ""
    else:
        found, note = patients_in_names(list(labels))
    people = [[*([who] if who else []), *(one[1:] for one in own)] for who, own in zip(found, known.keys, strict=True)]
    notes = [f"{one}: options of `fracture prepare`" if "(--" in one else one for one in (note, *known.notes) if one]
    return people, (*beside.notes, *notes)


def _without(split: str, scope: tuple[str, ...]) -> list[str]:
    """The folders below the root, but for the one that names the split: the first, or the second below a class."""
    return [name for i, name in enumerate(scope) if i > 1 or not split or split_name(name) != split]


def _subfolders(folder: Path) -> list[Path]:
    return sorted(entry for entry in folder.iterdir() if entry.is_dir() and is_visible(entry.name))
