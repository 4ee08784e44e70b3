"""Files of a run or of a registered model, brought to a local folder."""

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import mlflow
from mlflow.exceptions import MlflowException
from mlflow.store.artifact.artifact_repo import ArtifactRepository
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

from fracture.errors import ConfigError, FractureError
from fracture.failures import FULL, explained
from fracture.tracking import query


def fetch(run_id: str, names: Iterable[str], folder: Path) -> list[Path]:
    """Download artifacts of a run into ``folder``; returns those that the run has.

    Raises:
        ConfigError: no such run, or its artifacts cannot be reached.
        Interrupted: the store does not answer.
        OSError: no room in ``folder``.
    """
    with _place_of(run_id, folder) as place:
        there = _names(place)
        return [Path(place.download_artifacts(name, dst_path=str(folder))) for name in names if name in there]


def names_of(run_id: str) -> set[str]:
    """The files that a run has, of which none is fetched.

    Raises:
        ConfigError: no such run, or its artifacts cannot be reached.
        Interrupted: the store does not answer.
    """
    with _place_of(run_id) as place:
        return _names(place)


@contextmanager
def _place_of(run_id: str, folder: Path | None = None) -> Iterator[ArtifactRepository]:
    """Where the artifacts of a run are, and what is said if they cannot be brought to ``folder``."""
    run = query.get(run_id)
    try:
        yield get_artifact_repository(run.info.artifact_uri)  # the client's looks the run up anew for each file
    except (MlflowException, OSError) as error:
        if folder is not None:
            _raise_full(error, folder)
        raise explained(error) or ConfigError(f"run {run_id}: its artifacts cannot be read: {error}") from error


def _names(place: ArtifactRepository) -> set[str]:
    return {entry.path for entry in place.list_artifacts() if not entry.is_dir}


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
    for code in FULL:
        if f"[Errno {code}]" in str(error):
            raise OSError(code, os.strerror(code), str(folder)) from None
