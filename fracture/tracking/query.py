"""Looking runs up."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import mlflow
from mlflow.entities import LifecycleStage, Run, ViewType
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException

from fracture.errors import ConfigError
from fracture.failures import explained
from fracture.files import as_text
from fracture.tracking import experiment
from fracture.tracking.sections import plain


def tags_of(run_id: str) -> dict[str, str]:
    """The tags of a run.

    Raises:
        ConfigError: no such run.
        Interrupted: the store does not answer.
    """
    return dict(get(run_id).data.tags)


def get(run_id: str) -> Run:
    """A run as MLflow has it.

    Raises:
        ConfigError: no such run.
        Interrupted: the store does not answer.
    """
    try:
        return mlflow.MlflowClient().get_run(run_id)
    except MlflowException as error:
        if (away := explained(error)) is not None:
            raise away from error
        begun = [run.info.run_id for run in _search("") if run.info.run_id.startswith(run_id)] if run_id else []
        meant = f"An id has 32 characters; did you mean {', '.join(begun[:3])}?" if begun else ""
        raise ConfigError(
            f"run {run_id}: {error.message}\n{meant or '`mlflow ui` shows the ids of all runs.'}"
        ) from error


def check_distinct(run_ids: Sequence[str]) -> None:
    """See that each run is named once.

    Raises:
        ConfigError: one is named twice.
    """
    if twice := [run_id for run_id in dict.fromkeys(run_ids) if list(run_ids).count(run_id) > 1]:
        raise ConfigError(
            f"run {', '.join(twice)}: named more than once. Name each run once; `mlflow ui` and `fracture compare` "
            "show the ids"
        )


def trained_by(run_id: str) -> str:
    """The training run whose weights a run holds: another one where it only took new decisions about them."""
    return tags_of(run_id).get("fracture.refit_of") or run_id


def run_of_model(uri: str) -> str:
    """The run of ``models:/NAME@ALIAS``, ``models:/NAME/VERSION`` or ``models:/m-ID``; empty where nobody knows."""
    client, body = mlflow.MlflowClient(), uri.removeprefix("models:/")
    name, _, version = body.rpartition("/")
    try:
        if "@" in body:
            return str(client.get_model_version_by_alias(*body.split("@", 1)).run_id or "")
        if name:
            return str(client.get_model_version(name, version).run_id or "")
        return str(client.get_logged_model(body).source_run_id or "")
    except MlflowException:
        return ""


@dataclass(frozen=True)
class Version:
    """A version of a registered model, and when it was made, as ``2026-01-31``."""

    name: str
    number: str
    run_id: str
    made: str


def version_of_model(uri: str) -> Version | None:
    """The version that ``models:/NAME@ALIAS`` or ``models:/NAME/VERSION`` is now; None where there is none."""
    name, _, version = uri.removeprefix("models:/").rpartition("/")
    try:
        if "@" in uri:
            return version_at(uri)
        return _version(mlflow.MlflowClient().get_model_version(name, version)) if name else None
    except MlflowException:
        return None


def version_at(alias: str) -> Version:
    """The version that ``models:/NAME@ALIAS`` points to now.

    Raises:
        MlflowException: none, or the registry cannot be reached.
    """
    return _version(mlflow.MlflowClient().get_model_version_by_alias(*alias.removeprefix("models:/").rsplit("@", 1)))


def _version(found: ModelVersion) -> Version:
    return Version(found.name, str(found.version), str(found.run_id or ""), _day(found.creation_timestamp))


def day_of(run_id: str) -> str:
    """When a run ended, as ``2026-01-31``; empty where it has not."""
    return _day(mlflow.MlflowClient().get_run(run_id).info.end_time)


def _day(milliseconds: int | None) -> str:
    return datetime.fromtimestamp(milliseconds / 1000, UTC).date().isoformat() if milliseconds else ""


def tags_of_version(name: str, version: str) -> dict[str, str]:
    """The tags of a registered version, none where there is no such version any more."""
    try:
        return dict(mlflow.MlflowClient().get_model_version(name, version).tags)
    except MlflowException:
        return {}


def tag_version(name: str, version: str, tags: Mapping[str, str]) -> None:
    """Set tags on a registered version.

    Raises:
        ConfigError: no such version.
    """
    try:
        for key, value in tags.items():
            mlflow.MlflowClient().set_model_version_tag(name, version, key, value)
    except MlflowException as error:
        raise explained(error) or ConfigError(f"{name} version {version}: cannot be tagged: {error.message}") from error


def is_there(run_id: str) -> bool:
    """Whether the store has a run that is not deleted.

    Raises:
        Interrupted: the store does not answer, which says nothing of the run.
    """
    try:
        return bool(run_id) and mlflow.MlflowClient().get_run(run_id).info.lifecycle_stage == LifecycleStage.ACTIVE
    except MlflowException as error:
        if (away := explained(error)) is not None:
            raise away from error
        return False


def status_of(run_id: str) -> str:
    """RUNNING, FINISHED, FAILED or KILLED."""
    return str(mlflow.MlflowClient().get_run(run_id).info.status)


def unfinished_groups() -> "list[Found]":
    """The groups of the current experiment that have not ended well, newest first."""
    return [_found(run) for run in _search("tags.`fracture.kind` = 'group' and attributes.status != 'FINISHED'")]


def child(parent: str, name: str, value: str) -> Run | None:
    """The run below a group with this value of a parameter: the finished one if there is one, else the newest."""
    runs = _search(f"tags.`mlflow.parentRunId` = '{parent}' and params.{name} = '{value}'", _beside(parent))
    return next((run for run in runs if run.info.status == "FINISHED"), runs[0] if runs else None)


def children(parent: str, kind: str) -> "list[Found]":
    """The runs of a kind below another one, newest first."""
    runs = _search(f"tags.`mlflow.parentRunId` = '{parent}' and tags.`fracture.kind` = '{kind}'", _beside(parent))
    return [_found(run) for run in runs]


@dataclass(frozen=True)
class Found:
    """A run as the store holds it; ``metrics`` are the last values, by plain names."""

    id: str
    name: str
    status: str
    params: dict[str, str]
    metrics: dict[str, float]
    tags: dict[str, str]

    @property
    def kind(self) -> str:
        """What it did: train, ensemble, evaluate and so on."""
        return self.tags.get("fracture.kind", "")


def finished(kinds: Iterable[str]) -> list[Found]:
    """The finished runs of these kinds in the current experiment, newest first."""
    wanted = set(kinds)
    runs = [_found(run) for run in _search("attributes.status = 'FINISHED'")]
    return [run for run in runs if run.kind in wanted]


def judged_on(test_digest: str, kinds: Iterable[str]) -> int:
    """How many finished runs of these kinds were judged on one test split, in all experiments of the store."""
    condition = f"tags.`fracture.test_digest` = '{test_digest}' and attributes.status = 'FINISHED'"
    experiments = [one.experiment_id for one in mlflow.MlflowClient().search_experiments()]
    wanted = set(kinds)
    return sum(_found(run).kind in wanted for run in _search(condition, experiments))


def count() -> int:
    """The number of runs in the current experiment."""
    return len(_search(""))


def run_of(run_id: str) -> Found:
    """One run.

    Raises:
        ConfigError: no such run.
    """
    return _found(get(run_id))


def _found(run: Run) -> Found:
    info, data = run.info, run.data
    metrics = {plain(name): value for name, value in data.metrics.items()}
    return Found(info.run_id, as_text(info.run_name or ""), info.status, dict(data.params), metrics, dict(data.tags))


def _beside(run_id: str) -> list[str]:
    """The experiment of a run, which need not be the current one."""
    return [str(mlflow.MlflowClient().get_run(run_id).info.experiment_id)]


def _search(condition: str, experiments: Sequence[str] = ()) -> list[Run]:
    """All runs of some experiments, or of the current one, that meet a condition, newest first."""
    among = list(experiments) or [experiment.current()]
    order = ["attributes.start_time DESC"]
    client, found = mlflow.MlflowClient(), []
    page = client.search_runs(among, condition, ViewType.ACTIVE_ONLY, 200, order)
    found += list(page)
    while page.token:
        page = client.search_runs(among, condition, ViewType.ACTIVE_ONLY, 200, order, page.token)
        found += list(page)
    return found
