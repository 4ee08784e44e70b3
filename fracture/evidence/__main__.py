"""docs/evidence.md, as text: `python -m fracture.evidence > docs/evidence.md`."""

import sys

from pydantic import BaseModel

from fracture.evidence.decisions import Calibration, Decided, OperatingPoint, Referral, Sets
from fracture.evidence.estimate import Estimate
from fracture.evidence.hits import Hits
from fracture.evidence.names import (
    ARTIFACTS,
    CLASS_METRICS,
    EPOCH_METRICS,
    FOLD_ARTIFACTS,
    FOLD_MEAN_ARTIFACTS,
    METRICS,
    TAGS,
)
from fracture.evidence.results import (
    SCHEMA_VERSION,
    Controls,
    EnsembleResults,
    EvaluationResults,
    FoldEstimate,
    FoldMeanResults,
    FoldResults,
    Judged,
    Results,
    SplitResults,
)
from fracture.evidence.studies import Studies


def page() -> str:
    """docs/evidence.md."""
    return "\n\n".join([*_run(), *_results(), *_other_files()]) + "\n"


def _run() -> list[str]:
    """What is on a run, and the metrics that MLflow shows."""
    return [
        "# The evidence of a run",
        "What training leaves on a run, and what evaluation, tuning and the registry may rely on. "
        "Written by `python -m fracture.evidence > docs/evidence.md`; schema version " + f"{SCHEMA_VERSION}.",
        "## Artifacts",
        _table("file", ARTIFACTS),
        "Not kept on the run: the full training state (weights, optimiser, schedule, random generators, position). It "
        "lies in `mlruns/state/<run id>` until the run succeeds.",
        "On the parent of the runs of `folds`, which also has `test_<name>`, `test_<name>_low` and `test_<name>_high`:",
        _table("file", FOLD_ARTIFACTS),
        "Where the folds' heads were fitted and stayed, also what the registry needs of a run, of these heads' mean: "
        + ", ".join(f"`{name}`" for name in FOLD_MEAN_ARTIFACTS)
        + ". Their test, and predictions_test.csv, are the out-of-fold answers to all images.",
        "## Tags",
        _table("tag", TAGS),
        "A study's runs also have `fracture.study`, `fracture.trial`, `fracture.trial_state` and `fracture.best_trial` "
        "([tuning.md](tuning.md)); promotion adds `model_card.md`, `promotion.json` and, where it refuses, the tag "
        "`fracture.refused` ([registry.md](registry.md)).",
        "## Metrics, once an epoch",
        _table("metric", EPOCH_METRICS),
        "On CUDA also `peak_allocated_gib`, what was in tensors at most; memory.json puts both beside the prediction.",
        "At the end come `test_<name>` for every metric of the test split below, `best_val_<name>` of the chosen "
        "epoch, `best_epoch`, `latency_ms`, `checkpoint_mib` and `temperature`. System metrics (`system/...`) are "
        "MLflow's own.",
        "MLflow has sections, `val/macro_f1` for `val_macro_f1`: `train/`, `val/`, `best/`, `test/`, `cost/`. "
        "Runs of earlier versions have the plain names; every command reads both.",
    ]


def _results() -> list[str]:
    """What results.json holds."""
    return [
        "## results.json",
        "Of a training run; that of `fracture evaluate` and of an ensemble has fields of its own in place of the last.",
        _fields(Results),
        "Of an evaluation, beside those that it shares with a run:",
        _own_fields(EvaluationResults),
        "Of an ensemble:",
        _own_fields(EnsembleResults),
        "Of the mean of the heads of all folds, on their parent:",
        _own_fields(FoldMeanResults),
        "### splits.<val, test>",
        _fields(SplitResults),
        "### studies",
        _fields(Studies),
        "### metrics.<name>",
        "Averages and single numbers: "
        + _names(METRICS)
        + ". With a class's name behind: "
        + _names(CLASS_METRICS)
        + ". For two classes of fracture: `<one>_vs_<other>_auroc`, among the images of the two.",
        _table("metric", METRICS | CLASS_METRICS),
        _fields(Estimate),
    ]


def _other_files() -> list[str]:
    """The other JSON files, what several of them share, and parameters."""
    return [
        "## controls.json",
        _fields(Controls),
        "### boxes of controls.json",
        _fields(Hits),
        "### calibration, operating_point, referral, decisions",
        _fields(Calibration),
        _fields(OperatingPoint),
        _fields(Referral),
        _fields(Decided),
        "### sets of decisions",
        _fields(Sets),
        "## folds.json",
        _fields(FoldResults),
        "### metrics.<name> of folds.json",
        _fields(FoldEstimate),
        "## Parameters",
        "Every knob of `fracture train` under its own name, as given; what the recipe chose: `recipe.<name>`; what was "
        "resolved for the machine: `plan.<name>`; what a linear probe came to, in cross-validation: `probe.<name>`.",
    ]


def _names(meanings: dict[str, str]) -> str:
    return ", ".join(f"`{name}`" for name in meanings)


def _table(kind: str, meanings: dict[str, str]) -> str:
    lines = [f"| {kind} | meaning |", "|---|---|", *(f"| `{name}` | {text} |" for name, text in meanings.items())]
    return "\n".join(lines)


def _own_fields(model: type[BaseModel]) -> str:
    shared = Judged.model_fields
    return _table("field", {n: f.description or "" for n, f in model.model_fields.items() if n not in shared})


def _fields(model: type[BaseModel]) -> str:
    return _table("field", {name: field.description or "" for name, field in model.model_fields.items()})


if __name__ == "__main__":
    sys.stdout.write(page())
