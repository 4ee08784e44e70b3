"""Finding the image files below a folder, the same ones for training, predicting and preparing."""

import os
import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path, PurePath

from fracture.data.dicom_header import HEAD, is_dicom
from fracture.data.exclusions import Exclusion
from fracture.data.formats import SUFFIXES, why_unread
from fracture.data.tables import UNSEEN
from fracture.files import as_text, is_text

LABEL_FILES = (
    ".csv", ".tsv", ".json", ".jsonl", ".ndjson", ".manifest", ".xml", ".txt", ".yaml", ".yml", ".names", ".labels",
    ".xlsx", ".xls", ".parquet",
)  # fmt: skip
_SKIPPED_FOLDERS = ("__MACOSX", "__pycache__", "$RECYCLE.BIN", "System Volume Information", "@eaDir")
_DRAWN_FOLDER = re.compile(  # pictures made of radiographs
    r"masks?|segmentations?|seg|labels?|annotations?|heat[ _-]?maps?|overlays?|grad-?cams?|thumbnails?|thumbs?"
    r"|ground[ _-]?truths?|gt|visuali[sz]ations?",
    re.IGNORECASE,
)
_DRAWN_FILE = re.compile(
    r".[_-](?:mask|seg|segmentation|overlay|heatmap|gradcam|thumb|thumbnail|label|gt|ground[_-]?truth|annotated|bbox)$",
    re.IGNORECASE,
)
_NO_IMAGES = (".py", ".md", ".pdf", ".html", ".htm", ".db", ".ini", ".npy", ".zip", ".pth", ".log")  # not opened
_NAME = "its name is not valid UTF-8, or holds a line break or another character that is not shown: rename it"
_BLANK = "its name ends in a blank, which no table keeps: rename it"
_MARKS = (b"\x89PNG\r\n", b"\xff\xd8\xff", b"II*\0", b"MM\0*", b"\0\0\0\x0cjP  ")  # PNG, JPEG, TIFF, JPEG 2000


@dataclass(frozen=True)
class Tree:
    """The files below one folder.

    Attributes:
        root: absolute path of the folder.
        name: of the source, e.g. the folder's or the archive's name.
        images: paths of the image files from ``root``, with forward slashes, sorted.
        labels: paths of the files that may hold labels (`LABEL_FILES`), likewise.
        others: number of files that are no images, by suffix; those of ``labels`` among them.
        excluded: what cannot be used, with the reason; images of a kind that is not read among them.
    """

    root: Path
    name: str
    images: tuple[str, ...]
    labels: tuple[str, ...]
    others: Counter[str]
    excluded: tuple[Exclusion, ...]

    def place(self, path: Path) -> str:
        """A file's path from the root, with forward slashes."""
        return os.path.relpath(path, self.root).replace(os.sep, "/")


def walk(root: Path, name: str = "") -> Tree:
    """Find every image below ``root``; links are followed, but no folder is entered twice.

    Files are images by their suffix, or without a known one by the mark of DICOM. Hidden files are passed over.
    """
    root = Path(os.path.abspath(root))  # noqa: PTH100 - resolve() would follow the link that the user named
    images: list[str] = []
    labels: list[str] = []
    others: Counter[str] = Counter()
    excluded: list[Exclusion] = []
    for folder, names in _folders(root, excluded):
        for file in names:
            place = os.path.join(folder, file)  # noqa: PTH118 - Path is slow for a million files
            suffix = os.path.splitext(file)[1].lower()  # noqa: PTH122
            if not is_text(place):
                excluded.append(Exclusion(as_text(place), _NAME, source=name))
            elif file != file.rstrip(UNSEEN) and (is_image(place) or is_image(place.rstrip(UNSEEN))):
                excluded.append(Exclusion(place, _BLANK, source=name))
            elif is_image(place) and (reason := _why_drawn(root, place)):
                excluded.append(Exclusion(place, reason, source=name))
            elif is_image(place):
                images.append(os.path.relpath(place, root).replace(os.sep, "/"))
            elif reason := why_unread(file):
                excluded.append(Exclusion(place, reason, source=name))
            else:
                others[suffix or "no suffix"] += 1
                if suffix in LABEL_FILES:
                    labels.append(os.path.relpath(place, root).replace(os.sep, "/"))
    return Tree(root, name or root.name, tuple(sorted(images)), tuple(sorted(labels)), others, tuple(excluded))


def is_visible(folder: str) -> bool:
    """Whether a folder of that name is the user's, and not one that a program keeps, as ``.git`` and ``__MACOSX``."""
    return not folder.startswith(".") and folder not in _SKIPPED_FOLDERS


def _why_drawn(root: Path, place: str) -> str:
    """Why a picture is none of a radiograph but drawn from one, empty where nothing says so."""
    path = PurePath(os.path.relpath(place, root))
    folder = next((one for one in path.parts[:-1] if _DRAWN_FOLDER.fullmatch(one.strip())), "")
    ending = _DRAWN_FILE.search(path.stem)
    where = f"lies in a folder called {folder}" if folder else f"its name ends in {ending[0][2:]}" if ending else ""
    return f"{where}: such pictures are not radiographs" if where else ""


def is_image(place: str) -> bool:
    """Whether a file is one that is read: by its suffix, or where that says nothing by the mark it begins with."""
    suffix = os.path.splitext(place)[1].lower()  # noqa: PTH122
    if suffix in SUFFIXES:
        return True
    telling = suffix in LABEL_FILES or suffix in _NO_IMAGES or why_unread(place)
    return not telling and _has_mark(place, () if suffix else _MARKS)


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
        below[:] = sorted(filter(is_visible, below))
        found.append((folder, sorted(n for n in files if not n.startswith("."))))
    return found


def _has_mark(place: str, further: tuple[bytes, ...]) -> bool:
    """Whether a file begins as DICOM or in one of the further ways."""
    if not os.path.isfile(place):  # noqa: PTH113 - a pipe would never end
        return False
    try:
        with open(place, "rb") as file:  # noqa: PTH123
            head = file.read(HEAD)
            return is_dicom(head) or head.startswith(further)
    except OSError:
        return False
