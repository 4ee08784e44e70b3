"""The columns of a table that draw a box, one a row."""

from collections.abc import Sequence
from dataclasses import dataclass

from fracture.data.annotations.shares import Edges, Unusable, from_pixels, from_shares, number
from fracture.data.prepare.drawn_boxes import DrawnBoxes
from fracture.data.tables import Row, plain

_CORNERS = tuple(
    tuple(prefix + name for name in names)
    for names in (
        ("xmin", "ymin", "xmax", "ymax"), ("x_min", "y_min", "x_max", "y_max"), ("x1", "y1", "x2", "y2"),
        ("left", "top", "right", "bottom"),
    )
    for prefix in ("", "bbox_", "box_")
)  # fmt: skip
_SIDES = tuple(
    tuple(prefix + name for name in names)
    for names in (("x", "y", "width", "height"), ("x", "y", "w", "h"))
    for prefix in ("", "bbox_", "box_")
)
_SIZES = (("width", "height"), ("image_width", "image_height"), ("img_width", "img_height"), ("orig_w", "orig_h"))
_EMPTY = {"", "nan", "null", "none", "na", "n/a"}


@dataclass(frozen=True)
class BoxColumns:
    """Four columns that draw a box.

    Attributes:
        names: of left, top, right and bottom, or of left, top, width and height.
        corners: they are the former.
        shares: they are shares of the image, not pixels.
        size: columns of the width and the height of the image that the boxes were drawn on, where there are such.
    """

    names: tuple[str, ...]
    corners: bool
    shares: bool
    size: tuple[str, ...] = ()

    def read(self, row: Row, label: str) -> DrawnBoxes:
        """The box of one row; none where its cells are empty, or none is above 0.

        Raises:
            Unusable: a cell is no number, or the box has no area.
        """
        cells = [row[name] for name in self.names]
        if all(cell.lower() in _EMPTY for cell in cells):
            return DrawnBoxes()
        edges = self._edges(cells)
        if max(number(cell) for cell in cells) <= 0:
            return DrawnBoxes()
        if self.shares:
            return DrawnBoxes(shares=(from_shares(label, edges),))
        if edges[0] >= edges[2] or edges[1] >= edges[3]:
            raise Unusable(f"its box has no area: {' '.join(cells)}")
        if self.size and all(row[name] for name in self.size):
            width, height = (number(row[name], name) for name in self.size)
            return DrawnBoxes(shares=(from_pixels(label, edges, width, height),), size=(width, height))
        return DrawnBoxes(pixels=((label, edges),))

    def _edges(self, cells: Sequence[str]) -> Edges:
        a, b, c, d = (number(cell, name) for cell, name in zip(cells, self.names, strict=True))
        return (a, b, c, d) if self.corners else (a, b, a + c, b + d)


def find_boxes(names: Sequence[str], rows: Sequence[Row]) -> BoxColumns | None:
    """The columns that draw boxes, None where there are none.

    Args:
        names: of the table's columns.
        rows: all rows; where no number is above 1, the boxes are shares of the image.
    """
    own = {plain(name): name for name in reversed(names)}
    for corners, spelt in ((True, _CORNERS), (False, _SIDES)):
        for wanted in spelt:
            if all(name in own for name in wanted):
                found = tuple(own[name] for name in wanted)
                largest = max((_value(row[name]) for row in rows for name in found), default=0.0)
                sizes = [tuple(own[name] for name in one) for one in _SIZES if set(one) <= set(own) - set(wanted)]
                size = next((one for one in sizes if corners and _hold(one, found, rows)), ())
                return BoxColumns(found, corners, 0 < largest <= 1, size)
    return None


def _hold(size: Sequence[str], corners: Sequence[str], rows: Sequence[Row]) -> bool:
    """Whether width and height are those of images: no box of any row reaches beyond them."""
    return all(
        _value(row[end]) <= _value(row[side]) for row in rows for end, side in zip(corners[2:], size, strict=True)
    )


def _value(cell: str) -> float:
    try:
        return number(cell)
    except Unusable:
        return 0.0
