"""The last layer of a job's model, solved before anything is fine-tuned."""

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from fracture.models.backbones import normalises_batches
from fracture.training import execution, probe
from fracture.training.fit import Job
from fracture.training.learner import prepare
from fracture.training.statistics import mix_statistics


@dataclass(frozen=True)
class Solved:
    """A head that was solved, and what it reads.

    Attributes:
        head: the linear layer.
        batch_norm: the statistics that its features were computed with, ``pretrained`` or ``mixed``.
        losses: balanced log-loss in cross-validation, in nats, of each that was tried; empty where there were too few
            groups for it, and the weights' own statistics are kept.
    """

    head: probe.Head
    batch_norm: str
    losses: dict[str, float]

    def described(self) -> dict[str, Any]:
        """As parameters of a run."""
        strengths = ", ".join(f"{strength:g}" for strength in self.head.strengths)
        losses = {f"solved.loss_{name}": round(loss, 4) for name, loss in self.losses.items()}
        return {"solved.batch_norm": self.batch_norm, "solved.strengths": strengths} | losses


def solve_head(job: Job, model: nn.Module, tick: Callable[[], None]) -> Solved:
    """Give the model the head that is best on its frozen features of the training images.

    With ``batch_norm=auto`` that is tried with the weights' own batch statistics and with mixed ones; what is better in
    cross-validation is kept.

    Args:
        job: what is trained.
        model: its model, which is placed on the job's device.
        tick: called after every batch and every regression.
    """
    execution.apply_threads(job.plan)
    model = job.plan.place(model)
    ways = {way: _read(way, job, model, tick) for way in _ways(job, model)}
    heads = {way: _solve(job, read, tick) for way, read in ways.items()}
    losses = {way: head.loss for way, head in heads.items() if head.loss is not None}
    best = min(losses, key=lambda way: losses[way], default=next(iter(heads)))
    model.load_state_dict(ways[best].state_dict())
    probe.start_head(model, heads[best])
    return Solved(heads[best], best, losses)


def _ways(job: Job, model: nn.Module) -> tuple[str, ...]:
    if job.config.batch_norm != "auto":
        return (job.config.batch_norm,)
    return ("pretrained", "mixed") if normalises_batches(model) else ("pretrained",)


def _read(way: str, job: Job, model: nn.Module, tick: Callable[[], None]) -> nn.Module:
    """The model itself, or a copy of it with mixed statistics."""
    if way == "pretrained":
        return model
    mixed = copy.deepcopy(model)
    with job.plan.autocast():
        mix_statistics(mixed, _mixed(job, tick))
    return mixed


def _solve(job: Job, model: nn.Module, tick: Callable[[], None]) -> probe.Head:
    train, data = job.indices("train"), job.dataset
    groups = [data.manifest.rows[i].group or f"alone {i}" for i in train]
    found = probe.features(model, job.plan, job.normalize, data.pixels, train, tick)
    return probe.solve(found, data.labels[train], groups, len(data.classes), max(1, len(job.scales)), tick)


def _mixed(job: Job, tick: Callable[[], None]) -> Iterator[Tensor]:
    """The training images in an order that mixes classes, in batches of two and more."""
    order = np.random.default_rng(job.config.seed).permutation(job.indices("train"))
    for part in np.array_split(order, max(1, -(-len(order) // max(2, job.plan.micro_batch)))):
        if len(part) > 1:
            yield prepare(torch.from_numpy(job.dataset.pixels(part)), job.plan, job.normalize)
            tick()
