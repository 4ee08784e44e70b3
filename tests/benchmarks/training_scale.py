"""An epoch at 1,000, 5,000 and 20,530 images: seconds an image, and memory beyond the model's batch alone.

python -m tests.benchmarks.training_scale [--model test_resnet] [--size 64] [--images 1000,5000,20530]

Each number of images in a process of its own. Memory is what belongs to the process alone (RssAnon): the images are
mapped from a file, whose pages the system keeps and gives back as it likes; the whole resident set stands beside it.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from fracture.config import TrainConfig
from fracture.data import cache
from fracture.data.dataset import Source, open_dataset
from fracture.models import backbones, weights
from fracture.training import execution
from fracture.training.job import Job, build_model
from tests.benchmarks.machine import machine
from tests.benchmarks.speed import epoch, make_learner


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="test_resnet")
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--images", default="1000,5000,20530")
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(measure(options.model, options.size, options.batch, int(options.images))))
        return
    print("| images | learned | CPU ms an image | wall ms an image | MiB of one batch | MiB more later | resident |")
    print("|---|---|---|---|---|---|---|")
    for images in options.images.split(","):
        command = [sys.executable, "-m", "tests.benchmarks.training_scale", "--one", "--images", images]
        command += ["--model", options.model, "--size", str(options.size), "--batch", str(options.batch)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        found = json.loads(done.stdout.splitlines()[-1])
        print("| " + " | ".join([f"{int(images):,}", *found]) + " |", flush=True)
    print(f"\n{machine()}\n{options.model}, {options.size} px, batch {options.batch}")


def measure(model: str, size: int, batch: int, images: int) -> list[str]:
    """One row."""
    backbone = backbones.find(model)
    config = TrainConfig(model=model, batch_size=batch, weights="none", image_size=size, threads=1)
    dataset = open_dataset(Source(demo_images=images), size, cache.default_folder())
    plan = execution.resolve(config, size, synthetic=True)
    with tempfile.TemporaryDirectory() as name:
        job = Job(config, plan, backbone, weights.find("none", backbone), dataset, Path(name))
        learner, batches = make_learner(job, build_model(job))
        epoch(learner, job, batches, 3, Path(name))
        alone = kib("RssAnon")
        cpu, wall = time.process_time(), time.perf_counter()
        epoch(learner, job, batches, len(batches), Path(name))
        cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    learned = len(batches) * batch
    more = kib("RssAnon") - alone
    return [
        f"{learned:,}", f"{1000 * cpu / learned:.3f}", f"{1000 * wall / learned:.3f}", f"{alone / 1024:.0f}",
        f"{more / 1024:.0f}", f"{kib('VmRSS') / 1024:.0f}",
    ]  # fmt: skip


def kib(name: str) -> int:
    """A line of /proc/self/status, in KiB; see proc(5)."""
    return int(Path("/proc/self/status").read_text().split(f"{name}:")[1].split()[0])


if __name__ == "__main__":
    main()
