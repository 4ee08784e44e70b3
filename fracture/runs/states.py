"""Where unfinished runs keep their states: a folder each, held by one process."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from fracture.errors import ConfigError
from fracture.tracking import store


def state_root() -> Path:
    """Where unfinished runs keep their states, a folder each."""
    return store.project_root() / "mlruns" / "state"


def state_folder(run_id: str) -> Path:
    """Where an unfinished run keeps its state."""
    return state_root() / run_id


@contextmanager
def held_state(folder: Path, run_id: str) -> Iterator[None]:
    """Hold a run's state for this process.

    Raises:
        ConfigError: another process on this machine works at it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(folder / ".lock", timeout=0):
            yield
    except Timeout as error:
        raise ConfigError(f"run {run_id} is in use by another process on this machine") from error
