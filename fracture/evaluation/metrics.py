"""What logits prove, in numbers: pure functions of logits, labels and groups, never averaged over batches."""

from collections.abc import Hashable, Sequence

import numpy as np
import numpy.typing as npt

from fracture.evidence import Estimate

Floats = npt.NDArray[np.floating]
Integers = npt.NDArray[np.int64]

ROUNDS = 2000
LEVEL = 0.95
_CHUNK = 256  # bootstrap rounds at a time, to bound memory


def softmax(logits: Floats) -> npt.NDArray[np.float64]:
    """Probabilities [n, classes] of logits [n, classes], in double precision."""
    shifted = logits.astype(np.float64) - logits.max(axis=1, keepdims=True)
    exponents = np.exp(shifted)
    return np.asarray(exponents / exponents.sum(axis=1, keepdims=True))


def log_loss(logits: Floats, labels: Integers) -> float:
    """Mean negative log-likelihood of the true class, in nats."""
    shifted = logits.astype(np.float64) - logits.max(axis=1, keepdims=True)
    log_total = np.log(np.exp(shifted).sum(axis=1))
    return float((log_total - shifted[np.arange(len(labels)), labels]).mean())


def confusion(labels: Integers, predicted: Integers, classes: int) -> Integers:
    """Counts [classes, classes]: rows are true, columns predicted."""
    return np.bincount(labels * classes + predicted, minlength=classes * classes).reshape(classes, classes)


def scores(matrix: npt.NDArray[np.integer], names: Sequence[str]) -> dict[str, Floats]:
    """Metrics of confusion matrices [..., classes, classes], each of shape [...]; NaN where a metric is not defined.

    Balanced accuracy and macro-F1 average over the classes that occur, as scikit-learn does.
    """
    counts = matrix.astype(np.float64)
    true, predicted = counts.sum(-1), counts.sum(-2)
    hits = np.diagonal(counts, axis1=-2, axis2=-1)
    recall, precision, f1 = _ratio(hits, true), _ratio(hits, predicted), _ratio(2 * hits, true + predicted)
    result = {
        "accuracy": _ratio(hits.sum(-1), counts.sum((-2, -1))),
        "balanced_accuracy": _mean(recall),
        "macro_f1": _mean(f1),
    }
    for i, name in enumerate(names):
        result |= {f"precision_{name}": precision[..., i], f"recall_{name}": recall[..., i], f"f1_{name}": f1[..., i]}
    return result


def estimate(
    logits: Floats,
    labels: Integers,
    groups: Sequence[Hashable],
    names: Sequence[str],
    *,
    rounds: int = ROUNDS,
    seed: int = 0,
) -> dict[str, Estimate]:
    """Every metric of `scores` and the log-loss, with a 95 % percentile interval.

    The bootstrap draws whole groups with replacement, since images of one patient are no independent evidence
    (Davison and Hinkley 1997, section 3.8).

    Args:
        logits: [n, classes].
        labels: [n], positions of the true classes.
        groups: [n], what is resampled together.
        names: class names.
        rounds: bootstrap rounds.
        seed: of the resampling.
    """
    k = len(names)
    predicted = logits.argmax(axis=1).astype(np.int64)
    _, member = np.unique(np.array([str(group) for group in groups]), return_inverse=True)
    count = int(member.max()) + 1
    rows = np.zeros((len(labels), k * k + 2))  # per image: its cell of the confusion matrix, its loss, one
    rows[np.arange(len(labels)), labels * k + predicted] = 1
    shifted = logits.astype(np.float64) - logits.max(axis=1, keepdims=True)
    losses = np.log(np.exp(shifted).sum(axis=1)) - shifted[np.arange(len(labels)), labels]
    rows[:, -2], rows[:, -1] = losses, 1
    tables = np.zeros((count, k * k + 2))
    np.add.at(tables, member, rows)
    drawn = _bootstrap(tables, rounds, seed)
    exact, spread = _from_tables(tables.sum(axis=0), names), _from_tables(drawn, names)
    return {name: _estimate(name, float(exact[name]), spread[name], len(labels), count) for name in exact}


def _bootstrap(tables: Floats, rounds: int, seed: int) -> Floats:
    """Sums of the groups' tables under resampling: [rounds, columns]."""
    rng, count = np.random.default_rng(seed), len(tables)
    sizes = [min(_CHUNK, rounds - start) for start in range(0, rounds, _CHUNK)]
    return np.concatenate([rng.multinomial(count, np.full(count, 1 / count), size=size) @ tables for size in sizes])


def _from_tables(tables: Floats, names: Sequence[str]) -> dict[str, Floats]:
    k = len(names)
    matrix = np.round(tables[..., : k * k]).astype(np.int64).reshape(*tables.shape[:-1], k, k)
    return scores(matrix, names) | {"log_loss": _ratio(tables[..., -2], tables[..., -1])}


def _estimate(name: str, value: float, spread: Floats, n: int, groups: int) -> Estimate:
    if not np.isfinite(value):
        reason = (
            "nothing was predicted to be of this class" if name.startswith("precision") else "no image of this class"
        )
        return Estimate(value=None, low=None, high=None, n=n, groups=groups, reason=reason)
    low, high = np.nanquantile(spread, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Estimate(value=value, low=float(low), high=float(high), n=n, groups=groups)


def _ratio(above: Floats, below: Floats) -> Floats:
    empty = np.full(np.broadcast(above, below).shape, np.nan)
    return np.asarray(np.divide(above, below, out=empty, where=np.asarray(below) > 0))


def _mean(values: Floats) -> Floats:
    """Mean over the last axis of what is defined."""
    defined = np.isfinite(values)
    return _ratio(np.where(defined, values, 0).sum(-1), defined.sum(-1).astype(np.float64))
