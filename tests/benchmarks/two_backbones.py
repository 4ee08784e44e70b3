"""What a second backbone is worth to the recipe, on the same folds: each alone, the mean of both, one head on both.

    python -m tests.benchmarks.two_backbones --data FOLDER --pair comminuted_fracture simple_fracture \
        --weights LITE0 LITE2

FOLDER is one of classes; a SOURCES.csv in it with the columns file and group keeps groups together. ``--weights`` are
files of tf_efficientnet_lite0 and tf_efficientnet_lite2. Folds, metrics and intervals are those of
`tests.benchmarks.recipe_frozen`; gains are over the recipe with the first backbone. The mean is that of the logits; one
head reads the features of both, scale by scale, and the statistics of both are chosen together.
"""

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from fracture.data.cache import default_folder
from tests.benchmarks.machine import machine
from tests.benchmarks.recipe_features import MODEL, Task, Views, load
from tests.benchmarks.recipe_frozen import FOLDS, METRICS, _gain, folds, score
from tests.benchmarks.recipe_heads import chosen

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
Answer = Callable[[Task, Integers, Integers], Floats]

SECOND = "tf_efficientnet_lite2"
WAYS = ("384 pyramid", "384 pyramid mixed 50")
SCALES = 2


def main() -> None:
    """Compute what is missing, compare and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--pair", nargs=2, required=True, help="two classes: the AUC of the first against the second")
    parser.add_argument("--weights", type=Path, nargs=2, required=True, help="of lite0 and of lite2")
    parser.add_argument("--kept", type=Path, default=default_folder() / "recipe")
    parser.add_argument(
        "--first", type=int, default=300, help="the first seed: none of these folds has chosen anything"
    )
    parser.add_argument("--seeds", type=int, default=5)
    options = parser.parse_args()
    torch.set_num_threads(1)
    options.kept.mkdir(parents=True, exist_ok=True)
    first, second = (
        load(options.data, tuple(options.pair), WAYS, file, options.kept, model)
        for model, file in zip((MODEL, SECOND), options.weights, strict=True)
    )
    assert first.sha256 == second.sha256
    with threadpool_limits(1):
        report(first, second, range(options.first, options.first + options.seeds))
    print(f"\n{machine()}")


def report(first: Task, second: Task, seeds: range) -> None:
    """One row a way: its metrics, and its gain over the first backbone on the same folds."""
    sizes = ", ".join(f"{(first.labels == k).sum()} {name}" for k, name in enumerate(first.classes))
    print(f"### {first.name}: {sizes}, {len(set(first.groups))} groups, {len(seeds)} x {FOLDS} folds")
    print(f"AUC: {first.pair[0]} against {first.pair[1]}. Gains over {MODEL} with 95% intervals.\n")
    print("| the recipe with | " + " | ".join(f"{m} | gain" for m in METRICS[:3]) + f" | {METRICS[3]} | CPU s |")
    print("|---" * (2 + 2 * 3 + 1) + "|")
    inputs = {MODEL: one(first.views), SECOND: one(second.views), "one head on both": joined(first.views, second.views)}
    logits: dict[str, list[Floats]] = {}
    found: dict[str, Floats] = {}
    for name in (MODEL, SECOND, "the mean of both", "one head on both"):
        began = time.process_time()
        if name in inputs:
            logits[name] = [answers(inputs[name], first, *split) for split in folds(first, seeds)]
        else:
            logits[name] = [(a + b) / 2 for a, b in zip(logits[MODEL], logits[SECOND], strict=True)]
        tests = [test for _, test in folds(first, seeds)]
        found[name] = np.array([score(one, test, first) for one, test in zip(logits[name], tests, strict=True)])
        row(name, found[name], found[MODEL], time.process_time() - began)


def row(name: str, found: Floats, plain: Floats, seconds: float) -> None:
    """One line of the table."""
    cells = [cell for k in range(3) for cell in (f"{found[:, k].mean():.3f}", _gain(found[:, k] - plain[:, k]))]
    print(f"| {name} | " + " | ".join(cells) + f" | {found[:, 3].mean():.3f} | {seconds:.0f} |", flush=True)


def one(views: Views) -> Floats:
    """What the recipe reads of one backbone: with the statistics of its weights, then with mixed ones."""
    return np.concatenate([views[f"{way} "] for way in WAYS], axis=1).astype(np.float64)


def joined(first: Views, second: Views) -> Floats:
    """The same of two backbones: within each way, scale by scale, the features of both."""
    parts = []
    for way in WAYS:
        pairs = zip(*(np.split(views[f"{way} "], SCALES, axis=1) for views in (first, second)), strict=True)
        parts += [part for pair in pairs for part in pair]
    return np.concatenate(parts, axis=1).astype(np.float64)


def answers(values: Floats, task: Task, train: Integers, test: Integers) -> Floats:
    """Logits of the test images of one fold."""
    return chosen(values[train], task.labels[train], [task.groups[i] for i in train], values[test])


if __name__ == "__main__":
    main()
