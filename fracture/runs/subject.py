"""What a report is about: a model, the images it has judged, and its answers."""

import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from fracture.config import as_text, defaults, seeds
from fracture.data.batches import Normalize
from fracture.data.dataset import Dataset
from fracture.evaluation import predictions
from fracture.evaluation.metrics import Floats, Integers, softmax
from fracture.evaluation.sample import Decisions
from fracture.evidence import Judged, Results
from fracture.models import checkpoint
from fracture.models.activation import activation_maps
from fracture.tracking import environment
from fracture.training import fit
from fracture.training.execution import Plan
from fracture.training.job import Job
from fracture.training.learner import prepare


@dataclass(frozen=True)
class Subject:
    """What a report is about.

    Attributes:
        title: of the page.
        model: on the plan's device.
        sidecar: what the file beside it says.
        plan, normalize: how it is called.
        dataset: its images.
        indices: int64 [n], those that were judged.
        labels: int64 [n].
        logits: its answers, [n, classes].
        results: what they show.
        train: some training images, for the augmented samples; empty for none.
        audit: audit.json.
        facts, settings, reproduce: see `Contents`.
    """

    title: str
    model: nn.Module
    sidecar: checkpoint.Sidecar
    plan: Plan
    normalize: Normalize
    dataset: Dataset
    indices: npt.NDArray[np.int64]
    labels: Integers
    logits: Floats
    results: Judged
    train: npt.NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    audit: Mapping[str, Any] | None = None
    facts: Mapping[str, str] = field(default_factory=dict)
    settings: Mapping[str, str] = field(default_factory=dict)
    reproduce: Sequence[str] = ()

    @property
    def decisions(self) -> Decisions:
        """What validation decided."""
        return Decisions.of(self.results)

    @property
    def probabilities(self) -> Floats:
        """Calibrated, [n, classes]."""
        return softmax(self.logits / self.decisions.temperature)

    @property
    def groups(self) -> list[str]:
        """Of each image, itself where none is known."""
        rows = self.dataset.manifest.rows
        return [rows[i].group or f"alone {i}" for i in self.indices]

    @property
    def trained(self) -> dict[str, int]:
        """Training images by class; empty where they are not among the images."""
        labels = self.dataset.labels[self.train]
        return {name: int((labels == k).sum()) for k, name in enumerate(self.dataset.classes)} if len(labels) else {}

    def answers(self, pixels: npt.NDArray[np.uint8]) -> Floats:
        """Logits of grey squares uint8 [n, size, size]."""
        parts = []
        for start in range(0, len(pixels), self.plan.micro_batch):
            part = torch.from_numpy(pixels[start : start + self.plan.micro_batch])
            with torch.inference_mode(), self.plan.autocast():
                parts.append(self.model(prepare(part, self.plan, self.normalize)).float().cpu())
        return np.asarray(torch.cat(parts).numpy())

    def maps(self, rows: Sequence[int], classes: Sequence[int], model: nn.Module | None = None) -> Floats:
        """Activation maps of some of the judged images, [len(rows), size, size]."""
        pixels = self.dataset.pixels(self.indices[list(rows)])
        inputs = prepare(torch.from_numpy(pixels), self.plan, self.normalize)
        return np.asarray(activation_maps(model or self.model, inputs, classes).cpu().numpy())


def subject_of(run_id: str, job: Job, results: Results) -> Subject:
    """What the report is about: the best weights and what they answered to the test split."""
    model, sidecar = checkpoint.load(job.folder / fit.BEST)
    answers = predictions.read(job.folder / "predictions_test.csv")
    trained, untouched, usual = as_text(job.config), defaults(), seeds()
    given = trained | dict.fromkeys(job.plan.recipe, "auto")
    audit = job.folder / "audit.json"
    plan = {f"plan: {name}": _told(value) for name, value in job.plan.model_dump(exclude={"reasons", "recipe"}).items()}
    changed = {name: value for name, value in given.items() if value != untouched[name] and name != "resume"}
    settings = {name: value for name, value in trained.items() if value != usual[name] and name != "resume"}
    flags = " ".join(f"--{name.replace('_', '-')} {shlex.quote(value)}" for name, value in changed.items())
    facts = {"run": run_id, "initial weights": f"{job.weights.description} (licence: {job.weights.license})"}
    facts |= {"initial weights, changed": "; ".join(job.weights.changes)} if job.weights.changes else {}
    reproduce = f"fracture train {flags}".strip()
    if job.continues:
        facts["trains longer"] = f"run {job.continues}"
        reproduce = f"fracture train --resume {job.continues} --epochs {job.plan.epochs}"
    return Subject(
        title=f"{job.backbone.name.split('.')[0]} on {results.data}: results",
        model=job.plan.place(model),
        sidecar=sidecar,
        plan=job.plan,
        normalize=job.normalize,
        dataset=job.dataset,
        indices=job.indices("test"),
        labels=answers.labels,
        logits=answers.logits,
        results=results,
        train=job.indices("train"),
        audit=json.loads(audit.read_text()) if audit.is_file() else None,
        facts=facts | {"commit": environment.git("rev-parse", "HEAD").strip() or "not in git"} | plan,
        settings=settings,
        reproduce=[reproduce],
    )


def _told(value: object) -> str:
    """A value of the plan, as people write it."""
    return {"None": "-", "True": "yes", "False": "no"}.get(str(value), str(value))
