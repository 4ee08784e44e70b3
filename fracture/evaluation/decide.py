"""From logits to decisions: temperature, operating point and referral, and what is to be expected of them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fracture.data.split import assign
from fracture.evaluation import calibration, operating
from fracture.evaluation.intervals import share
from fracture.evaluation.metrics import Floats, Integers, softmax
from fracture.evaluation.sample import Decisions, Sample
from fracture.evaluation.sets import fit_sets, members
from fracture.evidence import Calibration, Decided, Estimate, OperatingPoint, Referral, Sets
from fracture.evidence.decisions import ANSWERED, ERROR, SENSITIVITY, SET_COVERAGE_OF, SPECIFICITY, Source
from fracture.evidence.healthy import NO_HEALTHY_CLASS
from fracture.evidence.verdict import Rule
from fracture.rules import USUAL, YOUDEN, Wanted

_TOO_FEW = "too few images to estimate it on others than those that set the threshold"
_PARTS = 10  # of cross-fitting: nine tenths of the images choose almost what all of them choose


@dataclass(frozen=True)
class Answers:
    """What a model answered to labelled images that it has not learned from.

    Attributes:
        logits: [n, classes].
        labels: [n].
        groups: [n], empty where none is known.
        classes: names in the order of the logits.
        healthy: the class without a fracture, None where none is known: then there is no operating point.
    """

    logits: Floats
    labels: Integers
    groups: Sequence[str]
    classes: tuple[str, ...]
    healthy: str | None

    def part(self, rows: npt.NDArray[np.bool_]) -> "Answers":
        """Some of them."""
        groups = [group for group, kept in zip(self.groups, rows, strict=True) if kept]
        return Answers(self.logits[rows], self.labels[rows], groups, self.classes, self.healthy)

    @property
    def owned(self) -> list[str]:
        """The group of each image, one of its own where none is known."""
        return [group or f"alone {i}" for i, group in enumerate(self.groups)]


@dataclass(frozen=True)
class Fitted:
    """What was decided, with its reasons."""

    calibration: Calibration
    operating_point: OperatingPoint
    referral: Referral
    healthy: str | None
    sets: Sets

    @property
    def decisions(self) -> Decisions:
        """What is applied to every split."""
        return Decisions(
            self.calibration.temperature, self.operating_point.fracture_threshold, self.referral.refer_below,
            self.healthy, np.array(list(self.sets.thresholds.values())),
        )  # fmt: skip

    def rule(self, classes: tuple[str, ...]) -> Rule:
        """What one image is decided by."""
        point, referral = self.operating_point, self.referral
        return Rule(classes, self.healthy, point.fracture_threshold, referral.refer_below, self.sets)


def fit_decisions(answers: Answers, wanted: Wanted = USUAL) -> Fitted:
    """Fit temperature, operating point and referral, as wanted."""
    logits, labels = answers.logits, answers.labels
    fitted = calibration.fit_temperature(logits, labels)
    probabilities = softmax(logits / fitted.temperature)
    if answers.healthy is None:
        point = OperatingPoint(rule="none", n=len(labels), note=NO_HEALTHY_CLASS)
    else:
        at = answers.classes.index(answers.healthy)
        point = operating.fit_operating_point(1 - probabilities[:, at], labels != at, wanted.operating)
    correct = probabilities.argmax(axis=1) == labels
    referral = operating.fit_referral(probabilities.max(axis=1), correct, wanted.refer_error)
    sets = fit_sets(probabilities, labels, answers.classes, wanted.set_coverage)
    return Fitted(fitted, point, referral, answers.healthy, sets)


def cross_fitted(answers: Answers, wanted: Wanted = USUAL) -> Decisions | None:
    """For each image the decisions that the images of other groups choose; None where there is but one group.

    A tenth of the groups at a time is decided about by the rest. A threshold that one tenth does not have is absent for
    the operating point, and as referring every image for the referral.
    """
    groups = answers.owned
    count = min(_PARTS, len(set(groups)))
    if count < 2:
        return None
    part = np.array(assign(answers.labels.tolist(), groups, [1 / count] * count, 0))
    n = len(part)
    temperature, threshold, refer = np.ones(n), np.full(n, np.nan), np.full(n, np.inf)
    sets = np.zeros((n, len(answers.classes)))
    for number in range(count):
        here = part == number
        if here.any() and not here.all():
            one = fit_decisions(answers.part(~here), wanted)
            temperature[here] = one.calibration.temperature
            threshold[here] = _or(one.operating_point.fracture_threshold, np.nan)
            refer[here] = _or(one.referral.refer_below, np.inf)
            sets[here] = one.decisions.sets
    return Decisions(
        temperature, None if np.isnan(threshold).any() else threshold, refer, answers.healthy, sets,
    )  # fmt: skip


def describe(answers: Answers, fitted: Fitted, fitted_on: Source, wanted: Wanted = USUAL) -> Decided:
    """What the decisions rest on, what was wanted, and what cross-fitting expects of them."""
    unmet = [fitted.referral.note]
    if wanted.operating != YOUDEN or answers.healthy is not None:
        unmet.append(fitted.operating_point.note)
    return Decided(
        fitted_on=fitted_on,
        images=len(answers.labels),
        groups=len(set(answers.owned)),
        operating=wanted.operating,
        refer_error=wanted.refer_error,
        expected=_expected(answers, fitted, wanted),
        unmet=tuple(note for note in unmet if note),
        sets=fitted.sets,
    )


def _expected(answers: Answers, fitted: Fitted, wanted: Wanted) -> dict[str, Estimate]:
    """What is to be expected of each threshold that there is."""
    decisions = cross_fitted(answers, wanted)
    if decisions is None:
        return {}
    groups, everything = answers.owned, np.ones(len(answers.labels), np.bool_)
    sample = Sample(answers.logits, answers.labels, answers.classes, decisions)
    held = members(sample.probabilities, decisions.sets)  # type: ignore[arg-type] # cross_fitted always has them
    found = {
        f"{SET_COVERAGE_OF}{name}": share(held[:, k], answers.labels == k, groups)
        for k, name in enumerate(answers.classes)
    }
    if fitted.referral.refer_below is not None:
        found[ANSWERED] = share(sample.answered, everything, groups)
        found[ERROR] = share(~sample.correct, sample.answered, groups)
    if fitted.operating_point.fracture_threshold is not None and answers.healthy is not None:
        fractured = answers.labels != answers.classes.index(answers.healthy)
        if sample.alarm is None:
            undecided = Estimate(value=None, low=None, high=None, n=0, groups=0, reason=_TOO_FEW)
            return found | {SENSITIVITY: undecided, SPECIFICITY: undecided}
        found[SENSITIVITY] = share(sample.alarm, fractured, groups)
        found[SPECIFICITY] = share(~sample.alarm, ~fractured, groups)
    return found


def _or(value: float | None, other: float) -> float:
    return other if value is None else value
