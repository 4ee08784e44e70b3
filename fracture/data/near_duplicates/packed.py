"""Many signatures in one file that processes share: mapped into memory, none of them holds a copy."""

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from fracture.data.near_duplicates.signatures import Signature


class Indexed(Protocol):
    """Signatures by position."""

    def __getitem__(self, index: int, /) -> Signature:
        """Return one of them."""


class PackedSignatures:
    """Signatures of a folder that `pack` wrote; what is read of them are views of the mapped files.

    Args:
        folder: as given to `pack`.
    """

    def __init__(self, folder: Path) -> None:
        self._descriptors = np.load(folder / "descriptors.npy", mmap_mode="r")
        self._keypoints = np.load(folder / "keypoints.npy", mmap_mode="r")
        self._pixels = np.load(folder / "pixels.npy", mmap_mode="r")
        self._table: npt.NDArray[np.int64] = np.load(folder / "table.npy")

    def __getitem__(self, index: int, /) -> Signature:
        (first, start, height, width), (last, end, _, _) = self._table[index : index + 2].tolist()
        picture = self._pixels[start:end].reshape(height, width)
        return Signature(self._descriptors[first:last], self._keypoints[first:last], picture)


def pack(signatures: Sequence[Signature], folder: Path) -> None:
    """Write signatures to files in ``folder``, which exists; about 25 KB an image."""
    keypoints = np.cumsum([0, *(len(s.descriptors) for s in signatures)])
    pixels = np.cumsum([0, *(s.thumbnail.size for s in signatures)])
    shapes = np.array([*(s.thumbnail.shape for s in signatures), (0, 0)], np.int64)
    np.save(folder / "table.npy", np.column_stack([keypoints, pixels, shapes]).astype(np.int64))
    np.save(folder / "descriptors.npy", np.concatenate([s.descriptors for s in signatures]))
    np.save(folder / "keypoints.npy", np.concatenate([s.keypoints for s in signatures]))
    np.save(folder / "pixels.npy", np.concatenate([s.thumbnail.reshape(-1) for s in signatures]))
