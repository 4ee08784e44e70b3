"""Predicted against measured peak of real training steps on this processor, each in a process of its own.

    python -m tests.benchmarks.memory                                   # four backbones x two precisions x two batches
    python -m tests.benchmarks.memory --models swin --precisions bf16 --batches 4

The measured peak is that of torch's own allocations over two steps, from the profiler's memory events, which the CPU
allocator reports one by one; beside it the largest resident set of the whole process, against the predicted process.
"""

import argparse
import importlib
import itertools
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch.profiler import ProfilerActivity, profile

from fracture.config import TrainConfig
from fracture.data.batches import Normalize
from fracture.models import backbones
from fracture.models.backbones import NICKNAMES
from fracture.training import execution
from fracture.training.learner import Learner
from fracture.training.memory.predict import predict
from fracture.training.memory.spec import GIB, StepSpec
from tests.benchmarks.machine import machine


def main() -> None:
    """Measure and print, or measure one in this process."""
    parser = parser_of(__doc__, batches="2,8")
    parser.add_argument("--one", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        which, spec = options.one
        measurement = allocated_here if which == "allocated" else resident_here
        print(json.dumps(measurement(StepSpec.model_validate_json(spec))))
        return
    print(machine())
    print("| model | precision | batch | predicted GiB | measured | ratio | process, predicted | resident | ratio |")
    print("|---|---|---|---|---|---|---|---|---|")
    for model, precision, batch in kinds(options):
        print(line(StepSpec(model=model, precision=precision, batch_size=batch, device="cpu")), flush=True)


def parser_of(description: str | None, batches: str) -> argparse.ArgumentParser:
    """What is measured, by default the four backbones in both precisions and these batches."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", default=",".join(NICKNAMES))
    parser.add_argument("--precisions", default="fp32,bf16")
    parser.add_argument("--batches", default=batches)
    return parser


def kinds(options: argparse.Namespace) -> Iterator[tuple[str, str, int]]:
    """Each model, precision and batch that is wanted."""
    batches = map(int, options.batches.split(","))
    return itertools.product(options.models.split(","), options.precisions.split(","), batches)


def line(spec: StepSpec) -> str:
    """One row of the table."""
    with tempfile.TemporaryDirectory() as folder:
        found = predict(spec, Path(folder))
    allocated, resident = measure(spec, "allocated") / GIB, measure(spec, "resident") / GIB
    cells = [spec.model, spec.precision, spec.batch_size, f"{found.allocated_gib:.3f}", f"{allocated:.3f}"]
    cells += [f"{found.allocated_gib / allocated:.3f}", f"{found.process_gib:.2f}", f"{resident:.2f}"]
    return "| " + " | ".join(map(str, [*cells, f"{found.process_gib / resident:.2f}"])) + " |"


def measure(spec: StepSpec, which: str) -> int:
    """Bytes ``allocated`` by torch or ``resident`` at the peak of two steps, in a fresh process."""
    command = [sys.executable, "-m", "tests.benchmarks.memory", "--one", which, spec.model_dump_json()]
    done = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parents[2], check=False)
    if done.returncode:
        raise RuntimeError(done.stderr)
    return int(done.stdout.splitlines()[-1])


def allocated_here(spec: StepSpec) -> int:
    """The first in this process, from the profiler, which takes memory of its own."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        take_steps(spec)
    events = profiler.profiler.kineto_results.events()  # type: ignore[union-attr]
    changes = sorted((e.start_ns(), e.nbytes()) for e in events if e.name() == "[memory]")
    return int(np.cumsum([size for _, size in changes]).max())


def resident_here(spec: StepSpec) -> int:
    """The second in this process, with all that training imports."""
    importlib.import_module("fracture.runs.session")
    take_steps(spec)
    return int(execution.peak_memory_gib("cpu") * GIB)


def take_steps(spec: StepSpec, learner: Learner | None = None) -> None:
    """Two steps: the first makes the optimiser's state."""
    learner = learner or make_learner(spec)
    images = learner.config.batch_size
    pixels = torch.randint(0, 256, (images, spec.image_size, spec.image_size), dtype=torch.uint8)
    labels = torch.arange(images) % spec.classes
    for number in range(2):
        learner.step(pixels, labels, seed=number, number=number)


def make_learner(spec: StepSpec) -> Learner:
    """What learns in a step."""
    backbone, parts = backbones.find(spec.model), 2 if spec.accumulation else 1
    config = TrainConfig(
        model=spec.model,
        batch_size=spec.batch_size * parts,
        accumulation=parts,
        optimizer=spec.optimizer,
        ema_decay=0.99 if spec.ema else 0.0,
        precision=spec.precision,
        checkpointing=spec.checkpointing,
        device=spec.device,
        memory_format="contiguous",
        threads=1,
    )
    plan = execution.resolve(config, spec.image_size, synthetic=False)
    execution.apply_threads(plan)
    model = backbones.build(backbone, spec.classes, scales=spec.scales, checkpointing=spec.checkpointing)
    counts = np.ones(spec.classes, np.int64)
    return Learner(model, config, plan, Normalize(backbone.mean, backbone.std), counts, 1)


if __name__ == "__main__":
    main()
