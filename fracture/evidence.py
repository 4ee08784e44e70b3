"""The evidence of a run: what training leaves on it, and what evaluation, tuning and the registry may rely on.

This is the one place that names artifacts, tags and metrics; docs/evidence.md is written from it.
"""

import sys
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

SCHEMA_VERSION = 2

ARTIFACTS = {
    "best.pth": "the chosen weights: a plain state dict, loads with weights_only=True",
    "best.json": "its sidecar: model, classes, input size, normalisation, digest (fracture.models.checkpoint.Sidecar)",
    "results.json": "metrics with intervals, confusion matrices, history (fracture.evidence.Results)",
    "predictions_val.csv": "path, label, predicted, group, source, sha256, logit_<class>, probability_<class>",
    "predictions_test.csv": "the same of the test split, which is used once; probabilities are calibrated",
    "probe.npz": "images: uint8 [n, size, size], the first test images; logits: float32 [n, classes], fp32, CPU",
    "config.json": "every parameter as given, and the plan that was resolved from it",
    "environment.json": "package versions, hardware, git commit",
    "uncommitted.diff": "the working tree against the commit; only where it was dirty",
    "manifest.csv": "the data: path, label, split, group, source, content hash of every image",
    "audit.json": "what the audit of the data found; absent with audit=off",
    "audit.html": "the same as a page, with the image pairs side by side",
    "memory.json": "the memory plan: the choice, the predicted peak, its parts, the measured one; not always there",
    "memory.png": "what the predicted peak is made of, by micro-batch, with the limit",
    "report.html": "all of it for people: one page that needs nothing else",
    "controls.json": "answers without the centre, without the border, to blank images (fracture.evidence.Controls)",
    "figures": "folder of the report's pictures, PNG",
    "train.log": "all that was said, with times; stacks where the run stalled",
}

FOLD_ARTIFACTS = {
    "folds.json": "mean, interval and folds of every metric of the test split (fracture.evidence.FoldResults)",
    "predictions_out_of_fold.csv": "predictions_test.csv of all folds, with the column fold: each image once",
}

TAGS = {
    "fracture.kind": "train, evaluate, ensemble, prepare, audit, group (a parent of several), pointer (a resume)",
    "fracture.model": "timm's name with its tag",
    "fracture.weights": "hub, file or random",
    "fracture.weights_license": "of the first weights",
    "fracture.weights_sha256": "digest of the chosen weights' names and values, as in best.json",
    "fracture.data_digest": "of contents, labels and splits of all images",
    "fracture.test_digest": "of the test split: runs with different ones cannot be ranked against each other",
    "fracture.evaluated": "of an evaluation: the run or file whose model was judged",
    "fracture.members": "of an ensemble: its runs",
    "fracture.synthetic": "true when the images, judged or learned from, are rendered: no medical meaning",
    "fracture.audit": "clean, confounded, leaking or off",
    "fracture.confounded": "true when what is not anatomy tells classes apart: a high score proves little",
    "fracture.memory_corrected": "the plan and the reason, where the prediction was too low and a step was retried",
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

METRICS = {
    "accuracy": "share of images that are right",
    "balanced_accuracy": "mean recall over the classes that occur",
    "macro_f1": "mean F1 over the classes that occur or are predicted",
    "mcc": "Matthews correlation coefficient, for several classes (Gorodkin 2004)",
    "cohen_kappa": "agreement beyond chance",
    "log_loss": "mean negative log-likelihood, in nats, with the temperature",
    "brier": "squared error of the probabilities summed over the classes, 0 to 2",
    "ece": "expected calibration error of the predicted class, 15 bins of equal width",
    "ece_debiased": "the same less what a perfectly calibrated model would show on as many images",
    "any_fracture_sensitivity": "share of fractures reported at the operating point",
    "any_fracture_specificity": "share of images without a fracture that are not reported",
    "any_fracture_auroc": "area under the ROC curve of the probability of any fracture",
    "answered_share": "share of images that are not referred to a person",
    "answered_accuracy": "accuracy among them",
}
CLASS_METRICS = {
    "precision_": "share of images predicted to be of the class that are",
    "recall_": "share of images of the class that are found (sensitivity)",
    "specificity_": "share of other images that are not taken for it",
    "f1_": "harmonic mean of precision and recall",
    "auroc_": "area under the ROC curve, the class against the rest",
    "average_precision_": "precision averaged over recall, the class against the rest",
}
SINGLE_METRICS = {
    "latency_ms": "median time of one image through the model alone",
    "checkpoint_mib": "size of best.pth",
    "temperature": "fitted on validation",
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
    caution: str = Field("", description="why the interval is not to be taken at its word, as with very few groups")


class Bin(BaseModel):
    """One bin of a reliability diagram."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    low: float = Field(description="lower end of the probability of the predicted class")
    high: float = Field(description="upper end of it")
    n: int = Field(description="images")
    confidence: float = Field(description="mean probability of the predicted class")
    accuracy: float = Field(description="share that is right")


class Calibration(BaseModel):
    """The temperature, fitted on validation."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    temperature: float = Field(1.0, description="logits are divided by it before the softmax")
    n: int = Field(0, description="images of validation, 0 where it was decided elsewhere")
    log_loss_before: float | None = Field(None, description="on validation, as the model answers")
    log_loss_after: float | None = Field(None, description="on validation, with the temperature")
    note: str = Field("", description="why it is 1, or what it rests on")


class OperatingPoint(BaseModel):
    """From which probability on a fracture is reported, chosen on validation."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    fracture_threshold: float | None = Field(
        None, description="on the calibrated probability of any fracture, 1 - that of no_fracture; null without one"
    )
    rule: str = Field(description="how it was chosen")
    n: int = Field(0, description="images of validation, 0 where it was decided elsewhere")
    note: str = Field("", description="why there is none")


class Referral(BaseModel):
    """Below which probability a person is asked, chosen on validation."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    refer_below: float | None = Field(
        None, description="calibrated probability of the predicted class; null: no threshold keeps the error, refer all"
    )
    wanted_error: float | None = Field(None, description="error rate wanted among the images that are answered")
    n: int = Field(0, description="images of validation, 0 where it was decided elsewhere")
    answered: float | None = Field(None, description="share of validation that is answered")
    error: float | None = Field(None, description="error rate among it; on validation, so optimistic")
    note: str = Field("", description="why there is none")


class SplitResults(BaseModel):
    """Results on one split."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    n: int = Field(description="images")
    counts: dict[str, int] = Field(description="images per class")
    metrics: dict[str, Estimate] = Field(description="by name, without the split's prefix")
    confusion: tuple[tuple[int, ...], ...] = Field(
        description="rows are true classes, columns predicted, in the order of classes"
    )
    reliability_before: tuple[Bin, ...] = Field((), description="reliability diagram of the model's own probabilities")
    reliability: tuple[Bin, ...] = Field((), description="the same with the temperature")


class FoldEstimate(BaseModel):
    """One metric over the folds of a cross-validation."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    value: float | None = Field(description="mean over the folds; null when one cannot tell it")
    low: float | None = Field(description="lower end of the 95 % interval of the corrected resampled t-test")
    high: float | None = Field(description="upper end of it; not cut off at the metric's own range")
    n: int = Field(description="images tested, over all folds")
    folds: tuple[float | None, ...] = Field(description="its value in each fold")


class FoldResults(BaseModel):
    """folds.json: what the folds of one cross-validation say together."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: str = Field(description="timm's name with its tag")
    classes: tuple[str, ...] = Field(description="in the order of the model's outputs")
    data: str = Field(description="name of the data")
    synthetic: bool = Field(description="true when the images are rendered")
    runs: tuple[str, ...] = Field(description="ids of the folds' runs, in order")
    metrics: dict[str, FoldEstimate] = Field(description="by name, without the split's prefix")
    seconds: float = Field(description="training, all folds")


class Controls(BaseModel):
    """controls.json: whether the model looks at the bone. Accuracies are of ``n`` images of the test split."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    n: int = Field(description="images of the test split that were tried")
    whole: dict[str, Estimate] = Field(description="accuracy and balanced_accuracy on them as they are")
    centre_hidden: dict[str, Estimate] = Field(
        description="the same with the inner 60 % of each side black: near chance, if the model looks at the bone"
    )
    border_hidden: dict[str, Estimate] = Field(description="the same with all but that centre black")
    centre_hidden_probability: dict[str, float] = Field(description="mean probability of each class without the centre")
    blank_probability: dict[str, float] = Field(description="mean probability of each class on evenly grey images")
    border_share: float | None = Field(
        description="share of the maps' weight outside the centre; 0.64 if they were flat"
    )
    random_weights_correlation: float | None = Field(
        description="mean rank correlation with the maps of random weights (Adebayo et al. 2018): near 0 is right"
    )
    maps: int = Field(description="activation maps that the last two are from")


class Judged(BaseModel):
    """What every results.json holds, whatever was judged: a training run, a model on other data, an ensemble."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_version: Literal[2] = Field(2, description="of this file")
    model: str = Field(description="timm's name with its tag")
    classes: tuple[str, ...] = Field(description="in the order of the logits")
    synthetic: bool = Field(description="rendered images, judged or learned from: no medical meaning")
    data: str = Field(description="name of the data set")
    data_digest: str = Field(description="of all images")
    test_digest: str = Field(description="of the test split")
    weights_sha256: str = Field(description="of the chosen weights")
    calibration: Calibration = Field(description="the temperature that all probabilities here are made with")
    operating_point: OperatingPoint = Field(description="from when on a fracture is reported")
    referral: Referral = Field(description="when a person is asked")
    splits: dict[str, SplitResults] = Field(description="by name; the test split was used once, after training")
    slices: dict[str, dict[str, SplitResults]] = Field(
        {},
        description="of the test split, by column of the manifest and value of five images or more, where there are 2 "
        "to 20 values",
    )
    latency_ms: float | None = Field(
        None, description="median time of one image through the model alone, on the plan's device, in milliseconds"
    )
    checkpoint_mib: float | None = Field(None, description="size of the weights' file")


class Results(Judged):
    """results.json of a training run."""

    weights_origin: str = Field(description="hub, file or random")
    select_metric: str = Field(description="what chose the epoch, on validation")
    best_epoch: int = Field(description="from 1")
    epochs: int = Field(description="epochs trained")
    stopped_early: bool = Field(description="whether early stopping ended it")
    history: tuple[dict[str, float], ...] = Field(description="per-epoch metrics, first epoch first")
    seconds: float = Field(description="training time over all sessions, in seconds")


class EvaluationResults(Judged):
    """results.json of `fracture evaluate`."""

    evaluated: str = Field(description="the run, registered model or file whose model was judged")
    split: str = Field(description="which images: test, val, train or all; the results are under splits.test")
    seen_in_training: int | None = Field(
        None, description="images that it was trained on or chosen by; null where nobody knows"
    )


class EnsembleResults(Judged):
    """results.json of `fracture ensemble`."""

    members: dict[str, float] = Field(description="weight of each run's probabilities, fitted on validation")


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
        "On the parent of the runs of `folds`, which also has `test_<name>`, `test_<name>_low` and `test_<name>_high`:",
        _table("file", FOLD_ARTIFACTS),
        "## Tags",
        _table("tag", TAGS),
        "## Metrics, once an epoch",
        _table("metric", EPOCH_METRICS),
        "On CUDA also `peak_allocated_gib`, what was in tensors at most; memory.json puts both beside the prediction.",
        "At the end come `test_<name>` for every metric of the test split below, `best_val_<name>` of the chosen "
        "epoch, `best_epoch`, `latency_ms`, `checkpoint_mib` and `temperature`. System metrics (`system/...`) are "
        "MLflow's own.",
        "## results.json",
        "Of a training run; that of `fracture evaluate` and of an ensemble has fields of its own in place of the last.",
        _fields(Results),
        "Of an evaluation, beside those that it shares with a run:",
        _own_fields(EvaluationResults),
        "Of an ensemble:",
        _own_fields(EnsembleResults),
        "### splits.<val, test>",
        _fields(SplitResults),
        "### metrics.<name>",
        "Averages and single numbers: "
        + _names(METRICS)
        + ". With a class's name behind: "
        + _names(CLASS_METRICS)
        + ". For two classes of fracture: `<one>_vs_<other>_auroc`, among the images of the two.",
        _table("metric", METRICS | CLASS_METRICS),
        _fields(Estimate),
        "## controls.json",
        _fields(Controls),
        "### calibration, operating_point, referral",
        _fields(Calibration),
        _fields(OperatingPoint),
        _fields(Referral),
        "## folds.json",
        _fields(FoldResults),
        "### metrics.<name> of folds.json",
        _fields(FoldEstimate),
        "## Parameters",
        "Every knob of `fracture train` under its own name, as given; what the recipe chose: `recipe.<name>`; what was "
        "resolved for the machine: `plan.<name>`; what a solved head came to, in cross-validation: `solved.<name>`.",
    ]
    return "\n\n".join(parts) + "\n"


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
