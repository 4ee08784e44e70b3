"""Splitting by group, stratified: pure functions of labels, groups and a seed."""

from collections import Counter, defaultdict
from collections.abc import Hashable, Sequence

import numpy as np


def assign(strata: Sequence[Hashable], groups: Sequence[Hashable], shares: Sequence[float], seed: int) -> list[int]:
    """Give every image a part, never tearing a group apart and keeping each stratum's shares as near as possible.

    Groups go, the largest first and in random order among equals, to the part that misses most of what they hold; every
    part gets something of each stratum that has groups enough. The same function makes train/val/test (0.7, 0.15, 0.15)
    and k folds (1/k each).

    Args:
        strata: what to stratify by, one an image (a label, or label and source).
        groups: what must stay together, one an image.
        shares: the wanted share of each part, positive, adding up to 1.
        seed: of the random order.

    Returns:
        The part of each image, 0 to len(shares) - 1.

    Raises:
        ValueError: lengths differ, or the shares are not positive or do not add up to 1.
    """
    if len(strata) != len(groups):
        raise ValueError(f"{len(strata)} strata for {len(groups)} groups")
    if min(shares) <= 0 or abs(sum(shares) - 1) > 1e-6:
        raise ValueError(f"shares must be positive and add up to 1, got {tuple(shares)}")
    held: dict[Hashable, Counter[Hashable]] = defaultdict(Counter)
    for stratum, group in zip(strata, groups, strict=True):
        held[group][stratum] += 1
    parts = [_Part({s: share * n for s, n in Counter(strata).items()}) for share in shares]
    waiting = Counter(stratum for counts in held.values() for stratum in counts)
    chosen: dict[Hashable, int] = {}
    for group in _order(held, seed):
        chosen[group] = _choose(parts, held[group], waiting)
        parts[chosen[group]].take(held[group])
        waiting.subtract(held[group].keys())
    return [chosen[group] for group in groups]


class _Part:
    """What one part misses of each stratum, and which strata it has."""

    def __init__(self, missing: dict[Hashable, float]) -> None:
        self.missing = missing
        self.has: set[Hashable] = set()

    def take(self, counts: Counter[Hashable]) -> None:
        self.has.update(counts)
        for stratum, count in counts.items():
            self.missing[stratum] -= count

    def need(self, counts: Counter[Hashable]) -> float:
        return sum(self.missing[stratum] * count for stratum, count in counts.items())


def _choose(parts: list[_Part], counts: Counter[Hashable], waiting: Counter[Hashable]) -> int:
    """The part that needs the group most; one without a stratum goes first once the last groups of it are given out."""
    candidates = set(range(len(parts)))
    for stratum in counts:
        without = {p for p, part in enumerate(parts) if stratum not in part.has}
        if waiting[stratum] <= len(without) and candidates & without:
            candidates &= without
    return max(sorted(candidates), key=lambda p: parts[p].need(counts))


def _order(held: dict[Hashable, Counter[Hashable]], seed: int) -> list[Hashable]:
    groups = list(held)
    shuffled = [groups[i] for i in np.random.default_rng(seed).permutation(len(groups))]
    return sorted(shuffled, key=lambda group: -held[group].total())
