"""From answers to images to one answer a study: pure functions."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from fracture.data.manifest import Row
from fracture.evaluation.intervals import estimate
from fracture.evaluation.metrics import Floats, Integers, softmax
from fracture.evaluation.sample import Decisions
from fracture.evidence.studies import HIGHEST, MEAN_LOGITS, MEAN_PROBABILITIES, By, Studies

RULES = (MEAN_LOGITS, MEAN_PROBABILITIES, HIGHEST)
COMPARED = (
    "accuracy", "balanced_accuracy", "macro_f1", "log_loss", "any_fracture_auroc", "any_fracture_sensitivity",
    "any_fracture_specificity",
)  # fmt: skip
_TINY = 1e-12


class Keys(NamedTuple):
    """Which images belong together: the name of each image's study, and what that is."""

    by: By
    names: list[str]


def keys_of(rows: Sequence[Row]) -> Keys | None:
    """The study of each image, else its group; None where no two images share one."""
    alone = [f"alone {i}" for i in range(len(rows))]
    studies = [f"{row.group} {row.study}" if row.study else own for row, own in zip(rows, alone, strict=True)]
    groups = [row.group or own for row, own in zip(rows, alone, strict=True)]
    found: tuple[Keys, ...] = (Keys("study", studies),) if any(row.study for row in rows) else (Keys("group", groups),)
    return next((keys for keys in found if len(set(keys.names)) < len(rows)), None)


def pooled(logits: Floats, rule: str, healthy: int | None) -> Floats:
    """The calibrated logits [n, classes] of the images of one study as those of the study, [classes].

    Raises:
        ValueError: no such rule.
    """
    if rule == MEAN_LOGITS:
        return np.asarray(logits.mean(axis=0))
    shares = softmax(logits)
    if rule == MEAN_PROBABILITIES:
        return np.asarray(np.log(np.maximum(shares.mean(axis=0), _TINY)))
    if rule == HIGHEST:
        sure = shares.max(axis=1) if healthy is None else 1 - shares[:, healthy]
        return np.asarray(logits[int(sure.argmax())])
    raise ValueError(f"rule={rule}: must be one of {', '.join(RULES)}")


def label_of(labels: Integers, healthy: int | None) -> int | None:
    """The class of a study by those of its images: a fracture in one is one of the study; None where they make none."""
    kinds = {int(label) for label in labels}
    fractures = kinds - {healthy} if len(kinds) > 1 and healthy is not None else kinds
    return next(iter(fractures)) if len(fractures) == 1 else None


def judge_studies(
    rows: Sequence[Row], logits: Floats, labels: Integers, classes: tuple[str, ...], decisions: Decisions
) -> Studies | None:
    """The metrics of studies; None where each image is a study of its own, or no study can be judged.

    Args:
        rows: [n], of the manifest.
        logits: [n, classes].
        labels: [n].
        classes: names in the order of the logits.
        decisions: taken for images, on other ones.
    """
    keys = keys_of(rows)
    if keys is None:
        return None
    healthy = None if decisions.healthy is None else classes.index(decisions.healthy)
    members: dict[str, list[int]] = {}
    for i, name in enumerate(keys.names):
        members.setdefault(name, []).append(i)
    known = {name: label for name, own in members.items() if (label := label_of(labels[own], healthy)) is not None}
    if not known:
        return None
    studies = [members[name] for name in known]
    first, truth = [own[0] for own in studies], np.array(list(known.values()), np.int64)
    groups = [rows[own[0]].group or name for own, name in zip(studies, known, strict=True)]
    scaled, taken = decisions.scaled(logits), replace(decisions.among(first), temperature=1.0)
    found = {
        rule: estimate(np.stack([pooled(scaled[own], rule, healthy) for own in studies]), truth, groups, classes, taken)
        for rule in RULES
    }
    counts = Counter(truth.tolist())
    return Studies(
        by=keys.by,
        n=len(studies),
        several=sum(len(own) > 1 for own in studies),
        images=sum(map(len, studies)),
        mixed=len(members) - len(studies),
        counts={name: counts[k] for k, name in enumerate(classes)},
        metrics=found[MEAN_LOGITS],
        others={
            rule: {name: found[rule][name] for name in COMPARED if name in found[rule]}
            for rule in RULES
            if rule != MEAN_LOGITS
        },
    )
