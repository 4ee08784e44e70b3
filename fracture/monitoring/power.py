"""What so many images can show: the power of the probe, and how many are needed."""

import math
from statistics import NormalDist

_NORMAL = NormalDist()
_Z = _NORMAL.inv_cdf(0.975)
_MOST = 1_000_000


def spread_of_auc(auc: float, first: int, second: int) -> float:
    """Standard error of an area under the ROC curve from so many of each (Hanley and McNeil 1982)."""
    one, other = auc / (2 - auc), 2 * auc**2 / (1 + auc)
    variance = auc * (1 - auc) + (first - 1) * (one - auc**2) + (second - 1) * (other - auc**2)
    return math.sqrt(variance / (first * second))


def power(images: int, reference: int, auc: float, floor: float) -> float:
    """Probability that the 95% interval of a true ``auc`` lies above ``floor``; optimistic, for trees learn from them.

    Args:
        images: independent ones.
        reference: those that they are compared with.
        auc: how well the two can be told apart.
        floor: the threshold.
    """
    if min(images, reference) < 1:
        return 0.0
    return _NORMAL.cdf((auc - floor) / spread_of_auc(auc, images, reference) - _Z)


def needed(reference: int, auc: float, floor: float, wanted: float) -> int | None:
    """How many images have that power; None where the reference is too small for any number."""
    if auc <= floor or power(_MOST, reference, auc, floor) < wanted:
        return None
    low, high = 1, _MOST
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if power(middle, reference, auc, floor) >= wanted else (middle + 1, high)
    return low
