"""One epoch: learning from every training image once, and the logits of a split."""

import statistics
import time
from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from fracture.data.batches import Normalize
from fracture.data.dataset import Dataset
from fracture.errors import DivergedError
from fracture.training.execution import Plan
from fracture.training.learner import Learner, prepare
from fracture.training.state import Position

Indices = npt.NDArray[np.int64]
Tick = Callable[[int, int], None]  # batches done, of how many


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


def train_epoch(learner: Learner, dataset: Dataset, batches: list[Indices], position: Position, tick: Tick) -> None:
    """Learn from the batches that ``position`` has not seen yet, and add to its sums.

    Args:
        learner: changed by learning; a linear probe is only looked at in the first epoch.
        dataset: images and labels.
        batches: from `order`.
        position: moved on after each batch, so that an exception of ``tick`` leaves a state to go on from.
        tick: called after each batch.

    Raises:
        DivergedError: the loss is not finite; names the batch's files.
    """
    learns = position.epoch >= learner.has_probe
    start = (position.epoch - learner.has_probe) * len(batches)
    for number in range(position.batch, len(batches)):
        began = time.perf_counter()
        indices = batches[number]
        seed = mix(learner.config.seed, position.epoch, number)
        pixels, labels = torch.from_numpy(dataset.pixels(indices)), torch.from_numpy(dataset.labels[indices])
        loss, correct = learner.step(pixels, labels, seed, start + number) if learns else learner.look(pixels, labels)
        value = float(loss)
        if not np.isfinite(value):
            what = f"the loss ({value}) in epoch {position.epoch + 1}, batch {number + 1},"
            raise DivergedError(not_finite(what, dataset, indices))
        position.batch = number + 1
        position.loss_sum += value * len(indices)
        position.correct += int(correct)
        position.seen += len(indices)
        position.train_seconds += time.perf_counter() - began
        tick(number + 1, len(batches))


def predict(
    model: nn.Module, plan: Plan, normalize: Normalize, dataset: Dataset, indices: Indices, tick: Tick | None = None
) -> npt.NDArray[np.float32]:
    """Logits [len(indices), classes] of a model that lies on the plan's device; it is left in evaluation mode."""
    model.eval()
    parts: list[Tensor] = []
    total = -(-len(indices) // plan.micro_batch)
    for done, part in enumerate(_chunks(indices, plan.micro_batch), start=1):
        with torch.inference_mode(), plan.autocast():
            logits = model(prepare(torch.from_numpy(dataset.pixels(part)), plan, normalize))
        parts.append(logits.float().cpu())
        if tick is not None:
            tick(done, total)
    return torch.cat(parts).numpy()


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
