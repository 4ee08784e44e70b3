"""What can be told of an image without looking at the anatomy: size, file format, JPEG tables, border, histogram.

These traits betray where an image came from. If they tell classes apart, so can a model, without a look at the bone.
"""

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, JpegImagePlugin

from fracture.data.images import Grey, is_dicom, opened

_SIZE = ("log2_width", "log2_height", "log2_aspect", "log2_pixels")
_FILE = ("jpeg", "png", "dicom", "channels", "deep", "log2_bytes_per_pixel", "exif", "icc", "dpi")
_TABLES = ("luma_mean", "luma_first", "chroma_mean", "sampling", "progressive")
_SIDES = ("top", "bottom", "left", "right")
_BORDER = (*(f"{s}_mean" for s in _SIDES), *(f"{s}_spread" for s in _SIDES), "border_black", "border_white")
_BINS = 16
_HISTOGRAM = (*(f"bin_{i}" for i in range(_BINS)), "black", "white", "levels", "mean", "spread")

FAMILIES: dict[str, tuple[str, ...]] = {
    "size": _SIZE,
    "file format": _FILE,
    "JPEG tables": _TABLES,
    "border": _BORDER,
    "histogram": _HISTOGRAM,
}
_WORDS = {  # for people
    "log2_width": "width in pixels",
    "log2_height": "height in pixels",
    "log2_aspect": "width over height",
    "log2_pixels": "pixels",
    "jpeg": "is a JPEG",
    "png": "is a PNG",
    "dicom": "is a DICOM",
    "channels": "colour channels",
    "deep": "has more than 8 bits",
    "log2_bytes_per_pixel": "bytes a pixel",
    "exif": "has EXIF",
    "icc": "has a colour profile",
    "dpi": "resolution (dpi)",
    "luma_mean": "JPEG table of brightness, mean",
    "luma_first": "JPEG table of brightness, first value",
    "chroma_mean": "JPEG table of colour, mean",
    "sampling": "JPEG colour sampling",
    "progressive": "is a progressive JPEG",
    "border_black": "black share of the border",
    "border_white": "white share of the border",
    "black": "black share of the image",
    "white": "white share of the image",
    "levels": "grey levels used",
    "mean": "mean brightness",
    "spread": "spread of brightness",
}
NAMES: tuple[str, ...] = tuple(name for names in FAMILIES.values() for name in names)
_NO_TABLES = [0.0, 0.0, 0.0, -1.0, 0.0]
VERSION = 1  # raise it whenever a trait changes: stored inspections carry it


def measure(data: bytes, grey: Grey) -> npt.NDArray[np.float32]:
    """The traits of one image, float32 [len(NAMES)], from the bytes of its file and its decoded pixels."""
    height, width = grey.shape
    size = (math.log2(width), math.log2(height), math.log2(width / height), math.log2(width * height))
    file, tables = _of_file(data, width * height)
    return np.array([*size, *file, *tables, *_of_border(grey), *_of_histogram(grey)], np.float32)


def rounded(values: Iterable[float]) -> tuple[float, ...]:
    """Traits as they are kept: six decimals, as inspections have them, then five digits.

    Whoever compares kept traits must have rounded both alike: trees tell 9.1235 from 9.1234.
    """
    return tuple(float(f"{round(float(value), 6):.5g}") for value in values)


def words(name: str) -> str:
    """What a trait is, for a person."""
    place, _, what = name.rpartition("_")
    if place in _SIDES:
        return f"{place} border, {what} of brightness"
    if place == "bin":
        width = 256 // _BINS
        return f"share of brightness {int(what) * width} to {int(what) * width + width - 1}"
    return _WORDS[name]


def figure(name: str, value: float) -> str:
    """The value of a trait, for a person: pixels, not their logarithm."""
    plain = 2**value if name.startswith("log2_") else value
    return f"{plain:,.0f}" if abs(plain) >= 100 else f"{plain:.3g}"


def columns(family: str) -> list[int]:
    """Positions of a family's traits in the vector of `measure`."""
    return [NAMES.index(name) for name in FAMILIES[family]]


def _of_file(data: bytes, pixels: int) -> tuple[list[float], list[float]]:
    density = math.log2(len(data) / pixels)
    if is_dicom(data):
        return [0, 0, 1, 1, 1, density, 0, 0, 0], _NO_TABLES
    with opened(data) as image:
        info: dict[Any, Any] = dict(image.info)
        jpeg = isinstance(image, JpegImagePlugin.JpegImageFile)
        deep = image.mode.startswith("I") or image.mode == "F"
        kind = [float(jpeg), float(image.format == "PNG"), 0.0, float(len(image.getbands())), float(deep)]
        tables = _of_tables(image) if isinstance(image, JpegImagePlugin.JpegImageFile) else _NO_TABLES
    return [*kind, density, float("exif" in info), float("icc_profile" in info), _dpi(info.get("dpi"))], tables


def _of_tables(image: JpegImagePlugin.JpegImageFile) -> list[float]:
    luma, chroma = (np.asarray(image.quantization.get(i, (0,)), np.float64) for i in (0, 1))
    progressive = float(bool(image.info.get("progressive")))
    return [luma.mean(), float(luma[0]), chroma.mean(), float(JpegImagePlugin.get_sampling(image)), progressive]


def _dpi(value: Any) -> float:
    """The horizontal density, 0 where the file states none or nonsense."""
    first = value[0] if isinstance(value, Sequence) and value else 0
    try:
        number = float(first)
    except (TypeError, ValueError, ZeroDivisionError):  # EXIF fractions may have a zero below the line
        return 0.0
    return number if math.isfinite(number) and abs(number) < 1e6 else 0.0


def _of_border(grey: Grey) -> list[float]:
    """Mean and spread of a band of 2% along each side, and how much of the bands is quite black or quite white."""
    height, width = grey.shape
    across, along = max(1, height // 50), max(1, width // 50)
    bands = [grey[:across], grey[-across:], grey[:, :along], grey[:, -along:]]
    ring = np.concatenate([band.ravel() for band in bands])
    means, spreads = [float(b.mean()) for b in bands], [float(b.std()) for b in bands]
    return [*means, *spreads, float((ring == 0).mean()), float((ring == 255).mean())]


def _of_histogram(grey: Grey) -> list[float]:
    counts = np.array(Image.fromarray(grey).histogram()) / grey.size  # ten times as fast as numpy's bincount
    levels = np.arange(256)
    mean = float(counts @ levels)
    spread = math.sqrt(max(0.0, float(counts @ (levels - mean) ** 2)))
    bins = counts.reshape(_BINS, -1).sum(axis=1)
    return [*bins.tolist(), float(counts[0]), float(counts[255]), float((counts > 0).sum()), mean, spread]
