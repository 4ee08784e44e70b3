"""What a head gains that learns from validation too, and whether its promises hold: paired, on the same test folds.

    python -m tests.benchmarks.refit --data FOLDER --pair comminuted_fracture simple_fracture --weights FILE

FOLDER is one of classes; a SOURCES.csv in it with the columns file and group keeps groups together. Of the images
outside a test fold, 80% of all, 15% of all are put aside for validation. Ways: the head that is selected, of training
alone; the same fitted on training and validation together, as ``refit=true`` does; the mean of the five heads that
answer out of fold, which is one linear head too. All of them are decided about by out-of-fold answers. Gains are over
the first, with the corrected intervals of `tests.benchmarks.recipe_frozen`.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from sklearn.metrics import log_loss, roc_auc_score
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from fracture.data.cache import default_folder
from fracture.data.split import assign
from fracture.evaluation.decide import Answers, fit_decisions
from fracture.evaluation.metrics import softmax
from fracture.evidence.healthy import find_healthy
from fracture.rules import Wanted
from fracture.training import probe
from tests.benchmarks.decisions import Kept, error, groups_of, misses
from tests.benchmarks.machine import machine
from tests.benchmarks.recipe_features import Task, load
from tests.benchmarks.recipe_frozen import FOLDS, METRICS, _gain, folds, score

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

VIEWS = {"224": "224 mean", "384 pyramid": "384 pyramid "}  # the plain probe, and what the recipe's head reads
SELECTED, REFIT, MEAN = "training alone", "refit on training and validation", "mean of five fold heads"
VALIDATION = 0.15 / 0.8  # of the images outside the test fold
LOSS, AUROC = "log-loss", "any-fracture AUROC"


def main() -> None:
    """Compute what is missing, compare and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--pair", nargs=2, required=True, help="two classes: the AUC of the first against the second")
    parser.add_argument("--weights", type=Path, required=True)
    parser.add_argument("--kept", type=Path, default=default_folder() / "recipe")
    parser.add_argument("--features", choices=list(VIEWS), default="224")
    parser.add_argument(
        "--first", type=int, default=400, help="the first seed: none of these folds has chosen anything"
    )
    parser.add_argument("--seeds", type=int, default=5)
    options = parser.parse_args()
    options.kept.mkdir(parents=True, exist_ok=True)
    task = load(options.data, tuple(options.pair), [options.features], options.weights, options.kept)
    with threadpool_limits(1):
        report(task, options.features, range(options.first, options.first + options.seeds))
    print(f"\n{machine()}")


def report(task: Task, features: str, seeds: range) -> None:
    """One row a way: its metrics with gains, then what its decisions came to."""
    values, parts = task.views[VIEWS[features]].astype(np.float64), 2 if "pyramid" in features else 1
    print(f"### {task.name}, {features}: {len(set(task.groups))} groups, {len(seeds)} x {FOLDS} folds\n")
    names = (*METRICS[:3], AUROC, LOSS)
    print("| head | " + " | ".join(f"{name} | gain" for name in names) + " |\n|---" + "|---" * 10 + "|")
    found: dict[str, list[Floats]] = {}
    kept: dict[str, list[tuple[Kept, Kept]]] = {}
    for rest, test in folds(task, seeds):
        for name, (logits, answers) in ways(task, values, parts, rest, test).items():
            found.setdefault(name, []).append(measure(logits, test, task))
            fitted = fit_decisions(answers, Wanted("sensitivity:0.95"))
            asked = Answers(logits, task.labels[test], groups_of(task, test), task.classes, answers.healthy)
            kept.setdefault(name, []).append((error(asked, fitted.decisions), misses(asked, fitted.decisions)))
    plain = np.array(found[SELECTED])
    for name, rows in found.items():
        own = np.array(rows)
        cells = [cell for k in range(5) for cell in (f"{own[:, k].mean():.3f}", _gain(own[:, k] - plain[:, k]))]
        print(f"| {name} | " + " | ".join(cells) + " |", flush=True)
    print("\n| head | wrong among the answered, 5% promised | above 10% | answered | missed, 5% promised | above 10% |")
    print("|---" * 6 + "|")
    for name, pairs in kept.items():
        print(f"| {name} | {promise([one for one, _ in pairs])} | {promise([one for _, one in pairs], share=False)} |")
    print()


def ways(task: Task, values: Floats, parts: int, rest: Integers, test: Integers) -> dict[str, tuple[Floats, Answers]]:
    """Logits of the test images by each way, and the answers that its decisions rest on."""
    classes = len(task.classes)
    labels, groups = task.labels[rest], groups_of(task, rest)
    train = np.array(assign(labels.tolist(), groups, (1 - VALIDATION, VALIDATION), 0)) == 0
    own = [group for group, kept in zip(groups, train, strict=True) if kept]
    selected = probe.fit(values[rest][train], labels[train], own, classes, parts)
    again = probe.fit_again(values[rest], labels, classes, selected.strengths)
    each, logits = [], np.zeros((len(rest), classes))
    for learned, asked in probe.group_folds(labels, groups):
        each.append(probe.fit_again(values[rest][learned], labels[learned], classes, selected.strengths))
        logits[asked] = each[-1].logits(values[rest][asked])
    answers = Answers(logits, labels, groups, task.classes, find_healthy("auto", task.classes).name)
    mean = np.mean([head.logits(values[test]) for head in each], axis=0)
    given = {SELECTED: selected.logits(values[test]), REFIT: again.logits(values[test]), MEAN: mean}
    return {name: (found, answers) for name, found in given.items()}


def measure(logits: Floats, test: Integers, task: Task) -> Floats:
    """The first three of `METRICS`, the AUROC of any fracture, and the log-loss."""
    shares, at = softmax(logits), task.classes.index(str(find_healthy("auto", task.classes).name))
    labels = task.labels[test]
    return np.array([
        *score(logits, test, task)[:3], roc_auc_score(labels != at, 1 - shares[:, at]),
        log_loss(labels, shares, labels=range(len(task.classes))),
    ])  # fmt: skip


def promise(found: Sequence[Kept], *, share: bool = True) -> str:
    """Mean of what breaks a promise of 5%, share of the folds above twice that, and what is answered."""
    there = [one for one in found if one.n and np.isfinite(one.broken)]
    broken = np.array([one.broken for one in there])
    cells = [f"{broken.mean():.1%}", f"{(broken > 0.1 + 1e-9).mean():.0%}"]
    return " | ".join([*cells, f"{np.mean([one.other for one in found]):.1%}"] if share else cells)


if __name__ == "__main__":
    main()
