"""Decisions on probabilities: fractured or not, answered or referred to a person, by what the user wants of them.

A promise (a sensitivity, a specificity, an error rate) counts one image more than was seen, and counts it as wrong. So
it holds on average for the next image, and not only for those that chose the threshold: split conformal prediction
(Vovk et al. 2005) and conformal risk control (Angelopoulos et al. 2022).
"""

import itertools
import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fracture.evaluation.metrics import Floats, Integers
from fracture.evidence import OperatingPoint, Referral
from fracture.rules import REFER_ERROR, YOUDEN, parse_rule

_LEAST_ACCEPTED = 20  # images: a threshold that few pass says nothing of its error rate
_SLACK = 1e-9  # of a share: 19 of 20 are 0.95


@dataclass(frozen=True)
class _Levels:
    """Every threshold that tells the images apart, from the lowest on, and what each does.

    Attributes:
        threshold: halfway between two probabilities: [levels].
        found: fractures that are reported: int [levels].
        false: other images that are: int [levels].
        fractures, others: how many there are.
    """

    threshold: Floats
    found: Integers
    false: Integers
    fractures: int
    others: int


def fit_operating_point(probability: Floats, fractured: npt.NDArray[np.bool_], rule: str = YOUDEN) -> OperatingPoint:
    """The threshold on the probability of any fracture that a rule asks for.

    ``youden`` has the largest sensitivity + specificity - 1 (Youden 1950), ``cost`` the least cost at the share of
    fractures among these images; of several as good ones the lowest, which misses the fewest fractures.
    ``sensitivity`` is the highest threshold that keeps the promise, ``specificity`` the lowest.

    Args:
        probability: of any fracture: [n].
        fractured: [n].
        rule: see `fracture.rules`.

    Returns:
        Without a threshold, with the reason and with what is possible, where these images cannot tell one.
    """
    kind, value = parse_rule(rule)
    words = {
        "youden": "largest sensitivity + specificity - 1 (Youden)",
        "cost": f"least cost, a missed fracture counting {value:g} times a false alarm",
    }.get(kind, f"{kind} of {value:g}")
    if fractured.all() or not fractured.any():
        return OperatingPoint(rule=words, n=len(fractured), note="only one of fractured and not among these images")
    levels = _levels(probability, fractured)
    at, note = _choose(levels, kind, value)
    threshold = None if at is None else float(levels.threshold[at])
    return OperatingPoint(fracture_threshold=threshold, rule=words, n=len(fractured), note=note)


def rejection_curve(confidence: Floats, correct: npt.NDArray[np.bool_]) -> tuple[Floats, Floats]:
    """Share of images answered, and accuracy among them, as the least sure ones are referred first: each [n]."""
    right = correct[np.argsort(-confidence, kind="stable")]
    answered = np.arange(1, len(right) + 1)
    return answered / len(right), np.cumsum(right) / answered


def fit_referral(confidence: Floats, correct: npt.NDArray[np.bool_], wanted_error: float = REFER_ERROR) -> Referral:
    """The lowest probability of the predicted class from which the error rate is as wanted, 20 images at least.

    Args:
        confidence: calibrated probability of the predicted class: [n].
        correct: [n].
        wanted_error: error rate among the images that are answered.

    Returns:
        Without a threshold, with the reason and with what is possible, where not even the surest images are right often
        enough: then every image is to be referred.
    """
    n, ranked = len(confidence), -np.sort(-confidence)
    answered = np.arange(1, n + 1)
    wrong = np.cumsum(~correct[np.argsort(-confidence, kind="stable")])
    together = np.append(ranked[:-1] == ranked[1:], False)  # images as sure as the next are answered with it, or not
    promised = np.where((answered < _LEAST_ACCEPTED) | together, np.inf, (wrong + 1) / (answered + 1))
    allowed = np.flatnonzero(promised <= wanted_error + _SLACK)
    if not len(allowed):
        return Referral(wanted_error=wanted_error, n=n, note=_no_referral(promised, answered, wanted_error))
    last = int(allowed[-1])
    threshold = 0.0 if last + 1 == n else _between(ranked[last + 1], ranked[last])
    return Referral(
        refer_below=threshold, wanted_error=wanted_error, n=n, answered=float(answered[last] / n),
        error=float(wrong[last] / answered[last]),
    )  # fmt: skip


def _no_referral(promised: Floats, answered: Integers, wanted_error: float) -> str:
    """Why no threshold keeps the error, and the lowest error that is possible."""
    refused = f"no threshold keeps the error at {100 * wanted_error:g}% among {_LEAST_ACCEPTED} or more answered images"
    if not np.isfinite(promised).any():
        few = len(answered) < _LEAST_ACCEPTED
        why = f"there are only {len(answered)}" if few else "the model is equally sure of all of them"
        return f"{refused}: {why}; every image is referred"
    best = int(promised.argmin())
    least = math.ceil(promised[best] * 1000 - _SLACK) / 1000
    if least >= 0.5:
        return f"{refused}, or even below a half; every image is referred"
    share = answered[best] / len(answered)
    lowest = f"the lowest possible is {100 * least:g}% (refer_error={least:g}), with {share:.0%} of images answered"
    return f"{refused}; {lowest}; every image is referred"


def _levels(probability: Floats, fractured: npt.NDArray[np.bool_]) -> _Levels:
    values = np.unique(probability)
    between = [_between(low, high) for low, high in itertools.pairwise(values)]
    threshold = np.array([values[0] / 2, *between, np.nextafter(values[-1], 2)])
    ill, well = np.sort(probability[fractured]), np.sort(probability[~fractured])
    found, false = (len(part) - np.searchsorted(part, threshold) for part in (ill, well))
    return _Levels(threshold, found, false, len(ill), len(well))


def _between(low: float, high: float) -> float:
    """Halfway, or ``high`` where no number lies between: ``low`` is always below what is returned."""
    middle = float((low + high) / 2)
    return middle if low < middle else float(high)


def _choose(levels: _Levels, kind: str, value: float) -> tuple[int | None, str]:
    """Which level a rule asks for, and why none and what is possible."""
    missed, quiet = levels.fractures - levels.found, levels.others - levels.false
    if kind == "youden":
        return int((levels.found / levels.fractures - levels.false / levels.others).argmax()), ""
    if kind == "cost":
        return int((value * missed + levels.false).argmin()), ""
    if kind == "sensitivity":  # of no use where everything is reported
        promised = np.where(quiet > 0, levels.found / (levels.fractures + 1), 0)
        kept = np.flatnonzero(promised >= value - _SLACK)
        what = f"{levels.fractures} fractures"
    else:
        promised = np.where(levels.found > 0, quiet / (levels.others + 1), 0)
        kept = np.flatnonzero(promised >= value - _SLACK)[::-1]
        what = f"{levels.others} images without a fracture"
    if len(kept):
        return int(kept[-1]), ""
    most = math.floor(promised.max() * 1000 + _SLACK) / 1000
    can = f"the highest possible is {kind}:{most:g}" if most > 0 else f"no {kind} is possible"
    return None, f"{kind}:{value:g} cannot be promised from {what}; {can}"
