"""Cross-validation: a run a fold under one parent, which holds the mean of every metric and all answers."""

import csv
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

from fracture.config import TrainConfig
from fracture.data.manifest import read_csv
from fracture.errors import DataError, FractureError
from fracture.evaluation import predictions
from fracture.evaluation.decide import Answers, describe, fit_decisions
from fracture.evaluation.folds import summarise
from fracture.evaluation.predictions import Predictions
from fracture.evidence import FoldResults, Results
from fracture.files import write_json
from fracture.progress import Terminal
from fracture.rules import Wanted
from fracture.runs import group
from fracture.tracking import artifacts, query
from fracture.tracking.run import TrackedRun

SUMMARY, ANSWERS = "folds.json", "predictions_out_of_fold.csv"
_SHOWN = ("balanced_accuracy", "macro_f1", "log_loss", "ece_debiased")


def train_folds(config: TrainConfig, terminal: Terminal, again: str) -> None:
    """Train ``config.folds`` runs, each tested on another part of the data, and sum them up on their parent.

    Raises:
        DataError: the data is refused, or has changed since a fold that is done.
        FractureError: some failed; the others are done, and the same command goes on with what is missing.
        Interrupted: a signal asked for it; the same command goes on.
    """

    def finish(parent: TrackedRun) -> None:
        with tempfile.TemporaryDirectory() as folder:
            found = _gather(parent, config, Path(folder))
            parent.evidence(Path(folder), only=(SUMMARY, ANSWERS))
        known = {name: m for name, m in found.metrics.items() if m.value is not None}
        ends = {"": "value", "_low": "low", "_high": "high"}
        parent.metrics({f"test_{n}{end}": getattr(m, key) for n, m in known.items() for end, key in ends.items()}, 0)
        _show(found, terminal)

    group.train_members(config, "fold", range(config.folds), terminal, again, finish)


def _gather(parent: TrackedRun, config: TrainConfig, folder: Path) -> FoldResults:
    """The folds' results as one, and their answers as one file, into ``folder``."""
    results, runs, contents = [], [], []
    with (folder / ANSWERS).open("w", newline="", encoding="utf-8") as out:
        writer = csv.writer(out)
        for fold in range(config.folds):
            run = query.child(parent.id, "fold", str(fold))
            if run is None or run.info.status != "FINISHED":
                raise FractureError(f"fold {fold} has no finished run below {parent.id}; the same command trains it")
            place = folder / str(fold)
            place.mkdir()
            artifacts.fetch(run.info.run_id, ("results.json", "predictions_test.csv", "manifest.csv"), place)
            contents.append(Counter((row.sha256, row.label) for row in read_csv(place / "manifest.csv").rows))
            if contents[-1] != contents[0]:
                raise DataError(
                    f"fold {fold} was trained on other images or labels than fold 0: the data has changed between them",
                    f"Bring it back, or train all: mlflow runs delete --run-id {parent.id}, then the same command",
                )
            results.append(Results.model_validate_json((place / "results.json").read_bytes()))
            runs.append(run.info.run_id)
            with (place / "predictions_test.csv").open(newline="", encoding="utf-8") as file:
                head, *rows = csv.reader(file)
            writer.writerows([[*head, "fold"]] if fold == 0 else [])
            writer.writerows([*row, str(fold)] for row in rows)
    first = results[0]
    found = FoldResults(
        model=first.model, classes=first.classes, healthy=first.healthy, data=first.data, synthetic=first.synthetic,
        runs=tuple(runs), metrics=summarise(results), seconds=sum(one.seconds for one in results),
        **_decide(predictions.read(folder / ANSWERS), first.healthy, Wanted(config.operating, config.refer_error)),
    )  # fmt: skip
    write_json(folder / SUMMARY, found.model_dump(mode="json"))
    return found


def _decide(found: Predictions, healthy: str | None, wanted: Wanted) -> dict[str, Any]:
    """What the answers of all folds decide, each by a model that had not seen the image."""
    answers = Answers(found.logits, found.labels, found.groups, found.classes, healthy)
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
        text = "-" if one.value is None else f"{one.value:.3f} ({one.low:.3f} to {one.high:.3f})"
        each = " ".join("-" if value is None else f"{value:.3f}" for value in one.folds)
        rows.append([name.replace("_", " "), text, each, str(one.n)])
    title = f"{len(found.runs)} folds: mean and 95 % interval of the corrected resampled t-test"
    terminal.table(title, ["test", "mean", "each fold", "n"], rows)
    if found.decisions is not None:
        terminal.decided(found.decisions)
