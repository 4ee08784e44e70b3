"""Does the class equal the source? A cross-validated probe on what is not anatomy.

A classifier that sees only traits of the file (`fracture.data.audit.traits`) tries to tell each pair of classes apart.
If it can, a network trained on the images may have learned the hospital, the scanner or the web site, not the fracture.
"""

from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from itertools import combinations

import numpy as np
import numpy.typing as npt
from sklearn.ensemble import ExtraTreesClassifier
from sklearn.model_selection import StratifiedGroupKFold

THRESHOLD = 0.80
"""An AUC whose 95% interval lies wholly above this confounds a pair of classes; docs/audit.md says why this value."""

FOLDS = 5
TREES = 100
TREES_ALONE = 25  # for one family of traits: evidence for the reader, no verdict
RESAMPLES = 1000
MAX_PER_CLASS = 1000  # more images narrow the interval no further than anyone needs, and cost time

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class PairProbe:
    """How well the traits tell two classes apart.

    Attributes:
        first, second: the classes.
        auc: area under the ROC curve of the out-of-fold scores; 0.5 is chance.
        low, high: its 95% interval, from resampling groups.
        n_first, n_second: images of each class.
        families: the same area from one family of traits alone, by name.
        confounded: the whole interval lies above the threshold.
    """

    first: str
    second: str
    auc: float
    low: float
    high: float
    n_first: int
    n_second: int
    families: dict[str, float]
    confounded: bool


@dataclass(frozen=True)
class Probe:
    """The probe of every pair of classes that are large enough.

    Attributes:
        pairs: one result a pair, the best told apart first.
        threshold: what the lower end of an interval must exceed to confound.
        folds: of the cross-validation, by group.
        left_out: classes that are too small to be probed, with the reason.
    """

    pairs: tuple[PairProbe, ...] = ()
    threshold: float = THRESHOLD
    folds: int = FOLDS
    left_out: dict[str, str] = field(default_factory=dict)

    @property
    def confounded(self) -> bool:
        """Whether any pair of classes is told apart by what is not anatomy."""
        return any(pair.confounded for pair in self.pairs)


def probe(
    traits: npt.NDArray[np.float32],
    families: dict[str, list[int]],
    labels: Sequence[str],
    groups: Sequence[Hashable],
    threshold: float = THRESHOLD,
    seed: int = 0,
) -> Probe:
    """Probe every pair of classes.

    Extremely randomised trees (Geurts et al. 2006, doi 10.1007/s10994-006-6226-1) are cross-validated by group, one
    model for all classes; a pair is scored by p(second) / (p(first) + p(second)) on the images of the two. The interval
    is a percentile bootstrap over groups, since copies and views of one patient are no independent evidence.

    Args:
        traits: [images, traits].
        families: columns of ``traits`` by family name, each also probed alone.
        labels: class of each image.
        groups: what may not be torn apart by the folds, one an image.
        threshold: see `THRESHOLD`.
        seed: of the trees, the folds and the bootstrap.
    """
    left_out = _too_small(labels, groups)
    chosen = _choose(labels, left_out, seed)
    names = sorted({labels[i] for i in chosen})
    if len(names) < 2:
        return Probe(threshold=threshold, left_out=left_out)
    target = np.array([names.index(labels[i]) for i in chosen])
    places = {group: n for n, group in enumerate(dict.fromkeys(groups[i] for i in chosen))}
    members = np.array([places[groups[i]] for i in chosen])
    held = traits[chosen]
    scores = _out_of_fold(held, target, members, TREES, seed)
    alone = {n: _out_of_fold(held[:, own], target, members, TREES_ALONE, seed) for n, own in families.items()}
    results = []
    for a, b in combinations(range(len(names)), 2):
        rows = np.flatnonzero((target == a) | (target == b))
        positive = target[rows] == b
        weights = _resampled(members[rows], seed)
        areas = weighted_auc(_contrast(scores[rows], a, b), positive, weights)
        low, high = (float(v) for v in np.nanpercentile(areas[1:], (2.5, 97.5)))
        single = {n: float(weighted_auc(_contrast(s[rows], a, b), positive, weights[:1])[0]) for n, s in alone.items()}
        counts = int((~positive).sum()), int(positive.sum())
        results.append(PairProbe(names[a], names[b], float(areas[0]), low, high, *counts, single, low > threshold))
    return Probe(tuple(sorted(results, key=lambda pair: -pair.auc)), threshold, FOLDS, left_out)


def weighted_auc(scores: Floats, positive: npt.NDArray[np.bool_], weights: Floats) -> Floats:
    """Area under the ROC curve for several weightings at once, ties counting half.

    Args:
        scores: [images].
        positive: [images].
        weights: [weightings, images], how often each image counts.

    Returns:
        [weightings]; NaN where a weighting leaves no positive or no negative.
    """
    _, place = np.unique(scores, return_inverse=True)
    order = np.argsort(place, kind="stable")
    starts = np.flatnonzero(np.diff(place[order], prepend=-1))
    ups = np.add.reduceat(np.where(positive, weights, 0.0)[:, order], starts, axis=1)
    downs = np.add.reduceat(np.where(positive, 0.0, weights)[:, order], starts, axis=1)
    below = np.cumsum(downs, axis=1) - downs / 2
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray((ups * below).sum(axis=1) / (ups.sum(axis=1) * downs.sum(axis=1)), np.float64)


def _too_small(labels: Sequence[str], groups: Sequence[Hashable]) -> dict[str, str]:
    held = Counter(label for label, _ in set(zip(labels, groups, strict=True)))
    return {label: f"{held[label]} groups, {2 * FOLDS} are needed" for label in sorted(held) if held[label] < 2 * FOLDS}


def _choose(labels: Sequence[str], left_out: dict[str, str], seed: int) -> npt.NDArray[np.int64]:
    """At most `MAX_PER_CLASS` images of each class that is large enough."""
    rng = np.random.default_rng(seed)
    chosen: list[npt.NDArray[np.int64]] = []
    given = np.array(labels)
    for label in sorted(set(labels) - set(left_out)):
        rows = np.flatnonzero(given == label)
        chosen.append(rng.permutation(rows)[:MAX_PER_CLASS])
    return np.sort(np.concatenate(chosen)) if chosen else np.zeros(0, np.int64)


def _out_of_fold(
    traits: npt.NDArray[np.float32], target: npt.NDArray[np.int64], groups: npt.NDArray[np.int64], trees: int, seed: int
) -> Floats:
    """Class probabilities [images, classes], each from a model that saw no image of the same group."""
    scores = np.zeros((len(target), int(target.max()) + 1))
    for train, test in StratifiedGroupKFold(FOLDS, shuffle=True, random_state=seed).split(traits, target, groups):
        model = ExtraTreesClassifier(trees, min_samples_leaf=2, class_weight="balanced", random_state=seed)
        model.fit(traits[train], target[train])
        scores[np.ix_(test, model.classes_)] = model.predict_proba(traits[test])
    return scores


def _contrast(scores: Floats, first: int, second: int) -> Floats:
    total = scores[:, first] + scores[:, second]
    return np.asarray(np.divide(scores[:, second], total, out=np.full(len(scores), 0.5), where=total > 0))


def _resampled(groups: npt.NDArray[np.int64], seed: int) -> Floats:
    """Weights [1 + RESAMPLES, images]: first all ones, then how often a resampling of the groups draws each image."""
    _, place = np.unique(groups, return_inverse=True)
    count = int(place.max()) + 1
    drawn = np.random.default_rng(seed).multinomial(count, np.full(count, 1 / count), size=RESAMPLES)
    return np.concatenate([np.ones((1, len(place))), drawn[:, place].astype(np.float64)])
