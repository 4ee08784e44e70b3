"""Two models on the same images: is the difference more than luck."""

from collections.abc import Hashable, Sequence
from dataclasses import asdict, dataclass

import numpy as np
from scipy.stats import binomtest

from fracture.evaluation.intervals import LEVEL, ROUNDS, draws
from fracture.evaluation.sample import Sample

METRICS = ("accuracy", "balanced_accuracy", "macro_f1", "mcc", "log_loss", "any_fracture_auroc")


@dataclass(frozen=True)
class Difference:
    """The first less the second model in one metric.

    Attributes:
        value: on all images.
        low, high: 95% percentile interval, both models judged on the same resampled groups.
    """

    value: float
    low: float
    high: float

    @property
    def clear(self) -> bool:
        """Whether the interval excludes zero."""
        return self.low > 0 or self.high < 0


@dataclass(frozen=True)
class Paired:
    """How two models differ on the same images.

    Attributes:
        differences: by metric.
        only_first, only_second: images that only the one answers right.
        mcnemar: exact two-sided p value of that (McNemar 1947); it assumes independent images, groups or not.
        n, groups: images and groups.
    """

    differences: dict[str, Difference]
    only_first: int
    only_second: int
    mcnemar: float
    n: int
    groups: int

    def to_dict(self) -> dict[str, object]:
        """As plain values."""
        return asdict(self)


def compare(
    first: Sample, second: Sample, groups: Sequence[Hashable], *, rounds: int = ROUNDS, seed: int = 0
) -> Paired:
    """Compare two models by a paired bootstrap over groups.

    Args:
        first: one model's answers.
        second: the other's, to the same images in the same order.
        groups: [n], what is resampled together.
        rounds: bootstrap rounds.
        seed: of the resampling.

    Raises:
        ValueError: other images or another order.
    """
    if not np.array_equal(first.labels, second.labels) or first.names != second.names:
        raise ValueError("the two models have not judged the same images in the same order")
    member = np.unique(np.array([str(group) for group in groups]), return_inverse=True)[1]
    exact = _less(first, second, np.ones((1, len(member))))
    parts = [_less(first, second, drawn[:, member]) for drawn in draws(int(member.max()) + 1, rounds, seed)]
    differences = {}
    for name, value in exact.items():
        spread = np.concatenate([part[name] for part in parts])
        if np.isfinite(value[0]):
            low, high = np.nanquantile(spread, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
            differences[name] = Difference(float(value[0]), float(low), float(high))
    only_first = int((first.correct & ~second.correct).sum())
    only_second = int((second.correct & ~first.correct).sum())
    apart = only_first + only_second
    p = float(binomtest(only_first, apart).pvalue) if apart else 1.0
    return Paired(differences, only_first, only_second, p, len(member), int(member.max()) + 1)


def _less(first: Sample, second: Sample, weights: np.ndarray) -> dict[str, np.ndarray]:
    one, other = (sample.measure(weights @ sample.table, weights) for sample in (first, second))
    alike = first.decisions.healthy == second.decisions.healthy  # else their fractures are not the same images
    names = [name for name in METRICS if alike or not name.startswith("any_fracture")]
    return {name: one[name] - other[name] for name in names if name in one and name in other}
