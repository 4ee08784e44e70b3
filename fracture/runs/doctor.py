"""Looks at the machine, the store and what earlier runs have left, and says what to do about what is wrong."""

import contextlib
import importlib.metadata
import os
import platform
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

import psutil
import torch
from huggingface_hub import try_to_load_from_cache

from fracture.data import cache
from fracture.errors import FractureError
from fracture.failures import explained
from fracture.models import backbones, weights
from fracture.privacy import shareable
from fracture.runs import states
from fracture.tracking import leftovers, query, store
from fracture.tracking.environment import PACKAGES
from fracture.training import execution
from fracture.training.memory.limit import find_limit

Status = Literal["ok", "note", "problem"]
_SHARED = 0.5  # of a core that a thread lacks, and waits for
_LITTLE, _LOW = 1.0, 5.0  # GiB of free disk: too little for a checkpoint with its state, and soon too little
_EXTRAS = {"dicom": ("pydicom", "imagecodecs"), "postgres": ("psycopg",), "mysql": ("pymysql",), "export": ("onnx",)}


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        name: what.
        status: ``ok``, ``note`` (worth knowing) or ``problem``.
        said: what was found, in a sentence.
        fix: what to do about it, empty where nothing has to be done.
    """

    name: str
    status: Status
    said: str
    fix: str = ""


def examine(fix: bool = False) -> list[Finding]:
    """Look at everything; a look that fails is a finding itself.

    Args:
        fix: fix what killed processes have left.
    """
    looks: tuple[Callable[[], Iterator[Finding]], ...] = (_versions, _devices, _disks, _caches, _weights, _extras)
    found = [one for look in looks for one in _safely(look)]
    found += (at_hand := list(_safely(_store)))
    return found if any(one.status == "problem" for one in at_hand) else [*found, *_safely(lambda: _leftovers(fix))]


def _safely(look: Callable[[], Iterator[Finding]]) -> Iterator[Finding]:
    try:
        yield from (replace(one, said=shareable(one.said), fix=shareable(one.fix)) for one in look())
    except Exception as error:  # noqa: BLE001 - the other looks still tell something
        name = getattr(look, "__name__", "look").strip("_<>")
        known = explained(error)  # as a disk that is full or only to be read
        said, _, fix = str(known or f"{type(error).__name__}: {error}").partition(". ")
        yield Finding(name, "problem", shareable(said), fix or "report this with the lines above")


def _versions() -> Iterator[Finding]:
    known = []
    for name in PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            known.append(f"{name} {importlib.metadata.version(name)}")
    yield Finding("versions", "ok", f"Python {platform.python_version()} on {platform.platform()}; {', '.join(known)}")


def _devices() -> Iterator[Finding]:
    memory, limit = psutil.virtual_memory(), find_limit("auto", "cpu")
    yield Finding(
        "processor", "ok",
        f"{execution.hardware('cpu')}, {execution.allowed_threads()} threads, "
        f"bf16 {'yes' if execution.computes_bf16('cpu') else 'no'}; memory {memory.total / 2**30:.1f} GiB, "
        f"of which training may take {limit.gib:.1f}",
    )  # fmt: skip
    yield from _crowded(execution.allowed_threads(), execution.idle_cores())
    if torch.cuda.is_available():
        for number in range(torch.cuda.device_count()):
            card = torch.cuda.get_device_properties(number)
            bf16 = "yes" if card.major >= 8 else "no"
            yield Finding("gpu", "ok", f"{card.name}, {card.total_memory / 2**30:.1f} GiB, bf16 {bf16}")
    elif shutil.which("nvidia-smi"):
        what = f"torch {torch.__version__} is built for CUDA {torch.version.cuda or 'of no version'}"
        yield Finding("gpu", "problem", f"there is an NVIDIA driver, but torch sees no GPU ({what})",
                      "compare `nvidia-smi` with the build of torch: https://pytorch.org/get-started")  # fmt: skip
    else:
        yield Finding("gpu", "note", "none: training runs on the CPU")


def _crowded(threads: int, idle: float) -> Iterator[Finding]:
    """Threads wait for each other, so that one which shares its core with another program slows all of them."""
    if threads > 1 and idle < threads - _SHARED:
        fewer = max(1, round(idle))
        yield Finding(
            "processor", "note", f"other programs leave {max(idle, 0.0):.1f} cores for {threads} threads",
            f"until they end, threads={fewer} may be twice as fast as threads=auto",
        )  # fmt: skip


def _disks() -> Iterator[Finding]:
    temporary = Path(tempfile.gettempdir())
    places = {"project": store.project_root(), "cache": cache.folder_of("auto"), "temporary": temporary}
    for name, place in places.items():
        there = next(one for one in (place, *place.parents) if one.exists())
        free = shutil.disk_usage(there).free / 2**30
        writable = os.access(there, os.W_OK)
        status: Status = "problem" if free < _LITTLE or not writable else "note" if free < _LOW else "ok"
        said = f"{place}: {free:.1f} GiB free" + ("" if writable else ", and it cannot be written to")
        yield Finding(f"{name} disk", status, said, "" if status == "ok" else "make room, or choose another place")


def _caches() -> Iterator[Finding]:
    folder = cache.folder_of("auto")
    files, size = cache.usage(folder)
    yield Finding("cache", "ok", f"{folder}: {files} files, {size / 2**20:.0f} MiB (`fracture cache --clear` frees it)")


def _weights() -> Iterator[Finding]:
    found: list[str] = []
    missing: list[str] = []
    for name in backbones.NICKNAMES:
        repository = weights.repository_of(backbones.find(name))
        there = [try_to_load_from_cache(repository, file) for file in weights.HUB_FILES] if repository else []
        (found if any(isinstance(path, str) for path in there) else missing).append(name)
    said = f"in the hub's cache: {', '.join(found) or 'none'}; not there: {', '.join(missing) or 'none'}"
    fix = "" if found else "weights=FILE, or the hub must be reachable; else training starts from random weights"
    yield Finding("pretrained weights", "ok" if found else "note", said, fix)


def _extras() -> Iterator[Finding]:
    missing = [name for name, modules in _EXTRAS.items() if not all(map(find_spec, modules))]
    fix = f"pip install -e '.[{','.join(missing)}]'" if missing else ""
    said = f"not installed: {', '.join(missing) or 'none'}"
    yield Finding("optional extras", "note" if missing else "ok", said, fix)


def _store() -> Iterator[Finding]:
    try:
        uri = store.connect()
    except FractureError as error:
        first, _, rest = str(error).partition("\n")
        yield Finding("store", "problem", first, rest or "see MLFLOW_TRACKING_URI and MLFLOW_EXPERIMENT_NAME")
        return
    path, said = store.database(uri), store.shown()
    if path is not None:
        kept = path.parent / "mlruns"
        size = sum(one.stat().st_size for one in kept.rglob("*") if one.is_file()) if kept.is_dir() else 0
        said += f": {path.stat().st_size / 2**20:.1f} MiB, artifacts {size / 2**20:.0f} MiB"
    yield Finding("store", "ok", f"{said}; runs in this experiment: {query.count():,}")


def _leftovers(fix: bool) -> Iterator[Finding]:
    root, below = store.project_root(), (store.project_root() / "mlruns", cache.folder_of("auto"))
    found = leftovers.find(states.state_root()) + leftovers.half_written(root, below)
    for one in found:
        fixes = one.kind in leftovers.REPAIRED
        if fix and fixes:
            leftovers.fix(one)
            yield Finding("leftover", "ok", f"{one.said}: repaired")
        else:
            yield Finding("leftover", "problem" if fixes else "note", one.said, one.fix)
    if not found:
        yield Finding("leftovers", "ok", "no unfinished run without a process, no state left over")
