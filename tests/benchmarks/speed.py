"""Training speed of whole epochs against the bare step, in one process and in turn, since timings drift.

    python -m tests.benchmarks.speed --model convnextv2 --batch 4 --batches 3
    python -m tests.benchmarks.speed --model tf_efficientnet_lite0 --batch 16 --batches 4

A whole epoch is what training runs but for validation: reading the cache, augmentation, the optimiser, the display and
the watch. The bare step is forward, loss, backward and the optimiser on one batch that lies in memory.
"""

import argparse
import io
import statistics
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from torch.nn import functional

from fracture.config import TrainConfig
from fracture.data import cache
from fracture.data.dataset import Indices, Source, open_dataset
from fracture.models import backbones, weights
from fracture.progress import Terminal
from fracture.training import engine, execution
from fracture.training.feed import Feed
from fracture.training.fit import choose_execution
from fracture.training.job import Job, build_model
from fracture.training.learner import Learner, prepare
from fracture.training.state import Position
from fracture.training.timing import Timings
from fracture.training.watch import Watch
from tests.benchmarks.machine import machine


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="tf_efficientnet_lite0")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--batches", type=int, default=4, help="a round, of each kind")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        job, model = make_job(options.model, options.batch, options.batches, Path(folder))
        learner, batches = make_learner(job, model)
        pairs = []
        for number in range(options.rounds + 1):  # the first to warm up
            pairs.append(
                (bare(learner, job, options.batches), epoch(learner, job, batches, options.batches, Path(folder)))
            )
            print(f"round {number}: bare {pairs[-1][0]:.2f} img/s, epoch {pairs[-1][1]:.2f} img/s", flush=True)
    ratios = [whole / alone for alone, whole in pairs[1:]]
    print(f"{machine()}\n{job.backbone.name}, batch {options.batch}, {job.plan.precision}, {job.plan.memory_format}")
    print(
        f"epoch / bare step: median {statistics.median(ratios):.3f} ({min(ratios):.3f} to {max(ratios):.3f}), "
        f"n = {len(ratios)} rounds of {options.batches} batches; "
        f"bare {statistics.median(a for a, _ in pairs[1:]):.2f} img/s"
    )


def make_job(name: str, batch: int, batches: int, folder: Path) -> tuple[Job, torch.nn.Module]:
    """A job on demo images, with the memory format chosen as in training."""
    config = TrainConfig(model=name, batch_size=batch, weights="none")
    backbone = backbones.find(name)
    size = backbone.image_size("auto")
    source = Source(demo_images=max(60, 3 * batch * batches))
    dataset = open_dataset(source, size, cache.default_folder())
    plan = execution.resolve(config, size, synthetic=True)
    job = Job(config, plan, backbone, weights.find("none", backbone), dataset, folder)
    job = replace(job, plan=choose_execution(job, Timings(cache.default_folder(), print)))
    return job, build_model(job)


def make_learner(job: Job, model: torch.nn.Module) -> tuple[Learner, list[Indices]]:
    """A learner and the batches of an epoch."""
    train = job.indices("train")
    batches = engine.order(train, job.config.batch_size, 0, 0)
    counts = np.bincount(job.dataset.labels[train], minlength=len(job.dataset.classes))
    execution.apply_threads(job.plan)
    return Learner(model, job.config, job.plan, job.normalize, counts, len(batches)), batches


def bare(learner: Learner, job: Job, steps: int) -> float:
    """Images a second of forward, backward and step on one batch in memory."""
    indices = job.indices("train")[: job.config.batch_size]
    inputs = prepare(torch.from_numpy(job.dataset.pixels(indices)), job.plan, job.normalize)
    targets = torch.from_numpy(job.dataset.labels[indices]).to(job.plan.device)
    learner.model.train()
    start = time.perf_counter()
    for _ in range(steps):
        with job.plan.autocast():
            loss = functional.cross_entropy(learner.model(inputs).float(), targets)
        loss.backward()  # type: ignore[no-untyped-call]
        learner.optimizer.step()
        learner.optimizer.zero_grad(set_to_none=True)
    if job.plan.device == "cuda":
        torch.cuda.synchronize()
    return steps * len(indices) / (time.perf_counter() - start)


def epoch(learner: Learner, job: Job, batches: list[Indices], steps: int, folder: Path) -> float:
    """Images a second of an epoch as training runs it of ``steps`` batches."""
    position, terminal = Position(), Terminal(Console(file=io.StringIO(), force_terminal=True))
    some = [batch for batch in batches if len(batch) == job.config.batch_size][:steps]
    with Watch(900, folder / "log", print) as watch, terminal.training(1):

        def tick(done: int, total: int) -> None:
            terminal.batch("train", 1, done, total, 0.0, (0.0, 0.0))
            watch.beat()

        feed = Feed(job.dataset, job.indices("train"), job.plan)
        start = time.perf_counter()
        engine.train_epoch(learner, feed, some, position, tick)
        return position.seen / (time.perf_counter() - start)


if __name__ == "__main__":
    main()
