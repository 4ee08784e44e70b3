"""Files of a run or of a registered model, brought to a local folder."""

import errno
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import mlflow
from mlflow.exceptions import MlflowException
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

from fracture.errors import ConfigError, FractureError
from fracture.failures import explained
from fracture.tracking import query


def fetch(run_id: str, names: Iterable[str], folder: Path) -> list[Path]:
    """Download artifacts of a run into ``folder``; returns those that the run has.

    Raises:
        ConfigError: no such run, or its artifacts cannot be reached.
        Interrupted: the store does not answer.
        OSError: no room in ``folder``.
    """
    query.tags_of(run_id)
    try:
        # not the client's: it looks the run and its logged models up anew for each file
        place = get_artifact_repository(mlflow.MlflowClient().get_run(run_id).info.artifact_uri)
        there = {entry.path for entry in place.list_artifacts() if not entry.is_dir}
        return [Path(place.download_artifacts(name, dst_path=str(folder))) for name in names if name in there]
    except (MlflowException, OSError) as error:
        _raise_full(error, folder)
        raise explained(error) or ConfigError(f"run {run_id}: its artifacts cannot be read: {error}") from error


def fetch_model(uri: str, folder: Path) -> Path:
    """Download a model of the registry, ``models:/name@alias`` or the like.

    Raises:
        ConfigError: no such model.
        Interrupted: the store does not answer.
        OSError: no room in ``folder``.
    """
    try:
        return Path(mlflow.artifacts.download_artifacts(artifact_uri=uri, dst_path=str(folder)))
    except (MlflowException, OSError) as error:
        _raise_full(error, folder)
        raise explained(error) or ConfigError(f"{uri}: cannot be read from the registry: {error}") from error


@contextmanager
def named(folder: Path, name: str = "") -> Iterator[None]:
    """Name a run, or nothing, in place of the folder that its files were brought to, which is gone when somebody reads.

    Raises:
        FractureError: as in the block, with the name.
    """
    try:
        yield
    except FractureError as error:
        said = str(error).replace(f"{folder}{os.sep}", f"{name}: " if name else "")
        error.args = (said.replace(str(folder), name),)
        raise


def _raise_full(error: Exception, folder: Path) -> None:
    """Raise that ``folder`` is full where that is what failed; MLflow tells it in its text only, for every file."""
    if f"[Errno {errno.ENOSPC}]" in str(error):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(folder)) from None
