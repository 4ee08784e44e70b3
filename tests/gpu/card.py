"""The card: its name, and what processes hold of its memory; and how a part hands its rows over."""

import contextlib
import json
import platform
import shutil
import subprocess
import threading
from collections.abc import Iterator
from importlib.metadata import version
from typing import Any

import psutil
import torch

LIMIT_GIB = 7.6  # a laptop's card of 8 GB


def emit(**cells: Any) -> None:
    """One row of the table, printed at once, so that a part that is ended later keeps it."""
    print(json.dumps({"row": {name: _short(value) for name, value in cells.items()}}), flush=True)


def used_gib() -> float:
    """GiB of the card that this process has, or the one of its children that has most, as ``nvidia-smi`` says.

    Without a card, what this process holds of the main memory.
    """
    if shutil.which("nvidia-smi") is None:
        return psutil.Process().memory_info().rss / 2**30
    asked = ["nvidia-smi", "--query-compute-apps=pid,used_memory", "--format=csv,noheader,nounits"]
    lines = subprocess.run(asked, capture_output=True, text=True, check=True).stdout.splitlines()
    used = dict(map(int, line.split(",")) for line in lines if line.strip())
    family = [psutil.Process(), *psutil.Process().children(recursive=True)]
    return max(used.get(one.pid, 0) for one in family) / 1024


class Watched:
    """The largest memory of one process on the card, in GiB."""

    def __init__(self) -> None:
        self.peak = 0.0


@contextlib.contextmanager
def watched(seconds: float = 0.1) -> Iterator[Watched]:
    """Look at the card all the time; the largest value counts."""
    found, over = Watched(), threading.Event()

    def look() -> None:
        while not over.wait(seconds):
            found.peak = max(found.peak, used_gib())

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    try:
        yield found
    finally:
        over.set()
        thread.join()
        found.peak = max(found.peak, used_gib())


def has_room() -> bool:
    """Whether all parts may be on the card at once."""
    return torch.cuda.is_available() and torch.cuda.get_device_properties(0).total_memory > 60 * 2**30


def described() -> str:
    """Card, driver and versions in one line."""
    packages = ", ".join(f"{name} {version(name)}" for name in ("torch", "timm", "mlflow"))
    if not torch.cuda.is_available():
        return f"no GPU (a rehearsal on the CPU), Python {platform.python_version()}, {packages}"
    card = torch.cuda.get_device_properties(0)
    asked = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    driver = subprocess.run(asked, capture_output=True, text=True, check=False).stdout.split()[:1]
    return (
        f"{card.name} ({card.total_memory / 2**30:.1f} GiB), driver {' '.join(driver)}, CUDA {torch.version.cuda}, "
        f"Python {platform.python_version()}, {packages}"
    )


def _short(value: Any) -> Any:
    return float(f"{value:.4g}") if isinstance(value, float) else value
