"""Trials that run out of memory: a study with its plan against random search without one, under the same held limit.

`python -m tests.benchmarks.tuning_memory` trains a small backbone on demo images, each trial in a process of its own
whose private memory the system limits (RLIMIT_DATA). The limit lies between two batches, so that half do not fit.
"""

import argparse
import statistics
import tempfile
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import optuna
from rich.console import Console

from fracture.config import absolute
from fracture.progress import Terminal
from fracture.tracking import store
from fracture.training.memory.plan import MemoryPlan
from fracture.training.memory.predict import predict
from tests.benchmarks.machine import machine
from tuning import process, storage, trial
from tuning.config import TuneConfig, parse_tuning, powers_of_two
from tuning.messages import Batch, Epoch, Planned
from tuning.prepare import prepare
from tuning.stop import Stop
from tuning.task import Task
from tuning.tune import tune


class Nothing:
    """Hears a trial and lets it go on."""

    def planned(self, message: Planned) -> None: ...

    def batch(self, message: Batch) -> None: ...

    def epoch(self, message: Epoch) -> bool:
        return True


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--trials", type=int, default=40)
    options.add_argument("--model", default="tf_efficientnet_lite0")
    options.add_argument("--images", type=int, default=190)
    options.add_argument("--size", type=int, default=128)
    wanted = options.parse_args()
    given = {
        "model": wanted.model, "image_size": str(wanted.size), "demo_images": str(wanted.images), "epochs": "1",
        "weights": "none", "threads": "1", "audit": "off", "device": "cpu", "trials": str(wanted.trials),
    }  # fmt: skip
    with tempfile.TemporaryDirectory() as name:
        given |= {"storage": f"sqlite:///{name}/optuna.db"}
        store.connect()
        tuning, config = parse_tuning(given)
        task, _ = prepare(tuning, absolute(config), Terminal(Console(quiet=True)))
        sizes = [n for n in powers_of_two(tuning.batch_low, tuning.batch_high) if n <= wanted.images]
        peaks = [predict(task.step().model_copy(update={"batch_size": n}), task.cache_dir).process_gib for n in sizes]
        half = len(sizes) // 2
        limit = round((peaks[half - 1] + peaks[half]) / 2, 2)
        print(machine())
        print(f"batches {sizes}, predicted {[f'{peak:.2f}' for peak in peaks]} GiB, limit {limit} GiB", flush=True)
        _with_plan(given | {"memory_limit_gib": str(limit)}, Path(name))
        _without(tuning, task, limit, sizes, wanted.trials, Path(name))


def _with_plan(given: dict[str, str], folder: Path) -> None:
    tuning, config = parse_tuning(given)
    tune(tuning, absolute(config), given, Terminal(Console(quiet=True)))
    url = storage.address(given["storage"])
    own = optuna.load_study(study_name=optuna.get_all_study_names(url)[0], storage=url)
    states = Counter(one.state.name.lower() for one in own.trials)
    unfit = sum(one.constraints.get("memory_gib", 0) > 0 for one in own.trials)
    overheads = [one.user_attrs["overhead_seconds"] for one in own.trials]
    batches = dict(sorted(Counter(one.params["batch_size"] for one in own.trials).items()))
    print(f"study with the plan: {unfit} of {len(own.trials)} out of memory; {dict(states)}; batches tried {batches}")
    ends = f"{min(overheads):.2f} to {max(overheads):.2f}"
    print(f"overhead of a trial beyond its epochs: median {statistics.median(overheads):.2f} s ({ends})", flush=True)


def _without(tuning: TuneConfig, task: Task, limit: float, sizes: list[int], trials: int, folder: Path) -> None:
    rng, kinds = np.random.default_rng(0), Counter[str]()
    held = replace(task, limit_gib=limit)
    for number in range(trials):
        size = int(rng.choice(sizes))
        lr = float(np.exp(rng.uniform(np.log(tuning.lr_low), np.log(tuning.lr_high))))
        step = predict(task.step().model_copy(update={"batch_size": size}), task.cache_dir)
        plan = MemoryPlan(
            micro_batch=size, accumulation=1, checkpointing=False, limit_gib=limit, prediction=step, reason=""
        )
        work = trial.Work(held, {"lr": lr, "batch_size": size}, plan, folder / "random" / str(number))
        outcome = process.run(trial.main, work, Nothing(), Stop())
        fits = "fits" if step.process_gib <= limit else "does not fit"
        kinds[f"{outcome.kind} where the plan says it {fits}"] += 1
    print(f"random search without a plan, {trials} trials: {dict(sorted(kinds.items()))}")


if __name__ == "__main__":
    main()
