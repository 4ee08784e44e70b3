"""Whether promises hold on test images, with thresholds from validation and from out-of-fold answers.

    python -m tests.benchmarks.decisions --data FOLDER [FOLDER] --weights FILE

Each FOLDER is one of classes; a SOURCES.csv in it with the columns file and group keeps groups together. Of every set
100 splits by group (70% train, 15% validation, 15% test) are made. In each the linear probe that training solves
(224 px, C by cross-validation) learns from train and answers to test; thresholds for ``refer_error`` and
``sensitivity`` are fitted on its answers to validation, as they were before, and on out-of-fold answers to train and
validation, as they are. "By chance" is the share of splits that would be above twice the promise if the error were
exactly as promised, with as many images answered.
"""

import argparse
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy.stats import binom
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from fracture.data.cache import default_folder
from fracture.data.split import assign
from fracture.evaluation.calibration import fit_temperature
from fracture.evaluation.decide import Answers, describe, fit_decisions
from fracture.evaluation.metrics import softmax
from fracture.evaluation.sample import Decisions, Sample
from fracture.evidence import Estimate
from fracture.evidence.decisions import ERROR, SENSITIVITY
from fracture.evidence.healthy import find_healthy
from fracture.rules import Wanted
from fracture.training import probe
from tests.benchmarks.machine import machine
from tests.benchmarks.recipe_features import Task, load

Floats = npt.NDArray[np.float64]
LEAST = 20  # images that a threshold had to answer before, and has to now


@dataclass(frozen=True)
class Kept:
    """What a promise came to on the test images of one split.

    Attributes:
        broken: share of them that break it: wrong among the answered, or missed among the fractures; NaN where none.
        n: images that it is a share of.
        there: whether there was a threshold.
        other: what is paid for it: share answered, or specificity.
        expected: the share that was told to be expected, None before.
    """

    broken: float
    n: int
    there: bool
    other: float
    expected: Estimate | None = None


def main() -> None:
    """Make the splits, fit, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, nargs="+", required=True)
    parser.add_argument("--weights", type=Path, required=True)
    parser.add_argument("--kept", type=Path, default=default_folder() / "recipe", help="where features are kept")
    parser.add_argument("--splits", type=int, default=100)
    parser.add_argument("--refer-error", type=float, default=0.05)
    parser.add_argument("--sensitivity", type=float, default=0.95)
    options = parser.parse_args()
    options.kept.mkdir(parents=True, exist_ok=True)
    wanted = Wanted(f"sensitivity:{options.sensitivity:g}", options.refer_error)
    head()
    with threadpool_limits(1):
        for folder in options.data:
            task = load(folder, ("", ""), ["224"], options.weights, options.kept)
            found = [split(task, seed, wanted) for seed in range(options.splits)]
            for what, promise in (("error", options.refer_error), ("missed", 1 - options.sensitivity)):
                for way in ("validation", "out of fold"):
                    row(task, what, way, [one[what, way] for one in found], promise)
    print()
    with threadpool_limits(1):
        for folder in options.data:
            together(load(folder, ("", ""), ["224"], options.weights, options.kept), options.splits)
    print(f"\n{options.splits} splits of each set. {machine()}")


def split(task: Task, seed: int, wanted: Wanted) -> dict[tuple[str, str], Kept]:
    """Both promises, with thresholds of both kinds, in one split."""
    part = np.array(assign(task.labels.tolist(), task.groups, (0.7, 0.15, 0.15), seed))
    train, val, test = (np.flatnonzero(part == k) for k in range(3))
    features, classes = task.views["224 mean"].astype(np.float64), len(task.classes)
    chosen = probe.fit(features[train], task.labels[train], groups_of(task, train), classes)
    known = np.concatenate([train, val])
    logits = probe.out_of_fold(
        features[known], features[known], task.labels[known], groups_of(task, known), classes, chosen.strengths
    )
    assert logits is not None

    def answers(rows: npt.NDArray[np.int64], given: Floats | None = None) -> Answers:
        own = features[rows] @ chosen.weight.T + chosen.bias if given is None else given
        healthy = find_healthy("auto", task.classes).name
        return Answers(own, task.labels[rows], groups_of(task, rows), task.classes, healthy)

    before, folded, asked = as_before(answers(val), wanted), answers(known, logits), answers(test)
    fitted = fit_decisions(folded, wanted)
    expected = describe(folded, fitted, "out_of_fold", wanted).expected
    missed = expected.get(SENSITIVITY)
    return {
        ("error", "validation"): error(asked, before),
        ("error", "out of fold"): error(asked, fitted.decisions, expected.get(ERROR)),
        ("missed", "validation"): misses(asked, before),
        ("missed", "out of fold"): misses(asked, fitted.decisions, complement(missed)),
    }


def together(task: Task, splits: int) -> None:
    """How many images of each split are of groups of several: the splitter gives those to training where it can."""
    sizes = Counter(task.groups)
    several = np.array([sizes[group] > 1 for group in task.groups])
    parts = [np.array(assign(task.labels.tolist(), task.groups, (0.7, 0.15, 0.15), seed)) for seed in range(splits)]
    shares = ", ".join(
        f"{name} {np.mean([several[part == k].mean() for part in parts]):.1%}"
        for k, name in enumerate(("train", "validation", "test"))
    )
    print(f"{task.name}: images of groups of several: {shares}")


def groups_of(task: Task, rows: npt.NDArray[np.int64]) -> list[str]:
    """The group of each of some images."""
    return [task.groups[i] for i in rows]


def as_before(answers: Answers, wanted: Wanted) -> Decisions:
    """As thresholds were fitted before: on validation, so that the promise is just kept there."""
    temperature = fit_temperature(answers.logits, answers.labels).temperature
    shares = softmax(answers.logits / temperature)
    sure, correct = shares.max(axis=1), shares.argmax(axis=1) == answers.labels
    order = np.argsort(-sure, kind="stable")
    rate = np.cumsum(~correct[order]) / np.arange(1, len(order) + 1)
    allowed = np.flatnonzero((rate <= wanted.refer_error) & (np.arange(1, len(order) + 1) >= LEAST))
    refer = None if not len(allowed) else float(sure[order[allowed[-1]]])
    assert answers.healthy is not None
    at = answers.classes.index(answers.healthy)
    fractures = np.sort(1 - shares[answers.labels != at, at])
    sensitivity = float(wanted.operating.partition(":")[2])
    return Decisions(temperature, float(fractures[int((1 - sensitivity) * len(fractures))]), refer, answers.healthy)


def error(answers: Answers, decisions: Decisions, expected: Estimate | None = None) -> Kept:
    """Wrong among the answered."""
    sample = Sample(answers.logits, answers.labels, answers.classes, decisions)
    n = int(sample.answered.sum())
    broken = float((~sample.correct[sample.answered]).mean()) if n else np.nan
    return Kept(broken, n, decisions.refer_below is not None, n / len(answers.labels), expected)


def misses(answers: Answers, decisions: Decisions, expected: Estimate | None = None) -> Kept:
    """Missed among the fractures."""
    sample = Sample(answers.logits, answers.labels, answers.classes, decisions)
    fractured = answers.labels != sample.healthy
    if sample.alarm is None:
        return Kept(np.nan, 0, False, np.nan)
    specificity = float((~sample.alarm[~fractured]).mean())
    return Kept(float((~sample.alarm[fractured]).mean()), int(fractured.sum()), True, specificity, expected)


def complement(found: Estimate | None) -> Estimate | None:
    """What is missed, where ``found`` is what is found."""
    if found is None or found.value is None or found.low is None or found.high is None:
        return None
    return found.model_copy(update={"value": 1 - found.value, "low": 1 - found.high, "high": 1 - found.low})


def head() -> None:
    """The head of the table."""
    columns = (
        "set", "promise", "fitted on", "mean", "of all images", "above it", "above twice", "by chance",
        "expected, mean", "above its interval", "answered, or specificity", "no threshold",
    )  # fmt: skip
    print("| " + " | ".join(columns) + " |\n" + "|---" * len(columns) + "|")


def row(task: Task, what: str, way: str, found: Sequence[Kept], promise: float) -> None:
    """One line of the table."""
    there = [one for one in found if one.n and np.isfinite(one.broken)]
    broken, n = np.array([one.broken for one in there]), np.array([one.n for one in there])
    chance = binom.sf(np.floor(2 * promise * n + 1e-9), n, promise).mean()
    told = [(one.broken, one.expected) for one in there if one.expected is not None]
    expected = f"{np.mean([e.value for _, e in told]):.1%}" if told else "-"  # type: ignore[misc]
    beyond = f"{np.mean([b > e.high for b, e in told]):.0%}" if told else "-"  # type: ignore[operator]
    name = "wrong among the answered" if what == "error" else "missed fractures"
    cells = [
        task.name, f"{name}, at most {promise:.0%}", way, f"{broken.mean():.1%}", f"{(broken * n).sum() / n.sum():.1%}",
        f"{(broken > promise + 1e-9).mean():.0%}", f"{(broken > 2 * promise + 1e-9).mean():.0%}", f"{chance:.0%}",
        expected, beyond, f"{np.nanmean([one.other for one in found]):.1%}",
        f"{np.mean([not one.there for one in found]):.0%}",
    ]  # fmt: skip
    print("| " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
