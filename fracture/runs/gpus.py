"""GPUs: each worker on this machine takes a visible one for itself."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import torch
from filelock import FileLock, Timeout

from fracture.errors import ConfigError

VARIABLE = "CUDA_VISIBLE_DEVICES"
_ORIGINAL = os.environ.get(VARIABLE)  # before this process narrows it down


@contextmanager
def claim(device: str) -> Iterator[str]:
    """Take the first visible GPU that no other worker of this user holds, before anything of CUDA is begun.

    Args:
        device: as in training; ``cpu``, or no GPU at all, takes none.

    Yields:
        What CUDA_VISIBLE_DEVICES is set to, empty for none.

    Raises:
        ConfigError: every one is taken.
    """
    names = [] if device == "cpu" else visible()
    if not names:
        yield ""
        return
    with ExitStack() as held:
        name = next((one for one in names if _take(one, held)), None)
        if name is None:
            raise ConfigError(
                f"all {len(names)} visible GPUs have a worker already ({', '.join(names)}): start fewer workers, "
                "or use device=cpu"
            )
        os.environ[VARIABLE] = name
        yield name


def check_enough(workers: int, device: str) -> None:
    """See that each worker of this machine can have a GPU of its own.

    Raises:
        ConfigError: there are fewer.
    """
    names = [] if device == "cpu" else visible()
    if names and workers > len(names):
        raise ConfigError(
            f"workers={workers}: {len(names)} GPUs are visible, and each worker takes one; use {len(names)}"
        )


def visible() -> list[str]:
    """The GPUs that this process may use, as CUDA_VISIBLE_DEVICES names them; found without beginning with CUDA."""
    if _ORIGINAL is not None:
        return [name.strip() for name in _ORIGINAL.split(",") if name.strip() and name.strip() != "-1"]
    return [str(number) for number in range(torch.cuda.device_count())]


def original_variable() -> dict[str, str]:
    """The variable as this process found it, for others that take their own."""
    return {} if _ORIGINAL is None else {VARIABLE: _ORIGINAL}


def _take(name: str, held: ExitStack) -> bool:
    place = Path(tempfile.gettempdir()) / f"fracture-gpu-{os.getuid() if hasattr(os, 'getuid') else 0}-{name}.lock"
    try:
        held.enter_context(FileLock(place, timeout=0))
    except Timeout:
        return False
    return True
