"""An ensemble: probabilities of several models averaged with weights."""

import numpy as np
import numpy.typing as npt

from fracture.evaluation.metrics import Floats, Integers
from fracture.models.ensemble import TINY

_ROUNDS = 500


def fit_weights(probabilities: Floats, labels: Integers) -> npt.NDArray[np.float64]:
    """Weights of a mixture with the least log-loss, by expectation maximisation; convex, so it is the only minimum.

    Args:
        probabilities: of each member on validation, [members, n, classes].
        labels: [n].

    Returns:
        float64 [members], not negative, of sum 1.
    """
    likelihood = np.maximum(probabilities[:, np.arange(len(labels)), labels], TINY)
    weights = np.full(len(likelihood), 1 / len(likelihood))
    for _ in range(_ROUNDS):
        shares = weights[:, None] * likelihood
        weights = (shares / shares.sum(axis=0)).mean(axis=1)
    return np.asarray(weights)


def mix(probabilities: Floats, weights: Floats) -> npt.NDArray[np.float64]:
    """Logits of the weighted mean of probabilities [members, n, classes]: [n, classes], up to a constant an image."""
    return np.asarray(np.log(np.maximum(np.tensordot(weights, probabilities, axes=1), TINY)))
