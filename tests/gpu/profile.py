"""Where the time of a step goes: on the card, or waiting for the processor that starts its kernels.

busy: the kernels' own time over that of a step without the profiler; far below 1, the card waits for Python.
longest: the three operations that the device spends most on, with their share of its time.
Without a card the operations of the processor are counted instead, as a rehearsal.
"""

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from torch.autograd import DeviceType
from torch.profiler import ProfilerActivity, profile

from fracture.training.job import Job, build_model
from fracture.training.learner import Learner
from tests.benchmarks.speed import make_learner
from tests.gpu.card import emit
from tests.gpu.speed import our_job

STEPS, WARM_UP = 5, 3


def main() -> None:
    """Measure one backbone."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="convnextv2")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--tiny", action="store_true")
    options = parser.parse_args()
    if options.tiny:
        options.model, options.batch = "test_efficientnet", 4
    with tempfile.TemporaryDirectory() as name:
        job, batches = our_job(options.model, options.batch, 48 + 3 * options.batch, Path(name))
        learner, _ = make_learner(job, build_model(job))
        pixels = torch.from_numpy(job.dataset.pixels(batches[0])).to(job.plan.device)
        labels = torch.from_numpy(job.dataset.labels[batches[0]].astype(np.int64)).to(job.plan.device)
        for _ in range(WARM_UP):
            _seconds(learner, pixels, labels)
        step = statistics.median(_seconds(learner, pixels, labels) for _ in range(STEPS))
        _print(job, step, _profiled(learner, pixels, labels))


def _seconds(learner: Learner, pixels: torch.Tensor, labels: torch.Tensor) -> float:
    began = time.perf_counter()
    loss, _ = learner.step(pixels, labels, 0, 0)
    float(loss)  # waits for the device
    return time.perf_counter() - began


def _profiled(learner: Learner, pixels: torch.Tensor, labels: torch.Tensor) -> dict[str, tuple[float, int]]:
    """Of each operation of the device its own seconds, and how often it ran, in `STEPS` steps."""
    on_card = pixels.device.type == "cuda"
    with profile(activities=[ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if on_card else [])]) as found:
        for _ in range(STEPS):
            _seconds(learner, pixels, labels)
    wanted = DeviceType.CUDA if on_card else DeviceType.CPU
    return {
        one.key: ((one.self_device_time_total if on_card else one.self_cpu_time_total) / 1e6, one.count)
        for one in found.key_averages()
        if one.device_type == wanted
    }


def _print(job: Job, step: float, found: dict[str, tuple[float, int]]) -> None:
    total = sum(seconds for seconds, _ in found.values())
    longest = sorted(found, key=lambda name: -found[name][0])[:3]
    emit(
        model=job.config.model, batch=job.config.batch_size, precision=job.plan.precision,
        format=job.plan.memory_format, **{"step, ms": 1000 * step, "device, ms": 1000 * total / STEPS},
        busy=total / STEPS / step, operations=round(sum(count for _, count in found.values()) / STEPS),
        longest="; ".join(f"{name[:60].replace('|', '/')} {found[name][0] / total:.0%}" for name in longest), n=STEPS,
    )  # fmt: skip


if __name__ == "__main__":
    main()
