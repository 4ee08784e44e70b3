"""Boxes that tables and annotation files draw on an image, and how they stand on the image as it is shown."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from fracture.data.annotations.annotated import Finding
from fracture.data.annotations.shares import Edges, Unusable, from_pixels
from fracture.data.boxes import Box, to_text, turned
from fracture.data.images import orientation_of


@dataclass(frozen=True, slots=True)
class DrawnBoxes:
    """The boxes of one image as a source has them.

    Attributes:
        shares: in shares of the picture that they were drawn on.
        pixels: label and edges (left, top, right, bottom) in pixels of the file.
        size: width and height of the picture that ``shares`` were drawn on, where known.
        upright: they were drawn on the image as it is shown, whatever way its pixels are stored.
    """

    shares: tuple[Box, ...] = ()
    pixels: tuple[tuple[str, Edges], ...] = ()
    size: tuple[float, float] | None = None
    upright: bool = False

    @classmethod
    def of(cls, finding: Finding) -> "DrawnBoxes":
        """What an annotation file has."""
        return cls(finding.boxes, finding.pixels, finding.size, finding.upright)

    def text(self, path: Path, width: int, height: int) -> str:
        """The cell of a manifest, in shares of the image as it is shown.

        Args:
            path: of the image.
            width: of the image in pixels, upright.
            height: likewise.

        Raises:
            Unusable: a box has no area, or lies outside the image, or the image has other sides than it was drawn on.
        """
        if not self.shares and not self.pixels:
            return to_text(())
        turn = orientation_of(path)
        if self.shares and self.size == (height, width) != (width, height) and turn < 5:
            raise Unusable(
                f"its boxes are drawn on {height} x {width} pixels (width x height), the image has {width} x {height}"
            )
        shown = self.upright or (self.size == (width, height) and turn >= 5 and width != height)
        stored = (width, height) if shown or turn < 5 else (height, width)
        boxes = [*self.shares, *(from_pixels(label, edges, *stored) for label, edges in self.pixels)]
        return to_text(boxes if shown else [turned(box, turn) for box in boxes])


def together(found: Iterable[DrawnBoxes | None]) -> DrawnBoxes | None:
    """All that several rows draw on one image, each box once; None where they draw nothing."""
    listed = [one for one in found if one is not None]
    if not listed:
        return None
    return DrawnBoxes(
        tuple(dict.fromkeys(box for one in listed for box in one.shares)),
        tuple(dict.fromkeys(box for one in listed for box in one.pixels)),
        listed[0].size,
        listed[0].upright,
    )
