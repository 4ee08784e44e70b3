"""Boxes around what was annotated on an image, and how they are written in one cell of a manifest."""

import json
import math
from collections.abc import Iterable
from dataclasses import dataclass

from fracture.files import is_text


@dataclass(frozen=True, slots=True)
class Box:
    """One annotated finding.

    Attributes:
        label: its class, never empty.
        left, top, right, bottom: its edges as shares of the image's width and height, from the upper left corner;
            0 <= left < right <= 1, and so from top to bottom.
    """

    label: str
    left: float
    top: float
    right: float
    bottom: float

    def __post_init__(self) -> None:
        """Refuse what is no box.

        Raises:
            ValueError: no label, one that cannot be written as UTF-8, or edges that are no such shares.
        """
        if not isinstance(self.label, str) or not self.label or not is_text(self.label):
            raise ValueError(f"a box needs a label, got {self.label!r}")
        edges = (self.left, self.top, self.right, self.bottom)
        if not all(isinstance(edge, int | float) and math.isfinite(edge) for edge in edges):
            raise ValueError(f"the edges of a box are four numbers, got {edges}")
        if not (0 <= self.left < self.right <= 1 and 0 <= self.top < self.bottom <= 1):
            raise ValueError(f"the edges of a box are shares with left < right and top < bottom, got {edges}")


def turned(box: Box, orientation: int) -> Box:
    """The box on the upright image, where it was drawn on the pixels as the file holds them.

    Args:
        box: in shares of the stored pixels.
        orientation: of EXIF, 1 to 8; anything else turns nothing.
    """
    left, top, right, bottom = box.left, box.top, box.right, box.bottom
    across, down = (1 - right, 1 - left), (1 - bottom, 1 - top)  # mirrored
    places = {
        2: (*across, top, bottom), 3: (*across, *down), 4: (left, right, *down), 5: (top, bottom, left, right),
        6: (*down, left, right), 7: (*down, *across), 8: (top, bottom, *across),
    }  # fmt: skip
    x0, x1, y0, y1 = (round(edge, 6) for edge in places.get(orientation, (left, right, top, bottom)))
    return Box(box.label, x0, y0, x1, y1)


def to_text(boxes: Iterable[Box] | None) -> str:
    """The boxes of one image as a cell, e.g. ``[["fracture",0.1,0.2,0.3,0.4]]``.

    Args:
        boxes: none known is None, which gives an empty cell; looked at and none found is empty, which gives ``[]``.
    """
    if boxes is None:
        return ""
    rows = [[box.label, box.left, box.top, box.right, box.bottom] for box in boxes]
    return json.dumps(rows, ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def from_text(text: str) -> tuple[Box, ...]:
    """The boxes of a cell that `to_text` has written; none for an empty cell, as for ``[]``.

    Raises:
        ValueError: the cell is not a list of ``[label, left, top, right, bottom]``; the message says what is there.
    """
    if not text.strip():
        return ()
    try:
        rows = json.loads(text)
    except (ValueError, RecursionError):
        raise ValueError(f"boxes are a JSON list such as {_EXAMPLE}, got {text[:60]!r}") from None
    if not isinstance(rows, list) or not all(isinstance(row, list) and len(row) == 5 for row in rows):
        raise ValueError(f"boxes are lists of a label and four shares such as {_EXAMPLE}, got {text[:60]!r}")
    return tuple(_box(row) for row in rows)


_EXAMPLE = '[["fracture",0.1,0.2,0.3,0.4]]'


def _box(row: list[object]) -> Box:
    label, *edges = row
    numbers = [float(edge) for edge in edges if isinstance(edge, float) or (type(edge) is int and edge in (0, 1))]
    if not isinstance(label, str) or len(numbers) != 4:
        raise ValueError(f"a box is a label and four shares such as {_EXAMPLE}, got {str(row)[:60]}")
    return Box(label, *numbers)
