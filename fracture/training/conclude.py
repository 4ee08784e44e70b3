"""The end of a run: the best weights, read back from disk, judged on validation and, once, on the test split."""

import csv
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from fracture.data.manifest import write_csv
from fracture.evaluation.metrics import confusion, estimate, softmax
from fracture.evidence import Results, SplitResults
from fracture.files import replacing, write_json
from fracture.models import checkpoint
from fracture.training import engine
from fracture.training.execution import Plan
from fracture.training.fit import BEST, Job, Listener
from fracture.training.state import Position
from fracture.training.watch import Watch

PROBE_IMAGES = 8


def conclude(job: Job, position: Position, watch: Watch, listener: Listener) -> Results:
    """Judge the best weights and write all evidence into ``job.folder``.

    Raises:
        Interrupted: a signal asked for it; the same call starts over.
    """
    model, sidecar = checkpoint.load(job.folder / BEST)
    _write_probe(job, model)
    model = job.plan.place(model)
    splits = {split: _judge(job, model, split, position, watch, listener) for split in ("val", "test")}
    manifest = job.dataset.manifest
    results = Results(
        model=job.backbone.name,
        classes=job.dataset.classes,
        synthetic=manifest.synthetic,
        data=manifest.name,
        data_digest=manifest.digest(),
        test_digest=manifest.digest("test"),
        weights_origin=job.weights.origin,
        weights_sha256=sidecar.weights_sha256,
        select_metric=job.config.select_metric,
        best_epoch=sidecar.epoch,
        epochs=position.epoch,
        stopped_early=position.epoch < job.plan.epochs,
        history=tuple(position.history),
        splits=splits,
        seconds=position.seconds,
    )
    write_json(job.folder / "results.json", results.model_dump(mode="json"))
    with replacing(job.folder / "manifest.csv") as part:
        write_csv(manifest, part)
    return results


def _judge(
    job: Job, model: nn.Module, split: str, position: Position, watch: Watch, listener: Listener
) -> SplitResults:
    def tick(done: int, total: int) -> None:
        listener.batch(split, done, total, position)
        watch.beat()

    indices = job.indices(split)
    logits = engine.predict(model, job.plan, job.normalize, job.dataset, indices, tick)
    labels, classes = job.dataset.labels[indices], job.dataset.classes
    rows = [job.dataset.manifest.rows[i] for i in indices]
    groups = [row.group or f"alone {i}" for i, row in enumerate(rows)]
    _write_predictions(job, split, indices, logits)
    counts = np.bincount(labels, minlength=len(classes))
    matrix = confusion(labels, logits.argmax(1), len(classes))
    return SplitResults(
        n=len(indices),
        counts={name: int(count) for name, count in zip(classes, counts, strict=True)},
        metrics=estimate(logits, labels, groups, classes),
        confusion=tuple(tuple(int(value) for value in line) for line in matrix),
    )


def _write_predictions(job: Job, split: str, indices: engine.Indices, logits: npt.NDArray[np.float32]) -> None:
    classes, manifest = job.dataset.classes, job.dataset.manifest
    with (
        replacing(job.folder / f"predictions_{split}.csv") as part,
        Path(part).open("w", newline="", encoding="utf-8") as file,
    ):
        writer = csv.writer(file)
        columns = [f"{kind}_{name}" for kind in ("logit", "probability") for name in classes]
        writer.writerow(["path", "label", "predicted", "group", "source", "sha256", *columns])
        for index, line, shares in zip(indices, logits, softmax(logits), strict=True):
            row = manifest.rows[index]
            facts = [manifest.relative(row), row.label, classes[int(line.argmax())], row.group, row.source, row.sha256]
            writer.writerow([*facts, *(f"{v:.9g}" for v in line), *(f"{v:.6f}" for v in shares)])


def _write_probe(job: Job, model: nn.Module) -> None:
    """A few test images with their logits in fp32 on the CPU, so that a reloaded model can be checked anywhere."""
    first = job.indices("test")[:PROBE_IMAGES]
    plan: Plan = job.plan.model_copy(update={"device": "cpu", "precision": "fp32", "memory_format": "contiguous"})
    logits = engine.predict(model, plan, job.normalize, job.dataset, first)
    with replacing(job.folder / "probe.npz") as part, part.open("wb") as file:
        np.savez(file, images=job.dataset.pixels(first), logits=logits)
    torch.set_num_threads(job.plan.threads)
