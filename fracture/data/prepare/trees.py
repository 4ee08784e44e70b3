"""Finding the image files below a folder, whatever hides in it."""

import os
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from fracture.data.images import SUFFIXES, is_dicom
from fracture.data.prepare.records import Exclusion
from fracture.files import as_text, is_text

_SKIPPED_FOLDERS = ("__MACOSX", "__pycache__")


@dataclass(frozen=True)
class Tree:
    """The files below one folder.

    Attributes:
        root: absolute path of the folder.
        name: of the source, e.g. the folder's or the archive's name.
        images: paths of the image files from ``root``, with forward slashes, sorted.
        tables: paths of the CSV files, likewise.
        others: number of files that are neither, by suffix.
        excluded: what cannot be used, with the reason.
    """

    root: Path
    name: str
    images: tuple[str, ...]
    tables: tuple[str, ...]
    others: Counter[str]
    excluded: tuple[Exclusion, ...]


def walk(root: Path, name: str = "") -> Tree:
    """Find every image below ``root``; links are followed, but no folder is entered twice.

    Files are images by their suffix, or without a suffix by the mark of DICOM. Hidden files are passed over.
    """
    root = Path(os.path.abspath(root))  # noqa: PTH100 - resolve() would follow the link that the user named
    images: list[str] = []
    tables: list[str] = []
    others: Counter[str] = Counter()
    excluded: list[Exclusion] = []
    for folder, names in _folders(root, excluded):
        for file in names:
            place = os.path.join(folder, file)  # noqa: PTH118 - Path is slow for a million files
            kind = _kind(place, file)
            if not is_text(place):
                excluded.append(Exclusion(as_text(place), "its name is not valid UTF-8: rename it", source=name))
            elif kind == "image":
                images.append(os.path.relpath(place, root))
            elif kind == "table":
                tables.append(os.path.relpath(place, root))
            else:
                others[kind] += 1
    return Tree(root, name or root.name, tuple(sorted(images)), tuple(sorted(tables)), others, tuple(excluded))


def _folders(root: Path, excluded: list[Exclusion]) -> list[tuple[str, list[str]]]:
    """Every folder once, with its visible files; loops of links end where they began."""
    found: list[tuple[str, list[str]]] = []
    seen: set[tuple[int, int]] = set()

    def refused(error: OSError) -> None:
        excluded.append(Exclusion(as_text(str(error.filename)), f"folder cannot be read: {error.strerror or error}"))

    for folder, below, files in os.walk(root, followlinks=True, onerror=refused):
        try:
            state = os.stat(folder)  # noqa: PTH116
        except OSError as error:
            refused(error)
            below.clear()
            continue
        if (state.st_dev, state.st_ino) in seen:
            below.clear()
            continue
        seen.add((state.st_dev, state.st_ino))
        below[:] = sorted(n for n in below if not n.startswith(".") and n not in _SKIPPED_FOLDERS)
        found.append((folder, sorted(n for n in files if not n.startswith("."))))
    return found


def _kind(place: str, name: str) -> str:
    """``image``, ``table``, or the suffix of anything else."""
    suffix = os.path.splitext(name)[1].lower()  # noqa: PTH122
    if suffix in SUFFIXES:
        return "image"
    if suffix == ".csv":
        return "table"
    return "image" if (not suffix or suffix[1:].isdigit()) and _has_dicom_mark(place) else suffix or "no suffix"


def _has_dicom_mark(place: str) -> bool:
    try:
        with open(place, "rb") as file:  # noqa: PTH123
            return is_dicom(file.read(132))
    except OSError:
        return False
