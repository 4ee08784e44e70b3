"""The signature of a radiograph: what the near-duplicate search knows of it, about 20 KB instead of the pixels."""

import struct
import zlib
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

Grey = npt.NDArray[np.uint8]

VERSION = 2  # raise it with any change of what follows: stored signatures of another version are not read

_SIDE = 160  # pixels: longest side that keypoints are found at; 192 takes a third longer and finds no more
_THUMBNAIL = 128  # pixels: longest side that pixels are compared at; at 96 burned-in text is found 5 points less often
_BLUR = 1.0  # pixels: most noise goes, bone edges stay
_CONTRAST = 0.002  # SIFT's own 0.04 leaves about 10 keypoints in the median radiograph, this 120
_KEYPOINTS = 120
_GRID = 4  # cells a side
_CELL_KEYPOINTS = 10  # strongest of a cell that go first: a burned-in label cannot use up all 120
_DESCRIPTOR_SCALE = 512.0  # square roots of unit-sum descriptors to uint8; values over 0.5 do not occur in practice
_HEADER = struct.Struct("<4sHHHH")
_MAGIC = b"FSIG"

_BINS = np.arange(128).reshape(4, 4, 8)  # rows, columns and directions of a SIFT descriptor
_MIRROR = _BINS[::-1][:, :, -np.arange(8) % 8].reshape(-1)  # rows lie across the keypoint's own direction
_INVERT = _BINS[::-1, ::-1].reshape(-1)  # all gradients turn round, and the keypoint's direction with them
ORDERS: dict[str, npt.NDArray[np.intp]] = {
    "identity": np.arange(128),
    "mirror": _MIRROR,
    "invert": _INVERT,
    "mirror+invert": _MIRROR[_INVERT],
}
"""How the 128 values of a descriptor are reordered when its image is mirrored, inverted or both; each undoes itself."""


@dataclass(frozen=True, eq=False)
class Signature:
    """What is kept of one image.

    Attributes:
        descriptors: uint8 [keypoints, 128], RootSIFT times 512 in OpenCV's order: 4 rows, 4 columns, 8 directions.
        keypoints: float32 [keypoints, 4]: x and y in pixels of the thumbnail, size in pixels, angle in degrees.
        thumbnail: uint8 [height, width], longest side 128.
    """

    descriptors: npt.NDArray[np.uint8]
    keypoints: npt.NDArray[np.float32]
    thumbnail: Grey

    def to_bytes(self) -> bytes:
        """Pack for storage, about 20 KB; no pickle."""
        count, (height, width) = len(self.descriptors), self.thumbnail.shape
        parts = (self.descriptors, self.keypoints.astype("<f4"), self.thumbnail)
        body = zlib.compress(b"".join(part.tobytes() for part in parts), 1)
        return _HEADER.pack(_MAGIC, VERSION, count, height, width) + body

    @classmethod
    def from_bytes(cls, packed: bytes) -> "Signature":
        """Unpack what `to_bytes` made.

        Raises:
            ValueError: damaged, or of another version.
        """
        try:
            magic, version, count, height, width = _HEADER.unpack_from(packed)
            body = zlib.decompress(packed[_HEADER.size :])  # its checksum finds damage
        except (struct.error, zlib.error) as error:
            raise ValueError(f"damaged signature: {error}") from error
        if magic != _MAGIC or version != VERSION or len(body) != count * (128 + 16) + height * width:
            raise ValueError("damaged signature, or one of another version")
        thumbnail_at = count * (128 + 16)
        return cls(
            np.frombuffer(body, np.uint8, count * 128).reshape(count, 128),
            np.frombuffer(body, "<f4", count * 4, count * 128).reshape(count, 4),
            np.frombuffer(body, np.uint8, height * width, thumbnail_at).reshape(height, width),
        )


def signature(pixels: Grey) -> Signature:
    """Make the signature of a grey image (uint8 [height, width], any size from 1 x 1).

    RootSIFT after Arandjelović and Zisserman, "Three things everyone should know to improve object retrieval" (CVPR
    2012), on the whole image, with the strongest keypoints of every part of it first. A blank image gets no keypoints.
    Takes about 10 ms of one core. Call ``cv2.setNumThreads(1)`` once in every worker that runs it in parallel.

    Raises:
        ValueError: not a uint8 array of two dimensions, or empty.
    """
    if pixels.dtype != np.uint8 or pixels.ndim != 2 or pixels.size == 0:
        raise ValueError(f"expected uint8 [height, width], got {pixels.dtype} {list(pixels.shape)}")
    grey = np.asarray(cv2.GaussianBlur(_fit(pixels, _SIDE), (0, 0), _BLUR), np.uint8)
    thumbnail = _fit(pixels, _THUMBNAIL)
    # precise_upscale: else keypoints lie a quarter pixel off, half a pixel from their place in a flipped copy
    sift = cv2.SIFT.create(nfeatures=400, contrastThreshold=_CONTRAST, enable_precise_upscale=True)
    found, raw = sift.detectAndCompute(grey, None)
    if raw is None:
        return Signature(np.zeros((0, 128), np.uint8), np.zeros((0, 4), np.float32), thumbnail)
    points = np.array([(*k.pt, k.size, k.angle, k.response) for k in found], np.float32)
    kept = _spread(points, grey.shape[0], grey.shape[1])
    root = np.sqrt(raw[kept] / np.maximum(raw[kept].sum(axis=1, keepdims=True), 1e-9))
    descriptors = np.clip(np.rint(root * _DESCRIPTOR_SCALE), 0, 255).astype(np.uint8)
    return Signature(descriptors, _rescaled(points[kept, :4], grey, thumbnail), thumbnail)


def _fit(pixels: Grey, side: int) -> Grey:
    height, width = pixels.shape
    scale = side / max(height, width)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    return np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR))


def _spread(points: npt.NDArray[np.float32], height: int, width: int) -> npt.NDArray[np.intp]:
    """Choose keypoints: the strongest ten of every cell, then the strongest of the rest."""
    order = np.argsort(-points[:, 4], kind="stable")
    column = np.minimum(points[order, 0] * (_GRID / width), _GRID - 1).astype(int)
    row = np.minimum(points[order, 1] * (_GRID / height), _GRID - 1).astype(int)
    cell, rank = row * _GRID + column, np.zeros(len(order), int)
    for number in np.unique(cell):
        inside = cell == number
        rank[inside] = np.arange(inside.sum())
    return order[np.argsort(rank >= _CELL_KEYPOINTS, kind="stable")][:_KEYPOINTS]


def _rescaled(points: npt.NDArray[Any], grey: Grey, thumbnail: Grey) -> npt.NDArray[np.float32]:
    """Move x and y to the thumbnail's pixels: centres are at +0.5, and the rounded sides differ a little in scale."""
    scale = np.array(thumbnail.shape[::-1], np.float32) / np.array(grey.shape[::-1], np.float32)
    moved = points.astype(np.float32)
    moved[:, :2] = (moved[:, :2] + 0.5) * scale - 0.5
    return moved
