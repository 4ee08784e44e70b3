"""The feed: batches of the training split, brought to the device while the one before is learned."""

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from fracture.data.dataset import Dataset, Indices
from fracture.training.execution import Plan

Way = Literal["direct", "ahead", "resident"]
AHEAD = 2  # batches that wait; one is enough as long as reading is faster than learning


class Feed:
    """Where learning takes its batches from.

    Three ways give the same batches: on a processor each is read when it is its turn; for a GPU a thread reads ahead
    into pinned memory, so that the copy needs nobody's time; where the plan has room for all images, they lie on the
    GPU and nothing is copied any more.

    Attributes:
        dataset: images and labels.
        way: how batches come.
    """

    def __init__(self, dataset: Dataset, indices: Indices, plan: Plan, way: Way | None = None) -> None:
        """Feed the images at ``indices``; ``way`` is the plan's unless given."""
        self.dataset, self.way = dataset, way or way_of(plan)
        self._device, self._pins = plan.device, plan.device == "cuda"
        self._resident: tuple[Tensor, Tensor] | None = None
        if self.way == "resident":
            self._place = np.full(len(dataset.manifest.rows), -1, np.int64)
            self._place[indices] = np.arange(len(indices))
            pixels, labels = torch.from_numpy(dataset.pixels(indices)), torch.from_numpy(dataset.labels[indices])
            self._resident = pixels.to(plan.device), labels.to(plan.device)

    def read(self, batches: Sequence[Indices]) -> Iterator[tuple[Tensor, Tensor]]:
        """The pixels, uint8 [n, s, s], and labels, int64 [n], of each batch: on the device, or on their way there."""
        if self.way == "ahead":
            yield from self._ahead(batches)
            return
        for indices in batches:
            yield self._load(indices) if self._resident is None else self._pick(*self._resident, indices)

    def _pick(self, pixels: Tensor, labels: Tensor, indices: Indices) -> tuple[Tensor, Tensor]:
        places = torch.from_numpy(self._place[indices]).to(self._device, non_blocking=True)
        return pixels.index_select(0, places), labels.index_select(0, places)

    def _load(self, indices: Indices) -> tuple[Tensor, Tensor]:
        pixels, labels = torch.from_numpy(self.dataset.pixels(indices)), torch.from_numpy(self.dataset.labels[indices])
        return (pixels.pin_memory(), labels.pin_memory()) if self._pins else (pixels, labels)

    def _ahead(self, batches: Sequence[Indices]) -> Iterator[tuple[Tensor, Tensor]]:
        with ThreadPoolExecutor(1, thread_name_prefix="feed") as pool:
            waiting = deque(pool.submit(self._load, indices) for indices in batches[:AHEAD])
            for indices in batches[AHEAD:]:
                yield waiting.popleft().result()
                waiting.append(pool.submit(self._load, indices))
            while waiting:
                yield waiting.popleft().result()


def way_of(plan: Plan) -> Way:
    """How the batches of a plan come."""
    if plan.device == "cpu":
        return "direct"
    return "resident" if plan.resident_gib else "ahead"
