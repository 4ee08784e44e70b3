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

_CONTENTS = """\
| I want | look at |
|---|---|
| a file of a run | [artifacts](#artifacts) |
| to search runs | [tags](#tags), [parameters](#parameters) |
| a curve | [metrics of each epoch](#metrics-of-each-epoch) |
| a figure of the test with its interval | `splits.test.metrics` of [results.json](#resultsjson) |
| the thresholds | `operating_point` and `referral` of [results.json](#resultsjson) |
| the figures of a cross-validation | [folds.json](#foldsjson) |
| whether the model looks at the bone | [controls.json](#controlsjson) |"""


def page() -> str:
    """docs/evidence.md."""
    return "\n\n".join([*_run(), *_results(), *_other_files()]) + "\n"


def _run() -> list[str]:
    """What is on a run, and the metrics that MLflow shows."""
    return [
        "# The files, tags and metrics of a run",
        "Which file or field holds a result? This page lists all of them, for people who read them with programs. "
        "People who want to read results open `report.html`; what the figures mean is in "
        "[evaluation.md](evaluation.md).",
        "```sh\nmlflow artifacts download --run-id RUN --artifact-path results.json --dst-path .\n```",
        _CONTENTS,
        "This page is written by `python -m fracture.evidence > docs/evidence.md`; schema version "
        f'{SCHEMA_VERSION}. "Probe images" are those of probe.npz, "sidecar" is best.json; the other terms are '
        "explained [here](index.md#words).",
        "## Artifacts",
        _table("file", ARTIFACTS),
        "The full training state (weights, optimiser, schedule, random generators, position) is not an artifact. It is "
        "in `mlruns/state/<run id>` until the run succeeds.",
        "With `folds`, the parent run has these, and the metrics `test_<name>`, `test_<name>_low` and "
        "`test_<name>_high`:",
        _table("file", FOLD_ARTIFACTS),
        "If the folds' models are linear probes that were not fine-tuned, the parent also has a model, the mean of "
        "their heads, and the files that the registry needs: "
        + ", ".join(f"`{name}`" for name in FOLD_MEAN_ARTIFACTS)
        + ". Its test results and predictions_test.csv are the out-of-fold answers to all images.",
        "## Tags",
        _table("tag", TAGS),
        "A study's runs also have `fracture.study`, `fracture.trial`, `fracture.trial_state` and `fracture.best_trial` "
        "([tuning.md](tuning.md)); promotion adds `model_card.md`, `promotion.json` and, where it refuses, the tag "
        "`fracture.refused` ([registry.md](registry.md)).",
        "## Metrics of each epoch",
        _table("metric", EPOCH_METRICS),
        "On CUDA also `peak_allocated_gib`, the most that was in tensors; memory.json has both beside the prediction.",
        "After training: `test_<name>` for every metric of the test split below, `best_val_<name>` of the selected "
        "epoch, `best_epoch`, `latency_ms`, `checkpoint_mib` and `temperature`. System metrics (`system/...`) are "
        "MLflow's own.",
        "In MLflow metrics are in sections: `val/macro_f1` for `val_macro_f1`, and so on (`train/`, `val/`, `best/`, "
        "`test/`, `cost/`). Runs of earlier versions have the plain names; every command reads both.",
    ]


def _results() -> list[str]:
    """What results.json holds."""
    return [
        "## results.json",
        "Of a training run. `fracture evaluate` and ensembles have other fields from `weights_origin` on, listed "
        "below.",
        _fields(Results),
        "Fields of an evaluation only:",
        _own_fields(EvaluationResults),
        "Fields of an ensemble only:",
        _own_fields(EnsembleResults),
        "Fields of the mean of the heads of all folds only, on their parent run:",
        _own_fields(FoldMeanResults),
        "### splits.<val, test>",
        _fields(SplitResults),
        "### studies",
        _fields(Studies),
        "### metrics.<name>",
        "Of all classes together: "
        + _names(METRICS)
        + ". Followed by the name of a class: "
        + _names(CLASS_METRICS)
        + ". For two classes of fracture: `<one>_vs_<other>_auroc`, on the images of these two classes.",
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
        "Every [parameter](parameters.md) of `fracture train` under its own name, as given. What the recipe chose is "
        "`recipe.<name>`, what was chosen for the machine `plan.<name>`, and what cross-validation chose for a linear "
        "probe `probe.<name>`.",
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
