"""Cross-validation: a run a fold under one parent, which holds the mean of every metric and all answers."""

import csv
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from fracture.config import TrainConfig
from fracture.data import cache
from fracture.data.dataset import Source, read, split
from fracture.data.manifest import Manifest, read_csv
from fracture.errors import ConfigError, DataError, FractureError
from fracture.evaluation import predictions
from fracture.evaluation.decide import Answers, Fitted, describe, fit_decisions
from fracture.evaluation.folds import LEAST, summarise
from fracture.evaluation.predictions import Predictions
from fracture.evidence import FoldResults, Results, metric_title, read_kept
from fracture.evidence.healthy import NONE
from fracture.evidence.names import FOLD_ARTIFACTS, FOLD_MEAN_ARTIFACTS
from fracture.files import write_json
from fracture.progress import Terminal
from fracture.rules import Wanted
from fracture.runs import fold_mean, folds_report, group, session
from fracture.runs.ensemble import audited
from fracture.runs.lifetime import say_done
from fracture.tracking import artifacts, query
from fracture.tracking.run import TrackedRun

SUMMARY, ANSWERS, REPORT = FOLD_ARTIFACTS
_OF_FOLD = ("results.json", "predictions_test.csv", "manifest.csv", "audit.json", *fold_mean.NAMES)
_SHOWN = ("balanced_accuracy", "macro_f1", "log_loss", "ece_debiased")


def check(config: TrainConfig) -> None:
    """See, before anything is decoded or trained, that every fold has every class in each of its splits.

    Raises:
        ConfigError: some class has too few groups; the message says how many folds it has enough for.
    """
    problems: list[str] = []
    source = session.source_of(config)
    manifest = read(source, cache.folder_of(config.cache_dir), problems)
    if problems or len(manifest.classes) < 2 or _whole(manifest, source, config.folds):
        return  # other problems are told, all at once, when the data is opened
    label, groups = _scarcest(manifest)
    most = next((n for n in range(min(config.folds - 1, groups), 1, -1) if _whole(manifest, source, n)), 0)
    allowed = f"at most folds={most}" if most else "no number of folds is possible"
    raise ConfigError(
        f"folds={config.folds}: {allowed}: {label} has {groups} group{'s' if groups > 1 else ''}, and a group must "
        "stay in one split. Allowed: fewer folds, or more patients of that class."
    )


def _whole(manifest: Manifest, source: Source, folds: int) -> bool:
    """Whether each of ``folds`` folds has every class in each split."""
    problems: list[str] = []
    for fold in range(folds):
        split(manifest, replace(source, folds=folds, fold=fold), problems)
    return not problems


def _scarcest(manifest: Manifest) -> tuple[str, int]:
    """The class with the fewest groups, and how many; an image without a group is one by itself."""
    groups: dict[str, set[str]] = {label: set() for label in manifest.classes}
    for i, row in enumerate(manifest.rows):
        groups[row.label].add(row.group or f"alone {i}")
    label = min(groups, key=lambda name: len(groups[name]))
    return label, len(groups[label])


def train_folds(config: TrainConfig, terminal: Terminal, resume_command: str) -> None:
    """Train ``config.folds`` runs, each tested on another part of the data, and sum them up on their parent.

    Raises:
        DataError: the data is refused, or has changed since a fold that is done.
        FractureError: some failed; the others are done, and the same command goes on with what is missing.
        Interrupted: a signal stopped it; the same command goes on.
    """

    def finish(parent: TrackedRun) -> None:
        with tempfile.TemporaryDirectory() as folder:
            place = Path(folder)
            found = _gather(parent, config, place)
            parent.evidence(place, only=(SUMMARY, ANSWERS))
            answers = _answers(predictions.read(place / ANSWERS), found.healthy)
            fitted = fit_decisions(answers, config.wanted)
            _make_model(parent, found, answers, fitted, place, terminal)
            folds_report.write(config, found, answers, fitted, place, resume_command)
            parent.evidence(place, only=(REPORT,))
        known = {name: m for name, m in found.metrics.items() if m.value is not None}
        ends = {"": "value", "_low": "low", "_high": "high"}
        values = {f"test_{n}{end}": getattr(m, key) for n, m in known.items() for end, key in ends.items()}
        parent.metrics({name: value for name, value in values.items() if value is not None}, 0)
        _show(found, terminal)
        say_done(parent, terminal, REPORT)

    group.train_members(config, "fold", range(config.folds), terminal, resume_command, finish)


def _gather(parent: TrackedRun, config: TrainConfig, folder: Path) -> FoldResults:
    """The folds' results as one, and their answers as one file, into ``folder``."""
    results, runs, contents = [], [], []
    for fold in range(config.folds):
        run = query.child(parent.id, "fold", str(fold))
        if run is None or run.info.status != "FINISHED":
            raise FractureError(f"fold {fold} has no finished run below {parent.id}; the same command trains it")
        place = folder / str(fold)
        place.mkdir()
        artifacts.fetch(run.info.run_id, _OF_FOLD, place)
        with artifacts.named(place, f"run {run.info.run_id}"):
            contents.append(Counter((row.sha256, row.label) for row in read_csv(place / "manifest.csv").rows))
            predictions.read(place / "predictions_test.csv")  # whole, before its lines are taken
        if contents[-1] != contents[0]:
            raise DataError(
                f"fold {fold} was trained on other images or labels than fold 0: the data has changed between them",
                f"Restore it, or train all folds again: mlflow runs delete --run-id {parent.id}, then the same command",
            )
        results.append(read_kept(Results, place / "results.json", run.info.run_id))
        runs.append(run.info.run_id)
    _join([folder / str(fold) / "predictions_test.csv" for fold in range(config.folds)], folder / ANSWERS)
    first = results[0]
    found = FoldResults(
        model=first.model, classes=first.classes, healthy=first.healthy, data=first.data, synthetic=first.synthetic,
        runs=tuple(runs), metrics=summarise(results), seconds=sum(one.seconds for one in results),
        **_decide(predictions.read(folder / ANSWERS), first.healthy, config.wanted),
    )  # fmt: skip
    write_json(folder / SUMMARY, found.model_dump(mode="json"))
    return found


def _join(files: Sequence[Path], out: Path) -> None:
    """The rows of all folds as one table, by the names of columns: a fold of an earlier version may have others."""
    rows: list[dict[str, str]] = []
    for fold, path in enumerate(files):
        with path.open(newline="", encoding="utf-8") as file:
            rows += [row | {"fold": str(fold)} for row in csv.DictReader(file)]
    names = dict.fromkeys(name for row in rows for name in row if name != "fold")
    with out.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, [*names, "fold"])
        writer.writeheader()
        writer.writerows(rows)


def _make_model(
    parent: TrackedRun, found: FoldResults, answers: Answers, fitted: Fitted, place: Path, terminal: Terminal
) -> None:
    """Leave the mean of the folds' linear probes on their parent, or say why there is none."""
    places = [place / str(fold) for fold in range(len(found.runs))]
    results = [Results.model_validate_json((one / "results.json").read_bytes()) for one in places]
    assert found.decisions is not None
    try:
        made = fold_mean.write(places, results, answers, fitted, found.decisions, place)
    except ConfigError as error:
        terminal.say(f"The folds were not combined into one model: {error}. Each fold's run has its own model.")
        return
    first = query.tags_of(found.runs[0])
    shared = ("fracture.weights", "fracture.weights_license", "mlflow.source.git.commit")
    worst = audited([query.tags_of(run) for run in found.runs])
    parent.tag({name: first[name] for name in shared if name in first} | worst | {
        "fracture.model": made.model, "fracture.healthy": made.healthy or NONE,
        "fracture.data_digest": made.data_digest, "fracture.test_digest": made.test_digest,
        "fracture.weights_sha256": made.weights_sha256, "fracture.synthetic": str(made.synthetic).lower(),
    })  # fmt: skip
    parent.evidence(place, only=FOLD_MEAN_ARTIFACTS)
    terminal.say(
        f"Run {parent.id} has the mean of the {made.folds} heads, one linear head, evaluated by the out-of-fold "
        f"answers to all images: `python -m registry promote {parent.id} --judged out_of_fold`."
    )


def _answers(found: Predictions, healthy: str | None) -> Answers:
    return Answers(found.logits, found.labels, found.groups, found.classes, healthy)


def _decide(found: Predictions, healthy: str | None, wanted: Wanted) -> dict[str, Any]:
    """What the answers of all folds decide, each by a model that had not seen the image."""
    answers = _answers(found, healthy)
    fitted = fit_decisions(answers, wanted)
    return {
        "calibration": fitted.calibration, "operating_point": fitted.operating_point, "referral": fitted.referral,
        "decisions": describe(answers, fitted, "folds", wanted),
    }  # fmt: skip


def _show(found: FoldResults, terminal: Terminal) -> None:
    headline = [name for name in found.metrics if name in _SHOWN or name.endswith("_auroc") or "_vs_" in name]
    rows = []
    for name in headline:
        one = found.metrics[name]
        text = "-" if one.value is None else f"{one.value:.3f}"
        text += "" if one.low is None else f" [{one.low:.3f}, {one.high:.3f}]"
        each = " ".join("-" if value is None else f"{value:.3f}" for value in one.folds)
        rows.append([metric_title(name), text, each, str(one.n)])
    of = "mean and 95% interval of the corrected resampled t-test"
    title = f"{len(found.runs)} folds: {of if len(found.runs) >= LEAST else 'mean; too few folds for an interval'}"
    terminal.table(title, ["test", "mean", "each fold", "n"], rows)
    if found.decisions is not None:
        terminal.decided(found.decisions)
