"""Roboflow's CSV files: boxes (``_annotations.csv``) and classes (``_classes.csv``).

Each exists in two kinds, of which one can be used. Boxes as TensorFlow's tutorials have them come with the size of the
image; those for Keras RetinaNet (no header, ``file,x1,y1,x2,y2,class``) do not. Classes of multi-label classification
have one column each, 1 where an image has it; those of semantic segmentation (``Pixel Value, Class``) belong to masks.
"""

import posixpath
from collections.abc import Mapping, Sequence
from pathlib import Path

from fracture.data.annotations.annotated import IMAGE_LEVEL, Annotated, Draft
from fracture.data.annotations.matching import Images, splits_in
from fracture.data.annotations.shares import Unusable, class_name, from_pixels, number, short
from fracture.data.tables import EXCESS, TABLES, open_table
from fracture.errors import DataError

BOXES = "Roboflow CSV"
_COLUMNS = ("filename", "width", "height", "class", "xmin", "ymin", "xmax", "ymax")
_BOX_FILE, _CLASS_FILE = "_annotations.csv", "_classes.csv"
_EXPECTED = {_BOX_FILE: ", ".join(_COLUMNS), _CLASS_FILE: "filename and one for each class"}
_HOT = {"1": True, "1.0": True, "0": False, "0.0": False}

_Row = Mapping[str | None, str]
_Rows = list[tuple[int, _Row]]


def read_boxes(root: Path, images: Images, others: Sequence[str]) -> Annotated | None:
    """The boxes of every CSV that has the eight columns, whatever its name; None where there is none.

    Several rows name one image. One whose cells but the file's name are empty says that there is nothing on it.
    """
    draft = Draft(BOXES)
    for file in others:
        if posixpath.splitext(file)[1].lower() not in TABLES:
            continue
        names, rows = _rows(root, file, _BOX_FILE, draft)
        column = {name.lower(): name for name in names}
        if _has_columns(names):
            draft.read(file)
        for line, row in rows:
            _read_box(file, line, {name: row[column[name]] for name in _COLUMNS}, images, draft)
    return draft.finish()


def read_classes(root: Path, images: Images, others: Sequence[str]) -> Annotated | None:
    """The classes of every ``_classes.csv``, None where there is none."""
    draft = Draft(IMAGE_LEVEL)
    for file in others:
        if posixpath.basename(file).lower() != _CLASS_FILE:
            continue
        names, rows = _rows(root, file, _CLASS_FILE, draft)
        try:
            labels = {name: class_name(name) for name in names[1:]}
        except Unusable as error:
            draft.problem(file, str(error), 1)
            continue
        if rows:
            draft.read(file)
        for line, row in rows:
            _read_classes(file, line, row, labels, images, draft)
    return draft.finish()


def _rows(root: Path, file: str, usual: str, draft: Draft) -> tuple[Sequence[str], _Rows]:
    """Columns and rows of a CSV of that kind; none of another one, which is a problem if it has the usual name."""
    path = root / file
    try:
        if not path.is_file():
            raise DataError("is no regular file")
        with open_table(path) as table:
            if _has_columns(table.names) if usual == _BOX_FILE else _has_classes(table.names):
                return table.names, list(table.rows)
            reason = f"has other columns than {_EXPECTED[usual]}: {short(', '.join(table.names))}"
    except DataError as error:
        reason = error.problems[0].removeprefix(f"{path}: ")
    if posixpath.basename(file).lower() == usual:
        draft.problem(file, reason)
    return (), []


def _has_classes(names: Sequence[str]) -> bool:
    return len(names) > 1 and names[0].lower() == "filename"


def _has_columns(names: Sequence[str]) -> bool:
    return set(_COLUMNS) <= {name.lower() for name in names}


def _read_box(file: str, line: int, row: Mapping[str, str], images: Images, draft: Draft) -> None:
    image = _image(file, line, row["filename"], images, draft)
    if not image:
        return
    draft.mention(file, image)
    draft.sized(image, row["width"], row["height"])
    if not any(row[name] for name in ("class", "xmin", "ymin", "xmax", "ymax")):
        return
    try:
        label = class_name(row["class"])
        left, top, right, bottom = (number(row[name], name) for name in ("xmin", "ymin", "xmax", "ymax"))
        box = from_pixels(label, (left, top, right, bottom), row["width"], row["height"])
    except Unusable as error:
        draft.problem(file, f"{error} ({image})", line, [image])
        return
    draft.add(file, image, label, box)


def _read_classes(file: str, line: int, row: _Row, labels: Mapping[str, str], images: Images, draft: Draft) -> None:
    """One row; ``labels`` are the classes by column."""
    image = _image(file, line, next(iter(row.values())), images, draft)
    if not image:
        return
    odd = next((f"{name} is {short(row[name])}" for name in labels if row[name] not in _HOT), row.get(EXCESS, ""))
    if odd:
        draft.problem(file, f"its cells are not 1 or 0, one for each class: {odd[:80]} ({image})", line, [image])
        return
    draft.mention(file, image)
    for name, label in labels.items():
        if _HOT[row[name]]:
            draft.add(file, image, label)


def _image(file: str, line: int, named: str, images: Images, draft: Draft) -> str:
    """The image that a row names, empty if there is none."""
    if not named:
        draft.problem(file, "the row names no file", line)
        return ""
    match = images.match(named, posixpath.dirname(file), splits_in(posixpath.splitext(file)[0]))
    if not match.image:
        draft.unmatched(file, match, named)
    return match.image
