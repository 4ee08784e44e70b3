"""From numbers and names in annotation files to boxes, or the reason why they are none."""

import math

from fracture.data.boxes import Box
from fracture.files import is_text

_SLIGHTLY = 0.1  # share of the image's side that an edge may lie outside, as tools and augmentation leave it
_LONGEST = 200  # characters of a class name

Edges = tuple[float, float, float, float]


class Unusable(ValueError):  # noqa: N818 - the annotation is
    """One annotation that cannot be used; the message is the reason."""


def number(value: object, what: str = "a coordinate") -> float:
    """A finite number, given as one or as text.

    Raises:
        Unusable: it is none.
    """
    if isinstance(value, int | float | str) and not isinstance(value, bool):
        try:
            found = float(value)
        except (ValueError, OverflowError):
            found = math.nan
        if math.isfinite(found):
            return found
    raise Unusable(f"{what} is no finite number: {short(value)}")


def class_name(value: object) -> str:
    """The name of a class, blanks in and around it made single.

    Raises:
        Unusable: empty, too long, or no text.
    """
    text = str(value) if isinstance(value, str | int) and not isinstance(value, bool) else ""
    name = " ".join(text.split())
    if not name:
        raise Unusable("its class has no name")
    if len(name) > _LONGEST or not is_text(name):
        raise Unusable(f"its class name is longer than {_LONGEST} characters or no text: {short(name)}")
    return name


def from_pixels(label: str, edges: Edges, width: object, height: object) -> Box:
    """The box with these edges (left, top, right, bottom) in pixels of an image of that size.

    Raises:
        Unusable: the size is not known, the box is smaller than a pixel, or as `from_shares`.
    """
    across, down = number(width, "the image's width"), number(height, "the image's height")
    if min(across, down) < 1:
        raise Unusable(f"the image's size is not given: {across:g} x {down:g}")
    left, top, right, bottom = edges
    if 0 < right - left < 1 and 0 < bottom - top < 1:
        raise Unusable("its box is smaller than a pixel: its numbers may be shares of the image where pixels belong")
    return from_shares(label, (left / across, top / down, right / across, bottom / down))


def sized_box(label: str, edges: Edges, width: object, height: object) -> Box | Edges:
    """The box with these edges in pixels; where the image's size is not given, the edges themselves.

    Raises:
        Unusable: no area, or as `from_pixels`.
    """
    if width is not None and height is not None:
        return from_pixels(label, edges, width, height)
    if edges[0] >= edges[2] or edges[1] >= edges[3]:
        raise Unusable("its box has no area")
    return edges


def from_shares(label: str, edges: Edges) -> Box:
    """The box with these edges as shares of the image; what lies slightly outside is cut off.

    Raises:
        Unusable: no area, or an edge more than a tenth of the image outside of it.
    """
    left, top, right, bottom = edges
    shown = " ".join(f"{edge:g}" for edge in edges)
    if not (right > left and bottom > top):
        raise Unusable(f"its box has no area: {shown} (shares of the image)")
    if min(edges) < -_SLIGHTLY or max(edges) > 1 + _SLIGHTLY:
        raise Unusable(f"its box lies outside the image: {shown} (shares of the image)")
    try:
        return Box(label, *(round(min(max(edge, 0.0), 1.0), 6) for edge in edges))
    except ValueError:
        raise Unusable(f"its box has no area inside the image: {shown} (shares of the image)") from None


def around(points: list[float]) -> Edges:
    """The edges of the box around a polygon, given as x1 y1 x2 y2 and so on.

    Raises:
        Unusable: fewer than three points, or half a point.
    """
    if len(points) < 6 or len(points) % 2:
        raise Unusable(f"its polygon has {len(points)} numbers (three points or more, two numbers each)")
    across, down = points[::2], points[1::2]
    return min(across), min(down), max(across), max(down)


def short(value: object) -> str:
    """A value as it is shown in a message."""
    text = value if isinstance(value, str) else type(value).__name__ if isinstance(value, dict | list) else repr(value)
    return text[:40] or "nothing"
