"""Judging a model on any data set: the same evidence as at the end of training, as a run of its own."""

import shlex
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from fracture.config import TrainConfig
from fracture.data import cache
from fracture.data.batches import Normalize
from fracture.data.class_names import spelling
from fracture.data.dataset import Dataset, Source, open_images
from fracture.data.manifest import Manifest, write_csv
from fracture.errors import ConfigError, DataError
from fracture.evaluation import predictions
from fracture.evaluation.config import EvaluateConfig
from fracture.evaluation.decide import Answers
from fracture.evaluation.judge import judge, judge_slices
from fracture.evaluation.report.words import summary
from fracture.evaluation.sample import Decisions, thresholds_of
from fracture.evaluation.studies import judge_studies
from fracture.evidence import Calibration, EvaluationResults, OperatingPoint, Referral, SplitResults, metric_title
from fracture.evidence.decisions import IN_TRAINING
from fracture.evidence.healthy import NO_HEALTHY_CLASS, NONE, healthy_names
from fracture.files import expanded, replacing, write_json
from fracture.models.checkpoint import Sidecar
from fracture.progress import Terminal
from fracture.rules import USUAL
from fracture.runs import any_fracture, refit, resume_command
from fracture.runs import target as targets
from fracture.runs.delivery import copy_evidence, tracked_evaluation
from fracture.runs.inputs import log_inputs
from fracture.runs.report import make_report
from fracture.runs.subject import Subject
from fracture.runs.target import Target
from fracture.tables import shown
from fracture.tracking import store
from fracture.tracking.run import TrackedRun
from fracture.training import engine, execution
from fracture.training.conclude import write_probe

Logits = npt.NDArray[np.float32]
_DECIDED = (
    "any_fracture_sensitivity", "any_fracture_specificity", "answered_share", "answered_accuracy", "log_loss",
    "ece_debiased",
)  # fmt: skip


@dataclass(frozen=True)
class Chosen:
    """The images of a data set that are judged.

    Attributes:
        data: as the user names it.
        dataset: decoded.
        indices: int64 [n], the rows that are judged.
        labels: int64 [n], in the order of the model's classes, or of the two of ``binary``.
        split: what they are called: test, val, train or all.
        binary: their classes, where they say fracture or not and the model knows kinds.
    """

    data: str
    dataset: Dataset
    indices: npt.NDArray[np.int64]
    labels: npt.NDArray[np.int64]
    split: str
    binary: any_fracture.Binary | None = None

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
        config: the settings.
        out: folder, made if missing.
        terminal: shows progress and results.

    Raises:
        ConfigError: no such model, or one without a checkpoint.
        DataError: nothing to judge, or classes that the model does not know.
        Interrupted: all is in ``out`` and kept for the store, which does not answer.
    """
    with tempfile.TemporaryDirectory() as folder:
        target = targets.find(name, Path(folder))
        chosen = choose(target.sidecar, data, config, terminal)
        resume = resume_command.command_line({"resume": "{run}"}, store.attached_run_id() is not None)
        short = name.removeprefix("models:/") if name.startswith("models:/") else Path(name).name[:12]
        run = TrackedRun.begin(f"{Path(data).stem or data}: evaluation of {short}", "evaluate", watched=False)
        with tracked_evaluation(run, terminal, resume) as kept:
            results = judge_target(target, chosen, config, out, terminal)
            _log(run, results, config, data, target.trained_by)
            log_inputs(run, chosen.manifest, ["test"])
            copy_evidence(out, kept)
            terminal.results(results)
    if config.refit_decisions:
        _say_refit(results, run.id, target, terminal)
    return results


def _say_refit(results: EvaluationResults, run_id: str, target: Target, terminal: Terminal) -> None:
    """The figures under the decisions before and now, and what to do with the new ones."""
    after = results.splits["test"].metrics
    names = [name for name in _DECIDED if name in after or name in results.before]
    rows = [
        [metric_title(name), *(shown(where[name]) if name in where else "-" for where in (results.before, after))]
        for name in names
    ]
    terminal.table("On these images", ["", "decisions before", "new ones, cross-fitted"], rows)
    terminal.say(
        f"`python -m registry promote {run_id}` checks this model against the gates and registers it."
        if target.trained_by
        else "The run that trained this model is not in the store: it can be served from best.pth, but not promoted."
    )


def choose(sidecar: Sidecar, data: str, config: EvaluateConfig, terminal: Terminal) -> Chosen:
    """Open a data set and pick the images to judge.

    Raises:
        DataError: none of them, or classes that the model does not know.
        ConfigError: new decisions are wanted of labels that do not say which kind a fracture is.
    """
    source = Source(data, config.demo_images, seed=config.data_seed)
    with terminal.working() as working:
        dataset = open_images(source, sidecar.image_size, cache.folder_of(config.cache_dir), working)
    rows = dataset.manifest.rows
    usual = "test" if any(row.split == "test" for row in rows) and not config.refit_decisions else "all"
    split = usual if config.split == "auto" else config.split
    indices = [i for i, row in enumerate(rows) if split in ("all", row.split)]
    if not indices:
        raise DataError(f"data={data}: no image in split {split}", "split=all uses every image.")
    found = {rows[i].label for i in indices}
    unknown, binary = sorted(found - set(sidecar.classes)), any_fracture.binary_labels(sidecar, found)
    if binary and config.refit_decisions:
        raise ConfigError(
            f"refit_decisions=true: the labels of data={data} say fracture or not, not which kind, and new decisions "
            "need images of every class of the model. Evaluate without it, or name the kinds."
        )
    if unknown and not binary:
        raise DataError(
            f"data={data}: classes that the model does not know: {', '.join(unknown)}; it knows "
            f"{', '.join(sidecar.classes)}",
            f"Write a class of the model behind each =, or nothing to leave the images out: fracture prepare "
            f"{'DATA' if data == 'demo' else shlex.quote(data)} --label-map "
            f"{shlex.quote(_label_map(unknown, sidecar))} --out mapped.csv",
        )
    place = {label: i for i, label in enumerate(binary.classes if binary else sidecar.classes)}
    labels = np.array([place[rows[i].label] for i in indices], np.int64)
    return Chosen(data, dataset, np.array(indices, np.int64), labels, split, binary)


def _label_map(unknown: Sequence[str], sidecar: Sidecar) -> str:
    """The model's class behind each that is spelt otherwise, or healthy under another name; NEW behind the others."""
    known = {spelling(name): name for name in sidecar.classes}
    if sidecar.healthy:
        known |= {spelling(name): sidecar.healthy for name in healthy_names(unknown)}
    return ",".join(f"{name}={known.get(spelling(name), 'NEW')}" for name in unknown)


def judge_target(
    target: Target, chosen: Chosen, config: EvaluateConfig, out: Path, terminal: Terminal
) -> EvaluationResults:
    """Ask the model about every image and write results, predictions and report into ``out``."""
    if chosen.binary:
        terminal.say(any_fracture.sentence(target.sidecar, chosen.binary))
        target = any_fracture.joined(target, chosen.binary)
    else:
        terminal.say(f"Healthy class: {target.sidecar.healthy or NONE}, as in the model's training.")
    sidecar, manifest = target.sidecar, chosen.manifest
    plan = _plan(config, sidecar, manifest.synthetic)
    execution.apply_threads(plan)
    model, normalize = plan.place(target.model), Normalize(sidecar.mean, sidecar.std)
    with terminal.working() as working:
        logits = engine.predict(
            model, plan, normalize, chosen.dataset, chosen.indices,
            lambda done, total: working("evaluating", done, total),
        )  # fmt: skip
    latency = engine.latency_ms(model, plan, normalize, chosen.dataset, chosen.indices)
    seen = _seen_in_training(target, manifest, terminal)
    found = _refit(target, chosen, logits, config, seen)
    out.mkdir(parents=True, exist_ok=True)
    if found is not None:
        sidecar = found.sidecar(sidecar)
        refit.write(target, found, out)
        write_probe(out / "probe.npz", model, plan, normalize, chosen.dataset, chosen.indices)
        model = plan.place(model)
    _write_answers(chosen, logits, sidecar, out)
    results = _results(target, chosen, logits, latency, seen, found)
    write_json(out / "results.json", results.model_dump(mode="json"))
    subject = Subject(
        title=f"{sidecar.model} on {manifest.name}: results of an evaluation",
        model=model,
        sidecar=sidecar,
        plan=plan,
        normalize=normalize,
        dataset=chosen.dataset,
        indices=chosen.indices,
        labels=chosen.labels,
        logits=logits,
        results=results,
        facts={"model judged": target.name, "weights": sidecar.weights_sha256},
        reproduce=[_command(target.name, chosen.data, results, config)],
    )
    make_report(subject, out, terminal)
    return results


def _write_answers(chosen: Chosen, logits: Logits, sidecar: Sidecar, out: Path) -> None:
    """Predictions and the manifest of the images that were judged."""
    manifest, everything = chosen.manifest, range(len(chosen.indices))
    predictions.write(out / "predictions_test.csv", manifest, everything, logits, sidecar.temperature, sidecar.rule)
    with replacing(out / "manifest.csv") as part:
        write_csv(manifest, part)


def _seen_in_training(target: Target, manifest: Manifest, terminal: Terminal) -> int | None:
    """How many images the model was trained on or chosen by, said aloud; unknown where its run is not at hand."""
    if target.trained_on is None:
        return None
    seen = sum(row.sha256 in target.trained_on for row in manifest.rows)
    if seen:
        terminal.warn(
            f"{seen} of {len(manifest.rows)} images were used in training or selection: the score is INFLATED."
        )
    return seen


def _refit(
    target: Target, chosen: Chosen, logits: Logits, config: EvaluateConfig, seen: int | None
) -> refit.Refit | None:
    """New decisions, where they are wanted."""
    if not config.refit_decisions:
        return None
    groups, sidecar = [row.group for row in chosen.manifest.rows], target.sidecar
    answers = Answers(logits, chosen.labels, groups, sidecar.classes, sidecar.healthy)
    before = sidecar.decisions.wanted if sidecar.decisions else USUAL
    return refit.refit(answers, config.wanted(before), seen)


def _results(
    target: Target, chosen: Chosen, logits: Logits, latency_ms: float | None, seen: int | None,
    found: refit.Refit | None,
) -> EvaluationResults:  # fmt: skip
    """Everything that follows from the answers, under the decisions taken in training or under new ones."""
    sidecar, manifest = target.sidecar, chosen.manifest
    before = Decisions(
        sidecar.temperature, sidecar.fracture_threshold, sidecar.refer_below or None, sidecar.healthy,
        thresholds_of(sidecar.rule),
    )  # fmt: skip
    groups, columns = [row.group for row in manifest.rows], manifest.columns(range(len(manifest.rows)))
    decisions = found.crossed if found else before
    taken = _taken_here(found) if found else _taken_in_training(sidecar)

    def judged(under: Decisions) -> SplitResults:
        return judge(logits, chosen.labels, groups, sidecar.classes, under)

    return EvaluationResults(
        model=sidecar.model,
        classes=sidecar.classes,
        healthy=sidecar.healthy,
        synthetic=manifest.synthetic or sidecar.synthetic,
        data=manifest.name,
        data_digest=manifest.digest(),
        test_digest=manifest.digest("test"),
        weights_sha256=sidecar.weights_sha256,
        **taken | (any_fracture.NOTES if chosen.binary else {}),
        splits={"test": judged(decisions)},
        slices=judge_slices(columns, logits, chosen.labels, groups, sidecar.classes, decisions),
        studies=judge_studies(manifest.rows, logits, chosen.labels, sidecar.classes, decisions),
        latency_ms=latency_ms,
        checkpoint_mib=target.path.stat().st_size / 2**20,
        evaluated=target.name,
        split=chosen.split,
        seen_in_training=seen,
        joined=chosen.binary.kinds if chosen.binary else (),
        before=judged(before).metrics if found else {},
    )


def _command(name: str, data: str, results: EvaluationResults, config: EvaluateConfig) -> str:
    """What judges the same images under the same decisions."""
    given = config.model_dump(include={"split", "demo_images", "data_seed", "precision"}, exclude_defaults=True)
    if config.refit_decisions and results.decisions is not None:
        wanted = results.decisions.wanted
        given |= {"refit_decisions": "true", "operating": wanted.operating}
        given |= {"refer_error": f"{wanted.refer_error:g}", "set_coverage": f"{wanted.set_coverage:g}"}
    where = data if data == "demo" else str(expanded(data).absolute())
    flags = [f"--{option.replace('_', '-')} {shlex.quote(str(value))}" for option, value in given.items()]
    return " ".join(["fracture evaluate", shlex.quote(name), "--data", shlex.quote(where), *flags])


def _taken_here(found: refit.Refit) -> dict[str, Any]:
    fitted = found.fitted
    return {
        "calibration": fitted.calibration, "operating_point": fitted.operating_point, "referral": fitted.referral,
        "decisions": found.decided,
    }  # fmt: skip


def _taken_in_training(sidecar: Sidecar) -> dict[str, Any]:
    reason, known = "none was chosen" if sidecar.healthy else NO_HEALTHY_CLASS, sidecar.decisions
    note = IN_TRAINING if known else sidecar.decided or "nothing was decided in training"
    return {
        "calibration": Calibration(temperature=sidecar.temperature, note=note),
        "operating_point": OperatingPoint(
            fracture_threshold=sidecar.fracture_threshold, rule=IN_TRAINING,
            note="" if sidecar.fracture_threshold is not None else reason,
        ),
        "referral": Referral(
            refer_below=sidecar.refer_below, wanted_error=known.refer_error if known else None,
            note=IN_TRAINING,
        ),
        "decisions": known,
    }  # fmt: skip


def _plan(config: EvaluateConfig, sidecar: Sidecar, synthetic: bool) -> execution.Plan:
    shared = config.model_dump(include={"device", "threads", "batch_size"})
    precision = "fp32" if config.precision == "auto" else config.precision  # so that every machine, and predict, agree
    return execution.resolve(TrainConfig(**shared, precision=precision), sidecar.image_size, synthetic)


def _log(
    run: TrackedRun, results: EvaluationResults, config: EvaluateConfig, data: str, trained_by: str
) -> None:  # fmt: skip
    run.params({**config.model_dump(), "data": data, "target": results.evaluated, "model": results.model})
    run.tag({
        "fracture.kind": "evaluate", "fracture.evaluated": results.evaluated, "fracture.model": results.model,
        "fracture.healthy": results.healthy or NONE,
        "fracture.data_digest": results.data_digest, "fracture.test_digest": results.test_digest,
        "fracture.weights_sha256": results.weights_sha256, "fracture.synthetic": str(results.synthetic).lower(),
    })  # fmt: skip
    if config.refit_decisions:
        run.tag({"fracture.refit_of": trained_by})
    if results.joined:
        run.tag({"fracture.joined": ", ".join(results.joined)})
    run.judged(results)
    run.describe("\n".join(f"- {line}" for line in summary(results, None)))
