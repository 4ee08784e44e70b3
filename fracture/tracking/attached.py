"""The run that ``mlflow run`` made, written to by what does not train: its outputs, or why it was refused."""

from collections.abc import Iterable, Mapping
from pathlib import Path

import mlflow

from fracture.tracking import store


def keep(run_id: str, files: Iterable[Path], tags: Mapping[str, str]) -> None:
    """Upload files to a run and set tags on it; ``mlflow run`` itself ends it.

    Raises:
        mlflow.exceptions.MlflowException: the store does not answer, or has no such run.
    """
    store.connect()
    client = mlflow.MlflowClient()
    store.mend_artifact_location(client.get_run(run_id))
    for key, value in tags.items():
        client.set_tag(run_id, key, value[:5000])
    for path in files:
        client.log_artifact(run_id, str(path))
