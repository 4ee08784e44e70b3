"""Sets of classes that remain possible, each of which is in the set of its own images as often as is wanted.

Class-conditional (Mondrian) split conformal prediction (Vovk et al. 2005; Vovk 2012): a class belongs to the set from a
probability on that all but a share of its own images reach. Marginal sets, one threshold for all classes, keep the
promise by being right about the frequent classes.
"""

import math

import numpy as np
import numpy.typing as npt

from fracture.evaluation.metrics import Floats, Integers
from fracture.evidence.decisions import Sets
from fracture.rules import SET_COVERAGE

_SLACK = 1e-9  # of a share: 19 of 20 are 0.95


def fit_sets(probabilities: Floats, labels: Integers, classes: tuple[str, ...], coverage: float = SET_COVERAGE) -> Sets:
    """The probability from which each class belongs to the set, so that it is in that of its images as is wanted.

    With n images of a class, one counted more than was seen: its threshold is the k-th least probability of its own
    images, k the whole part of (n + 1)(1 - coverage), which a new image stays below with a chance of k / (n + 1).

    Args:
        probabilities: calibrated, of images that the model has not learned from: [n, classes].
        labels: [n].
        classes: names in the order of the probabilities.
        coverage: share of the images of each class whose set is to hold it.
    """
    thresholds, counts, unmet = {}, {}, []
    for k, name in enumerate(classes):
        own = np.sort(probabilities[labels == k, k])
        allowed = math.floor((len(own) + 1) * (1 - coverage) + _SLACK)
        thresholds[name] = float(own[allowed - 1]) if allowed else 0.0
        counts[name] = len(own)
        if not allowed:
            can = (
                f"; the most is set_coverage={math.floor(1000 * len(own) / (len(own) + 1)) / 1000:g}"
                if len(own)
                else ""
            )
            unmet.append(
                f"the class {name} is in every set: {coverage:g} of its images cannot be promised from {len(own)}{can}"
            )
    return Sets(coverage=coverage, thresholds=thresholds, n=counts, unmet=tuple(unmet))


def members(probabilities: Floats, thresholds: Floats) -> npt.NDArray[np.bool_]:
    """Which classes are in the set of each image: [n, classes]; thresholds [classes], or one row an image.

    The most probable class always is: of a class that is told well its own least sure images would have empty sets.
    """
    return np.asarray((probabilities >= thresholds) | (probabilities == probabilities.max(axis=1, keepdims=True)))
