"""What all readers of image files share: grey pixels, the reason for a refusal, sizes, and stretching to 8 bits."""

from typing import Any

import numpy as np
import numpy.typing as npt

Grey = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float64]
Numbers = npt.NDArray[Any]
Mask = npt.NDArray[np.bool_]

MAX_PIXELS = 100_000_000  # a 10,000 x 10,000 film; more is a decompression bomb or a mistake
MAX_ASPECT = 50
_LUMA = np.array(
    [299.0, 587.0, 114.0]
)  # thousandths (ITU-R BT.601): grey that comes as colour stays exactly what it is


class ImageError(ValueError):
    """One image cannot be used; the message is the reason in plain words, without the file's name."""


def check_size(width: int, height: int) -> None:
    """Refuse what no radiograph is, before its pixels are decoded.

    Raises:
        ImageError: no pixels, more than `MAX_PIXELS`, or longer than `MAX_ASPECT` times its width.
    """
    if min(width, height) < 1:
        raise ImageError(f"{width} x {height} has no pixels")
    if width * height > MAX_PIXELS:
        raise ImageError(f"{width} x {height} is more than {MAX_PIXELS:,} pixels")
    if max(width, height) > MAX_ASPECT * min(width, height):
        raise ImageError(f"{width} x {height} is longer than {MAX_ASPECT} times its width")


def stretch(values: Floats, shown: Mask | None = None) -> Grey:
    """Spread values linearly over 0 to 255, their smallest becoming 0 and their largest 255.

    Args:
        values: of any shape.
        shown: which of them count, same shape; the others become 0 whatever they are. All of them by default.

    Raises:
        ImageError: a value is not finite, or they are too far apart for a difference.
    """
    if shown is not None and not shown.all():
        grey = np.zeros(values.shape, np.uint8)
        if shown.any():
            grey[shown] = stretch(values[shown])
        return grey
    if not np.isfinite(values).all():
        raise ImageError("holds values that are not finite")
    low, high = values.min(), values.max()
    if high == low:
        return np.zeros(values.shape, np.uint8)
    if high / 2 - low / 2 > np.finfo(np.float64).max / 2:
        raise ImageError("holds values that are too far apart to be shown")
    return np.asarray(np.round((values - low) / (high - low) * 255), np.uint8)


def luminance(colours: Numbers) -> Floats:
    """The luminance of colours [height, width, 3 or more] (red, green, blue first) of any depth, [height, width]."""
    return np.asarray(np.asarray(colours[..., :3], np.float64) @ _LUMA / 1000)


def over_black(values: Floats, alpha: Floats) -> Grey:
    """Stretch what can be seen of an image that is partly transparent, and lay it over black.

    Args:
        values: [height, width].
        alpha: 0 (not seen) to 1, [height, width].

    Raises:
        ImageError: a value that is seen is not finite.
    """
    return np.asarray(np.round(stretch(values, alpha > 0) * alpha), np.uint8)
