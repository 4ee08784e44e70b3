"""Commands that train nothing, or are refused before a run begins, still leave what they found on mlflow run's run."""

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from fracture.errors import ConfigError
from fracture.failures import explained
from fracture.progress import LOG


@contextmanager
def tag_attached_run(kind: str) -> Iterator[None]:
    """Tag the run that ``mlflow run`` made for this process with its kind, and with the reason if it fails.

    Nothing happens without such a run, nor once training has taken it over.

    Raises:
        ConfigError: MLFLOW_RUN_ID names any other run, which is not touched.
    """
    _check()
    try:
        yield
    except Exception as error:
        reason = str(explained(error) or error) or type(error).__name__
        keep((), {"fracture.kind": kind, "fracture.reason": reason})
        raise
    keep((), {"fracture.kind": kind})


def tag_refused(kind: str, reason: str) -> None:
    """Tag that run where the command line itself was refused, so that the command never began."""
    with suppress(Exception), tag_attached_run(kind):
        raise ConfigError(reason)


def _check() -> None:
    run_id = os.environ.get("MLFLOW_RUN_ID")
    if not run_id:
        return
    from fracture.tracking import fresh, store  # heavy, and needed under `mlflow run` only

    store.connect()
    fresh.check_fresh(run_id)
    fresh.take(run_id)


def keep(files: Iterable[Path], tags: dict[str, str] | None = None) -> None:
    """Upload files to that run and tag it; a store that does not answer is reported and harms nothing."""
    run_id = os.environ.get("MLFLOW_RUN_ID")
    if not run_id:
        return
    from fracture.tracking import attached  # heavy, and needed under `mlflow run` only

    try:
        attached.keep(run_id, files, tags or {})
    except Exception as error:  # noqa: BLE001 - what the command has to say matters more
        LOG.warning("the run %s could not be written to: %s", run_id, error)
