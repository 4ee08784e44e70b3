"""Class folders, with or without split folders, as a manifest."""

import os
import shlex
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from fracture.data.groups import original_keys
from fracture.data.images import SUFFIXES
from fracture.data.manifest import SPLITS, Manifest, Row, split_name
from fracture.files import as_text, is_text

LAYOUTS = (
    "Allowed: DIR/{train,val,test}/CLASS/*.jpg, DIR/CLASS/{train,val,test}/*.jpg, or DIR/CLASS/*.jpg (split 70/15/15 "
    "by group), or a manifest CSV with the columns path and label. Images end in " + ", ".join(sorted(SUFFIXES)) + "."
)


def read_folder(root: Path, problems: list[str]) -> Manifest:
    """Read ``root/{train,val,test}/CLASS/**``, ``root/CLASS/{train,val,test}/**`` or ``root/CLASS/**``.

    A group is a stem without augmentation suffix.

    What is wrong with the layout is appended to ``problems``; the manifest holds what was found nevertheless.
    """
    root = root.resolve()
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
            if folder not in named and _images(folder, [])
        ]
        rows = [row for split, folder in splits.items() for row in _class_rows(folder, split, problems)]
    else:
        rows = _split_below(_class_rows(root, "", problems), root, problems)
    return Manifest(root.name, root, _grouped(rows, root))


def _taken_from_train(split: str, splits: Iterable[str], root: Path) -> str:
    if split == "train" or "train" not in splits:
        return ""
    return f"; `fracture prepare {shlex.quote(str(root))} --out manifest.csv` takes it from train"


def _class_rows(folder: Path, split: str, problems: list[str]) -> list[Row]:
    classes = _subfolders(folder)
    if not classes:
        problems.append(f"{folder}: no class folders")
    if loose := sum(_is_image(entry.name) and entry.is_file() for entry in folder.iterdir()):
        problems.append(f"{folder}: {loose} images lie beside the class folders, and so have no class")
    rows: list[Row] = []
    for place in classes:
        files = _images(place, problems)
        if not files:
            problems.append(f"{place}: no images in this class")
        rows += [Row(path, place.name, split) for path in files]
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


def _grouped(rows: list[Row], root: Path) -> tuple[Row, ...]:
    """Files whose names say that they were made from one original are a group, whatever splits they lie in."""
    scopes = [_without(row.split, row.path.parent.relative_to(root).parts) for row in rows]
    keys = original_keys([("/".join(s), row.split, row.path.stem) for s, row in zip(scopes, rows, strict=True)])
    return tuple(replace(row, group=key) for row, key in zip(rows, keys, strict=True))


def _without(split: str, scope: tuple[str, ...]) -> list[str]:
    """The folders below the root, but for the one that names the split: the first, or the second below a class."""
    return [name for i, name in enumerate(scope) if i > 1 or not split or split_name(name) != split]


def _subfolders(folder: Path) -> list[Path]:
    return sorted(entry for entry in folder.iterdir() if entry.is_dir() and _is_visible(entry.name))


def _images(folder: Path, problems: list[str]) -> list[Path]:
    """The images below a folder, hidden folders aside; what cannot be read or named is appended to ``problems``."""
    found: list[Path] = []

    def refused(error: OSError) -> None:
        problems.append(f"{error.filename}: folder cannot be read: {error.strerror or error}")

    for place, below, names in os.walk(folder, onerror=refused):
        below[:] = filter(_is_visible, below)
        problems += [
            f"{link}: is a link to a folder, which is not followed below a class; put the folder itself there"
            for link in (Path(place, name) for name in below)
            if link.is_symlink() and not folder.is_relative_to(link.resolve())  # a loop hides nothing
        ]
        paths = [Path(place, name) for name in names if _is_image(name)]
        if odd := [path for path in paths if not is_text(str(path))]:
            problems.append(f"{as_text(str(odd[0]))}: its name is not valid UTF-8{_more(odd)}; rename it")
        here = [path for path in paths if is_text(str(path))]
        if gone := [path for path in here if not path.is_file()]:
            more = f", and {len(gone) - 1} more of its folder" if len(gone) > 1 else ""
            problems.append(f"{gone[0]}: is a broken link or no regular file{more}; mend or remove it")
        found += [path for path in here if path.is_file()]
    return sorted(found)


def _more(paths: list[Path]) -> str:
    return f", as {len(paths) - 1} more of its folder are not" if len(paths) > 1 else ""


def _is_image(name: str) -> bool:
    return not name.startswith(".") and Path(name).suffix.lower() in SUFFIXES


def _is_visible(name: str) -> bool:
    """Whether a folder is the user's, and not one that a program keeps: ``.ipynb_checkpoints``, ``__MACOSX``."""
    return not name.startswith((".", "__"))
