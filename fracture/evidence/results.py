"""What the JSON files among a run's artifacts hold."""

from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, model_validator

from fracture.errors import ConfigError
from fracture.evidence.decisions import Calibration, Decided, OperatingPoint, Referral
from fracture.evidence.estimate import Estimate
from fracture.evidence.healthy import completed
from fracture.evidence.hits import Hits
from fracture.evidence.studies import Studies
from fracture.evidence.verdict import Rule

SCHEMA_VERSION = 2
M = TypeVar("M", bound=BaseModel)


class Bin(BaseModel):
    """One bin of a reliability diagram."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    low: float = Field(description="lower end of the probability of the predicted class")
    high: float = Field(description="upper end of it")
    n: int = Field(description="images")
    confidence: float = Field(description="mean probability of the predicted class")
    accuracy: float = Field(description="share that is right")


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

    value: float | None = Field(description="mean over the folds; null if a fold has no value")
    low: float | None = Field(
        description="lower end of the 95% interval of the corrected resampled t-test; null for two folds, "
        "and if it would contain all that the metric can be"
    )
    high: float | None = Field(description="upper end of it; both are cut off at what the metric can be")
    n: int = Field(description="images tested, over all folds")
    folds: tuple[float | None, ...] = Field(description="its value in each fold")


class FoldResults(BaseModel):
    """folds.json: what the folds of one cross-validation say together."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: str = Field(description="timm's name with its tag")
    classes: tuple[str, ...] = Field(description="in the order of the model's outputs")
    healthy: str | None = Field(None, description="the class without a fracture, in all folds; null: not known")
    data: str = Field(description="name of the data")
    synthetic: bool = Field(description="true when the images are rendered")
    runs: tuple[str, ...] = Field(description="ids of the folds' runs, in order")
    metrics: dict[str, FoldEstimate] = Field(description="by name, without the split's prefix")
    calibration: Calibration | None = Field(None, description="the temperature, fitted on the answers of all folds")
    operating_point: OperatingPoint | None = Field(None, description="fitted on the same answers")
    referral: Referral | None = Field(None, description="fitted on the same answers")
    decisions: Decided | None = Field(
        None,
        description="what the three were fitted on, for a model trained as the folds were; each fold's run has its own",
    )
    seconds: float = Field(description="training time of all folds, in seconds")

    @model_validator(mode="before")
    @classmethod
    def _from_before(cls, values: Any) -> Any:
        return completed(values)


class Controls(BaseModel):
    """controls.json: whether the model looks at the bone. Accuracies are of ``n`` images of the test split."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    n: int = Field(description="images of the test split that were tried")
    whole: dict[str, Estimate] = Field(description="accuracy and balanced_accuracy on the unchanged images")
    centre_hidden: dict[str, Estimate] = Field(
        description="the same with the inner 60% of each side black: near chance if the model looks at the bone"
    )
    border_hidden: dict[str, Estimate] = Field(description="the same with everything except that centre black")
    centre_hidden_probability: dict[str, float] = Field(
        description="mean probability of each class with the centre hidden"
    )
    blank_probability: dict[str, float] = Field(description="mean probability of each class on evenly grey images")
    border_share: float | None = Field(description="share of the maps' weight outside the centre; a flat map has 0.64")
    random_weights_correlation: float | None = Field(
        description="mean rank correlation with the maps of random weights (Adebayo et al. 2018): near 0 is good"
    )
    maps: int = Field(description="number of activation maps behind the last two figures")
    boxes: Hits | None = Field(
        None, description="whether maps hit the boxes around fractures in the manifest; null: it has no boxes"
    )


class Judged(BaseModel):
    """What every results.json holds, whatever was judged: a training run, a model on other data, an ensemble."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_version: Literal[2] = Field(2, description="of this file")
    model: str = Field(description="timm's name with its tag")
    classes: tuple[str, ...] = Field(description="in the order of the logits")
    healthy: str | None = Field(
        None, description="the class without a fracture; every other class counts as a fracture; null: not known"
    )
    synthetic: bool = Field(description="whether images of training or test are rendered: no medical meaning")
    data: str = Field(description="name of the data set")
    data_digest: str = Field(description="digest of all images")
    test_digest: str = Field(description="digest of the test split")
    weights_sha256: str = Field(description="digest of the chosen weights")
    calibration: Calibration = Field(description="the temperature behind all probabilities in this file")
    operating_point: OperatingPoint = Field(description="from which probability a fracture is reported")
    referral: Referral = Field(description="below which probability a person must look")
    decisions: Decided | None = Field(
        None, description="what the three were fitted on; null if that was elsewhere, or not recorded yet"
    )
    splits: dict[str, SplitResults] = Field(description="by name; the test split was used once, after training")
    slices: dict[str, dict[str, SplitResults]] = Field(
        {},
        description="results of parts of the test split: by column of the manifest, then by value of five images or "
        "more; columns with 2 to 20 such values",
    )
    studies: Studies | None = Field(
        None, description="the test split with one answer a study; null if each image is a study, or not recorded yet"
    )
    latency_ms: float | None = Field(
        None, description="median time of one image through the model alone, on the device of the run, in milliseconds"
    )
    checkpoint_mib: float | None = Field(None, description="size of the weights' file")

    @property
    def rule(self) -> Rule:
        """What one image is decided by."""
        sets = self.decisions.sets if self.decisions else None
        return Rule(
            self.classes, self.healthy, self.operating_point.fracture_threshold, self.referral.refer_below, sets
        )  # fmt: skip

    @model_validator(mode="before")
    @classmethod
    def _from_before(cls, values: Any) -> Any:
        return completed(values)


class Results(Judged):
    """results.json of a training run."""

    weights_origin: str = Field(description="where the initial weights are from: hub, package, file or random")
    select_metric: str = Field(description="the validation metric that selected the epoch")
    best_epoch: int = Field(description="the selected epoch, counted from 1")
    refit: int = Field(
        0,
        description="training and validation images that the linear probe was fitted on again after selection; 0: it "
        "was not. splits.val is of the model before that",
    )
    epochs: int = Field(description="epochs trained")
    stopped_early: bool = Field(description="whether early stopping ended it")
    history: tuple[dict[str, float], ...] = Field(description="metrics of each epoch, the first epoch first")
    seconds: float = Field(description="training time over all sessions, in seconds")


class EvaluationResults(Judged):
    """results.json of `fracture evaluate`."""

    evaluated: str = Field(description="the run, registered model or file that was evaluated")
    split: str = Field(description="which images: test, val, train or all; the results are under splits.test")
    seen_in_training: int | None = Field(
        None, description="images that the model was trained on or selected with; null if unknown"
    )
    joined: tuple[str, ...] = Field(
        (),
        description="the model's classes that count as the one fracture class, where the labels say fracture or not; "
        "empty: the labels are the model's classes",
    )
    before: dict[str, Estimate] = Field(
        {}, description="with refit_decisions: the metrics of these images with the model's old thresholds"
    )


class EnsembleResults(Judged):
    """results.json of `fracture ensemble`."""

    members: dict[str, float] = Field(description="weight of each run's probabilities, fitted on validation")
    weights_origin: str = Field(
        "", description="where the members' initial weights are from: hub, package, file or random"
    )
    select_metric: str = Field("", description="the validation metrics that selected the members' epochs")
    difference: float | None = Field(
        None,
        description="largest difference of a probability, on the images of probe.npz, between the network of the "
        "ensemble and the members' kept answers, which are evaluated here",
    )


class FoldMeanResults(Judged):
    """results.json of the parent of a run with folds whose heads are one linear head together.

    splits.test is of all images, each answered by the head of a fold that had not learned from it.
    """

    folds: int = Field(description="number of folds whose heads are averaged")
    weights_origin: str = Field(description="where the initial weights are from: hub, package, file or random")
    select_metric: str = Field(description="the validation metric that selected the epoch of every fold")
    difference: float = Field(
        description="largest difference of a probability, on the images of probe.npz, from the mean of the folds' "
        "answers"
    )


class OutOfFold(Judged):
    """What report.html of the parent of folds shows where the folds' networks are no model together; not kept.

    splits.test is of all images, each answered by the model of a fold that had not learned from it.
    """

    folds: int = Field(description="number of folds whose answers these are")


AnyResults = Results | EvaluationResults | EnsembleResults | FoldMeanResults
_ANY: TypeAdapter[AnyResults] = TypeAdapter(AnyResults)


def read_kept(kind: type[M], path: Path, run_id: str) -> M:
    """A file of a run that was brought to ``path``, as what it is.

    Raises:
        ConfigError: it is not there, was damaged or is of another version of this project.
    """
    try:
        return kind.model_validate_json(path.read_bytes())
    except FileNotFoundError as error:
        raise ConfigError(f"run {run_id}: has no {path.name}; restore it, or name another run") from error
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"run {run_id}: its {path.name} is damaged, or was written by another version of this project; restore "
            "it, or name another run"
        ) from error


def read_results(data: bytes) -> AnyResults:
    """What a results.json holds, whatever was judged.

    Raises:
        ValueError: damaged, or of another version of this project.
    """
    return _ANY.validate_json(data)
