"""Decisions on probabilities: fractured or not, answered or referred to a person; chosen on validation only."""

import numpy as np
import numpy.typing as npt

from fracture.evaluation.metrics import Floats
from fracture.evidence import OperatingPoint, Referral

WANTED_ERROR = 0.05
_LEAST_ACCEPTED = 20  # images: a threshold that few pass says nothing of its error rate


def fit_operating_point(probability: Floats, fractured: npt.NDArray[np.bool_]) -> OperatingPoint:
    """The threshold on the probability of any fracture with the largest sensitivity + specificity - 1 (Youden 1950).

    Of several as good ones the lowest, which misses the fewest fractures. It lies halfway between two scores.

    Args:
        probability: of any fracture, on validation: [n].
        fractured: [n].
    """
    rule = "largest sensitivity + specificity - 1 on validation (Youden)"
    if fractured.all() or not fractured.any():
        return OperatingPoint(rule=rule, n=len(fractured), note="validation holds only one of fractured and not")
    values = np.unique(probability)
    thresholds = np.append((values[1:] + values[:-1]) / 2, np.nextafter(values[-1], 2))
    thresholds = np.insert(thresholds, 0, values[0] / 2)
    alarms = probability[None] >= thresholds[:, None]
    youden = alarms[:, fractured].mean(axis=1) - alarms[:, ~fractured].mean(axis=1)
    return OperatingPoint(fracture_threshold=float(thresholds[youden.argmax()]), rule=rule, n=len(fractured))


def rejection_curve(confidence: Floats, correct: npt.NDArray[np.bool_]) -> tuple[Floats, Floats]:
    """Share of images answered, and accuracy among them, as the least sure ones are referred first: each [n]."""
    right = correct[np.argsort(-confidence, kind="stable")]
    answered = np.arange(1, len(right) + 1)
    return answered / len(right), np.cumsum(right) / answered


def fit_referral(confidence: Floats, correct: npt.NDArray[np.bool_], wanted_error: float = WANTED_ERROR) -> Referral:
    """The lowest probability of the predicted class from which the error rate on validation is as wanted.

    Args:
        confidence: calibrated probability of the predicted class, on validation: [n].
        correct: [n].
        wanted_error: error rate among the images that are answered.

    Returns:
        Without a threshold, and with the reason, where not even the 20 surest images are right often enough: then
        every image is to be referred.
    """
    share, accuracy = rejection_curve(confidence, correct)
    allowed = np.flatnonzero((1 - accuracy <= wanted_error) & (np.arange(1, len(share) + 1) >= _LEAST_ACCEPTED))
    ranked = -np.sort(-confidence)
    allowed = allowed[[k + 1 == len(ranked) or ranked[k] > ranked[k + 1] for k in allowed]]  # ties go together
    if not len(allowed):
        note = f"no {_LEAST_ACCEPTED} or more images of validation are answered with so few errors: refer every image"
        return Referral(wanted_error=wanted_error, n=len(ranked), note=note)
    last = int(allowed[-1])
    threshold = 0.0 if last + 1 == len(ranked) else float((ranked[last] + ranked[last + 1]) / 2)
    return Referral(
        refer_below=threshold, wanted_error=wanted_error, n=len(ranked),
        answered=float(share[last]), error=float(1 - accuracy[last]),
    )  # fmt: skip
