"""One epoch: learning from every training image once, and the logits of a split."""

import statistics
import time
from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from fracture.data.batches import Normalize
from fracture.data.dataset import Dataset, Indices
from fracture.errors import DivergedError
from fracture.training.execution import Plan
from fracture.training.feed import Feed
from fracture.training.learner import Learner, prepare
from fracture.training.state import Position

Tick = Callable[[int, int], None]  # batches done, of how many
_UNREAD = 16  # batches whose loss a GPU keeps; a loss that is not finite is told so many later at most


def mix(*numbers: int) -> int:
    """One well-mixed seed of several numbers, such as (seed, epoch, batch)."""
    return int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0] >> 1)


def order(indices: Indices, batch_size: int, seed: int, epoch: int) -> list[Indices]:
    """The batches of one epoch, in an order that follows from seed and epoch alone.

    A last batch of one image is left out, since batch normalisation cannot learn from one; it is another each epoch.
    """
    shuffled = np.random.default_rng([seed, epoch]).permutation(indices)
    batches = [shuffled[start : start + batch_size] for start in range(0, len(shuffled), batch_size)]
    return batches[:-1] if len(batches) > 1 and len(batches[-1]) == 1 else batches


def train_epoch(learner: Learner, feed: Feed, batches: list[Indices], position: Position, tick: Tick) -> None:
    """Learn from the batches that ``position`` has not seen yet, and add to its sums.

    Args:
        learner: changed by learning; a linear probe is only looked at in the first epoch.
        feed: of the training split.
        batches: from `order`.
        position: moved on after each batch, so that an exception of ``tick`` leaves a state to go on from.
        tick: called after each batch.

    Raises:
        DivergedError: the loss is not finite; names the batch's files.
    """
    learns = position.epoch >= learner.has_probe
    start = (position.epoch - learner.has_probe) * len(batches)
    left, sums = batches[position.batch :], _Sums(feed.dataset, position, learner.plan.device)
    began = time.perf_counter()
    try:
        for number, (pixels, labels) in enumerate(feed.read(left), start=position.batch):
            seed = mix(learner.config.seed, position.epoch, number)
            learned = learner.step(pixels, labels, seed, start + number) if learns else learner.look(pixels, labels)
            position.batch = number + 1
            sums.add(number, batches[number], *learned)
            position.train_seconds += time.perf_counter() - began
            tick(number + 1, len(batches))
            began = time.perf_counter()
    finally:
        began = time.perf_counter()
        sums.read()
        position.train_seconds += time.perf_counter() - began


class _Sums:
    """Loss and correct answers of an epoch, which lie on the device until they are read: to read waits for a GPU."""

    def __init__(self, dataset: Dataset, position: Position, device: str) -> None:
        self._dataset, self._position = dataset, position
        self._most = 1 if device == "cpu" else _UNREAD
        self._unread: list[tuple[int, Indices, Tensor, Tensor]] = []

    def add(self, number: int, indices: Indices, loss: Tensor, correct: Tensor) -> None:
        """Keep what batch ``number`` has come to."""
        self._unread.append((number, indices, loss, correct))
        if len(self._unread) >= self._most:
            self.read()

    def read(self) -> None:
        """Add what is kept to the position, in order.

        Raises:
            DivergedError: a loss is not finite.
        """
        unread, self._unread = self._unread, []
        if not unread:
            return
        losses, corrects = (torch.stack(list(values)).tolist() for values in list(zip(*unread, strict=True))[2:])
        for (number, indices, _, _), loss, correct in zip(unread, losses, corrects, strict=True):
            if not np.isfinite(loss):
                what = f"the loss ({loss}) in epoch {self._position.epoch + 1}, batch {number + 1},"
                raise DivergedError(not_finite(what, self._dataset, indices))
            self._position.loss_sum += loss * len(indices)
            self._position.correct += int(correct)
            self._position.seen += len(indices)


def predict(
    model: nn.Module, plan: Plan, normalize: Normalize, dataset: Dataset, indices: Indices, tick: Tick | None = None
) -> npt.NDArray[np.float32]:
    """Logits [len(indices), classes] of a model that lies on the plan's device; it is left in evaluation mode."""
    model.eval()
    parts: list[Tensor] = []
    size = plan.evaluation_batch or plan.micro_batch
    total = -(-len(indices) // size)
    for done, part in enumerate(_chunks(indices, size), start=1):
        with torch.inference_mode(), plan.autocast():
            logits = model(prepare(torch.from_numpy(dataset.pixels(part)), plan, normalize))
        parts.append(logits.float())  # left on the device: to read them waits for a GPU
        if tick is not None:
            tick(done, total)
    return torch.cat(parts).cpu().numpy()


def latency_ms(
    model: nn.Module, plan: Plan, normalize: Normalize, dataset: Dataset, indices: Indices, rounds: int = 9
) -> float:
    """Median milliseconds of one prepared image through the model alone, after two rounds to warm up."""
    pixels = prepare(torch.from_numpy(dataset.pixels(indices[:1])), plan, normalize)
    seconds = []
    for _ in range(rounds):
        began = time.perf_counter()
        with torch.inference_mode(), plan.autocast():
            model(pixels).float().cpu()  # the copy waits for the GPU
        seconds.append(time.perf_counter() - began)
    return 1000 * statistics.median(seconds[2:])


def _chunks(indices: Indices, size: int) -> Iterator[Indices]:
    for start in range(0, len(indices), size):
        yield indices[start : start + size]


def not_finite(what: str, dataset: Dataset, indices: Indices) -> str:
    """What is to be said when ``what`` is not finite on some images."""
    files = "\n".join(f"- {dataset.manifest.relative(dataset.manifest.rows[i])}" for i in indices)
    advice = "Try a lower lr, clip_norm=1, or precision=fp32; and look at the images."
    return f"{what} is not finite, of these files:\n{files}\n{advice}"
