"""Images a second of a whole epoch of one backbone, in turn with the alternatives, on the same images and batches.

epoch: as training runs it, batches read ahead; resident: the same with all images on the card; compiled: resident, with
torch.compile (with --compiled, since compiling takes a minute), no number where it fails.
bare: forward, backward and optimiser step on one batch in memory, under the same plan.
plain: the seed's recipe in plain PyTorch: fp32, Pillow and torchvision every epoch, four workers.
amp: the same with autocast and channels_last.
timm: timm's own loader, with its prefetcher on a GPU, and the step of its train script with autocast.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import timm
import torch
from PIL import Image
from timm.data import ImageDataset, create_loader
from torch import nn
from torch.nn import functional
from torch.utils.data import DataLoader
from torchvision import datasets, transforms

from fracture.config import TrainConfig
from fracture.data import cache
from fracture.data.dataset import Indices, Source, open_dataset
from fracture.models import backbones, weights
from fracture.training import engine, execution
from fracture.training.compiled import Compiled
from fracture.training.fit import choose_execution
from fracture.training.job import Job, build_model
from fracture.training.learner import Learner
from fracture.training.timing import Timings
from tests.benchmarks.speed import bare, epoch, make_learner
from tests.gpu.card import emit

WORKERS = 4
WARM_UP = 2  # rounds: the second is still slow on a processor, where the workers of the loaders have just begun
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
Epoch = Callable[[], float]  # one over the training images; images a second


def main() -> None:
    """Measure in turn."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="convnextv2")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--images", type=int, default=320)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--compiled", action="store_true", help="only the epoch with and without torch.compile")
    parser.add_argument("--tiny", action="store_true")
    options = parser.parse_args()
    if options.tiny:
        options.model, options.batch, options.images = "test_efficientnet", 8, 48
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        job, batches = our_job(options.model, options.batch, options.images, folder)
        kinds = ours(job, batches, folder)
        if options.compiled:
            in_turn({"epoch": kinds["epoch"]} | compiled(job, batches, folder), job, options.rounds)
            return
        files = write_files(job, folder / "files")
        in_turn(kinds | theirs(options.model, options.batch, files, job.plan.device), job, options.rounds)


def in_turn(kinds: dict[str, Epoch], job: Job, rounds: int) -> None:
    """Take each kind once a round, and print its speed, and that of ``epoch`` against it."""
    found: dict[str, list[float]] = {kind: [] for kind in kinds}
    for number in range(WARM_UP + rounds):
        for kind, one in kinds.items():
            speed = one()
            if number >= WARM_UP:
                found[kind].append(speed)
    for kind, speeds in found.items():
        ratios = [own / other for own, other in zip(found["epoch"], speeds, strict=True)]
        emit(
            model=job.config.model, batch=job.config.batch_size, precision=job.plan.precision,
            format=job.plan.memory_format, what=kind,
            **{"images/s": statistics.median(speeds), "epoch against it": statistics.median(ratios)},
            **{"from": min(ratios), "to": max(ratios)}, n=len(ratios),
        )  # fmt: skip


def our_job(name: str, batch: int, images: int, folder: Path) -> tuple[Job, list[Indices]]:
    """A job on demo images, with all that training chooses by itself, and the full batches of an epoch."""
    config = TrainConfig(model=name, batch_size=batch, weights="none")
    backbone = backbones.find(name)
    size = backbone.image_size("auto")
    dataset = open_dataset(Source(demo_images=images), size, cache.default_folder())
    plan, none = execution.resolve(config, size, synthetic=True), weights.find("none", backbone)
    job = Job(config, plan, backbone, none, dataset, folder)
    plan = choose_execution(job, Timings(cache.default_folder(), print))
    job = Job(config, plan, backbone, job.weights, dataset, folder)
    batches = engine.order(job.indices("train"), batch, 0, 0)
    return job, [one for one in batches if len(one) == batch]


def ours(job: Job, batches: list[Indices], folder: Path) -> dict[str, Epoch]:
    """The epoch as training runs it, in its ways, and the bare step."""
    learner, _ = make_learner(job, build_model(job))
    kinds = {"epoch": lambda: epoch(learner, job, batches, len(batches), folder)}
    if job.plan.device == "cuda":
        there = replace(job, plan=job.plan.model_copy(update={"resident_gib": 1.0}))
        kinds["resident"] = lambda: epoch(learner, there, batches, len(batches), folder)
    kinds["bare"] = lambda: bare(learner, job, len(batches))
    return {name: lambda one=one: _synchronised(one, job.plan.device) for name, one in kinds.items()}  # type: ignore[misc]


def compiled(job: Job, batches: list[Indices], folder: Path) -> dict[str, Epoch]:
    """The epoch with all images on the card and its steps compiled; no speed where that fails."""
    fast = replace(job, plan=job.plan.model_copy(update={"resident_gib": 1.0, "compiled": True}))
    learner, _ = make_learner(fast, build_model(fast))
    return {"compiled": lambda: _unless_fallen_back(learner, epoch(learner, fast, batches, len(batches), folder))}


def _unless_fallen_back(learner: Learner, speed: float) -> float:
    """The speed, as no number where nothing was compiled."""
    forward = learner._forward
    return float("nan") if isinstance(forward, Compiled) and forward.problem else speed


def theirs(name: str, batch: int, files: Path, device: str) -> dict[str, Epoch]:
    """The alternatives, each with a model and loader of its own."""
    backbone = backbones.find(name)
    size = backbone.image_size("auto")
    augmented = transforms.Compose(
        [
            transforms.Resize((size, size)),
            transforms.RandomHorizontalFlip(),
            transforms.RandomRotation(8),
            transforms.ColorJitter(0.12, 0.2),
            transforms.ToTensor(),
            transforms.Normalize(MEAN, STD),
        ]
    )
    plain = DataLoader(
        datasets.ImageFolder(str(files), augmented), batch, shuffle=True, num_workers=WORKERS, drop_last=True,
        persistent_workers=True, pin_memory=device == "cuda",
    )  # fmt: skip
    prefetched = create_loader(
        ImageDataset(str(files)), (3, size, size), batch, is_training=True, num_workers=WORKERS,
        use_prefetcher=device == "cuda", device=torch.device(device), persistent_workers=True, hflip=0.5,
        color_jitter=0.2, scale=(0.9, 1.0), ratio=(0.95, 1.05), mean=MEAN, std=STD,
    )  # fmt: skip
    return {
        "plain": _plain_epoch(backbone.name, plain, device, amp=False),
        "amp": _plain_epoch(backbone.name, plain, device, amp=True),
        "timm": _plain_epoch(backbone.name, prefetched, device, amp=True),
    }


def _plain_epoch(name: str, loader: Iterable[Any], device: str, *, amp: bool) -> Epoch:
    model: nn.Module = timm.create_model(name, num_classes=3).to(device)
    if amp:
        model = model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = torch.optim.Adam(model.parameters(), 1e-4)

    def run() -> float:
        model.train()
        images, began = 0, time.perf_counter()
        for inputs, targets in loader:
            inputs, targets = inputs.to(device, non_blocking=True), targets.to(device, non_blocking=True)
            if amp:
                inputs = inputs.contiguous(memory_format=torch.channels_last)
            with torch.autocast(device, torch.bfloat16, enabled=amp):
                loss = functional.cross_entropy(model(inputs), targets)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            images += len(inputs)
        if device == "cuda":
            torch.cuda.synchronize()
        return images / (time.perf_counter() - began)

    return run


def _synchronised(speed: Epoch, device: str) -> float:
    """Nothing of the one before may still run on the device."""
    if device == "cuda":
        torch.cuda.synchronize()
    return speed()


def write_files(job: Job, folder: Path) -> Path:
    """The training images as PNG files in a folder a class, of the size that radiographs often have."""
    for i in job.indices("train"):
        place = folder / job.dataset.classes[job.dataset.labels[i]] / f"{i}.png"
        place.parent.mkdir(parents=True, exist_ok=True)
        square = Image.fromarray(job.dataset.pixels(np.array([i]))[0])
        square.resize((512, 512)).save(place)
    return folder


if __name__ == "__main__":
    main()
