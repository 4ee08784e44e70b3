"""Image sizes, layers and heads on frozen features of real radiographs: the tables of docs/recipe-measurements.md.

    python -m tests.benchmarks.recipe_frozen --data FOLDER --pair comminuted_fracture simple_fracture --weights FILE

FOLDER is one of classes; a SOURCES.csv in it with the columns file and group keeps groups together. Frozen features are
computed once for each way of showing the images and kept under ``--kept``. Every ingredient then runs on the same folds
(by group, stratified, ``--seeds`` times five) and is compared fold by fold with the plain linear probe. Intervals of
the gains are those of the corrected resampled t-test, for training sets overlap (Nadeau and Bengio 2003).
"""

import argparse
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from sklearn.metrics import balanced_accuracy_score, f1_score, roc_auc_score
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from fracture.data.cache import default_folder
from fracture.data.split import assign
from fracture.evaluation.calibration import bin_table, error_of, expected_error
from fracture.evaluation.folds import over_folds
from fracture.evaluation.metrics import softmax
from tests.benchmarks.machine import machine
from tests.benchmarks.recipe_features import COPIES, Task, load
from tests.benchmarks.recipe_heads import (
    Fit,
    adjusted,
    chosen,
    copied,
    curved,
    discriminant,
    hierarchy,
    logistic,
    mixed,
    tuned,
    whitened,
)

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

FOLDS = 5
MIXED = tuple(f"384 pyramid mixed {percent}" for percent in (25, 50, 75))
WAYS = (  # a longer name before a shorter one that it begins with
    "384 pyramid mixed 50 copies", *MIXED, "384 pyramid copies", "384 pyramid", "224 clahe", "224 window", "320 clahe",
    "224", "320", "384",
)  # fmt: skip
METRICS = ("balanced accuracy", "macro F1", "AUC", "ECE, debiased")


@dataclass(frozen=True)
class Ingredient:
    """One change of the plain probe: which features are put together, what learns from them, and from how many."""

    name: str
    views: tuple[str, ...]
    fit: Fit
    share: float = 1.0


def main() -> None:
    """Compute what is missing, compare and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--pair", nargs=2, required=True, help="two classes: the AUC of the first against the second")
    parser.add_argument("--weights", type=Path, required=True)
    parser.add_argument("--kept", type=Path, default=default_folder() / "recipe")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--first", type=int, default=0, help="the first of the seeds; 100 for folds that chose nothing")
    parser.add_argument("--by", nargs="+", default=[], help="columns of SOURCES.csv: the AUC where one of them is 1")
    parser.add_argument("--only", default="", help="ingredients with this in their name, beside the plain probe")
    options = parser.parse_args()
    torch.set_num_threads(1)
    options.kept.mkdir(parents=True, exist_ok=True)
    wanted = [one for k, one in enumerate(INGREDIENTS) if not k or options.only in one.name]
    needed = {next(way for way in WAYS if view.startswith(way)) for one in wanted for view in one.views}
    task = load(options.data, tuple(options.pair), sorted(needed), options.weights, options.kept)
    with threadpool_limits(1):
        seeds = range(options.first, options.first + options.seeds)
        report(task, seeds, wanted)
        if options.by:
            slices(task, seeds, wanted[-1], options.by)
    print(f"\n{machine()}")


def report(task: Task, seeds: Sequence[int], ingredients: Sequence[Ingredient]) -> None:
    """One row an ingredient: its metrics, and its gain over the plain probe on the same folds."""
    sizes = ", ".join(f"{(task.labels == k).sum()} {name}" for k, name in enumerate(task.classes))
    print(f"### {task.name}: {sizes}, {len(set(task.groups))} groups, {len(seeds)} x {FOLDS} folds")
    print(f"AUC: {task.pair[0]} against {task.pair[1]}. Gains over the plain probe with 95% intervals.\n")
    print("| ingredient | " + " | ".join(f"{m} | gain" for m in METRICS[:3]) + f" | {METRICS[3]} | CPU s |")
    print("|---" * (2 + 2 * 3 + 1) + "|")
    plain: Floats | None = None
    for one in ingredients:
        began = time.process_time()
        found = np.array([measure(one, task, *split) for split in folds(task, seeds)])
        plain = found if plain is None else plain
        cells = [cell for k in range(3) for cell in (f"{found[:, k].mean():.3f}", _gain(found[:, k] - plain[:, k]))]
        seconds = time.process_time() - began
        print(f"| {one.name} | " + " | ".join(cells) + f" | {found[:, 3].mean():.3f} | {seconds:.0f} |", flush=True)


def slices(task: Task, seeds: Sequence[int], one: Ingredient, columns: Sequence[str]) -> None:
    """The AUC of one ingredient among the images of each fold that have 1 in a column of SOURCES.csv."""
    print(f"\n{one.name}, where a column of SOURCES.csv is 1\n\n| column | images | {task.pair[0]} | AUC |")
    print("|---" * 4 + "|")
    answered = [(answers(one, task, *split), split[1]) for split in folds(task, seeds)]
    for column in columns:
        inside = np.array([row.get(column) == "1" for row in task.about])
        found = [score(logits[inside[test]], test[inside[test]], task)[2] for logits, test in answered]
        mean, low, high = over_folds(found, 1 / (FOLDS - 1))
        first = (task.labels[inside] == task.classes.index(task.pair[0])).sum()
        print(f"| {column} | {inside.sum()} | {first} | {mean:.3f} ({low:.3f} to {high:.3f}) |")


def folds(task: Task, seeds: Sequence[int]) -> Iterator[tuple[Integers, Integers]]:
    """Positions of training and test images of every fold of every seed."""
    for seed in seeds:
        part = np.array(assign(task.labels.tolist(), task.groups, [1 / FOLDS] * FOLDS, seed))
        for fold in range(FOLDS):
            yield np.flatnonzero(part != fold), np.flatnonzero(part == fold)


def measure(one: Ingredient, task: Task, train: Integers, test: Integers) -> Floats:
    """The metrics of one ingredient on one fold."""
    return score(answers(one, task, train, test), test, task)


def answers(one: Ingredient, task: Task, train: Integers, test: Integers) -> Floats:
    """Logits of the test images of one fold."""
    if one.share < 1:
        labels, groups = task.labels[train].tolist(), [task.groups[i] for i in train]
        train = train[np.array(assign(labels, groups, (one.share, 1 - one.share), 0)) == 0]
    values = np.concatenate([task.views[view] for view in one.views], axis=1).astype(np.float64)
    groups = [task.groups[i] for i in train]
    return one.fit(values[train], task.labels[train], groups, values[test])


def score(logits: Floats, test: Integers, task: Task) -> Floats:
    """`METRICS` of logits of some images."""
    labels, predicted = task.labels[test], logits.argmax(axis=1)
    first, second = (task.classes.index(name) for name in task.pair)
    pair = np.isin(labels, (first, second))
    confidence = softmax(logits).max(axis=1)
    table = bin_table(confidence, predicted == labels).sum(axis=0)
    return np.array([
        balanced_accuracy_score(labels, predicted),
        f1_score(labels, predicted, average="macro"),
        roc_auc_score(labels[pair] == first, (logits[:, first] - logits[:, second])[pair]),
        max(float(error_of(table)) - expected_error(confidence), 0.0),
    ])  # fmt: skip


def _gain(gains: Floats) -> str:
    """Mean and 95% interval of paired differences over folds, each test a quarter of its training set."""
    if not gains.any():
        return "-"
    mean, low, high = over_folds(gains.tolist(), 1 / (FOLDS - 1))
    return f"{mean:+.3f} ({low:+.3f} to {high:+.3f})"


def _statistics(*ways: int | str) -> tuple[str, ...]:
    """Mean, spread and largest value of the last layer, shown each way."""
    return tuple(f"{way} {kind}" for way in ways for kind in ("mean", "spread", "max"))


def _stages(way: int) -> tuple[str, ...]:
    return tuple(f"{way} stage {stage} {kind}" for stage in (2, 3, 4) for kind in ("mean", "spread"))


_PLAIN = ("224 mean",)
_STAGES = ("224 stage 2 mean", "224 stage 3 mean", "224 stage 4 mean")
_LARGER = ("320 mean", "320 max", "320 stage 2 mean", "320 stage 3 mean", "320 stage 4 mean")
_PYRAMID = ("384 pyramid ",)
_MIXED = ("384 pyramid mixed 50 ",)
_COPIES, _MIXED_COPIES = (
    (*way, *(f"{way[0]}copies {number}" for number in range(1, COPIES + 1))) for way in (_PYRAMID, _MIXED)
)
_BOTH = tuple(view for size in (224, 384) for view in _statistics(size) + _stages(size))
INGREDIENTS = (
    Ingredient("plain probe: 224 px, mean, C = 0.001", _PLAIN, logistic()),
    Ingredient("C by cross-validation", _PLAIN, tuned()),
    Ingredient("C x 0.1", _PLAIN, logistic(0.1)),
    Ingredient("C x 10", _PLAIN, logistic(10.0)),
    Ingredient("classes not balanced", _PLAIN, logistic(balanced=False)),
    Ingredient("logit adjustment: not balanced, frequencies taken off", _PLAIN, adjusted),
    Ingredient("320 px", ("320 mean",), logistic()),
    Ingredient("224 and 320 px, mean of two probes", ("224 mean", "320 mean"), mixed(2)),
    Ingredient("local contrast (CLAHE)", ("224 clahe mean",), logistic()),
    Ingredient("percentile windowing", ("224 window mean",), logistic()),
    Ingredient("plain, CLAHE and window, mean of three", ("224 mean", "224 clahe mean", "224 window mean"), mixed(3)),
    Ingredient("largest value for the mean", ("224 max",), logistic()),
    Ingredient("mean and largest value", ("224 mean", "224 max"), logistic()),
    Ingredient("stages 2 to 4 beside the last layer", (*_PLAIN, *_STAGES), logistic()),
    Ingredient("stages 2 to 4 alone", _STAGES, logistic()),
    Ingredient("stages 2 to 4 alone, mean and largest", (*_STAGES, *(v[:-4] + "max" for v in _STAGES)), logistic()),
    Ingredient("320 px: mean, largest, stages 2 to 4", _LARGER, logistic()),
    Ingredient("statistics: spread for the mean", ("224 spread",), logistic()),
    Ingredient("statistics: 320 px, spread for the mean", ("320 spread",), logistic()),
    Ingredient("statistics: 320 px, spread and largest", ("320 spread", "320 max"), logistic()),
    Ingredient("statistics: 320 px, mean, spread, largest", _statistics(320), logistic()),
    Ingredient("statistics: 320 px, the same with CLAHE", _statistics("320 clahe"), logistic()),
    Ingredient("statistics: 384 px, mean, spread, largest", _statistics(384), logistic()),
    Ingredient("statistics: 384 px, with stages 2 to 4", _statistics(384) + _stages(384), logistic()),
    Ingredient("statistics: 224 and 320 px, mean of two probes", _statistics(224, 320), mixed(2)),
    Ingredient("statistics: 224 and 384 px, mean of two probes", _statistics(224, 384), mixed(2)),
    Ingredient("statistics: 224 and 384 px, with stages 2 to 4", _BOTH, mixed(2)),
    Ingredient("statistics: 224, 320 and 384 px, mean of three", _statistics(224, 320, 384), mixed(3)),
    Ingredient("the pyramid, one probe on both scales", _PYRAMID, logistic()),
    Ingredient("the pyramid, mean of two probes, C by cross-validation", _PYRAMID, tuned(2)),
    Ingredient("the same, augmented copies of the training images beside them", _COPIES, copied(answered=False)),
    Ingredient("the same, the answer a mean over augmented copies too", _COPIES, copied(answered=True)),
    *(Ingredient(f"the same, {way[-3:].strip()}% mixed statistics", (f"{way} ",), tuned(2)) for way in MIXED),
    Ingredient("the recipe: the same, statistics by cross-validation", (*_PYRAMID, *_MIXED), chosen),
    Ingredient("50% mixed, augmented copies of training images beside them", _MIXED_COPIES, copied(answered=False)),
    Ingredient("50% mixed, the answer a mean over augmented copies too", _MIXED_COPIES, copied(answered=True)),
    Ingredient("shrunk linear discriminant", _PLAIN, discriminant),
    Ingredient("64 whitened components", _PLAIN, whitened),
    Ingredient("Gaussian support vector machine", _PLAIN, curved),
    Ingredient("hierarchy: any fracture, then which", _PLAIN, hierarchy),
    Ingredient("a quarter of the training images", _PLAIN, logistic(), 0.25),
    Ingredient("half of the training images", _PLAIN, logistic(), 0.5),
)  # fmt: skip

if __name__ == "__main__":
    main()
