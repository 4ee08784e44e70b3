"""The task: what every trial of a study trains, on which images, under which limit."""

import hashlib
import json
from dataclasses import dataclass, replace
from pathlib import Path

from fracture.config import TrainConfig, as_text
from fracture.data.dataset import Dataset
from fracture.models.backbones import Backbone
from fracture.models.weights import Weights
from fracture.training.execution import Plan
from fracture.training.memory.card import Card
from fracture.training.memory.spec import StepSpec
from tuning.space import Value

SEEN = ("train", "val")  # the test split is not used: no trial learns from it, chooses by it or opens it
# of the machine, or without effect on what a trial learns and is judged by; a setting that is new belongs here, or
# studies begun before it are no longer found: tests/tuning/test_study.py says so
_NOT_LEARNED = frozenset({
    "data", "weights", "cache_dir", "threads", "stall_seconds", "resume", "audit", "healthy", "deterministic",
    "operating", "refer_error", "refit", "set_coverage", "weights_license", "compile",
})  # fmt: skip


@dataclass(frozen=True)
class Task:
    """What the trials of a study share; it can be sent to another process.

    Attributes:
        config: the settings, with the recipe's choices and nothing left at ``auto`` that changes what is learned.
        plan: of this machine; each trial adds what fits its batch.
        backbone: what is trained.
        weights: what it starts from.
        dataset: the training and the validation split.
        limit_gib: what a trial's process may take.
        cache_dir: where decoded images, dry runs and timings are kept.
    """

    config: TrainConfig
    plan: Plan
    backbone: Backbone
    weights: Weights
    dataset: Dataset
    limit_gib: float
    cache_dir: Path

    @property
    def minimised(self) -> bool:
        """Whether less is better of what chooses."""
        return self.config.select_metric.endswith("loss")

    @property
    def judged_first(self) -> int:
        """Epochs that learn nothing: the first one of a linear probe, which is the same whatever is tried."""
        return int(self.config.head == "probe")

    def digest(self) -> str:
        """Of all that every trial has in common, wherever the files lie."""
        fixed = {name: value for name, value in as_text(self.config).items() if name not in _NOT_LEARNED}
        if self.config.head == "random":
            fixed["batch_norm"] = "pretrained"  # means nothing here, and was the default once
        manifest = self.dataset.manifest
        parts = [fixed, [manifest.digest(name) for name in SEEN], self.weights.sha256() or self.weights.origin]
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]

    def step(self) -> StepSpec:
        """A step of a trial, as the memory's prediction takes it."""
        return StepSpec(
            model=self.backbone.name,
            classes=len(self.dataset.classes),
            image_size=self.plan.image_size,
            scales=self.backbone.scales(self.config.features),
            precision=self.plan.precision,
            optimizer=self.config.optimizer,
            trained=self.config.trained,
            layer_decay=self.config.layer_decay,
            layer_decay_cutoff=self.config.layer_decay_cutoff,
            ema=self.config.ema_decay > 0,
            checkpointing=self.plan.checkpointing,
            device=self.plan.device,
            card=self.plan.card or Card(),
        )

    def with_values(self, values: dict[str, Value]) -> TrainConfig:
        """The configuration of one trial."""
        return self.config.model_copy(update=values)


def with_threads(task: Task, threads: int) -> Task:
    """The task on fewer threads, where several workers share a processor."""
    return replace(task, plan=task.plan.model_copy(update={"threads": threads}))
