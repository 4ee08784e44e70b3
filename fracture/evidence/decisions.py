"""What was decided about a model's answers: temperature, operating point and referral, and what they rest on."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from fracture.evidence.estimate import Estimate
from fracture.rules import REFER_ERROR, SET_COVERAGE, YOUDEN, Wanted

Source = Literal["out_of_fold", "validation", "folds", "local"]
_SOURCES: dict[str, str] = {
    "out_of_fold": "out-of-fold answers to train and validation",
    "validation": "validation",
    "folds": "the test answers of all folds",
    "local": "local images",
}
IN_TRAINING = "decided in training"  # a note: where the thresholds of an evaluation come from
SENSITIVITY, SPECIFICITY = "any_fracture_sensitivity", "any_fracture_specificity"
ANSWERED, ERROR = "answered_share", "answered_error"
SET_COVERAGE_OF = "set_coverage_"  # and the class
_PLAIN = {
    ERROR: "Wrong among the answered",
    ANSWERED: "Answered without a person",
    SENSITIVITY: "Fractures reported",
    SPECIFICITY: "Images without a fracture not reported",
}


class Calibration(BaseModel):
    """The temperature that logits are divided by."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    temperature: float = Field(1.0, description="logits are divided by it before the softmax")
    n: int = Field(0, description="images that it was fitted on; 0 if that was elsewhere")
    log_loss_before: float | None = Field(None, description="log-loss on them without the temperature")
    log_loss_after: float | None = Field(None, description="log-loss on them with the temperature")
    note: str = Field("", description="why it is 1, or a limit of the fit")


class OperatingPoint(BaseModel):
    """From which probability on a fracture is reported."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    fracture_threshold: float | None = Field(
        None,
        description="a fracture is reported from this calibrated probability of any fracture (1 - that of the healthy "
        "class); null: there is none",
    )
    rule: str = Field(description="how it was chosen")
    n: int = Field(0, description="images that it was fitted on; 0 if that was elsewhere")
    note: str = Field("", description="why there is none, and the nearest possible value")


class Referral(BaseModel):
    """Below which probability a person must look."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    refer_below: float | None = Field(
        None,
        description="a person must look below this calibrated probability of the predicted class; null: always, "
        "because no threshold keeps the error; 0: never, because referral is not judged",
    )
    wanted_error: float | None = Field(None, description="error rate allowed among the images that are answered")
    n: int = Field(0, description="images that it was fitted on; 0 if that was elsewhere")
    answered: float | None = Field(None, description="share of these images that is answered")
    error: float | None = Field(
        None,
        description="error rate among those. They were used for fitting; the expected error on new images is in "
        "decisions",
    )
    note: str = Field("", description="why there is none, and the nearest possible value")


class Sets(BaseModel):
    """From which probability on each class remains possible."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    coverage: float = Field(
        SET_COVERAGE, description="share of each class's images that must have it among their possible classes"
    )
    thresholds: dict[str, float] = Field(
        description="by class: it remains possible from this calibrated probability of it; 0: for every image"
    )
    n: dict[str, int] = Field(description="by class: its images that the threshold was fitted on")
    unmet: tuple[str, ...] = Field(
        (), description="classes that remain possible for every image, with the nearest possible coverage"
    )


class Decided(BaseModel):
    """What temperature and thresholds rest on, what was wanted of them, and what is to be expected of them."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    fitted_on: Source = Field(
        description="out_of_fold: answers to train and validation by heads that had not seen the image; validation; "
        "folds: the test answers of all folds; local: labelled images of the place where the model is to be used"
    )
    images: int = Field(description="number of those images")
    groups: int = Field(description="number of their groups (patients, originals)")
    operating: str = Field(YOUDEN, description="the rule that was wanted for the operating point")
    refer_error: float = Field(REFER_ERROR, description="the error that was allowed among the images that are answered")
    expected: dict[str, Estimate] = Field(
        {},
        description=f"{SENSITIVITY}, {SPECIFICITY}, {ANSWERED}, {ERROR} and {SET_COVERAGE_OF}<class> of such "
        "thresholds on images that they were not fitted on, by cross-fitting; the interval is the wider of a "
        "bootstrap over groups and Wilson's",
    )
    unmet: tuple[str, ...] = Field(
        (), description="what was wanted and is not possible, with the nearest possible value"
    )
    sets: Sets | None = Field(
        None, description="thresholds of the classes that remain possible; null: not recorded yet"
    )

    @property
    def wanted(self) -> Wanted:
        """What was wanted."""
        return Wanted(self.operating, self.refer_error, self.sets.coverage if self.sets else SET_COVERAGE)

    @property
    def basis(self) -> str:
        """What they rest on, in words."""
        return f"{_SOURCES[self.fitted_on]} ({self.images:,} images, {self.groups:,} groups)"

    def wanted_of(self, name: str) -> str:
        """What was wanted of one of the expected figures, as ``at most 5.0%``; empty where nothing was."""
        if name == ERROR:
            return f"at most {self.refer_error:.1%}"
        if name.startswith(SET_COVERAGE_OF) and self.sets:
            return f"at least {self.sets.coverage:.1%}"
        kind, _, share = self.operating.partition(":")
        return f"at least {float(share):.1%}" if name == f"any_fracture_{kind}" else ""

    def promises(self) -> list[str]:
        """What was wanted beside what is to be expected, a sentence each."""
        known = {name: found for name, found in self.expected.items() if name in _PLAIN}
        reasons = {found.reason for found in known.values()}
        if len(known) > 1 and len(reasons) == 1 and "" not in reasons and not any(map(self.wanted_of, known)):
            first, *more = (_PLAIN[name] for name in known)
            return [f"{' and '.join([first, *(one[0].lower() + one[1:] for one in more)])}: {reasons.pop()}."]  # once
        return [
            f"{_PLAIN[name]}: {wanted + ' wanted, ' if (wanted := self.wanted_of(name)) else ''}{_expected(found)}."
            for name, found in known.items()
        ]


def _expected(found: Estimate) -> str:
    if found.value is None or found.low is None or found.high is None:
        return found.reason
    doubt = f"; {found.caution}" if found.caution else ""
    return f"{found.value:.1%} ({found.low:.1%} to {found.high:.1%}{doubt}) expected"
