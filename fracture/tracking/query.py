"""Looking runs up."""

import mlflow
from mlflow.entities import Run, ViewType
from mlflow.exceptions import MlflowException

from fracture.errors import ConfigError


def tags_of(run_id: str) -> dict[str, str]:
    """The tags of a run.

    Raises:
        ConfigError: no such run.
    """
    try:
        return dict(mlflow.MlflowClient().get_run(run_id).data.tags)
    except MlflowException as error:
        raise ConfigError(f"run {run_id}: {error.message}\n`mlflow ui` shows the ids of all runs.") from error


def status_of(run_id: str) -> str:
    """RUNNING, FINISHED, FAILED or KILLED."""
    return str(mlflow.MlflowClient().get_run(run_id).info.status)


def find_group(key: str) -> str | None:
    """The newest unfinished group with these settings in the current experiment."""
    runs = _search(f"tags.`fracture.group_key` = '{key}' and attributes.status != 'FINISHED'")
    return runs[0].info.run_id if runs else None


def child(parent: str, model: str) -> Run | None:
    """The run of one model below a group: the finished one if there is one, else the newest."""
    runs = _search(f"tags.`mlflow.parentRunId` = '{parent}' and params.model = '{model}'")
    return next((run for run in runs if run.info.status == "FINISHED"), runs[0] if runs else None)


def _search(condition: str) -> list[Run]:
    experiment = str(mlflow.tracking.fluent._get_experiment_id())
    found = mlflow.MlflowClient().search_runs(
        [experiment], condition, ViewType.ACTIVE_ONLY, max_results=200, order_by=["attributes.start_time DESC"]
    )
    return list(found)
