"""What changed between a reference and now: shares, means, and traits one by one."""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.stats import ks_2samp

from fracture.evidence import Estimate

_Z = 1.959964


@dataclass(frozen=True)
class Change:
    """A figure before and now.

    Attributes:
        before, now: each with its 95% interval.
        low, high: the 95% interval of the difference.
    """

    before: Estimate
    now: Estimate
    low: float
    high: float

    @property
    def nearer(self) -> float:
        """The end of the interval nearer to no change; 0 where no change lies inside."""
        return max(self.low, 0.0) or min(self.high, 0.0)


@dataclass(frozen=True)
class Moved:
    """A trait whose distribution changed.

    Attributes:
        trait: its name.
        before, now: medians.
        distance: largest distance of the two distribution functions, 0 to 1 (Kolmogorov and Smirnov).
        p: its p-value times the number of traits (Bonferroni), at most 1.
    """

    trait: str
    before: float
    now: float
    distance: float
    p: float


def change(before: Estimate, now: Estimate) -> Change | None:
    """The difference of two independent figures, its interval from theirs (MOVER, Zou and Donner 2008)."""
    if before.value is None or before.low is None or before.high is None:
        return None
    if now.value is None or now.low is None or now.high is None:
        return None
    difference = now.value - before.value
    down = np.hypot(now.value - now.low, before.high - before.value)
    up = np.hypot(now.high - now.value, before.value - before.low)
    return Change(before, now, float(difference - down), float(difference + up))


def mean(values: npt.NDArray[np.float64], groups: Sequence[Hashable]) -> Estimate:
    """The mean of values [n] and its 95% interval, from the means of the groups [n]."""
    places = {group: i for i, group in enumerate(dict.fromkeys(groups))}
    member = np.array([places[group] for group in groups], np.int64)
    count = len(places)
    if count < 2:
        return Estimate(value=None, low=None, high=None, n=len(values), groups=count, reason="needs two groups")
    own = np.bincount(member, values) / np.bincount(member)
    value, half = float(own.mean()), _Z * float(own.std(ddof=1)) / np.sqrt(count)
    return Estimate(value=value, low=value - half, high=value + half, n=len(values), groups=count)


def moved(
    before: npt.NDArray[np.float32], now: npt.NDArray[np.float32], names: Sequence[str], level: float = 0.01
) -> tuple[Moved, ...]:
    """The traits [n, traits] whose distribution changed beyond chance, the most changed first."""
    found = []
    for i, name in enumerate(names):
        test = ks_2samp(before[:, i], now[:, i], method="asymp")
        p = min(1.0, float(test.pvalue) * len(names))
        if p < level:
            medians = float(np.median(before[:, i])), float(np.median(now[:, i]))
            found.append(Moved(name, *medians, float(test.statistic), p))
    return tuple(sorted(found, key=lambda one: -one.distance))
