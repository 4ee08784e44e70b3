"""Calibration: the temperature that makes probabilities honest, and how honest they are.

Expected calibration error: 15 bins of equal width over the probability of the predicted class (Guo et al. 2017). On few
images even a perfectly calibrated model shows some; what is expected of one with the same probabilities is subtracted
in the debiased figure.
"""

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize_scalar

from fracture.evaluation.metrics import Floats, Integers, log_loss, ratio
from fracture.evidence import Bin, Calibration

BINS = 15
_RANGE = (0.05, 20.0)  # of the temperature; beyond it validation only says "right always" or "never"
FEW = 50  # images, on which a temperature is rather a guess
_SIMULATED = 400  # rounds that tell the error expected of a calibrated model


def fit_temperature(logits: Floats, labels: Integers) -> Calibration:
    """The temperature that logits are divided by so that the log-loss on validation is least (Guo et al. 2017).

    Args:
        logits: of validation, [n, classes].
        labels: [n].

    Returns:
        Temperature 1, with the reason, where validation cannot tell one.
    """
    before = log_loss(logits, labels)
    found = minimize_scalar(
        lambda log_t: log_loss(logits / np.exp(log_t), labels), bounds=np.log(_RANGE), method="bounded"
    )
    temperature, after = float(np.exp(found.x)), float(found.fun)
    note = f"fitted on only {len(labels)} images" if len(labels) < FEW else ""
    if why := _undecided(logits, labels, temperature, before - after):
        temperature, after, note = 1.0, before, why
    return Calibration(temperature=temperature, n=len(labels), log_loss_before=before, log_loss_after=after, note=note)


def _undecided(logits: Floats, labels: Integers, temperature: float, gain: float) -> str:
    """Why validation cannot tell a temperature, empty where it can."""
    if (logits.argmax(axis=1) == labels).all():
        return "validation is without errors: any temperature would do"
    if gain <= 1e-9:
        return "no temperature is better on validation"
    if temperature > 0.98 * _RANGE[1]:
        return "the logits say nothing of validation's labels: no temperature would do"
    return ""


def brier(probabilities: Floats, labels: Integers) -> npt.NDArray[np.float64]:
    """Squared error summed over the classes (Brier 1950), 0 to 2: [n]."""
    truth = np.eye(probabilities.shape[1])[labels]
    return np.asarray(((probabilities - truth) ** 2).sum(axis=1))


def bin_of(confidence: Floats) -> Integers:
    """The bin of each probability, of `BINS` of equal width."""
    return np.minimum((confidence * BINS).astype(np.int64), BINS - 1)


def bin_table(confidence: Floats, correct: npt.NDArray[np.bool_]) -> npt.NDArray[np.float64]:
    """Per image its count, correctness and confidence in the columns of its bin: [n, 3 * BINS]."""
    rows, place = np.arange(len(confidence)), bin_of(confidence)
    table = np.zeros((len(confidence), 3, BINS))
    table[rows, 0, place], table[rows, 1, place], table[rows, 2, place] = 1, correct, confidence
    return table.reshape(len(confidence), -1)


def error_of(tables: Floats) -> Floats:
    """Expected calibration error of sums of `bin_table` rows [..., 3 * BINS]: shape [...]."""
    counts, correct, confidence = np.moveaxis(tables.reshape(*tables.shape[:-1], 3, BINS), -2, 0)
    return ratio(np.abs(correct - confidence).sum(-1), counts.sum(-1))


def expected_error(confidence: Floats, seed: int = 0) -> float:
    """The calibration error that a perfectly calibrated model with these probabilities shows on average."""
    rng = np.random.default_rng(seed)
    confidence = np.sort(confidence)  # the answer must not depend on the order of the images
    members = np.eye(BINS)[bin_of(confidence)]
    lucky = (rng.random((_SIMULATED, len(confidence))) < confidence) - confidence
    return float(np.abs(lucky @ members).sum(axis=1).mean() / len(confidence))


def reliability(confidence: Floats, correct: npt.NDArray[np.bool_]) -> tuple[Bin, ...]:
    """The reliability diagram as numbers: the bins that hold images."""
    counts, right, sure = bin_table(confidence, correct).sum(axis=0).reshape(3, BINS)
    return tuple(
        Bin(low=i / BINS, high=(i + 1) / BINS, n=int(n), confidence=sure[i] / n, accuracy=right[i] / n)
        for i, n in enumerate(counts)
        if n
    )
