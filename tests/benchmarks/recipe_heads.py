"""Heads on frozen features, for docs/recipe-measurements.md: each takes training images and answers others."""

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.linear_model import LogisticRegression
from sklearn.svm import SVC

from fracture.evaluation.metrics import softmax
from fracture.training import probe
from tests.benchmarks.recipe_features import COPIES

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
Fit = Callable[[Floats, Integers, Sequence[str], Floats], Floats]  # features, labels, groups; others' features: logits

WIDTH, STRENGTH = 1280, 1e-3  # the plain probe's C at so many features; with more it is divided by as much


def _scaled(train: Floats, rest: Floats) -> tuple[Floats, Floats]:
    """Standardised, and turned into the space that the training images span: the same to a head, and far smaller."""
    mean, spread = train.mean(axis=0), train.std(axis=0) + 1e-6
    train, rest = (train - mean) / spread, (rest - mean) / spread
    powers, axes = np.linalg.eigh(train @ train.T)  # of the images: they are fewer than features
    kept = powers > 1e-6 * powers[-1]
    turn = train.T @ (axes[:, kept] / np.sqrt(powers[kept]))[:, ::-1]
    return train @ turn, rest @ turn


def _two_sided(decision: Floats) -> Floats:
    return decision if decision.ndim == 2 else np.stack([-decision, decision], axis=1) / 2


def logistic(factor: float = 1.0, balanced: bool = True) -> Fit:
    """Logistic regression, its C ``factor`` times the plain probe's."""

    def fit(train: Floats, labels: Integers, groups: Sequence[str], rest: Floats) -> Floats:
        strength = STRENGTH * factor * WIDTH / train.shape[1]
        a, b = _scaled(train, rest)
        head = LogisticRegression(C=strength, class_weight="balanced" if balanced else None, max_iter=300)
        return _two_sided(head.fit(a, labels).decision_function(b))

    return fit


def adjusted(train: Floats, labels: Integers, groups: Sequence[str], rest: Floats) -> Floats:
    """Classes as they are, and their frequencies taken from the logits afterwards (Menon et al. 2021)."""
    frequencies = np.bincount(labels) / len(labels)
    return logistic(balanced=False)(train, labels, groups, rest) - np.log(frequencies)


def tuned(parts: int = 1) -> Fit:
    """As the recipe fits it: C by cross-validation within the training images, for each of ``parts`` scales."""

    def fit(train: Floats, labels: Integers, groups: Sequence[str], rest: Floats) -> Floats:
        head = probe.fit(train, labels, groups, int(labels.max()) + 1, parts)
        return rest @ head.weight.T + head.bias

    return fit


def chosen(train: Floats, labels: Integers, groups: Sequence[str], rest: Floats) -> Floats:
    """The better half of the columns in cross-validation within the training images, each fitted at two scales."""
    ways = zip(np.split(train, 2, axis=1), np.split(rest, 2, axis=1), strict=True)
    heads = [(probe.fit(a, labels, groups, int(labels.max()) + 1, 2), b) for a, b in ways]
    head, values = min(heads, key=lambda pair: pair[0].loss)
    return np.asarray(values @ head.weight.T + head.bias)


def discriminant(train: Floats, labels: Integers, groups: Sequence[str], rest: Floats) -> Floats:
    """Linear discriminant analysis with a shrunk covariance (Ledoit and Wolf 2004), of the features as they are.

    In the turned space shrinkage would blow up the least axes: scikit-learn standardises before it shrinks.
    """
    mean, spread = train.mean(axis=0), train.std(axis=0) + 1e-6
    a, b = (train - mean) / spread, (rest - mean) / spread
    classes = int(labels.max()) + 1
    head = LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto", priors=np.full(classes, 1 / classes))
    return _two_sided(head.fit(a, labels).decision_function(b))


def whitened(train: Floats, labels: Integers, groups: Sequence[str], rest: Floats) -> Floats:
    """Logistic regression on 64 whitened principal components."""
    a, b = (part[:, :64] for part in _scaled(train, rest))
    spread = a.std(axis=0)
    head = LogisticRegression(C=0.01, class_weight="balanced", max_iter=300)
    return _two_sided(head.fit(a / spread, labels).decision_function(b / spread))


def curved(train: Floats, labels: Integers, groups: Sequence[str], rest: Floats) -> Floats:
    """A support vector machine with a Gaussian kernel; its one-against-rest values are no probabilities."""
    a, b = _scaled(train, rest)
    return _two_sided(SVC(C=1.0, class_weight="balanced").fit(a, labels).decision_function(b))


def hierarchy(train: Floats, labels: Integers, groups: Sequence[str], rest: Floats) -> Floats:
    """Class 1 (no fracture) against the rest, then the rest among themselves; the same as the probe for two classes."""
    if labels.max() < 2:
        return logistic()(train, labels, groups, rest)
    broken = labels != 1
    any_fracture = logistic()(train, broken.astype(np.int64), groups, rest)
    kind = logistic()(train[broken], (labels[broken] == 2).astype(np.int64), groups, rest)
    p, q = softmax(any_fracture), softmax(kind)
    return np.log(np.stack([p[:, 1] * q[:, 0], p[:, 0], p[:, 1] * q[:, 1]], axis=1) + 1e-9)


def mixed(parts: int) -> Fit:
    """The mean of the logits of one probe for each of ``parts`` equal shares of the columns."""

    def fit(train: Floats, labels: Integers, groups: Sequence[str], rest: Floats) -> Floats:
        pairs = zip(np.split(train, parts, axis=1), np.split(rest, parts, axis=1), strict=True)
        return np.asarray(np.mean([logistic()(a, labels, groups, b) for a, b in pairs], axis=0))

    return fit


def copied(answered: bool) -> Fit:
    """The recipe's two probes from every training image and its augmented copies, which share its weight.

    The first of the equal shares of the columns is the image's, the others its copies'. ``answered``: the answer is the
    mean over the copies too.
    """

    def fit(train: Floats, labels: Integers, groups: Sequence[str], rest: Floats) -> Floats:
        shares, others = (np.array(np.split(values, 1 + COPIES, axis=1)) for values in (train, rest))
        rows, asked = np.concatenate(shares), others.mean(axis=0) if answered else others[0]
        known = np.tile(labels, len(shares))
        halves = zip(np.split(rows, 2, axis=1), np.split(asked, 2, axis=1), strict=True)
        return np.asarray(np.mean([_unturned(a, known, b, STRENGTH / len(shares)) for a, b in halves], axis=0))

    return fit


def _unturned(train: Floats, labels: Integers, rest: Floats, strength: float) -> Floats:
    """Logistic regression on the features themselves: faster than turning them where images are nearly as many."""
    mean, spread = train.mean(axis=0), train.std(axis=0) + 1e-6
    head = LogisticRegression(C=strength, class_weight="balanced", max_iter=300)
    return _two_sided(head.fit((train - mean) / spread, labels).decision_function((rest - mean) / spread))
