"""What can be written to a run, in plain values: the same write done twice leaves what it leaves once."""

import tempfile
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

import mlflow
from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param, RunTag

from fracture.privacy import shareable_file

Write = dict[str, Any]  # plain values; "what" is a key of WRITES, the others are its arguments
_Names = Collection[str]
_MOST = 100  # tags and parameters that MLflow takes at once


def do(run_id: str, folder: Path, write: Write) -> None:
    """Tell the store.

    Args:
        run_id: of the run that is written to.
        folder: where the files of the evidence lie.
        write: what is told.

    Raises:
        Exception: the store did not take it; see `fracture.failures.is_store`.
    """
    given = {name: value for name, value in write.items() if name != "what"}
    WRITES[write["what"]](mlflow.MlflowClient(), run_id, folder, **given)


def is_active(run_id: str) -> bool:
    """Whether MLflow's own stack of this process has the run on top."""
    active = mlflow.active_run()
    return active is not None and bool(active.info.run_id == run_id)


def _metrics(
    client: mlflow.MlflowClient, run_id: str, _: Path, *, values: Mapping[str, float], step: int, time: int
) -> None:
    """The time is that of the first attempt: a store keeps one of two points that agree in all."""
    client.log_batch(run_id, metrics=[Metric(name, value, time, step) for name, value in values.items()])


def _params(client: mlflow.MlflowClient, run_id: str, _: Path, *, values: Mapping[str, str]) -> None:
    known = client.get_run(run_id).data.params
    new = [Param(name, value) for name, value in values.items() if name not in known]
    for start in range(0, len(new), _MOST):
        client.log_batch(run_id, params=new[start : start + _MOST])


def _tags(client: mlflow.MlflowClient, run_id: str, _: Path, *, values: Mapping[str, str]) -> None:
    client.log_batch(run_id, tags=[RunTag(name, value) for name, value in values.items()])


def _input(client: mlflow.MlflowClient, run_id: str, _: Path, *, dataset: Mapping[str, str], split: str) -> None:
    client.log_inputs(run_id, [DatasetInput(Dataset(**dataset), [InputTag("mlflow.data.context", split)])])


def _evidence(client: mlflow.MlflowClient, run_id: str, folder: Path, *, names: _Names) -> None:
    with tempfile.TemporaryDirectory() as copies:
        for name in names:
            if (folder / name).exists():  # a folder goes with all that is in it
                client.log_artifact(run_id, str(shareable_file(folder / name, Path(copies))))


def _end(client: mlflow.MlflowClient, run_id: str, _: Path, *, status: str, reason: str) -> None:
    if reason:
        client.set_tag(run_id, "fracture.reason", reason)
    over = {"fracture.process"} | ({"fracture.reason", "fracture.state"} if status == "FINISHED" else set())
    for outdated in client.get_run(run_id).data.tags.keys() & over:
        client.delete_tag(run_id, outdated)
    if is_active(run_id):
        mlflow.end_run(status)
    else:
        client.set_terminated(run_id, status)


WRITES: dict[str, Callable[..., None]] = {
    "metrics": _metrics,
    "params": _params,
    "tags": _tags,
    "input": _input,
    "evidence": _evidence,
    "end": _end,
}
