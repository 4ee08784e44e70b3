"""The memory limit: what the user says, else what the device has."""

from dataclasses import dataclass
from pathlib import Path

import psutil
import torch

from fracture.training.memory.spec import GIB

_CGROUP = Path("/sys/fs/cgroup/memory.max")  # what a container may take, on Linux


@dataclass(frozen=True)
class Limit:
    """How much the whole process may take.

    Attributes:
        gib: on the GPU as ``nvidia-smi`` shows it, or in main memory.
        reason: where it comes from; empty when the user said it.
    """

    gib: float
    reason: str = ""


def find_limit(wanted: float | str, device: str) -> Limit:
    """The limit that training is planned under.

    On CUDA ``auto``, or more than there is, is the card's own memory: a step that does not fit ends the run. In main
    memory ``auto`` is what this process could have without taking it from others, since a step beyond that swaps for
    hours or is killed.
    """
    if device == "cuda":
        card = torch.cuda.get_device_properties(0).total_memory / GIB
        return Limit(card, "the card's memory") if wanted == "auto" or float(wanted) > card else Limit(float(wanted))
    if wanted != "auto":
        return Limit(float(wanted))
    free = psutil.virtual_memory().available + psutil.Process().memory_info().rss
    return Limit(min(free, _container()) / GIB, "the main memory that is free")


def hold(gib: float, context_gib: float) -> float:
    """Have torch refuse more than ``gib`` on this GPU; returns the share of the card that its allocator may take.

    The allocator's share does not count the CUDA context, which is why that is taken off.
    """
    total = torch.cuda.get_device_properties(0).total_memory / GIB
    share = min(1.0, max(0.01, (gib - context_gib) / total))
    torch.cuda.set_per_process_memory_fraction(share)
    return share


def _container() -> float:
    try:
        text = _CGROUP.read_text().strip()
    except OSError:
        return float("inf")
    return float("inf") if text == "max" else float(text)
