"""The run that ``mlflow run`` made, written to by what does not train: its outputs, or why it was refused."""

import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path

import mlflow

from fracture.privacy import shareable, shareable_file
from fracture.tracking import store
from fracture.tracking.run import RANDOM_NAME


def keep(run_id: str, files: Iterable[Path], tags: Mapping[str, str]) -> None:
    """Upload files to a run and set tags on it; ``mlflow run`` itself ends it.

    A run that nobody named is called by its kind, so that a list of runs tells it from trained ones.

    Raises:
        mlflow.exceptions.MlflowException: the store does not answer, or has no such run.
    """
    store.connect()
    client = mlflow.MlflowClient()
    run = client.get_run(run_id)
    store.repair_artifact_location(run)
    if "fracture.kind" in tags and RANDOM_NAME.match(run.info.run_name or ""):
        client.set_tag(run_id, "mlflow.runName", tags["fracture.kind"])
    for key, value in tags.items():
        client.set_tag(run_id, key, shareable(value)[:5000])
    with tempfile.TemporaryDirectory() as copies:
        for path in files:
            client.log_artifact(run_id, str(shareable_file(path, Path(copies))))
