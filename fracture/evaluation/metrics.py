"""Metrics of logits and of confusion matrices: pure functions, never averaged over batches."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.floating]
Integers = npt.NDArray[np.int64]


def softmax(logits: Floats) -> npt.NDArray[np.float64]:
    """Probabilities [n, classes] of logits [n, classes], in double precision."""
    shifted = logits.astype(np.float64) - logits.max(axis=1, keepdims=True)
    exponents = np.exp(shifted)
    return np.asarray(exponents / exponents.sum(axis=1, keepdims=True))


def losses(logits: Floats, labels: Integers) -> npt.NDArray[np.float64]:
    """Negative log-likelihood of the true class, in nats: [n]."""
    shifted = logits.astype(np.float64) - logits.max(axis=1, keepdims=True)
    return np.asarray(np.log(np.exp(shifted).sum(axis=1)) - shifted[np.arange(len(labels)), labels])


def log_loss(logits: Floats, labels: Integers) -> float:
    """Mean negative log-likelihood of the true class, in nats."""
    return float(losses(logits, labels).mean())


def balanced_log_loss(logits: Floats, labels: Integers) -> float:
    """The same in each class that occurs, and the mean of those: a rare class counts as much as a frequent one."""
    found = losses(logits, labels)
    return float(np.mean([found[labels == k].mean() for k in np.unique(labels)]))


def confusion(labels: Integers, predicted: Integers, classes: int) -> Integers:
    """Counts [classes, classes]: rows are true, columns predicted."""
    return np.bincount(labels * classes + predicted, minlength=classes * classes).reshape(classes, classes)


def scores(matrix: npt.NDArray[np.integer], names: Sequence[str]) -> dict[str, Floats]:
    """Metrics of confusion matrices [..., classes, classes], each of shape [...]; NaN where a metric is not defined.

    Balanced accuracy averages over the classes that occur, macro-F1 over those that occur or are predicted, as
    scikit-learn does; the correlation (Matthews; Gorodkin 2004 for several classes) and Cohen's kappa need two classes
    that occur and two that are predicted.
    """
    counts = matrix.astype(np.float64)
    true, predicted, total = counts.sum(-1), counts.sum(-2), counts.sum((-2, -1))
    hits = np.diagonal(counts, axis1=-2, axis2=-1)
    right, chance = hits.sum(-1), (true * predicted).sum(-1)
    spread = (total**2 - (true**2).sum(-1)) * (total**2 - (predicted**2).sum(-1))
    f1 = ratio(2 * hits, true + predicted)
    each = {
        "precision": ratio(hits, predicted),
        "recall": ratio(hits, true),
        "specificity": ratio(total[..., None] - true - predicted + hits, total[..., None] - true),
        "f1": f1,
    }
    result = {
        "accuracy": ratio(right, total),
        "balanced_accuracy": _mean(each["recall"]),
        "macro_f1": _mean(f1),
        "mcc": ratio(right * total - chance, np.sqrt(spread)),
        "cohen_kappa": ratio(right * total - chance, np.where(spread > 0, total**2 - chance, 0)),
    }
    for i, name in enumerate(names):
        result |= {f"{metric}_{name}": values[..., i] for metric, values in each.items()}
    return result


def ratio(above: Floats, below: Floats) -> Floats:
    """``above / below``, NaN where ``below`` is not positive."""
    empty = np.full(np.broadcast(above, below).shape, np.nan)
    return np.asarray(np.divide(above, below, out=empty, where=np.asarray(below) > 0))


def _mean(values: Floats) -> Floats:
    """Mean over the last axis of what is defined."""
    defined = np.isfinite(values)
    return ratio(np.where(defined, values, 0).sum(-1), defined.sum(-1).astype(np.float64))
