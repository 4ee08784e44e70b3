"""The memory limit: what the user says, else what the device has."""

from dataclasses import dataclass
from pathlib import Path

import psutil
import torch

from fracture.training.memory.card import Card, card_here
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

    ``auto`` is what this process could have without taking it from others: on CUDA a step beyond that ends the run, in
    main memory it swaps for hours or is killed. A number above the card's memory is the card's memory.
    """
    if device == "cuda":
        card = torch.cuda.get_device_properties(0).total_memory / GIB
        if wanted == "auto":
            return Limit(min(card, _free_on_card()), "the card's memory that is free")
        return Limit(card, "the card's memory") if float(wanted) > card else Limit(float(wanted))
    if wanted != "auto":
        return Limit(float(wanted))
    free = psutil.virtual_memory().available + psutil.Process().memory_info().rss
    return Limit(min(free, _container()) / GIB, "the main memory that is free")


def hold(gib: float, card: Card) -> float:
    """Have torch refuse more than ``gib`` on this GPU; returns the share of the card that its allocator may take.

    The allocator's share does not count the CUDA context, which is why that is taken off.
    """
    total = torch.cuda.get_device_properties(0).total_memory / GIB
    share = min(1.0, max(0.0, (gib - card.context_gib) / total))
    torch.cuda.set_per_process_memory_fraction(share)
    return share


def _free_on_card() -> float:
    """GiB that nobody holds, and what this process holds: its context, which is there once it asks, and its cache."""
    free, _ = torch.cuda.mem_get_info()
    return (free + torch.cuda.memory_reserved()) / GIB + (card_here() or Card()).context_gib


def _container() -> float:
    try:
        text = _CGROUP.read_text().strip()
    except OSError:
        return float("inf")
    return float("inf") if text == "max" else float(text)
