"""Areas under curves, for many weightings of the same images at once, as a bootstrap needs them."""

import numpy as np
import numpy.typing as npt

from fracture.evaluation.metrics import Floats, Integers, ratio, softmax

Bools = npt.NDArray[np.bool_]


class Ranking:
    """Images sorted by a score, highest first; images of equal score count as one step."""

    def __init__(self, scores: Floats, positive: Bools) -> None:
        """Sort once.

        Args:
            scores: [n], higher for what should be positive.
            positive: [n].
        """
        self._order = np.argsort(-scores, kind="stable")
        ranked = scores[self._order]
        self._positive = positive[self._order]
        self._ends = np.append(np.flatnonzero(np.diff(ranked)), len(ranked) - 1)

    def areas(self, weights: Floats) -> tuple[Floats, Floats]:
        """AUROC and average precision under each row of ``weights`` [rounds, n]; NaN where a side has no weight.

        Both as scikit-learn defines them: the trapezoidal area under the ROC curve, and the sum of precisions weighted
        by the gain in recall.
        """
        hits, alarms = self.counts(weights)
        gained = np.diff(hits, axis=1, prepend=0)
        missed = np.diff(alarms, axis=1, prepend=0)
        positives, negatives = hits[:, -1], alarms[:, -1]
        under = (missed * (hits - gained / 2)).sum(axis=1)
        precision = hits / np.maximum(hits + alarms, 1e-12)
        average = np.where(negatives > 0, (gained * precision).sum(axis=1), np.nan)
        return ratio(under, positives * negatives), ratio(average, positives)

    def counts(self, weights: Floats) -> tuple[Floats, Floats]:
        """Weights of the positives and of the negatives at or above each distinct score: each [rounds, steps]."""
        ranked = weights[:, self._order].astype(np.float64)
        hits = np.cumsum(np.where(self._positive, ranked, 0), axis=1)[:, self._ends]
        return hits, np.cumsum(ranked, axis=1)[:, self._ends] - hits


def auroc(logits: Floats, labels: Integers, healthy: int | None) -> float:
    """The area under the ROC curve of any fracture; without a healthy class the mean of each class against the rest.

    Args:
        logits: [n, classes].
        labels: [n].
        healthy: position of the healthy class, None where none is known.

    Returns:
        NaN where all images are of one side; classes that do not occur are left out of the mean.
    """
    shares, every = softmax(logits), np.ones((1, len(labels)))
    if healthy is not None:
        return float(Ranking(1 - shares[:, healthy], labels != healthy).areas(every)[0][0])
    each = [Ranking(shares[:, k], labels == k).areas(every)[0][0] for k in np.unique(labels)]
    return float(np.mean(each))
