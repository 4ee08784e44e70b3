"""The full training state on the local disk: written whole each epoch and when interrupted, deleted on success."""

import math
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch

from fracture.failures import require_space
from fracture.files import replacing
from fracture.training.learner import Learner

_STATE = "state.pt"
SCHEMA = 1
_REPORT = 8 * 2**20  # bytes of the report and its pictures, about


@dataclass
class Position:
    """How far training is, in plain values.

    Attributes:
        epoch: epochs completed, validation included.
        batch: batches learned from in the epoch under way.
        loss_sum, correct, seen: summed over the images of the epoch under way.
        train_seconds: training time of the epoch under way.
        history: the metrics of every epoch completed.
        seconds: time over all sessions.
    """

    epoch: int = 0
    batch: int = 0
    loss_sum: float = 0.0
    correct: int = 0
    seen: int = 0
    train_seconds: float = 0.0
    history: list[dict[str, float]] = field(default_factory=list)
    seconds: float = 0.0

    def start_epoch(self) -> None:
        """Forget the epoch that was under way."""
        self.batch, self.loss_sum, self.correct, self.seen, self.train_seconds = 0, 0.0, 0, 0, 0.0

    def best(self, metric: str) -> int | None:
        """Index in the history of the best epoch by ``metric``, the earliest among equals; None before the first."""
        if not self.history:
            return None
        sign = -1 if metric.endswith("loss") else 1
        return max(range(len(self.history)), key=lambda i: (sign * self.history[i][metric], -i))

    def bests(self, metric: str) -> list[bool]:
        """For each epoch in the history, whether no earlier one was as good by ``metric``."""
        sign, held, found = -1 if metric.endswith("loss") else 1, -math.inf, []
        for metrics in self.history:
            value = sign * metrics[metric]
            found.append(value > held)
            held = max(held, value)
        return found


def save(folder: Path, learner: Learner, position: Position) -> None:
    """Write the state; a kill at any moment leaves the old one or the new one.

    Raises:
        Interrupted: the disk has no room for it.
    """
    whole = {"schema": SCHEMA, "learner": learner.state_dict(), "position": asdict(position)}
    require_space(folder, _size(whole), "the weights and their optimiser")
    with replacing(folder / _STATE) as part:
        torch.save(whole, part)


def check_space(folder: Path, learner: Learner) -> None:
    """See before anything is learned that there is room for what a run writes.

    That is the state and the best weights, each beside its successor, a copy of the weights in the store, the report.

    Raises:
        Interrupted: there is not.
    """
    weights = _size(learner.model.state_dict())
    moments = 2 * sum(p.numel() * p.element_size() for p in learner.model.parameters() if p.requires_grad)
    whole = weights * (1 if learner.ema is None else 2) + moments
    there = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    require_space(folder, 2 * whole + 3 * weights + _REPORT - there, "state, weights and report of the run")


def _size(value: object) -> int:
    """Bytes of all tensors in nested dictionaries and lists."""
    if isinstance(value, torch.Tensor):
        return value.numel() * value.element_size()
    if isinstance(value, Mapping):
        return sum(map(_size, value.values()))
    return sum(map(_size, value)) if isinstance(value, list | tuple) else 0


def load(folder: Path, learner: Learner) -> Position:
    """Bring a learner back to where it was; a run killed before its first save starts at the beginning."""
    if not (folder / _STATE).exists():
        return Position()
    saved: dict[str, Any] = torch.load(folder / _STATE, map_location="cpu", weights_only=True)
    learner.load_state_dict(saved["learner"])
    return Position(**saved["position"])


def position_of(folder: Path) -> Position:
    """How far training is in a folder; the beginning where nothing is saved."""
    if not exists(folder):
        return Position()
    saved: dict[str, Any] = torch.load(folder / _STATE, map_location="cpu", weights_only=True, mmap=True)
    return Position(**saved["position"])


def copy(folder: Path, to: Path, more: Iterable[str]) -> None:
    """Copy the state, and ``more`` files that are there, into another run's folder."""
    to.mkdir(parents=True, exist_ok=True)
    for name in (_STATE, *more):
        if (folder / name).is_file():
            shutil.copy2(folder / name, to / name)


def exists(folder: Path) -> bool:
    """Whether there is a state to go on from."""
    return (folder / _STATE).exists()


def clear(folder: Path) -> None:
    """Remove what an earlier run of the same id has left; the lock that is held on the folder stays."""
    for path in folder.iterdir() if folder.is_dir() else ():
        if path.name != ".lock":
            shutil.rmtree(path) if path.is_dir() else path.unlink()


def delete(folder: Path) -> None:
    """Remove all that an unfinished run keeps."""
    shutil.rmtree(folder, ignore_errors=True)
