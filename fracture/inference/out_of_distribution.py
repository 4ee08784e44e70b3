"""Inputs that are unlike radiographs: a model answers to anything, so these are told apart first.

The limits leave out none of 1,801 real radiographs of two collections, whose figures are beside them.
"""

import cv2
import numpy as np

from fracture.data.images import Grey, is_dicom, opened

SMALL, LARGE = 64, 10_000  # pixels of the shorter and the longer side; the smallest shorter side is 76
BLANK = 4.0  # standard deviation of grey values; the lowest is 14.2
COLOUR = 35.0  # mean difference between channels; the most tinted film has 31.7


def why_out_of_distribution(data: bytes, grey: Grey) -> str:
    """Why an image is unlike a radiograph, empty where nothing speaks against it.

    Args:
        data: bytes of the file.
        grey: what it decodes to, [height, width].
    """
    height, width = grey.shape
    if min(height, width) < SMALL:
        return f"too small: {width} x {height} pixels, a radiograph has {SMALL} or more on each side"
    if max(height, width) > LARGE:
        return f"too large: {width} x {height} pixels"
    if float(cv2.meanStdDev(grey)[1][0, 0]) < BLANK:  # many times faster than numpy's
        return "blank: hardly any contrast"
    colour = _colour(data)
    if colour > COLOUR:
        return f"in colour (mean difference of channels {colour:.0f}): a photo, or a picture of a screen"
    return ""


def _colour(data: bytes) -> float:
    """Mean absolute difference between the channels of a small copy; 0 for grey images and DICOM."""
    if is_dicom(data):
        return 0.0
    with opened(data) as image:
        if image.mode in ("L", "1", "I", "F", "I;16", "LA"):
            return 0.0
        image.draft("RGB", (128, 128))
        small = np.asarray(image.convert("RGB").resize((64, 64)), np.float32)
    return float(np.abs(small - small.mean(axis=2, keepdims=True)).mean() * 1.5)
