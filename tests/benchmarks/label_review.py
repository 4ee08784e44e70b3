"""How many wrong labels a look at the first of label_review.csv finds, with labels made wrong on purpose.

    python -m tests.benchmarks.label_review --data FOLDER [FOLDER] --weights FILE

Each FOLDER is one of classes; a SOURCES.csv in it with the columns file and group keeps groups together. A share of the
labels is flipped, at random (to any other class) or by class (each class always to the same other one, as when two are
confused). Then the linear probe that training solves (224 px; its C chosen on the flipped labels) answers every image
out of fold, and images are ranked as label_review.csv ranks them. Given are the AUROC of "this label was flipped" and
how many of the first 20 were; beside it how many a random order would find. Labels that were wrong before count as
right here, so that every figure is a lower bound. Intervals: 2.5 and 97.5% quantiles over the repetitions.
"""

import argparse
from pathlib import Path

import numpy as np
import numpy.typing as npt
from sklearn.metrics import roc_auc_score
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from fracture.data.cache import default_folder
from fracture.evaluation.predictions import Predictions
from fracture.evaluation.review import SHOWN, review
from fracture.training import probe
from tests.benchmarks.machine import machine
from tests.benchmarks.recipe_features import Task, load

Integers = npt.NDArray[np.int64]
KINDS = ("at random", "by class")


def main() -> None:
    """Flip, rank and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, nargs="+", required=True)
    parser.add_argument("--weights", type=Path, required=True)
    parser.add_argument("--kept", type=Path, default=default_folder() / "recipe", help="where features are kept")
    parser.add_argument("--repetitions", type=int, default=20)
    options = parser.parse_args()
    options.kept.mkdir(parents=True, exist_ok=True)
    print(f"| set | flipped | AUROC of a flipped label | flipped among the first {SHOWN} | in a random order |")
    print("|---|---|---|---|---|")
    with threadpool_limits(1):
        for folder in options.data:
            task = load(folder, ("", ""), ["224"], options.weights, options.kept)
            for share in (0.05, 0.1):
                for kind in KINDS:
                    row(task, share, kind, [once(task, share, kind, seed) for seed in range(options.repetitions)])
    print(f"\n{options.repetitions} repetitions each. {machine()}")


def once(task: Task, share: float, kind: str, seed: int) -> tuple[float, int, float]:
    """AUROC, flipped ones among the first, and how many a random order would have there."""
    labels = flip(task.labels, len(task.classes), share, kind, seed)
    features, classes = task.views["224 mean"].astype(np.float64), len(task.classes)
    strengths = probe.fit(features, labels, task.groups, classes).strengths
    logits = probe.out_of_fold(features, features, labels, task.groups, classes, strengths)
    assert logits is not None
    names = tuple(str(i) for i in range(len(labels)))
    found = review(Predictions(task.classes, logits, labels, tuple(task.groups), names, names), "")
    wrong = labels != task.labels
    if not len(found.order):
        return 0.5, 0, SHOWN * wrong.mean()  # nothing is shown where the answers are no better than chance
    return float(roc_auc_score(wrong, -found.own)), int(wrong[found.order[:SHOWN]].sum()), SHOWN * wrong.mean()


def flip(labels: Integers, classes: int, share: float, kind: str, seed: int) -> Integers:
    """The labels with a share of them wrong."""
    rng = np.random.default_rng(seed)
    chosen = rng.permutation(len(labels))[: round(share * len(labels))]
    steps = rng.integers(1, classes, len(chosen)) if kind == "at random" else np.ones(len(chosen), np.int64)
    flipped = labels.copy()
    flipped[chosen] = (labels[chosen] + steps) % classes
    return flipped


def row(task: Task, share: float, kind: str, found: list[tuple[float, int, float]]) -> None:
    """One line of the table."""
    aurocs, firsts, expected = (np.array(column) for column in zip(*found, strict=True))
    (low, high), (least, most) = (np.quantile(values, [0.025, 0.975]) for values in (aurocs, firsts))
    print(
        f"| {task.name}, {len(task.labels)} images | {share:.0%} {kind} "
        f"| {aurocs.mean():.3f} ({low:.3f} to {high:.3f}) | {firsts.mean():.1f} ({least:.0f} to {most:.0f}) "
        f"| {expected.mean():.1f} |",
        flush=True,
    )


if __name__ == "__main__":
    main()
