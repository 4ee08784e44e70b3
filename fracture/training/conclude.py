"""The end of a run: the best weights, read back from disk, judged on validation and, once, on the test split."""

import zipfile
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from fracture.data.batches import Normalize
from fracture.data.dataset import Dataset, Indices
from fracture.data.manifest import write_csv
from fracture.errors import ConfigError
from fracture.evaluation import predictions
from fracture.evaluation.decide import Answers, Fitted, describe, fit_decisions
from fracture.evaluation.judge import judge, judge_slices
from fracture.evaluation.studies import judge_studies
from fracture.evidence import Decided, Results, SplitResults, Studies
from fracture.evidence.decisions import Source
from fracture.files import replacing, write_json
from fracture.models import checkpoint
from fracture.training import engine
from fracture.training.execution import Plan
from fracture.training.fit import BEST, validation_answers
from fracture.training.head import read_heads, read_out_of_fold
from fracture.training.job import Job, Listener
from fracture.training.probe import start_head
from fracture.training.state import Position
from fracture.training.watch import Watch

PROBE_IMAGES = 8
BEFORE = "selected.json"  # the sidecar of the best weights, before their head was fitted again


def conclude(job: Job, position: Position, watch: Watch, listener: Listener) -> Results:
    """Judge the best weights and write all evidence into ``job.folder``.

    Temperature, operating point and referral are decided by out-of-fold answers to train and validation where the head
    was fitted and stayed, else by validation; the test split is only judged under them. With ``refit`` such a head then
    learns from validation too: it answers to the test, what was selected to validation. Answers are computed in fp32,
    as the model is served, whatever it has learned in.

    Raises:
        Interrupted: a signal stopped it; the same call starts over.
    """
    model, sidecar = selected(job.folder)
    plan = job.plan.in_fp32()
    known = validation_answers(job.folder, sidecar.weights_sha256) if plan == job.plan else None
    logits = {"val": _answers(job, plan, model, "val", position, watch, listener) if known is None else known}
    fitted, decided = _decide(job, sidecar.epoch, logits["val"])
    learned = _refit(job, model, sidecar)
    model, sidecar = checkpoint.load(job.folder / BEST)
    write_probe(job.folder / "probe.npz", model, job.plan, job.normalize, job.dataset, job.indices("test"))
    sidecar = sidecar.decided_by(fitted.calibration, fitted.operating_point, fitted.referral, decided, fitted.healthy)
    checkpoint.write_sidecar(job.folder / BEST, sidecar)
    logits["test"] = _answers(job, plan, model, "test", position, watch, listener)
    splits = {split: _judge(job, split, logits[split], fitted) for split in logits}
    watch.beat()
    manifest = job.dataset.manifest
    results = Results(
        model=job.backbone.name,
        classes=job.dataset.classes,
        healthy=job.healthy,
        synthetic=manifest.synthetic,
        data=manifest.name,
        data_digest=manifest.digest(),
        test_digest=manifest.digest("test"),
        weights_origin=job.weights.origin,
        weights_sha256=sidecar.weights_sha256,
        select_metric=job.config.select_metric,
        best_epoch=sidecar.epoch,
        refit=learned,
        epochs=position.epoch,
        stopped_early=position.epoch < job.plan.epochs,
        history=tuple(position.history),
        calibration=fitted.calibration,
        operating_point=fitted.operating_point,
        referral=fitted.referral,
        decisions=decided,
        splits=splits,
        slices=_slices(job, logits["test"], fitted),
        studies=_studies(job, logits["test"], fitted),
        latency_ms=engine.latency_ms(model, plan, job.normalize, job.dataset, job.indices("test")),
        checkpoint_mib=(job.folder / BEST).stat().st_size / 2**20,
        seconds=position.seconds,
    )
    write_json(job.folder / "results.json", results.model_dump(mode="json"))
    with replacing(job.folder / "manifest.csv") as part:
        write_csv(manifest, part)
    return results


def selected(folder: Path) -> tuple[nn.Module, checkpoint.Sidecar]:
    """The best weights as validation has judged them, whether or not `conclude` has fitted the head again since.

    Raises:
        ConfigError: as `checkpoint.load`.
    """
    best, before, heads = folder / BEST, folder / BEFORE, read_heads(folder)
    later = best.with_suffix(".json").is_file() and checkpoint.read_sidecar(best).epoch > 1  # it was trained longer
    if heads is None or later or not before.is_file():
        return checkpoint.load(best)
    sidecar = checkpoint.read_sidecar(before.with_suffix(".pth"))
    state = torch.load(best, map_location="cpu", weights_only=True)  # of before or after: one layer differs
    model = checkpoint.rebuild(best, sidecar, state)
    start_head(model, heads.selected)
    return model, sidecar


def _refit(job: Job, model: nn.Module, sidecar: checkpoint.Sidecar) -> int:
    """Give the best weights the head that has learned from validation too; on how many images, 0 where it stays."""
    heads = read_heads(job.folder) if job.config.head == "probe" and sidecar.epoch == 1 else None
    if heads is None or job.config.refit is False or read_out_of_fold(job.folder) is None:
        return 0
    if not (job.folder / BEFORE).exists():
        checkpoint.write_sidecar((job.folder / BEFORE).with_suffix(".pth"), sidecar)
    start_head(model, heads.refit)
    state = model.state_dict()
    again = sidecar.model_copy(update={"weights_sha256": checkpoint.weights_sha256(state)})
    checkpoint.save(job.folder / BEST, state, again)
    return len(job.indices("train")) + len(job.indices("val"))


def _decide(job: Job, best_epoch: int, validation: npt.NDArray[np.float32]) -> tuple[Fitted, Decided]:
    """The decisions about the best weights, and what they rest on."""
    kept = read_out_of_fold(job.folder) if job.config.head == "probe" and best_epoch == 1 else None
    fitted_on: Source = "validation" if kept is None else "out_of_fold"  # from epoch 2 on other weights have answered
    indices, logits = kept or (job.indices("val"), validation)
    rows, wanted = job.dataset.manifest.rows, job.config.wanted
    answers = Answers(
        logits, job.dataset.labels[indices], [rows[i].group for i in indices], job.dataset.classes, job.healthy
    )
    fitted = fit_decisions(answers, wanted)
    if kept is not None:
        predictions.write(
            job.folder / "predictions_out_of_fold.csv", job.dataset.manifest, indices.tolist(), logits,
            fitted.calibration.temperature, fitted.rule(job.dataset.classes),
        )  # fmt: skip
    return fitted, describe(answers, fitted, fitted_on, wanted)


def _answers(
    job: Job, plan: Plan, model: nn.Module, split: str, position: Position, watch: Watch, listener: Listener
) -> npt.NDArray[np.float32]:
    """Logits of a split; the run is known to live, and the display moves on, after every batch."""

    def tick(done: int, total: int) -> None:
        listener.batch(f"best epoch on {split}", done, total, position)
        watch.beat()

    return engine.predict(plan.place(model), plan, job.normalize, job.dataset, job.indices(split), tick)


def _judge(job: Job, split: str, logits: npt.NDArray[np.float32], fitted: Fitted) -> SplitResults:
    indices, classes, manifest = job.indices(split), job.dataset.classes, job.dataset.manifest
    temperature = fitted.calibration.temperature
    path, rule = job.folder / f"predictions_{split}.csv", fitted.rule(classes)
    predictions.write(path, manifest, indices.tolist(), logits, temperature, rule)
    groups = [manifest.rows[i].group for i in indices]
    return judge(logits, job.dataset.labels[indices], groups, classes, fitted.decisions)


def _slices(job: Job, logits: npt.NDArray[np.float32], fitted: Fitted) -> dict[str, dict[str, SplitResults]]:
    indices, manifest = job.indices("test"), job.dataset.manifest
    rows = [manifest.rows[i] for i in indices]
    return judge_slices(
        manifest.columns(indices.tolist()), logits, job.dataset.labels[indices], [row.group for row in rows],
        job.dataset.classes, fitted.decisions,
    )  # fmt: skip


def _studies(job: Job, logits: npt.NDArray[np.float32], fitted: Fitted) -> Studies | None:
    indices, dataset = job.indices("test"), job.dataset
    rows = [dataset.manifest.rows[i] for i in indices]
    return judge_studies(rows, logits, dataset.labels[indices], dataset.classes, fitted.decisions)


def read_probe(path: Path) -> npt.NDArray[np.uint8]:
    """The images that `write_probe` has kept, [n, size, size].

    Raises:
        ConfigError: the file is damaged.
    """
    try:
        with path.open("rb") as file, np.load(file) as kept:  # numpy leaves a damaged file open
            return np.asarray(kept["images"])
    except (OSError, KeyError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise ConfigError(f"{path}: cannot be read as a probe: {type(error).__name__}") from error


def write_probe(
    path: Path, model: nn.Module, plan: Plan, normalize: Normalize, dataset: Dataset, indices: Indices
) -> None:
    """Write a few images with their logits in fp32 on the CPU, so that a reloaded model can be checked anywhere."""
    first = indices[:PROBE_IMAGES]
    plain: Plan = plan.model_copy(update={"device": "cpu", "precision": "fp32", "memory_format": "contiguous"})
    logits = engine.predict(model, plain, normalize, dataset, first)
    with replacing(path) as part, part.open("wb") as file:
        np.savez(file, images=dataset.pixels(first), logits=logits)
    torch.set_num_threads(plan.threads)
