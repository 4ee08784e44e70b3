"""The last layer of a job's model, fitted before anything is fine-tuned."""

import copy
import itertools
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from fracture.errors import ConfigError
from fracture.files import replacing
from fracture.models.backbones import normalises_batches
from fracture.models.pyramid import Pyramid
from fracture.training import execution, probe
from fracture.training.job import Job
from fracture.training.learner import prepare
from fracture.training.statistics import mix_statistics

Progress = Callable[[str, int, int], None]
_KEPT, HEADS = "out_of_fold.npz", "heads.npz"  # among a run's state


@dataclass(frozen=True)
class FittedProbe:
    """A head that was fitted, and what it reads.

    Attributes:
        head: the linear layer.
        batch_norm: the statistics that its features were computed with, ``pretrained`` or ``mixed``.
        losses: balanced log-loss in cross-validation, in nats, of each that was tried; empty where there were too few
            groups for it, and the weights' own statistics are kept.
    """

    head: probe.Head
    batch_norm: str
    losses: dict[str, float]

    def described(self) -> dict[str, Any]:
        """As parameters of a run."""
        strengths = ", ".join(f"{strength:g}" for strength in self.head.strengths)
        losses = {f"probe.loss_{name}": round(loss, 4) for name, loss in self.losses.items()}
        return {"probe.batch_norm": self.batch_norm, "probe.strengths": strengths} | losses


def fit_probe(job: Job, model: nn.Module, progress: Progress, *, decides: bool = True) -> FittedProbe:
    """Give the model the head that is best on its frozen features of the training images.

    With ``batch_norm=auto`` that is tried with the weights' own batch statistics and with mixed ones; what is better in
    cross-validation is kept.

    Args:
        job: what is trained.
        model: its model, which is placed on the job's device.
        progress: called with what is being done, and how much of how much, after every batch and every regression.
        decides: leave out-of-fold answers too, which decisions are taken on.
    """
    execution.apply_threads(job.plan)
    model = job.plan.place(model)
    losses: dict[str, float] = {}
    best: _Tried | None = None
    for way in _ways(job, model):
        tried = _try(way, job, model, progress)
        losses |= {} if tried.head.loss is None else {way: tried.head.loss}
        best = tried if best is None or tried.loss < best.loss else best
    assert best is not None
    model.load_state_dict(best.model.state_dict())
    probe.start_head(model, best.head)
    if decides:
        _keep_out_of_fold(job, best, progress)
    return FittedProbe(best.head, best.way, losses)


def read_out_of_fold(folder: Path) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]] | None:
    """Positions [n] of the images of train and validation, and the logits [n, classes] of heads that had not seen them.

    None where `fit_probe` has left none in ``folder``: some class had too few groups, or it was an older version.
    """
    if not (folder / _KEPT).is_file():
        return None
    with np.load(folder / _KEPT) as kept:
        return kept["indices"], kept["logits"]


@dataclass(frozen=True)
class Heads:
    """The weight and bias of the last layer, as it was selected and as it was fitted again with validation.

    Attributes:
        selected: learned from training alone; validation has judged it.
        refit: with the same C and batch statistics, learned from training and validation together.
    """

    selected: probe.Layer
    refit: probe.Layer

    def save(self, path: Path) -> None:
        """Write them as numpy arrays."""
        with replacing(path) as part, part.open("wb") as file:
            np.savez(
                file, weight=self.selected.weight, bias=self.selected.bias, refit_weight=self.refit.weight,
                refit_bias=self.refit.bias,
            )  # fmt: skip


def read_heads(folder: Path) -> Heads | None:
    """What `fit_probe` has left in ``folder``; None where no head was fitted again.

    Raises:
        ConfigError: it is damaged.
    """
    path = folder / HEADS
    if not path.is_file():
        return None
    try:
        with path.open("rb") as file, np.load(file) as kept:
            first, again = (probe.Layer(kept[f"{of}weight"], kept[f"{of}bias"]) for of in ("", "refit_"))
    except (OSError, KeyError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise ConfigError(f"{path}: cannot be read as heads: {type(error).__name__}") from error
    return Heads(first, again)


@dataclass(frozen=True)
class _Features:
    """Of images, [n, features]: ``learned`` is what heads are fitted on, ``answered`` what they answer to."""

    learned: npt.NDArray[np.float64]
    answered: npt.NDArray[np.float64]

    def then(self, other: "_Features") -> "_Features":
        """Those of other images after them."""
        learned = np.concatenate([self.learned, other.learned])
        if self.answered is self.learned:
            return _Features(learned, learned)
        return _Features(learned, np.concatenate([self.answered, other.answered]))


@dataclass(frozen=True)
class _Tried:
    """A head, the model that it was fitted on, and that model's features of the training images."""

    way: str
    model: nn.Module
    features: _Features
    head: probe.Head

    @property
    def loss(self) -> float:
        return np.inf if self.head.loss is None else self.head.loss


def _features(job: Job, model: nn.Module, indices: npt.NDArray[np.int64], tick: Callable[[], None]) -> _Features:
    """Heads learn from the mean of an image and its mirror image, and answer to the image alone."""
    mean, alone = probe.features(model, job.plan, job.normalize, job.dataset.pixels, indices, tick)
    return _Features(mean, mean if isinstance(model, Pyramid) else alone)  # a pyramid answers to the mirror image too


def _counted(progress: Progress, what: str, total: int) -> Callable[[], None]:
    """To be called after each of ``total`` steps of something."""
    steps = itertools.count(1)
    return lambda: progress(what, min(next(steps), total), total)


def _batches(job: Job, indices: npt.NDArray[np.int64]) -> int:
    return -(-len(indices) // job.plan.micro_batch)


def _try(way: str, job: Job, model: nn.Module, progress: Progress) -> _Tried:
    read, train, data = _read(way, job, model, progress), job.indices("train"), job.dataset
    tick = _counted(progress, f"features, {way} batch statistics", _batches(job, train))
    features = _features(job, read, train, tick)
    parts, groups = max(1, len(job.scales)), _groups(job, train)
    fits = probe.fits(data.labels[train], groups) * parts
    fitted = _counted(progress, f"regressions, {way} batch statistics", fits)
    head = probe.fit(features.learned, data.labels[train], groups, len(data.classes), parts, fitted)
    return _Tried(way, read, features, head)


def _keep_out_of_fold(job: Job, best: _Tried, progress: Progress) -> None:
    """Answers to train and validation together by heads like the fitted one: what decisions are taken on.

    Five heads, each from four fifths of the images. With ``refit`` the head that learns from all of them is kept too.
    """
    for name in (_KEPT, HEADS):
        (job.folder / name).unlink(missing_ok=True)
    train, val, data = job.indices("train"), job.indices("val"), job.dataset
    known = np.concatenate([train, val])
    tick = _counted(progress, "features for out-of-fold answers", _batches(job, val))
    features = best.features.then(_features(job, best.model, val, tick))
    logits = probe.out_of_fold(
        features.learned, features.answered, data.labels[known], _groups(job, known), len(data.classes),
        best.head.strengths, _counted(progress, "out-of-fold answers", probe.FOLDS * len(best.head.strengths)),
    )  # fmt: skip
    if logits is not None:
        job.folder.mkdir(parents=True, exist_ok=True)
        with replacing(job.folder / _KEPT) as part, part.open("wb") as file:
            np.savez(file, indices=known, logits=logits)
    if logits is not None and job.config.refit is not False:
        told = _counted(progress, "the head on training and validation", len(best.head.strengths))
        again = probe.fit_again(features.learned, data.labels[known], len(data.classes), best.head.strengths, told)
        Heads(best.head.layer, again.layer).save(job.folder / HEADS)


def _groups(job: Job, indices: npt.NDArray[np.int64]) -> list[str]:
    return [job.dataset.manifest.rows[i].group or f"alone {i}" for i in indices]


def _ways(job: Job, model: nn.Module) -> tuple[str, ...]:
    if job.config.batch_norm != "auto":
        return (job.config.batch_norm,)
    return ("pretrained", "mixed") if normalises_batches(model) else ("pretrained",)


def _read(way: str, job: Job, model: nn.Module, progress: Progress) -> nn.Module:
    """The model itself, or a copy of it with mixed statistics."""
    if way == "pretrained":
        return model
    mixed = copy.deepcopy(model)
    with job.plan.autocast():
        tick = _counted(progress, "batch statistics", _batches(job, job.indices("train")))
        mix_statistics(mixed, _mixed(job, tick))
    return mixed


def _mixed(job: Job, tick: Callable[[], None]) -> Iterator[Tensor]:
    """The training images in an order that mixes classes, in batches of two and more."""
    order = np.random.default_rng(job.config.seed).permutation(job.indices("train"))
    for part in np.array_split(order, max(1, -(-len(order) // max(2, job.plan.micro_batch)))):
        if len(part) > 1:
            yield prepare(torch.from_numpy(job.dataset.pixels(part)), job.plan, job.normalize)
            tick()
