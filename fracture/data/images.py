"""One image: from the bytes of a file to grey pixels, and the square that a model sees.

The same two functions serve training, evaluation and serving, so that a model always meets the preprocessing it knows.
"""

import io
import struct
import warnings

import numpy as np
import numpy.typing as npt
from PIL import ExifTags, Image, ImageFile, UnidentifiedImageError

Grey = npt.NDArray[np.uint8]

SUFFIXES = frozenset({
    ".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".tif", ".tiff", ".webp", ".gif", ".dcm", ".dicom",
})  # fmt: skip
FORMATS = ("JPEG", "PNG", "BMP", "TIFF", "WEBP", "GIF")  # Pillow knows others, some of which start programs (EPS)
MAX_PIXELS = 100_000_000  # a 10,000 x 10,000 film; more is a decompression bomb or a mistake
MAX_ASPECT = 50
PREPROCESSING_VERSION = 1  # raise it whenever a pixel of decode() or letterbox() changes: caches and models carry it


_TURNS = {  # by EXIF orientation; 1 is upright
    2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180, 4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE, 6: Image.Transpose.ROTATE_270, 7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}  # fmt: skip


class ImageError(ValueError):
    """One image cannot be used; the message is the reason, without the file's name."""


def decode(data: bytes) -> Grey:
    """Decode the bytes of an image file to grey pixels of shape [height, width], upright as its EXIF tag says.

    16-bit and floating-point images are stretched linearly from their smallest to their largest value; transparency is
    laid over black; of an animation the first frame is taken. DICOM goes through its VOI LUT and is inverted where it
    says MONOCHROME1; it needs the extra ``[dicom]``.

    Raises:
        ImageError: empty, not an image, truncated, too many pixels or too long for its width.
    """
    if not data:
        raise ImageError("the file is empty")
    if is_dicom(data):
        from fracture.data.dicom import read_pixels  # whoever has no DICOM files needs no pydicom

        return read_pixels(data)
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            check_size(*image.size)
            image.load()
            return _grey(_upright(image))
    except ImageError:
        raise
    except Image.DecompressionBombError as error:
        raise ImageError(f"more than {MAX_PIXELS:,} pixels") from error
    except UnidentifiedImageError as error:  # Pillow's own message is the address of a buffer
        raise ImageError(f"not a readable image (not {', '.join(FORMATS)} or DICOM inside)") from error
    except (OSError, SyntaxError, ValueError, EOFError, KeyError, TypeError, IndexError, OverflowError) as error:
        raise ImageError(f"not a readable image ({_first_line(error)})") from error


def _upright(image: Image.Image) -> Image.Image:
    """Turned as its EXIF orientation says; metadata that cannot be read say nothing."""
    try:
        turn = _TURNS.get(int(image.getexif().get(ExifTags.Base.Orientation, 1)))
    except (OSError, SyntaxError, ValueError, KeyError, TypeError, AttributeError, struct.error):
        return image
    return image.transpose(turn) if turn is not None else image


def letterbox(grey: Grey, size: int) -> Grey:
    """Scale the longer side to ``size`` pixels and pad with black to [size, size]; nothing is cropped."""
    height, width = grey.shape
    scale = size / max(height, width)
    new = (max(1, round(width * scale)), max(1, round(height * scale)))
    image = Image.fromarray(grey)
    if image.size != new:
        image = image.resize(new, Image.Resampling.BICUBIC, reducing_gap=3.0)
    square = np.zeros((size, size), np.uint8)
    top, left = (size - new[1]) // 2, (size - new[0]) // 2
    square[top : top + new[1], left : left + new[0]] = np.asarray(image)
    return square


def is_dicom(data: bytes) -> bool:
    """Whether the bytes begin as a DICOM file does: 128 bytes of anything, then ``DICM``."""
    return data[128:132] == b"DICM"


def check_size(width: int, height: int) -> None:
    """Refuse what no radiograph is, before its pixels are decoded.

    Raises:
        ImageError: no pixels, more than `MAX_PIXELS`, or longer than `MAX_ASPECT` times its width.
    """
    if min(width, height) < 1:
        raise ImageError(f"{width} x {height} holds no pixels")
    if width * height > MAX_PIXELS:
        raise ImageError(f"{width} x {height} is more than {MAX_PIXELS:,} pixels")
    if max(width, height) > MAX_ASPECT * min(width, height):
        raise ImageError(f"{width} x {height} is longer than {MAX_ASPECT} times its width")


def _grey(image: Image.Image) -> Grey:
    if image.mode.startswith("I") or image.mode == "F":
        return stretch(np.asarray(image, dtype=np.float64))
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        rgba = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", rgba.size, (0, 0, 0, 255)), rgba)
    return np.asarray(image.convert("L"))


def stretch(values: npt.NDArray[np.float64]) -> Grey:
    """Spread values linearly over 0 to 255, their smallest becoming 0 and their largest 255.

    Raises:
        ImageError: a value is not finite.
    """
    if not np.isfinite(values).all():
        raise ImageError("holds values that are not finite")
    low, high = values.min(), values.max()
    if high == low:
        return np.zeros(values.shape, np.uint8)
    return np.asarray(np.round((values - low) / (high - low) * 255), np.uint8)


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:120]


ImageFile.LOAD_TRUNCATED_IMAGES = False  # a truncated file is refused, never filled with grey
Image.MAX_IMAGE_PIXELS = MAX_PIXELS
# odd EXIF or palette tags do not matter for the pixels; once for all threads, as `catch_warnings` is for one only
warnings.filterwarnings("ignore", module=r"PIL\.")
