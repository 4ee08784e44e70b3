"""Epochs that pruning saves: heads on frozen features of real radiographs, with the study's own sampler and pruners.

`python -m tests.benchmarks.tuning_pruning --data FOLDER --weights FILE` tunes learning rate and batch of a linear head
for validation log-loss. An unpruned study sets the mark: its best, within 1%. Counted is what it takes to reach it.
"""

import argparse
import statistics
import tempfile
from pathlib import Path

import numpy as np
import optuna
import torch
from sklearn.model_selection import StratifiedGroupKFold
from torch import nn
from torch.nn import functional

from tests.benchmarks.machine import machine
from tests.benchmarks.recipe_features import load
from tuning import study
from tuning.space import Space

KINDS = ("none", "median", "hyperband")
WITHIN = 1.01
SPACE = Space(lr_low=1e-5, lr_high=1e-2, batches=(16, 32, 64, 128))


class Data:
    """Features of one fold, scaled by its training part."""

    def __init__(self, features: np.ndarray, labels: np.ndarray, groups: tuple[str, ...], seed: int) -> None:
        folds = StratifiedGroupKFold(5, shuffle=True, random_state=seed)
        train, val = next(folds.split(features, labels, groups))
        mean, spread = features[train].mean(0), features[train].std(0) + 1e-6
        scaled = torch.from_numpy((features - mean) / spread).float()
        targets = torch.from_numpy(labels)
        self.train, self.val = (scaled[train], targets[train]), (scaled[val], targets[val])


def losses(data: Data, lr: float, batch: int, epochs: int, seed: int):  # type: ignore[no-untyped-def]
    """Validation log-loss after each epoch of a linear head."""
    torch.manual_seed(seed)
    inputs, targets = data.train
    head = nn.Linear(inputs.shape[1], int(targets.max()) + 1)
    optimizer = torch.optim.Adam(head.parameters(), lr=lr, fused=True)
    for _ in range(epochs):
        for part in torch.randperm(len(inputs)).split(batch):
            optimizer.zero_grad()
            functional.cross_entropy(head(inputs[part]), targets[part]).backward()
            optimizer.step()
        with torch.inference_mode():
            yield float(functional.cross_entropy(head(data.val[0]), data.val[1]))


def spend(kind: str, data: Data, seed: int, trials: int, epochs: int) -> list[tuple[int, float]]:
    """After each trial, the epochs spent so far and the best log-loss of any epoch."""
    own = optuna.create_study(direction="minimize", pruner=study.pruner_of(kind, epochs))
    own.enqueue_trial({"lr": 1e-4, "batch_size": 16})
    spent, best, path = 0, np.inf, []
    for number in range(trials):
        own.sampler = study.sampler_of(seed, number, "0")
        asked = own.ask()
        values = SPACE.suggest(asked)
        lowest, pruned = np.inf, False
        for epoch, loss in enumerate(losses(data, values["lr"], int(values["batch_size"]), epochs, seed), start=1):
            spent, lowest = spent + 1, min(lowest, loss)
            asked.report(loss, epoch)
            path.append((spent, best := min(best, loss)))
            if asked.should_prune():
                pruned = True
                break
        own.tell(asked, None if pruned else lowest, state=optuna.trial.TrialState.PRUNED if pruned else None)
    return path


def reached(path: list[tuple[int, float]], mark: float) -> int | None:
    """Epochs until the mark; None where it was never reached."""
    return next((spent for spent, best in path if best <= mark), None)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--data", type=Path, required=True)
    options.add_argument("--weights", type=Path, required=True)
    options.add_argument("--pair", nargs=2, default=["fractured", "normal"])
    options.add_argument("--seeds", type=int, default=5)
    options.add_argument("--trials", type=int, default=40)
    options.add_argument("--epochs", type=int, default=30)
    options.add_argument("--kept", type=Path, default=Path(tempfile.gettempdir()))
    wanted = options.parse_args()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    torch.set_num_threads(1)
    task = load(wanted.data, tuple(wanted.pair), ["224"], wanted.weights, wanted.kept)
    features = task.views["224 mean"]
    print(machine())
    print(f"{task.name}: {len(task.labels)} images, {wanted.trials} trials of at most {wanted.epochs} epochs")
    print("| seed | best unpruned | it spent | until the mark | median, all | until | hyperband, all | until |")
    print("|---|---|---|---|---|---|---|---|")
    shares: dict[str, list[float]] = {f"{kind} {of}": [] for kind in KINDS[1:] for of in ("all", "until")}
    for seed in range(wanted.seeds):
        data = Data(features, task.labels, task.groups, seed)
        paths = {kind: spend(kind, data, seed, wanted.trials, wanted.epochs) for kind in KINDS}
        total, mark = paths["none"][-1][0], WITHIN * paths["none"][-1][1]
        first = reached(paths["none"], mark)
        assert first is not None
        cells = [str(seed), f"{paths['none'][-1][1]:.4f}", str(total), str(first)]
        for kind in KINDS[1:]:
            until = reached(paths[kind], mark)
            cells += [str(paths[kind][-1][0]), "never" if until is None else str(until)]
            shares[f"{kind} all"].append((until or np.inf) / total)
            shares[f"{kind} until"].append((until or np.inf) / first)
        print("| " + " | ".join(cells) + " |", flush=True)
    for name, values in shares.items():
        kind, of = name.split()
        what = "all epochs of the unpruned study" if of == "all" else "the epochs it needed itself"
        each = ", ".join(f"{value:.0%}" for value in values)
        print(f"{kind}: epochs until the mark over {what}: median {statistics.median(values):.0%} ({each})")


if __name__ == "__main__":
    main()
