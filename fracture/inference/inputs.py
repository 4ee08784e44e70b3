"""What a predictor takes, brought to the bytes of an image file."""

import base64
import binascii
import io
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from fracture.data.images import ImageError, stretch
from fracture.files import expanded

MAX_BASE64 = 64 * 2**20
_PATH_LENGTH = 1024  # a longer text is no path
_PNG = ("1", "L", "LA", "I", "I;16", "P", "RGB", "RGBA")  # modes that a PNG can hold
NOT_BASE64 = "not base64: send the bytes of an image file, encoded"

Input = str | Path | bytes | Image.Image | npt.NDArray[np.generic]


def bytes_of(one: Input) -> bytes:
    """The bytes of an image file, made where there is none yet.

    Args:
        one: a path; the bytes of a file, DICOM included; a text, which is the path of a file that is there, else
            base64; a PIL image; an array [height, width] of any numbers or uint8 [height, width, 3]. Numbers that are
            not uint8 are stretched from their smallest to their largest value, as 16-bit files are.

    Raises:
        ImageError: neither a file nor base64, or an array of another shape.
        OSError: the file cannot be read.
    """
    if isinstance(one, bytes):
        return one
    if isinstance(one, Path):
        return expanded(one).read_bytes()
    if isinstance(one, str):
        return _from_text(one)
    image = _picture(one) if isinstance(one, np.ndarray) else one
    buffer = io.BytesIO()
    if image.mode in _PNG:
        image.save(buffer, "PNG", compress_level=1)
    else:
        image.save(buffer, "TIFF")
    return buffer.getvalue()


def from_base64(text: object) -> bytes:
    """The bytes that a text encodes; over a network a text is this and never a path.

    Args:
        text: base64, with or without ``data:...,`` before it.

    Raises:
        ImageError: no text, no base64, or more than 64 MiB of it.
    """
    if not isinstance(text, str):
        raise ImageError("not a text: the image is expected as base64")
    if len(text) > MAX_BASE64:
        raise ImageError(f"too large: base64 of more than {MAX_BASE64 / 2**20:.0f} MiB")
    body = text.split(",", 1)[1] if text.startswith("data:") and "," in text else text
    try:
        return base64.b64decode("".join(body.split()), validate=True)
    except (binascii.Error, ValueError) as error:
        raise ImageError(NOT_BASE64) from error


def _from_text(text: str) -> bytes:
    if len(text) <= _PATH_LENGTH and (path := expanded(text)).is_file():
        return path.read_bytes()
    try:
        return from_base64(text)
    except ImageError as error:
        raise ImageError(f"{text[:80]}: neither a file nor base64 of one") from error


def _picture(pixels: npt.NDArray[np.generic]) -> Image.Image:
    grey, colour = pixels.ndim == 2, pixels.ndim == 3 and pixels.shape[2] == 3 and pixels.dtype == np.uint8
    if not (grey or colour) or pixels.size == 0 or pixels.dtype.kind not in "buif":
        raise ImageError(
            f"an array of shape {pixels.shape} and type {pixels.dtype}: expected [height, width] of numbers, or uint8 "
            "[height, width, 3]"
        )
    return Image.fromarray(pixels if pixels.dtype == np.uint8 else stretch(pixels.astype(np.float64)))
