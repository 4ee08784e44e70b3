"""Second stage of the near-duplicate search: is one image a copy of the other.

Keypoints that agree give an affine transform from one picture to the other; laid over each other the two are compared
tile by tile in two bands of fine detail. Two radiographs of the same bone agree in shape, a copy agrees in fine detail.
"""

import math
from dataclasses import dataclass
from functools import cache
from itertools import pairwise

import cv2
import numpy as np
import numpy.typing as npt

from fracture.data.near_duplicates.signatures import ORDERS, Signature

Floats = npt.NDArray[np.float32]

MIN_INLIERS = 5
_RATIO = 0.85  # of the distances to the best and the second-best match, after Lowe
_TURN = 0.4  # radians that the directions of two matches may differ by
_ZOOM = 0.7  # octaves that their sizes may differ by
_NEAR = 2.0  # pixels of the thumbnail that a match may lie off
_SCALES = (0.4, 2.5)  # allowed zoom along either axis of the affine transform
_STRETCH = 1.8  # allowed ratio of the two
_SIGMAS = (0.5, 1.0, 2.0)  # pixels: borders of the bands; coarser ones agree between any two radiographs of a bone
_WINDOW = 11  # pixels: neighbourhood that detail is scaled by, so that a white marker weighs no more than bone
_FLOOR = 0.5  # of the band's root mean square: what is fainter counts as flat
_TILES = 12
_TRIM = 0.2  # share of the weight left out, worst tiles first: text, markers and masks cover less
_OVERLAP = (0.25, 0.6)  # least share of either image, and of one of them: less is a side marker that both wear
_CELL = 12  # pixels: inliers are counted by the cells they lie in, else those on one marker would do
_CELLS = 12  # neither add to the score nor take from it: copies have 14 to 60, the likest strangers 4 to 15
_CELLS_WEIGH = 0.1  # for twice or half as many
_MIN_CELLS = 4  # with fewer not even equal pixels would reach any threshold
_SQUARED_SCALE = np.float32(512 * 512)


@dataclass(frozen=True)
class Match:
    """How well one image covers the other.

    Attributes:
        score: mean correlation of fine detail over the better 80% of the overlap, a little more for inliers that lie
            all over it and less for few places; at most 1.
        inliers: keypoints that agree on the affine transform.
    """

    score: float
    inliers: int


class Frame:
    """An image that others are laid over; its bands are computed once, when first needed."""

    def __init__(self, signature: Signature) -> None:
        self.signature = signature
        self._bands: Floats | None = None

    @property
    def bands(self) -> Floats:
        """Float32 [2, height, width]."""
        if self._bands is None:
            self._bands = _bands(self.signature.thumbnail.astype(np.float32))
        return self._bands

    def match(self, other: Signature, transform: str) -> Match | None:
        """Compare with ``other``, this one being a copy of it under ``transform`` (a name in `ORDERS`).

        Returns:
            None where fewer than five keypoints agree on a plausible affine transform, or the images hardly overlap.
        """
        pairs = _match_keypoints(self.signature.descriptors[:, ORDERS[transform]], other.descriptors)
        here, there = self.signature.keypoints[pairs[:, 0]], other.keypoints[pairs[:, 1]]
        mirrored = "mirror" in transform
        agreeing = _consistent(here, there, mirrored)
        if agreeing.sum() < MIN_INLIERS or _cells(here[agreeing]) < _MIN_CELLS:
            return None
        moved = _affine(there[agreeing, :2], here[agreeing, :2], mirrored)
        if moved is None:
            return None
        matrix, inliers = moved
        cells = _cells(here[agreeing][inliers])
        if cells < _MIN_CELLS:
            return None
        picture = other.thumbnail.astype(np.float32)
        detail = self._correlation(255.0 - picture if "invert" in transform else picture, matrix)
        evidence = _CELLS_WEIGH * min(1.0, math.log2(cells / _CELLS))
        return Match(min(1.0, detail + evidence), int(inliers.sum())) if detail > 0 else None

    def _correlation(self, picture: Floats, matrix: npt.NDArray[np.float64]) -> float:
        height, width = self.signature.thumbnail.shape
        covered = cv2.warpAffine(np.ones_like(picture), matrix, (width, height), flags=cv2.INTER_NEAREST)
        covered = cv2.erode(covered, np.ones((3, 3), np.uint8), borderType=cv2.BORDER_CONSTANT, borderValue=1)
        shares = sorted((covered.mean(), covered.sum() / (abs(np.linalg.det(matrix[:, :2])) * picture.size)))
        if shares[0] < _OVERLAP[0] or shares[1] < _OVERLAP[1]:
            return 0.0
        laid = cv2.warpAffine(picture, matrix, (width, height), borderMode=cv2.BORDER_REPLICATE)
        return _trimmed_correlation(self.bands, _bands(np.asarray(laid, np.float32)), np.asarray(covered, np.float32))


def _match_keypoints(first: npt.NDArray[np.uint8], second: npt.NDArray[np.uint8]) -> npt.NDArray[np.intp]:
    """Pairs of keypoints that are each other's nearest, and clearly nearer than the second-nearest. [matches, 2]."""
    if min(len(first), len(second)) < MIN_INLIERS:
        return np.zeros((0, 2), np.intp)
    similar = (first.astype(np.float32) @ second.astype(np.float32).T) / _SQUARED_SCALE
    rows = np.arange(len(first))
    best = similar.argmax(axis=1)
    top = similar[rows, best]
    mutual = similar.argmax(axis=0)[best] == rows
    similar[rows, best] = -1.0
    clear = (1 - top) < _RATIO**2 * (1 - similar.max(axis=1))  # squared distances of unit vectors, halved
    kept = mutual & clear
    return np.stack([rows[kept], best[kept]], axis=1)


def _consistent(here: Floats, there: Floats, mirrored: bool) -> npt.NDArray[np.bool_]:
    """Mark the largest set of matches whose turn and zoom agree with one of them (Jégou et al., ECCV 2008)."""
    if len(here) < MIN_INLIERS:
        return np.zeros(len(here), np.bool_)
    turn = np.deg2rad(there[:, 3] + here[:, 3] if mirrored else there[:, 3] - here[:, 3])
    zoom = np.log2(there[:, 2] / here[:, 2])
    apart = np.abs((turn[:, None] - turn + np.pi) % (2 * np.pi) - np.pi)
    agree = (apart < _TURN) & (np.abs(zoom[:, None] - zoom) < _ZOOM)
    return np.asarray(agree[agree.sum(axis=1).argmax()])


def _cells(keypoints: Floats) -> int:
    """How many places of a grid of 12 pixels they lie in."""
    return len({(x // _CELL, y // _CELL) for x, y in keypoints[:, :2].tolist()})


def _affine(
    source: Floats, target: Floats, mirrored: bool
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_]] | None:
    """RANSAC affine [2, 3] from source to target and its inliers; None if too few, or if no copy would be bent so."""
    matrix, inside = cv2.estimateAffine2D(
        np.ascontiguousarray(source), np.ascontiguousarray(target), method=cv2.RANSAC,
        ransacReprojThreshold=_NEAR, maxIters=200, confidence=0.99, refineIters=5,
    )  # fmt: skip
    if matrix is None or inside.sum() < MIN_INLIERS:
        return None
    large, small = np.linalg.svd(matrix[:, :2], compute_uv=False)
    plausible = _SCALES[0] < small and large < _SCALES[1] and large < _STRETCH * small
    if not plausible or (np.linalg.det(matrix[:, :2]) < 0) != mirrored:
        return None
    return np.asarray(matrix, np.float64), np.asarray(inside.reshape(-1) > 0)


def _bands(picture: Floats) -> Floats:
    """Bands of detail, each scaled by its own neighbourhood. [2, height, width]."""
    blurred = [cv2.GaussianBlur(picture, (0, 0), sigma) for sigma in _SIGMAS]
    bands = np.stack([fine - coarse for fine, coarse in pairwise(blurred)])
    power = bands * bands
    for band, squared in zip(bands, power, strict=True):
        around = np.maximum(cv2.boxFilter(squared, -1, (_WINDOW, _WINDOW)), 0)  # rounding makes flat areas negative
        band /= np.sqrt(around) + _FLOOR * np.sqrt(squared.mean()) + 0.2
    return bands


def _trimmed_correlation(first: Floats, second: Floats, covered: Floats) -> float:
    """Mean over bands of the correlation in tiles, weighted by their detail, without the worst fifth of the weight."""
    rows, columns = _averages(covered.shape[0]), _averages(covered.shape[1])
    second = second * covered
    products = np.stack([first * second, first * first * covered, second * second])
    both, one, other = (rows @ (products @ columns.T)).reshape(3, len(first), -1)
    weight = np.sqrt(one * other)
    correlation = both / np.maximum(weight, 1e-6)
    order = np.argsort(correlation, axis=1)
    correlation, weight = np.take_along_axis(correlation, order, 1), np.take_along_axis(weight, order, 1)
    weight[np.cumsum(weight, axis=1) <= _TRIM * weight.sum(axis=1, keepdims=True)] = 0
    return float(((correlation * weight).sum(axis=1) / np.maximum(weight.sum(axis=1), 1e-6)).mean())


@cache
def _averages(length: int) -> Floats:
    """Matrix [tiles, length] that averages neighbouring pixels."""
    tiles = np.minimum(np.arange(length) * _TILES // length, _TILES - 1)
    matrix = (tiles == np.arange(_TILES)[:, None]).astype(np.float32)
    return np.asarray(matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1), np.float32)
