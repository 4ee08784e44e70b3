"""Copies of an image as augmentation tools, viewers and web sites make them.

`planted_copy` is what the near-duplicate search is measured against: every copy is one that a person would call
"the same radiograph", so a search that misses it would let it leak from train to test.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

Grey = npt.NDArray[np.uint8]
Change = Callable[[Grey, np.random.Generator], Grey]


def _rotate(pixels: Grey, degrees: float) -> Grey:
    return _warp(pixels, np.asarray(cv2.getRotationMatrix2D(_centre(pixels), degrees, 1.0)))


def _centre(pixels: Grey) -> tuple[float, float]:
    height, width = pixels.shape
    return (width - 1) / 2, (height - 1) / 2


def _warp(pixels: Grey, matrix: npt.NDArray[Any]) -> Grey:
    """Warp in place: same size, what comes from outside is black, as most augmentation tools do it."""
    height, width = pixels.shape
    return np.asarray(cv2.warpAffine(pixels, matrix, (width, height), flags=cv2.INTER_LINEAR), np.uint8)


def _clip(values: npt.NDArray[np.floating]) -> Grey:
    return np.asarray(np.clip(np.rint(values), 0, 255), np.uint8)


def _small_rotation(pixels: Grey, rng: np.random.Generator) -> Grey:
    return _rotate(pixels, rng.uniform(3, 15) * rng.choice((-1, 1)))


def _rotation_15(pixels: Grey, rng: np.random.Generator) -> Grey:
    return _rotate(pixels, 15.0 * rng.choice((-1, 1)))


def _brightness(pixels: Grey, rng: np.random.Generator) -> Grey:
    return _clip(pixels * (1 + 0.3 * rng.choice((-1, 1))))


def _contrast(pixels: Grey, rng: np.random.Generator) -> Grey:
    mean = float(pixels.mean())
    return _clip((pixels - mean) * (1 + 0.3 * rng.choice((-1, 1))) + mean)


def _gamma(pixels: Grey, rng: np.random.Generator) -> Grey:
    return _clip(255 * (pixels / 255.0) ** rng.choice((0.6, 0.75, 1.4, 1.7)))


def _jpeg_40(pixels: Grey, rng: np.random.Generator) -> Grey:
    del rng  # every change has the same signature
    _, encoded = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, 40])
    return np.asarray(cv2.imdecode(encoded, cv2.IMREAD_GRAYSCALE), np.uint8)


def _resize(pixels: Grey, width_factor: float, height_factor: float) -> Grey:
    height, width = pixels.shape
    size = max(1, round(width * width_factor)), max(1, round(height * height_factor))
    shrinks = width_factor * height_factor < 1
    return np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR), np.uint8)


def _aspect(pixels: Grey, rng: np.random.Generator) -> Grey:
    factor = rng.uniform(1.15, 1.35)
    return _resize(pixels, factor, 1.0) if rng.random() < 0.5 else _resize(pixels, 1.0, factor)


def _crop_sides(pixels: Grey, rng: np.random.Generator) -> Grey:
    del rng
    height, width = pixels.shape
    top, left = round(0.1 * height), round(0.1 * width)
    return pixels[top : height - top, left : width - left].copy()


def _crop_random(pixels: Grey, rng: np.random.Generator) -> Grey:
    """Keep 90% of either side at a random place."""
    height, width = pixels.shape
    keep_y, keep_x = round(0.9 * height), round(0.9 * width)
    top, left = rng.integers(0, height - keep_y + 1), rng.integers(0, width - keep_x + 1)
    return pixels[top : top + keep_y, left : left + keep_x].copy()


def _affine(pixels: Grey, rng: np.random.Generator) -> Grey:
    """Up to 8 degrees, 10% of zoom, 0.1 of shear and 5% of shift, all at once."""
    height, width = pixels.shape
    matrix = np.asarray(cv2.getRotationMatrix2D(_centre(pixels), rng.uniform(-8, 8), rng.uniform(0.9, 1.1)))
    shear = rng.uniform(-0.1, 0.1)
    matrix[0] += shear * matrix[1]
    matrix[0, 2] += rng.uniform(-0.05, 0.05) * width - shear * (height - 1) / 2
    matrix[1, 2] += rng.uniform(-0.05, 0.05) * height
    return _warp(pixels, matrix)


def _noise(pixels: Grey, rng: np.random.Generator) -> Grey:
    """Gaussian noise of 10 grey levels, at the resolution of the file."""
    return _clip(pixels + rng.normal(0, 10, pixels.shape))


def _text(pixels: Grey, rng: np.random.Generator) -> Grey:
    """Two lines of text and a solid marker, together about 5% of the picture, at random places."""
    marked = pixels.copy()
    height, width = marked.shape
    scale, thickness = width / 400, max(1, round(width / 200))
    for line in ("RIGHT  AP 12:45", "St. Mary"):
        place = int(rng.uniform(0.02, 0.4) * width), int(rng.uniform(0.1, 0.95) * height)
        cv2.putText(marked, line, place, cv2.FONT_HERSHEY_SIMPLEX, scale, 255, thickness)
    left, top = int(rng.uniform(0.05, 0.8) * width), int(rng.uniform(0.05, 0.8) * height)
    cv2.rectangle(marked, (left, top), (left + width // 7, top + height // 7), 255, -1)
    return marked


def _invert(pixels: Grey, rng: np.random.Generator) -> Grey:
    del rng
    return 255 - pixels


def _turn(pixels: Grey, rng: np.random.Generator, quarters: int) -> Grey:
    del rng
    return np.ascontiguousarray(np.rot90(pixels, quarters))


def _flip(pixels: Grey, rng: np.random.Generator, axis: int) -> Grey:
    del rng
    return np.ascontiguousarray(np.flip(pixels, axis))


def _half(pixels: Grey, rng: np.random.Generator) -> Grey:
    del rng
    return _resize(pixels, 0.5, 0.5)


SINGLE_CHANGES: dict[str, Change] = {
    "flip_horizontal": partial(_flip, axis=1),
    "flip_vertical": partial(_flip, axis=0),
    "rotate_90": partial(_turn, quarters=1),
    "rotate_180": partial(_turn, quarters=2),
    "rotate_270": partial(_turn, quarters=3),
    "rotate_3_to_15": _small_rotation,
    "rotate_15": _rotation_15,
    "brightness_30": _brightness,
    "contrast_30": _contrast,
    "gamma": _gamma,
    "jpeg_40": _jpeg_40,
    "half_size": _half,
    "aspect": _aspect,
    "crop_sides_10": _crop_sides,
    "crop_random_10": _crop_random,
    "affine": _affine,
    "noise": _noise,
    "text": _text,
    "invert": _invert,
}


def _two_at_once(pixels: Grey, rng: np.random.Generator) -> Grey:
    first, second = rng.choice(sorted(SINGLE_CHANGES), 2, replace=False)
    return SINGLE_CHANGES[second](SINGLE_CHANGES[first](pixels, rng), rng)


CHANGES: dict[str, Change] = {**SINGLE_CHANGES, "two_at_once": _two_at_once}


def planted_copy(pixels: Grey, change: str, rng: np.random.Generator) -> Grey:
    """Return a copy of `pixels` (uint8 [height, width]) that went through `change`, a name in `CHANGES`.

    The generator draws the strength and the place of the changes that have one. The size may differ.

    Raises:
        ValueError: `change` is not a name in `CHANGES`.
    """
    if change not in CHANGES:
        raise ValueError(f"Unknown change: {change!r}. Must be one of: {', '.join(CHANGES)}.")
    return CHANGES[change](pixels, rng)
