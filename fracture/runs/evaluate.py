"""Judging a model on any data set: the same evidence as at the end of training, as a run of its own."""

import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from fracture.config import TrainConfig
from fracture.data import cache
from fracture.data.batches import Normalize
from fracture.data.dataset import Dataset, Source, open_images
from fracture.data.manifest import Manifest, write_csv
from fracture.errors import DataError
from fracture.evaluation import predictions
from fracture.evaluation.config import EvaluateConfig
from fracture.evaluation.judge import judge, judge_slices
from fracture.evaluation.sample import Decisions
from fracture.evidence import Calibration, EvaluationResults, OperatingPoint, Referral
from fracture.evidence.healthy import LACK, NONE
from fracture.files import replacing, write_json
from fracture.models.checkpoint import Sidecar
from fracture.progress import Terminal
from fracture.runs import target as targets
from fracture.runs.report import make_report
from fracture.runs.subject import Subject
from fracture.runs.target import Target
from fracture.tracking.run import TrackedRun
from fracture.training import engine, execution

Logits = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Chosen:
    """The images of a data set that are judged.

    Attributes:
        dataset: decoded.
        indices: int64 [n], the rows that are judged.
        labels: int64 [n], in the order of the model's classes.
        split: what they are called: test, val, train or all.
    """

    dataset: Dataset
    indices: npt.NDArray[np.int64]
    labels: npt.NDArray[np.int64]
    split: str

    @property
    def manifest(self) -> Manifest:
        """Only the rows that are judged, as a test split: the same images have the same digest as in training."""
        rows = self.dataset.manifest.rows
        return self.dataset.manifest.with_rows(replace(rows[i], split="test") for i in self.indices)


def evaluate(name: str, data: str, config: EvaluateConfig, out: Path, terminal: Terminal) -> EvaluationResults:
    """Judge a model on a data set, write the evidence into ``out`` and log it as a run.

    Args:
        name: id of a run, ``models:/...``, or path of a ``.pth``.
        data: ``demo``, a folder of classes or a manifest CSV.
        config: the knobs.
        out: folder, made if missing.
        terminal: shows progress and results.

    Raises:
        ConfigError: no such model, or one without a checkpoint.
        DataError: nothing to judge, or classes that the model does not know.
    """
    with tempfile.TemporaryDirectory() as folder:
        target = targets.find(name, Path(folder))
        chosen = choose(target.sidecar, data, config, terminal)
        run = TrackedRun.begin(f"evaluation of {Path(name).name[:12]}", "evaluate", watched=False)
        try:
            results = judge_target(target, chosen, config, out, terminal)
            _log(run, results, config, data, out)
        except BaseException as error:
            run.end("FAILED", str(error))
            raise
        run.end("FINISHED")
    terminal.results(results)
    return results


def choose(sidecar: Sidecar, data: str, config: EvaluateConfig, terminal: Terminal) -> Chosen:
    """Open a data set and pick the images to judge.

    Raises:
        DataError: none of them, or classes that the model does not know.
    """
    source = Source(data, config.demo_images, seed=config.data_seed)
    with terminal.working() as working:
        dataset = open_images(source, sidecar.image_size, cache.folder_of(config.cache_dir), working)
    rows = dataset.manifest.rows
    split = ("test" if any(row.split == "test" for row in rows) else "all") if config.split == "auto" else config.split
    indices = [i for i, row in enumerate(rows) if split in ("all", row.split)]
    if not indices:
        raise DataError(f"data={data}: no image in split {split}", "split=all takes every image.")
    unknown = sorted({rows[i].label for i in indices} - set(sidecar.classes))
    if unknown:
        raise DataError(
            f"data={data}: the model does not know the class {' or '.join(unknown)}, only {', '.join(sidecar.classes)}",
            "Rename or leave out: fracture prepare DATA --label-map OLD=NEW,OTHER= --out mapped.csv",
        )
    place = {label: i for i, label in enumerate(sidecar.classes)}
    labels = np.array([place[rows[i].label] for i in indices], np.int64)
    return Chosen(dataset, np.array(indices, np.int64), labels, split)


def judge_target(
    target: Target, chosen: Chosen, config: EvaluateConfig, out: Path, terminal: Terminal
) -> EvaluationResults:
    """Ask the model about every image and write results, predictions and report into ``out``."""
    sidecar, manifest = target.sidecar, chosen.manifest
    terminal.say(f"Healthy class: {sidecar.healthy or NONE}, as in the model's training.")
    plan = _plan(config, sidecar, manifest.synthetic)
    execution.apply_threads(plan)
    model, normalize = plan.place(target.model), Normalize(sidecar.mean, sidecar.std)
    with terminal.working() as working:
        logits = engine.predict(
            model, plan, normalize, chosen.dataset, chosen.indices,
            lambda done, total: working("evaluating", done, total),
        )  # fmt: skip
    latency = engine.latency_ms(model, plan, normalize, chosen.dataset, chosen.indices)
    _write_answers(chosen, logits, sidecar, out)
    seen = _seen_in_training(target, manifest, terminal)
    results = _results(target, chosen, logits, latency, seen)
    write_json(out / "results.json", results.model_dump(mode="json"))
    subject = Subject(
        title=f"{sidecar.model} on {manifest.name}",
        model=model,
        plan=plan,
        normalize=normalize,
        dataset=chosen.dataset,
        indices=chosen.indices,
        labels=chosen.labels,
        logits=logits,
        results=results,
        facts={"model judged": target.name, "weights": sidecar.weights_sha256},
        reproduce=[f"fracture evaluate {target.name} --data {manifest.root}"],
    )
    make_report(subject, out, terminal)
    return results


def _write_answers(chosen: Chosen, logits: Logits, sidecar: Sidecar, out: Path) -> None:
    """Predictions and the manifest of the images that were judged."""
    manifest, everything = chosen.manifest, range(len(chosen.indices))
    out.mkdir(parents=True, exist_ok=True)
    predictions.write(out / "predictions_test.csv", manifest, everything, sidecar.classes, logits, sidecar.temperature)
    with replacing(out / "manifest.csv") as part:
        write_csv(manifest, part)


def _seen_in_training(target: Target, manifest: Manifest, terminal: Terminal) -> int | None:
    """How many images the model was trained on or chosen by, said aloud; unknown where its run is not at hand."""
    if target.trained_on is None:
        return None
    seen = sum(row.sha256 in target.trained_on for row in manifest.rows)
    if seen:
        terminal.warn(f"{seen} of {len(manifest.rows)} images were trained on or chosen by: the score is INFLATED.")
    return seen


def _results(
    target: Target, chosen: Chosen, logits: Logits, latency_ms: float | None, seen: int | None
) -> EvaluationResults:
    """Everything that follows from the answers, under the decisions that were taken in training."""
    sidecar, manifest = target.sidecar, chosen.manifest
    decisions = Decisions(sidecar.temperature, sidecar.fracture_threshold, sidecar.refer_below, sidecar.healthy)
    groups, columns = [row.group for row in manifest.rows], manifest.columns(range(len(manifest.rows)))
    note = sidecar.decided or "nothing was decided in training"
    return EvaluationResults(
        model=sidecar.model,
        classes=sidecar.classes,
        healthy=sidecar.healthy,
        synthetic=manifest.synthetic or sidecar.synthetic,
        data=manifest.name,
        data_digest=manifest.digest(),
        test_digest=manifest.digest("test"),
        weights_sha256=sidecar.weights_sha256,
        calibration=Calibration(temperature=sidecar.temperature, note=note),
        operating_point=OperatingPoint(
            fracture_threshold=sidecar.fracture_threshold,
            rule="decided in training",
            note="" if sidecar.fracture_threshold is not None else "none was chosen" if sidecar.healthy else LACK,
        ),
        referral=Referral(refer_below=sidecar.refer_below, note="decided in training"),
        splits={"test": judge(logits, chosen.labels, groups, sidecar.classes, decisions)},
        slices=judge_slices(columns, logits, chosen.labels, groups, sidecar.classes, decisions),
        latency_ms=latency_ms,
        checkpoint_mib=target.path.stat().st_size / 2**20,
        evaluated=target.name,
        split=chosen.split,
        seen_in_training=seen,
    )


def _plan(config: EvaluateConfig, sidecar: Sidecar, synthetic: bool) -> execution.Plan:
    shared = config.model_dump(include={"device", "precision", "threads", "batch_size"})
    return execution.resolve(TrainConfig(**shared), sidecar.image_size, synthetic)


def _log(run: TrackedRun, results: EvaluationResults, config: EvaluateConfig, data: str, out: Path) -> None:
    run.params({**config.model_dump(), "data": data, "target": results.evaluated, "model": results.model})
    run.tag({
        "fracture.kind": "evaluate", "fracture.evaluated": results.evaluated, "fracture.model": results.model,
        "fracture.healthy": results.healthy or NONE,
        "fracture.data_digest": results.data_digest, "fracture.test_digest": results.test_digest,
        "fracture.weights_sha256": results.weights_sha256, "fracture.synthetic": str(results.synthetic).lower(),
    })  # fmt: skip
    run.judged(results, step=0)
    run.evidence(out)
