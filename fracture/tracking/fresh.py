"""Whether a run is one that ``mlflow run`` has just made: no other is ever attached to."""

import json
from collections.abc import Mapping

import mlflow
from mlflow.entities import LifecycleStage, Run
from mlflow.exceptions import MlflowException

from fracture.errors import ConfigError
from fracture.privacy import shareable, who, without_secrets
from fracture.tracking.liveness import me


def check_fresh(run_id: str) -> None:
    """See that a run is what ``mlflow run`` has just made, so that attaching to it writes over nothing.

    Raises:
        ConfigError: it is finished, failed, interrupted, deleted, somebody else's, or not in the store.
    """
    client = mlflow.MlflowClient()
    try:
        run = client.get_run(run_id)
        used = _use(run) or ("holds artifacts" if client.list_artifacts(run_id) else "")
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        used = f"is not in the store {without_secrets(mlflow.get_tracking_uri())}"
    if used:
        raise ConfigError(
            f"MLFLOW_RUN_ID={run_id}: that run {used}. Only a run that `mlflow run` has just made for this command can "
            "be written to: `unset MLFLOW_RUN_ID`, or start `mlflow run .` in the project's own folder."
        )


def take(run_id: str) -> None:
    """Note the process at hand on a fresh run, so that it is known if it was killed, and hide who began it."""
    client = mlflow.MlflowClient()
    hidden = hidden_tags(client.get_run(run_id).data.tags)
    for key, value in (hidden | {"fracture.process": json.dumps(me())}).items():
        client.set_tag(run_id, key, value)


def hidden_tags(tags: Mapping[str, str]) -> dict[str, str]:
    """What to set tags of ``mlflow run`` to: its login name, and a repository's address that may hold a password."""
    ours = {"mlflow.user": who()} if "mlflow.user" in tags else {}
    cleaned = {key: shareable(value) for key, value in tags.items()} | ours
    return {key: value for key, value in cleaned.items() if value != tags[key]}


def _use(run: Run) -> str:
    """Why a run is not a fresh one of ``mlflow run``, empty where it is."""
    info, data = run.info, run.data
    if info.lifecycle_stage != LifecycleStage.ACTIVE:
        return "was deleted"
    if info.status not in ("RUNNING", "SCHEDULED"):
        return f"is over ({info.status})"
    if "fracture.kind" in data.tags:
        return f"is at work already ({data.tags['fracture.kind']})"
    if data.metrics:
        return "holds metrics"
    return "" if "mlflow.project.entryPoint" in data.tags else "was not made by `mlflow run`"
