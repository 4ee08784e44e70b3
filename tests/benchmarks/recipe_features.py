"""Frozen features of real radiographs, computed once for each way of showing the images and kept."""

import csv
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import torch

from fracture.config import TrainConfig
from fracture.data.batches import Normalize, augment
from fracture.data.cache import default_folder
from fracture.data.dataset import Dataset, Source, open_images
from fracture.models import backbones, weights
from fracture.training import execution, probe
from fracture.training.learner import prepare
from fracture.training.statistics import mix_statistics

Integers = npt.NDArray[np.int64]
Grey = npt.NDArray[np.uint8]
Views = dict[str, npt.NDArray[np.float32]]  # by way of showing and layer: [images, features]

MODEL = "tf_efficientnet_lite0"
STAGES = (2, 3, 4)  # of the backbone's five, counted from 0, beside the last layer
COPIES = 2  # augmented ones of every image
_BATCH = 16


@dataclass(frozen=True)
class Task:
    """One data set: labels and groups of its images, its features, and the pair whose AUC is its headline."""

    name: str
    classes: tuple[str, ...]
    labels: Integers
    groups: tuple[str, ...]
    sha256: tuple[str, ...]
    pair: tuple[str, str]
    views: Views
    about: tuple[dict[str, str], ...]  # each image's row of SOURCES.csv, empty where there is none


def load(folder: Path, pair: tuple[str, str], ways: Sequence[str], file: Path, kept: Path, model: str = MODEL) -> Task:
    """A data set with the features of every way of showing it, as ``224 clahe`` or ``384 pyramid mixed 50``."""
    other = "" if model == MODEL else f"-{model}"
    views: Views = {}
    for way in ways:
        size, _, show = way.partition(" ")
        dataset = open_images(Source(str(folder)), int(size), default_folder())
        path = kept / f"{folder.name}-{way.replace(' ', '-')}-{dataset.manifest.digest()}{other}.npz"
        if not path.exists():
            np.savez(path, **_compute(dataset, file, show, model))  # type: ignore[arg-type]
        with np.load(path) as found:
            views |= {f"{way} {layer}": found[layer] for layer in found.files}
    names = [dataset.manifest.relative(row) for row in dataset.manifest.rows]
    known = _sources(folder / "SOURCES.csv")
    about = tuple(known.get(name, {}) for name in names)
    groups = tuple(row.get("group") or name for name, row in zip(names, about, strict=True))
    digests = tuple(row.sha256 for row in dataset.manifest.rows)
    return Task(folder.name, dataset.classes, dataset.labels, groups, digests, pair, views, about)


def _compute(dataset: Dataset, file: Path, show: str, model: str) -> Views:
    if not show.startswith("pyramid"):
        return features(dataset, file, SHOWN[show], model)
    _, _, share = show.removesuffix(" copies").partition(" mixed ")
    return pyramid(dataset, file, float(share or 0) / 100, COPIES if show.endswith(" copies") else 0, model)


def features(dataset: Dataset, file: Path, show: Callable[[Grey], Grey], name: str = MODEL) -> Views:
    """Mean, largest value and spread of several layers, each the mean of the image and its mirror image."""
    backbone = backbones.find(name)
    first = weights.read(weights.find(str(file), backbone))
    model = backbones.build(backbone, 2, weights=first).eval().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    mean, std = (torch.tensor(value)[:, None, None] for value in (backbone.mean, backbone.std))
    parts: dict[str, list[torch.Tensor]] = {}
    for start in range(0, len(dataset.labels), _BATCH):
        grey = dataset.pixels(np.arange(start, min(start + _BATCH, len(dataset.labels))))
        batch = torch.from_numpy(np.stack([show(image) for image in grey]))[:, None].float() / 255
        batch = ((batch - mean) / std).contiguous(memory_format=torch.channels_last)
        with torch.inference_mode(), torch.autocast("cpu", dtype=torch.bfloat16):
            straight, mirrored = _pooled(model, batch), _pooled(model, batch.flip(-1))
        for layer, value in straight.items():
            parts.setdefault(layer, []).append((value + mirrored[layer]) / 2)
    return {layer: torch.cat(values).numpy() for layer, values in parts.items()}


def pyramid(dataset: Dataset, file: Path, share: float, copies: int = 0, name: str = MODEL) -> Views:
    """What the recipe's head reads, computed as training computes it, but for the images of batch statistics.

    With ``copies`` that of so many augmented copies of every image, in place of the image and its mirror image.

    Those are all images here, ``share`` of the statistics being theirs: no label is used, but test images are. The
    whole runs of `tests.benchmarks.recipe` use training images alone.
    """
    backbone = backbones.find(name)
    first, scales = weights.read(weights.find(str(file), backbone)), backbone.scales("pyramid")
    size = dataset.cached.pixels.shape[-1]
    config = TrainConfig(model=name, threads=1, batch_size=_BATCH, memory_format="channels_last")
    plan = execution.resolve(config, size, synthetic=False)
    model = plan.place(backbones.build(backbone, 2, scales=scales, weights=first))
    normalize, indices = Normalize(backbone.mean, backbone.std), np.arange(len(dataset.labels))
    if share:
        order = np.array_split(np.random.default_rng(0).permutation(indices), len(indices) // _BATCH)
        with plan.autocast():
            batches = (prepare(torch.from_numpy(dataset.pixels(part)), plan, normalize) for part in order)
            mix_statistics(model, batches, share)
    if not copies:
        found, _ = probe.features(model, plan, normalize, dataset.pixels, indices, lambda: None)
        return {"": found.astype(np.float32)}
    generator, model = torch.Generator().manual_seed(0), model.eval()
    views: Views = {}
    for number in range(1, copies + 1):
        parts = []
        for part in np.array_split(indices, -(-len(indices) // _BATCH)):
            inputs = normalize(augment(torch.from_numpy(dataset.pixels(part)), generator)).contiguous(
                memory_format=plan.format
            )
            with torch.inference_mode(), plan.autocast():
                parts.append(model.forward_head(model.forward_features(inputs), pre_logits=True).float().numpy())  # type: ignore[operator]
        views[str(number)] = np.concatenate(parts)
    return views


def _pooled(model: torch.nn.Module, batch: torch.Tensor) -> dict[str, torch.Tensor]:
    last, lower = model.forward_intermediates(batch, indices=list(STAGES))  # type: ignore[operator]
    maps = {"": last} | {f"stage {stage} ": value for stage, value in zip(STAGES, lower, strict=True)}
    found: dict[str, torch.Tensor] = {}
    for at, value in maps.items():
        places = value.float().flatten(2)
        found |= {f"{at}mean": places.mean(2), f"{at}max": places.amax(2), f"{at}spread": places.std(2, correction=0)}
    return found


def _clahe(grey: Grey) -> Grey:
    return np.asarray(cv2.createCLAHE(clipLimit=2.0, tileGridSize=(8, 8)).apply(grey), np.uint8)


def _window(grey: Grey) -> Grey:
    """The grey levels between the first and the last percentile of what is not black padding, over the whole range."""
    inside = grey[grey > 0]
    low, high = np.percentile(inside, (1, 99)) if inside.size else (0, 255)
    return np.asarray(np.clip((grey - low) / max(high - low, 1) * 255, 0, 255), np.uint8)


def _sources(path: Path) -> dict[str, dict[str, str]]:
    if not path.exists():
        return {}
    with path.open(newline="", encoding="utf-8") as table:
        return {row["file"]: row for row in csv.DictReader(table)}


SHOWN: dict[str, Callable[[Grey], Grey]] = {"": lambda grey: grey, "clahe": _clahe, "window": _window}
