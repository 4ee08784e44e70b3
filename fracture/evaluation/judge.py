"""From logits to results: what a split shows under decisions taken on other images."""

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np

from fracture.evaluation import calibration
from fracture.evaluation.intervals import estimate
from fracture.evaluation.metrics import Floats, Integers, confusion, softmax
from fracture.evaluation.sample import Decisions
from fracture.evidence import SplitResults

SLICE_VALUES = 20  # a column with more distinct values is a name, not a kind
SLICE_IMAGES = 5  # a value with fewer is told apart from nothing


def judge(
    logits: Floats, labels: Integers, groups: Sequence[str], classes: tuple[str, ...], decisions: Decisions
) -> SplitResults:
    """The results of one split; an image without a group is one of its own.

    Args:
        logits: [n, classes].
        labels: [n].
        groups: [n], empty where none is known.
        classes: names in the order of the logits.
        decisions: taken on other images.
    """
    owned = [group or f"alone {i}" for i, group in enumerate(groups)]
    probabilities = softmax(decisions.scaled(logits))
    correct = logits.argmax(axis=1) == labels
    counts = np.bincount(labels, minlength=len(classes))
    matrix = confusion(labels, logits.argmax(axis=1).astype(np.int64), len(classes))
    return SplitResults(
        n=len(labels),
        counts={name: int(count) for name, count in zip(classes, counts, strict=True)},
        metrics=estimate(logits, labels, owned, classes, decisions),
        confusion=tuple(tuple(int(value) for value in line) for line in matrix),
        reliability_before=calibration.reliability(softmax(logits).max(axis=1), correct),
        reliability=calibration.reliability(probabilities.max(axis=1), correct),
    )


def judge_slices(
    columns: Mapping[str, Sequence[str]],
    logits: Floats, labels: Integers, groups: Sequence[str], classes: tuple[str, ...], decisions: Decisions,
) -> dict[str, dict[str, SplitResults]]:  # fmt: skip
    """The results of each value, of five images or more, of each column that has 2 to 20 of them."""
    found: dict[str, dict[str, SplitResults]] = {}
    for column, values in columns.items():
        counts = Counter(values)
        enough = sorted(value for value, n in counts.items() if n >= SLICE_IMAGES)
        if not 2 <= len(counts) <= SLICE_VALUES or not enough:
            continue
        found[column] = {}
        for value in enough:
            among = [i for i, own in enumerate(values) if own == value]
            found[column][value or "(none)"] = judge(
                logits[among], labels[among], [groups[i] for i in among], classes, decisions.among(among)
            )
    return found
