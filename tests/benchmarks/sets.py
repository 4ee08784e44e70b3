"""Whether sets of classes hold each class as often as is wanted on test images: by class, and with one threshold.

    python -m tests.benchmarks.sets --data FOLDER [FOLDER] --weights FILE

Splits, features and answers are those of `tests.benchmarks.decisions`; sets are fitted on out-of-fold answers to train
and validation. "Marginal" is the set with one threshold for all classes, as conformal prediction is usually shown.
"""

import argparse
from pathlib import Path

import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from fracture.data.cache import default_folder
from fracture.data.split import assign
from fracture.evaluation.decide import Answers, fit_decisions
from fracture.evaluation.metrics import softmax
from fracture.evaluation.sets import members
from fracture.evidence.healthy import find_healthy
from fracture.rules import Wanted
from fracture.training import probe
from tests.benchmarks.decisions import groups_of
from tests.benchmarks.machine import machine
from tests.benchmarks.recipe_features import Task, load

Bools = npt.NDArray[np.bool_]


def main() -> None:
    """Make the splits, fit, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, nargs="+", required=True)
    parser.add_argument("--weights", type=Path, required=True)
    parser.add_argument("--kept", type=Path, default=default_folder() / "recipe", help="where features are kept")
    parser.add_argument("--splits", type=int, default=100)
    parser.add_argument("--coverage", type=float, default=0.9)
    options = parser.parse_args()
    options.kept.mkdir(parents=True, exist_ok=True)
    print(
        "| data | thresholds | class | coverage | in the lowest tenth of the splits | possible classes | single class |"
    )
    print("|---" * 7 + "|")
    with threadpool_limits(1):
        for folder in options.data:
            task = load(folder, ("", ""), ["224"], options.weights, options.kept)
            found = [split(task, seed, options.coverage) for seed in range(options.splits)]
            for way, name in enumerate(("by class", "marginal")):
                report(task, name, [(labels, sets[way]) for labels, sets in found])
    print(f"\n{options.splits} splits of each set, {options.coverage:.0%} wanted. {machine()}")


def split(task: Task, seed: int, coverage: float) -> tuple[npt.NDArray[np.int64], tuple[Bools, Bools]]:
    """The test labels of one split, and the sets of both kinds."""
    part = np.array(assign(task.labels.tolist(), task.groups, (0.7, 0.15, 0.15), seed))
    train, known, test = (np.flatnonzero(rows) for rows in (part == 0, part < 2, part == 2))
    features, classes = task.views["224 mean"].astype(np.float64), len(task.classes)
    chosen = probe.fit(features[train], task.labels[train], groups_of(task, train), classes)
    own, groups = features[known], groups_of(task, known)
    logits = probe.out_of_fold(own, own, task.labels[known], groups, classes, chosen.strengths)
    assert logits is not None
    healthy = find_healthy("auto", task.classes).name
    fitted = fit_decisions(
        Answers(logits, task.labels[known], groups, task.classes, healthy), Wanted(set_coverage=coverage)
    )
    head = probe.fit_again(own, task.labels[known], classes, chosen.strengths)
    shares = softmax(head.logits(features[test]) / fitted.calibration.temperature)
    true = np.sort(softmax(logits / fitted.calibration.temperature)[np.arange(len(known)), task.labels[known]])
    one = true[int((len(true) + 1) * (1 - coverage)) - 1]
    assert fitted.decisions.sets is not None
    return task.labels[test], (members(shares, fitted.decisions.sets), members(shares, np.full(classes, one)))


def report(task: Task, way: str, found: list[tuple[npt.NDArray[np.int64], Bools]]) -> None:
    """A line a class."""
    labels, sets = (np.concatenate(parts) for parts in zip(*found, strict=True))
    for k, name in enumerate(task.classes):
        each = [one[own == k, k].mean() for own, one in found]
        print(
            f"| {task.name} | {way} | {name} | {sets[labels == k, k].mean():.1%} | {np.quantile(each, 0.1):.1%} | "
            f"{sets.sum(axis=1).mean():.2f} | {(sets.sum(axis=1) == 1).mean():.0%} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
