"""What one run trains, with everything resolved, and who is told how it goes on."""

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import torch

from fracture.config import TrainConfig
from fracture.data.batches import Normalize
from fracture.data.dataset import Dataset, Indices
from fracture.models import backbones
from fracture.models.weights import Weights
from fracture.models.weights import read as read_weights
from fracture.training.execution import Plan
from fracture.training.state import Position


@dataclass(frozen=True)
class Job:
    """What one run trains, with everything resolved.

    Attributes:
        config: the settings as given.
        plan: what was chosen for this machine.
        backbone: what is trained.
        weights: what it starts from.
        dataset: on what.
        folder: where its state and its best weights lie while it runs.
        healthy: the class without a fracture, None where none is known.
        continues: id of the run that this one trains longer, empty for none.
    """

    config: TrainConfig
    plan: Plan
    backbone: backbones.Backbone
    weights: Weights
    dataset: Dataset
    folder: Path
    healthy: str | None = None
    continues: str = ""

    @property
    def healthy_at(self) -> int | None:
        """Position of the healthy class."""
        return None if self.healthy is None else self.dataset.classes.index(self.healthy)

    @property
    def normalize(self) -> Normalize:
        """The backbone's normalisation."""
        return Normalize(self.backbone.mean, self.backbone.std)

    @property
    def scales(self) -> tuple[float, ...]:
        """Those that its head reads; see `backbones.build`."""
        return self.backbone.scales(self.config.features)

    @property
    def learns(self) -> bool:
        """Whether any epoch changes the weights: the first one of a linear probe does not."""
        return self.config.head == "random" or self.plan.epochs > 1

    def indices(self, split: str) -> Indices:
        """Positions of the images of one split."""
        return np.array(self.dataset.manifest.indices(split), np.int64)


class Listener(Protocol):
    """Is told how a run goes on."""

    def started(self, job: Job, batches: int, position: Position) -> None:
        """Training begins, or goes on, at ``position``, with ``batches`` an epoch."""

    def batch(self, phase: str, done: int, total: int, position: Position) -> None:
        """A batch of ``phase`` (train, val, test) is done."""

    def corrected(self, job: Job, reason: str) -> None:
        """A step did not fit after all; it is tried again, and the run goes on, under ``job``'s plan."""

    def epoch(self, number: int, metrics: dict[str, float], best: bool) -> None:
        """Epoch ``number``, from 1, is done; ``best`` when no earlier one was as good."""


def build_model(job: Job) -> torch.nn.Module:
    """The backbone with its initial weights and a new head; the same for the same seed.

    Raises:
        ConfigError: the weights cannot be read or are another model's.
    """
    torch.manual_seed(job.config.seed)
    return backbones.build(
        job.backbone,
        len(job.dataset.classes),
        size=job.plan.image_size,
        scales=job.scales,
        drop_path=job.config.drop_path,
        weights=read_weights(job.weights),
        checkpointing=job.plan.checkpointing,
    )
