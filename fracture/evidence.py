"""The evidence of a run: what training leaves on it, and what evaluation, tuning and the registry may rely on.

This is the one place that names artifacts, tags and metrics; docs/evidence.md is written from it.
"""

import sys
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

SCHEMA_VERSION = 1

ARTIFACTS = {
    "best.pth": "the chosen weights: a plain state dict, loads with weights_only=True",
    "best.json": "its sidecar: model, classes, input size, normalisation, digest (fracture.models.checkpoint.Sidecar)",
    "results.json": "metrics with intervals, confusion matrices, history (fracture.evidence.Results)",
    "predictions_val.csv": "path, label, predicted, group, source, sha256, then logit_<class> and probability_<class>",
    "predictions_test.csv": "the same of the test split, which is used once, after training",
    "probe.npz": "images: uint8 [n, size, size], the first test images; logits: float32 [n, classes], fp32, CPU",
    "config.json": "every parameter as given, and the plan that was resolved from it",
    "environment.json": "package versions, hardware, git commit",
    "uncommitted.diff": "the working tree against the commit; only where it was dirty",
    "manifest.csv": "the data: path, label, split, group, source, content hash of every image",
    "audit.json": "what the audit of the data found; absent with audit=off",
    "audit.html": "the same as a page, with the image pairs side by side",
    "train.log": "all that was said, with times; stacks where the run stalled",
}

TAGS = {
    "fracture.kind": "train, group (a parent of several), pointer (a resume made by mlflow run), prepare, audit",
    "fracture.model": "timm's name with its tag",
    "fracture.weights": "hub, file or random",
    "fracture.weights_license": "of the first weights",
    "fracture.weights_sha256": "digest of the chosen weights' names and values, as in best.json",
    "fracture.data_digest": "of contents, labels and splits of all images",
    "fracture.test_digest": "of the test split: runs with different ones cannot be ranked against each other",
    "fracture.synthetic": "true when the images are rendered: the score has no medical meaning",
    "fracture.audit": "clean, confounded, leaking or off",
    "fracture.confounded": "true when what is not anatomy tells classes apart: a high score proves little",
    "fracture.state": "where the full training state lies, until the run succeeds",
    "fracture.reason": "why the run did not finish",
    "fracture.resumed_by": "on a pointer: the run that goes on",
    "fracture.group_key": "on a group: digest of its settings, so that the same command continues it",
}

EPOCH_METRICS = {
    "train_loss": "mean loss over the epoch's augmented batches, with label smoothing and class weights if any",
    "train_accuracy": "accuracy over the same batches, while learning",
    "val_loss": "mean negative log-likelihood on validation, in nats",
    "val_accuracy": "accuracy on validation",
    "val_balanced_accuracy": "mean recall over the classes on validation",
    "val_macro_f1": "mean F1 over the classes on validation",
    "lr": "learning rate of the head at the end of the epoch",
    "epoch_seconds": "training and validation",
    "images_per_second": "training images over the training part of the epoch",
    "peak_memory_gib": "largest so far: reserved on the GPU, or resident in main memory of the process",
}


class Estimate(BaseModel):
    """One metric with its 95 % interval; absent metrics have a reason in place of a value."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    value: float | None = Field(description="the metric on all images; null when it is not defined")
    low: float | None = Field(description="lower end of the 95 % percentile bootstrap interval over groups")
    high: float | None = Field(description="upper end of it")
    n: int = Field(description="images that it was computed from")
    groups: int = Field(description="groups (patients, originals) that were resampled")
    reason: str = Field("", description="why value is null")


class SplitResults(BaseModel):
    """Results on one split."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    n: int = Field(description="images")
    counts: dict[str, int] = Field(description="images per class")
    metrics: dict[str, Estimate] = Field(description="by name, without the split's prefix")
    confusion: tuple[tuple[int, ...], ...] = Field(
        description="rows are true classes, columns predicted, in the order of classes"
    )


class Results(BaseModel):
    """results.json."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_version: Literal[1] = Field(1, description="of this file")
    model: str = Field(description="timm's name with its tag")
    classes: tuple[str, ...] = Field(description="in the order of the logits")
    synthetic: bool = Field(description="rendered images: the scores have no medical meaning")
    data: str = Field(description="name of the data set")
    data_digest: str = Field(description="of all images")
    test_digest: str = Field(description="of the test split")
    weights_origin: str = Field(description="hub, file or random")
    weights_sha256: str = Field(description="of the chosen weights")
    select_metric: str = Field(description="what chose the epoch, on validation")
    best_epoch: int = Field(description="from 1")
    epochs: int = Field(description="epochs trained")
    stopped_early: bool = Field(description="whether early stopping ended it")
    history: tuple[dict[str, float], ...] = Field(description="per-epoch metrics, first epoch first")
    splits: dict[str, SplitResults] = Field(description="val and test; the test split was used once, after training")
    seconds: float = Field(description="training time over all sessions, in seconds")


def page() -> str:
    """docs/evidence.md."""
    parts = [
        "# The evidence of a run",
        "What training leaves on a run, and what evaluation, tuning and the registry may rely on. "
        "Written by `python -m fracture.evidence > docs/evidence.md`; schema version " + f"{SCHEMA_VERSION}.",
        "## Artifacts",
        _table("file", ARTIFACTS),
        "Not kept on the run: the full training state (weights, optimiser, schedule, random generators, position). It "
        "lies in `mlruns/state/<run id>` until the run succeeds.",
        "## Tags",
        _table("tag", TAGS),
        "## Metrics, once an epoch",
        _table("metric", EPOCH_METRICS),
        "At the end come `test_<name>` for every metric of the test split below, `best_<select_metric>` and "
        "`best_epoch`. System metrics (`system/...`) are MLflow's own.",
        "## results.json",
        _fields(Results),
        "### splits.<val, test>",
        _fields(SplitResults),
        "### metrics.<name>",
        "`accuracy`, `balanced_accuracy`, `macro_f1`, `log_loss`; `precision_`, `recall_`, `f1_` with a class's name.",
        _fields(Estimate),
        "## Parameters",
        "Every knob of `fracture train` under its own name, as given; what was resolved: `plan.<name>`.",
    ]
    return "\n\n".join(parts) + "\n"


def _table(kind: str, meanings: dict[str, str]) -> str:
    lines = [f"| {kind} | meaning |", "|---|---|", *(f"| `{name}` | {text} |" for name, text in meanings.items())]
    return "\n".join(lines)


def _fields(model: type[BaseModel]) -> str:
    return _table("field", {name: field.description or "" for name, field in model.model_fields.items()})


if __name__ == "__main__":
    sys.stdout.write(page())
