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
    """Memory in use on the card by anybody, as ``nvidia-smi`` says; without a card, what this process holds."""
    if shutil.which("nvidia-smi") is None:
        return psutil.Process().memory_info().rss / 2**30
    asked = ["nvidia-smi", "--query-gpu=memory.used", "--format=csv,noheader,nounits"]
    return int(subprocess.run(asked, capture_output=True, text=True, check=True).stdout.split()[0]) / 1024


class Watched:
    """The largest memory of the card beyond what others held at the beginning, in GiB."""

    def __init__(self) -> None:
        self.before, self.peak = used_gib(), 0.0


@contextlib.contextmanager
def watched(seconds: float = 0.1) -> Iterator[Watched]:
    """Look at the card all the time; the largest value counts."""
    found, over = Watched(), threading.Event()

    def look() -> None:
        while not over.wait(seconds):
            found.peak = max(found.peak, used_gib() - found.before)

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    try:
        yield found
    finally:
        over.set()
        thread.join()
        found.peak = max(found.peak, used_gib() - found.before)


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
