"""Images a second from the disk to a batch that can be learned from, in turn with torchvision's usual way.

    python -m tests.benchmarks.data_path --images 480 --rounds 5

ours: the cache, gathered and augmented a batch at a time, as training does it. torchvision: ImageFolder over the same
images as PNG files of 512 px, with Resize, flip, rotation, jitter and normalisation an image at a time, in as many
workers as there are cores, which stay from round to round.
"""

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from torch.utils.data import DataLoader
from torchvision import datasets, transforms

from fracture.training import engine
from fracture.training.feed import Feed
from fracture.training.learner import prepare
from tests.benchmarks.machine import machine
from tests.gpu.speed import MEAN, STD, our_job, write_files

MODEL, BATCH = "tf_efficientnet_lite0", 16


def main() -> None:
    """Measure in turn and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=480)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        job, batches = our_job(MODEL, BATCH, options.images, Path(folder))
        feed = Feed(job.dataset, job.indices("train"), job.plan)
        loader = torchvision_loader(write_files(job, Path(folder) / "files"), job.plan.image_size)
        pairs = []
        for number in range(options.rounds + 1):  # the first to warm up
            began = time.perf_counter()
            for i, (pixels, _) in enumerate(feed.read(batches)):
                prepare(pixels, job.plan, job.normalize, engine.mix(0, number, i))
            ours = len(batches) * BATCH / (time.perf_counter() - began)
            pairs.append((ours, speed(loader)))
            print(f"round {number}: ours {pairs[-1][0]:.0f}, torchvision {pairs[-1][1]:.0f} img/s", flush=True)
    ratios = [ours / theirs for ours, theirs in pairs[1:]]
    print(f"{machine()}\n{job.plan.image_size} px, batch {BATCH}, {len(batches) * BATCH} images a round")
    print(
        f"ours over torchvision: median {statistics.median(ratios):.1f} ({min(ratios):.1f} to {max(ratios):.1f}), "
        f"n = {len(ratios)} rounds; ours {statistics.median(a for a, _ in pairs[1:]):.0f} img/s"
    )


def torchvision_loader(files: Path, size: int) -> Iterable[Any]:
    """The usual loader of a folder of classes."""
    augmented = transforms.Compose(
        [
            transforms.Resize((size, size)),
            transforms.RandomHorizontalFlip(),
            transforms.RandomAffine(8, (0.03, 0.03), (0.9, 1.02)),
            transforms.ColorJitter(0.12, 0.2),
            transforms.ToTensor(),
            transforms.Normalize(MEAN, STD),
        ]
    )
    return DataLoader(
        datasets.ImageFolder(str(files), augmented), BATCH, shuffle=True, num_workers=os.cpu_count() or 1,
        drop_last=True, persistent_workers=True,
    )  # fmt: skip


def speed(loader: Iterable[Any]) -> float:
    """Images a second of one pass."""
    images, began = 0, time.perf_counter()
    for inputs, _ in loader:
        images += len(inputs)
    return images / (time.perf_counter() - began)


if __name__ == "__main__":
    main()
