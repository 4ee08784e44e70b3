"""What several folds say together: pure functions."""

import math
from collections.abc import Sequence

import numpy as np
from scipy import stats

from fracture.evidence import FoldEstimate, Results

_RANGES = {"mcc": (-1.0, 1.0), "brier": (0.0, 2.0), "log_loss": (0.0, math.inf)}  # other metrics are shares
LEAST = 3  # folds: of two the interval is wider than the metric's whole range


def over_folds(values: Sequence[float], ratio: float) -> tuple[float, float, float]:
    """Mean and 95% interval of a metric over folds: the corrected resampled t-test (Nadeau and Bengio 2003).

    The folds' training sets overlap, so that the plain standard error would be far too small.

    Args:
        values: one a fold, two or more.
        ratio: images tested over images trained on, in each fold.

    Returns:
        Mean, lower and upper end; these are not cut off at the metric's own range.
    """
    found = np.asarray(values, np.float64)
    error = np.sqrt((1 / len(found) + ratio) * found.var(ddof=1))
    half = float(stats.t.ppf(0.975, len(found) - 1)) * float(error)
    mean = float(found.mean())
    return mean, mean - half, mean + half


def summarise(results: Sequence[Results]) -> dict[str, FoldEstimate]:
    """Every metric of the test split over the folds, by name; one that some fold cannot tell has no value."""
    n = sum(one.splits["test"].n for one in results)
    ratio = float(np.mean([_ratio(one, n) for one in results]))
    found = {}
    for name in results[0].splits["test"].metrics:
        values = tuple(one.splits["test"].metrics[name].value for one in results)
        known = [value for value in values if value is not None]
        mean, low, high = over_folds(known, ratio) if len(known) == len(values) else (None, None, None)
        low, high = _inside(name, low, high) if low is not None and high is not None else (None, None)
        low, high = (low, high) if len(values) >= LEAST else (None, None)
        found[name] = FoldEstimate(value=mean, low=low, high=high, n=n, folds=values)
    return found


def _inside(name: str, low: float, high: float) -> tuple[float | None, float | None]:
    """An interval cut off at what the metric can be; none where it is all of that, which says nothing."""
    least, most = _RANGES.get(name, (0.0, 1.0))
    return (None, None) if low <= least and high >= most else (max(low, least), min(high, most))


def _ratio(one: Results, images: int) -> float:
    """Images tested over images trained on, which those of validation are not."""
    test = one.splits["test"].n
    return test / (images - test - one.splits["val"].n)
