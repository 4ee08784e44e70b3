"""One image: from the bytes of a file to grey pixels, and the square that a model sees.

The same two functions serve training, evaluation and serving, so that a model always meets the preprocessing it knows.
"""

import io
import struct
import warnings
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image, ImageFile, UnidentifiedImageError

from fracture.data import tiff
from fracture.data.dicom_header import is_dicom
from fracture.data.formats import FORMATS, SUFFIXES, UNREAD, why_unread, why_unreadable
from fracture.data.pixels import (
    MAX_ASPECT,
    MAX_PIXELS,
    Grey,
    ImageError,
    Numbers,
    check_size,
    luminance,
    over_black,
    stretch,
)

__all__ = [
    "FORMATS", "MAX_ASPECT", "MAX_PIXELS", "PREPROCESSING_VERSION", "SUFFIXES", "UNREAD", "Grey", "ImageError",
    "check_size", "decode", "is_dicom", "letterbox", "opened", "placed", "stretch", "why_unread",
]  # fmt: skip

PREPROCESSING_VERSION = 3  # raise it whenever a pixel of decode() or letterbox() changes: caches and models carry it

_TURNS = {  # by EXIF orientation; 1 is upright
    2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180, 4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE, 6: Image.Transpose.ROTATE_270, 7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}  # fmt: skip


def decode(data: bytes) -> Grey:
    """Decode the bytes of an image file to grey pixels of shape [height, width], upright as its EXIF tag says.

    Numbers that are not unsigned 8-bit ones (16 bits, signed, floating point; grey or colour) are stretched linearly
    from their smallest to their largest value; transparency is laid over black; of an animation the first frame is
    taken and of several pages the first one. DICOM, with or without its preamble, goes through its modality and VOI
    LUT and is inverted where it says MONOCHROME1; it needs the extra ``[dicom]``.

    Raises:
        ImageError: empty, not an image, truncated, too many pixels or too long for its width.
    """
    if not data:
        raise ImageError("the file is empty")
    if is_dicom(data):
        from fracture.data.dicom import read_pixels  # whoever has no DICOM files needs no pydicom

        return read_pixels(data)
    try:
        return _decode(data)
    except (ImageError, MemoryError):
        raise
    except Image.DecompressionBombError as error:
        raise ImageError(f"more than {MAX_PIXELS:,} pixels") from error
    except Exception as error:  # a damaged file fails in more ways than Pillow lists
        raise ImageError(why_unreadable(data, error)) from error


def opened(data: bytes) -> Image.Image:
    """An image that can be decoded and is no DICOM file, opened by Pillow for its properties, not for its pixels.

    Of a TIFF that Pillow does not know it is one black pixel of the same kind.
    """
    try:
        return Image.open(io.BytesIO(data), formats=FORMATS)
    except (UnidentifiedImageError, KeyError):  # the latter where an old Pillow lacks a format
        page = tiff.find(data)
        if page is None:
            raise
        return Image.new("RGB" if page.colours == 3 else "L" if page.plain else "I", (1, 1))


def orientation_of(path: Path) -> int:
    """The EXIF orientation of a file, 1 where it says none or cannot be opened."""
    try:
        with path.open("rb") as file, Image.open(file, formats=FORMATS) as image:
            return _orientation(image)
    except (OSError, ValueError, KeyError, SyntaxError, Image.DecompressionBombError):
        return 1


def letterbox(grey: Grey, size: int) -> Grey:
    """Scale the longer side to ``size`` pixels and pad with black to [size, size]; nothing is cropped."""
    top, left, height, width = placed(grey.shape, size)
    image = Image.fromarray(grey)
    if image.size != (width, height):
        image = image.resize((width, height), Image.Resampling.BICUBIC, reducing_gap=3.0)
    square = np.zeros((size, size), np.uint8)
    square[top : top + height, left : left + width] = np.asarray(image)
    return square


def placed(shape: tuple[int, ...], size: int) -> tuple[int, int, int, int]:
    """Where `letterbox` puts an image of ``shape`` [height, width]: top, left, height and width in the square."""
    scale = size / max(shape)
    height, width = (max(1, round(side * scale)) for side in shape)
    return (size - height) // 2, (size - width) // 2, height, width


def _decode(data: bytes) -> Grey:
    if (page := tiff.find(data)) is not None:
        return np.asarray(_turned(Image.fromarray(tiff.grey_of(page)), page.orientation))
    with Image.open(io.BytesIO(data), formats=FORMATS) as image:
        check_size(*image.size)
        deep = _has_deep_colours(image, data)
        image.load()  # of deep colours too: it tells what is cut short
        if deep:
            return np.asarray(_turned(Image.fromarray(_deep_colours(data)), _orientation(image)))
        return _grey(_turned(image, _orientation(image)))


def _orientation(image: Image.Image) -> int:
    """The EXIF orientation; metadata that cannot be read say nothing."""
    try:
        return int(image.getexif().get(ExifTags.Base.Orientation, 1))
    except (OSError, SyntaxError, ValueError, KeyError, TypeError, AttributeError, struct.error):
        return 1


def _turned(image: Image.Image, orientation: int) -> Image.Image:
    turn = _TURNS.get(orientation)
    return image.transpose(turn) if turn is not None else image


def _grey(image: Image.Image) -> Grey:
    if image.mode.startswith("I") or image.mode == "F":
        values = np.asarray(image, dtype=np.float64)
        see_through = image.info.get("transparency")  # one grey value
        return stretch(values, values != see_through if isinstance(see_through, int) else None)
    image = image.convert("LA") if image.mode == "La" else image  # which Pillow multiplied by its alpha
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        rgba = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", rgba.size, (0, 0, 0, 255)), rgba)
    return np.asarray(image.getchannel("L") if image.mode == "LAB" else image.convert("L"))


def _has_deep_colours(image: ImageFile.ImageFile, data: bytes) -> bool:
    """Whether an open image has more than 8 bits a channel, of which Pillow keeps the upper 8."""
    if image.format == "PNG":
        return data[24] == 16 and data[25] in (2, 4, 6)  # bit depth; colours, grey with alpha, colours with alpha
    args = image.tile[0].args if image.tile else ()
    return image.format == "PPM" and image.mode == "RGB" and isinstance(args, tuple) and int(args[1]) > 255


def _deep_colours(data: bytes) -> Grey:
    """Grey pixels of a PNG or PPM with 16 bits a channel, not yet turned upright."""
    import cv2  # seldom needed here

    values: Numbers = np.asarray(
        cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    )  # blue, green, red, alpha
    grey = luminance(values[..., 2::-1])
    return stretch(grey) if values.shape[2] == 3 else over_black(grey, values[..., 3] / np.iinfo(values.dtype).max)


ImageFile.LOAD_TRUNCATED_IMAGES = False  # a truncated file is refused, never filled with grey
Image.MAX_IMAGE_PIXELS = MAX_PIXELS
# odd EXIF or palette tags do not matter for the pixels; once for all threads, as `catch_warnings` is for one only
warnings.filterwarnings("ignore", module=r"PIL\.")
