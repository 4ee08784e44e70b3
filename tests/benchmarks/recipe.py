"""Recipes against each other by cross-validation: the same group-stratified folds, differences fold by fold.

    python -m tests.benchmarks.recipe --data DIR --weights FILE --recipes linear-probe gentle seed --folds 5

DIR is a folder of classes; a SOURCES.csv in it with the columns file and group keeps groups together. Of each fold a
fifth is the test, a seventh of the rest validation. `linear-probe` and `gentle` are as in fracture/training/recipe.py,
whatever the number of images; `seed` is the seed's; `probe` fits the head on the backbone's own features at 224 px.
"""

import argparse
import csv
import io
import os
import statistics
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
from rich.console import Console
from sklearn.metrics import balanced_accuracy_score, f1_score, roc_auc_score
from sklearn.model_selection import StratifiedGroupKFold

from fracture.config import TrainConfig
from fracture.data.folders import read_folder
from fracture.data.manifest import Manifest, write_csv
from fracture.evaluation import predictions
from fracture.evaluation.folds import over_folds
from fracture.progress import Terminal
from fracture.runs import session
from fracture.tracking import artifacts, query, store
from fracture.training.recipe import GENTLE, LINEAR_PROBE
from tests.benchmarks.machine import machine

MODEL = "tf_efficientnet_lite0"
_TEST_OVER_TRAINING = (1 / 5) / (4 / 5 * 6 / 7)  # shares of the images, see `folds`
PROBE: dict[str, object] = {"head": "probe", "trained": "head", "class_weights": "balanced", "epochs": 1}
RECIPES: dict[str, dict[str, object]] = {"linear-probe": LINEAR_PROBE, "gentle": GENTLE, "seed": {}, "probe": PROBE}


def main() -> None:
    """Train every recipe on every fold and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--weights", type=Path, required=True)
    parser.add_argument("--recipes", nargs="+", choices=RECIPES, default=["linear-probe", "gentle"])
    parser.add_argument("--folds", type=int, default=5, help="of five, how many are run")
    parser.add_argument("--seed", type=int, default=0, help="of the folds, the first one")
    parser.add_argument("--seeds", type=int, default=1, help="how many times the images are divided into folds")
    parser.add_argument("--threads", default="auto", help="1 where other work goes on beside")
    options = parser.parse_args()
    weights, data = options.weights.resolve(), options.data.resolve()
    scores: dict[str, list[dict[str, float]]] = {name: [] for name in options.recipes}
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        store.connect()
        for seed in range(options.seed, options.seed + options.seeds):
            for fold, manifest in enumerate(folds(data, seed)[: options.folds]):
                path = Path(folder) / f"seed{seed}-fold{fold}.csv"
                write_csv(manifest, path)
                for name in options.recipes:
                    scores[name].append(run(RECIPES[name] | {"threads": options.threads}, path, weights))
                    print(f"seed {seed}, fold {fold}, {name}: {_line(scores[name][-1])}", flush=True)
    report(scores, data.name)


def folds(data: Path, seed: int) -> list[Manifest]:
    """Five manifests of the same images, each with another fifth as the test."""
    manifest = read_folder(data, [])
    known = _groups(data)
    rows = manifest.rows
    groups = np.array([known.get(manifest.relative(row), row.group or str(i)) for i, row in enumerate(rows)])
    labels = np.array([row.label for row in rows])
    found = []
    for rest, test in StratifiedGroupKFold(5, shuffle=True, random_state=seed).split(labels, labels, groups):
        inner = StratifiedGroupKFold(7, shuffle=True, random_state=seed)
        _, val = next(inner.split(labels[rest], labels[rest], groups[rest]))
        split = np.full(len(rows), "train", dtype=object)
        split[test], split[rest[val]] = "test", "val"
        found.append(manifest.with_rows(_with(rows, split, groups)))
    return found


def _with(rows: Sequence, split: npt.NDArray, groups: npt.NDArray) -> list:  # type: ignore[type-arg]
    return [replace(row, split=str(s), group=str(g)) for row, s, g in zip(rows, split, groups, strict=True)]


def _groups(data: Path) -> dict[str, str]:
    place = data / "SOURCES.csv"
    if not place.is_file():
        return {}
    with place.open(newline="", encoding="utf-8") as file:
        return {row["file"]: row["group"] for row in csv.DictReader(file) if row.get("group")}


def run(recipe: dict[str, object], data: Path, weights: Path) -> dict[str, float]:
    """Train once and judge the test fold."""
    config = TrainConfig(model=MODEL, weights=str(weights), data=str(data), audit="off", recipe="seed")
    config = TrainConfig.model_validate(config.model_dump() | recipe)
    began = time.perf_counter()
    session.train(config, session.Session(Terminal(Console(file=io.StringIO())), None, ""))
    seconds = time.perf_counter() - began
    with tempfile.TemporaryDirectory() as folder:
        (path,) = artifacts.fetch(query.finished(["train"])[0].id, ["predictions_test.csv"], Path(folder))
        return judge(predictions.read(path)) | {"seconds": seconds}


def judge(found: predictions.Predictions) -> dict[str, float]:
    """The scores of one fold: the headline tasks are those without a source confound."""
    labels, logits, classes = found.labels, found.logits, found.classes
    best = logits.argmax(axis=1)
    scores = {
        "balanced accuracy": balanced_accuracy_score(labels, best),
        "macro F1": f1_score(labels, best, average="macro"),
    }
    if {"comminuted_fracture", "simple_fracture"} <= set(classes):
        one, other = classes.index("comminuted_fracture"), classes.index("simple_fracture")
        among = np.isin(labels, (one, other))
        scores["comminuted or simple, AUC"] = roc_auc_score(
            labels[among] == one, (logits[:, one] - logits[:, other])[among]
        )
    if len(classes) == 2:
        scores["AUROC"] = roc_auc_score(labels == 0, logits[:, 0] - logits[:, 1])
    return {name: float(value) for name, value in scores.items()}


def report(scores: dict[str, list[dict[str, float]]], data: str) -> None:
    """Means over folds with 95% intervals, and the differences from the first recipe, fold by fold.

    Intervals are those of the corrected resampled t-test (Nadeau and Bengio 2003): the folds share training images.
    """
    first = next(iter(scores))
    metrics = [name for name in scores[first][0] if name != "seconds"]
    print(f"\n{data}, {MODEL}, {len(scores[first])} folds by group, each a fifth of the images; {machine()}\n")
    print("| recipe | " + " | ".join(metrics) + " | minutes a fold |\n|" + "---|" * (len(metrics) + 2))
    for name, found in scores.items():
        cells = [_interval([fold[metric] for fold in found]) for metric in metrics]
        print(
            f"| {name} | " + " | ".join(cells) + f" | {statistics.mean(fold['seconds'] for fold in found) / 60:.1f} |"
        )
    for name in list(scores)[1:]:
        pairs = zip(scores[name], scores[first], strict=True)
        apart = [{metric: one[metric] - other[metric] for metric in metrics} for one, other in pairs]
        cells = [_interval([fold[metric] for fold in apart], signed=True) for metric in metrics]
        print(f"| {name} less {first} | " + " | ".join(cells) + " | |")


def _interval(values: Sequence[float], *, signed: bool = False) -> str:
    sign = "+" if signed else ""
    if len(values) < 2:
        return f"{values[0]:{sign}.3f}"
    mean, low, high = over_folds(list(values), _TEST_OVER_TRAINING)
    return f"{mean:{sign}.3f} ({low:{sign}.3f} to {high:{sign}.3f})"


def _line(scores: dict[str, float]) -> str:
    return ", ".join(f"{name} {value:.3f}" if name != "seconds" else f"{value:.0f} s" for name, value in scores.items())


if __name__ == "__main__":
    main()
