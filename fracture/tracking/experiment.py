"""The experiment of runs: the one that the user names, else one of the project's own."""

import os
import shlex
import sys
from pathlib import Path

import mlflow
from mlflow.entities import Experiment, LifecycleStage
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import PERMISSION_DENIED, RESOURCE_ALREADY_EXISTS, ErrorCode
from mlflow.tracking.default_experiment import registry
from mlflow.utils.validation import _validate_experiment_name

from fracture.errors import ConfigError
from fracture.failures import explained
from fracture.tracking.provider import OwnExperiment

NAME = "fracture-classifier"
_DEFAULT = "0"  # MLflow's own
_own: dict[str, str] = {}  # id by the address of the store


def is_settled() -> bool:
    """Whether this process has settled for the project's own experiment in this store."""
    return str(mlflow.get_tracking_uri()) in _own


def own() -> str:
    """The id of the project's own experiment, which is made where it is not there yet."""
    return _own.get(str(mlflow.get_tracking_uri())) or _find_or_make()


def current() -> str:
    """The id of the experiment that new runs go to and that commands look for runs in."""
    return str(mlflow.tracking.fluent._get_experiment_id())


def settle() -> None:
    """See that the experiment of new runs is there, before anything is decoded.

    Raises:
        ConfigError: it was deleted, there is none of that id, or none can be called so.
        MlflowException: the store does not answer, or refuses.
    """
    if not any(isinstance(one, OwnExperiment) for one in registry._default_experiment_provider_registry):
        registry._default_experiment_provider_registry.register(OwnExperiment)  # run without having been installed
    name, number = _given("NAME"), _given("ID")
    given = " ".join(f"MLFLOW_EXPERIMENT_{word}={value}" for word, value in (("NAME", name), ("ID", number)) if value)
    try:
        _check(_named(name, number))
        if not name:
            _settle_own(number)
    except MlflowException as error:
        if not given or explained(error) is not None:
            raise
        raise ConfigError(f"{given}: {error.message}") from error


def _given(word: str) -> str:
    """What the user says of the experiment; an empty variable, which MLflow would take for a name, is unset."""
    value = os.environ.get(f"MLFLOW_EXPERIMENT_{word}", "")
    if not value:
        os.environ.pop(f"MLFLOW_EXPERIMENT_{word}", None)
    return value


def _named(name: str, number: str) -> Experiment | None:
    """The experiment that the user names, None where there is none yet; with a run, that of the run counts."""
    client = mlflow.MlflowClient()
    if name:
        _validate_experiment_name(name)
    called = client.get_experiment_by_name(name) if name else None
    if not number or os.environ.get("MLFLOW_RUN_ID"):
        return called
    found = client.get_experiment(number)
    if name and (called is None or called.experiment_id != found.experiment_id):
        raise ConfigError(
            f"MLFLOW_EXPERIMENT_NAME={name} MLFLOW_EXPERIMENT_ID={number}: these are two experiments; unset one of them"
        )
    return found


def _settle_own(number: str) -> None:
    """Note which experiment is used where none is named; ``number`` may be what ``mlflow run`` has chosen so."""
    if not number or mlflow.MlflowClient().get_experiment(number).name == NAME:
        _own[str(mlflow.get_tracking_uri())] = number or _find_or_make()


def option() -> list[str]:
    """What ``mlflow run`` was given to use this experiment; nothing where it chose it by itself."""
    number = os.environ.get("MLFLOW_EXPERIMENT_ID", _DEFAULT)
    usual = (_DEFAULT, _own.get(str(mlflow.get_tracking_uri())))
    return [] if number in usual else [f"--experiment-id {shlex.quote(number)}"]


def _find_or_make() -> str:
    """The project's own experiment, or MLflow's Default in a store whose runs went there before there was one.

    Raises:
        ConfigError: it was deleted.
        MlflowException: the store does not answer.
    """
    client = mlflow.MlflowClient()
    if found := client.get_experiment_by_name(NAME):
        _check(found)
        return str(found.experiment_id)
    if client.search_runs([_DEFAULT], "tags.`fracture.kind` != ''", max_results=1):
        return _DEFAULT
    try:
        return str(client.create_experiment(NAME))
    except MlflowException as error:
        if error.error_code == ErrorCode.Name(RESOURCE_ALREADY_EXISTS):  # another command was quicker
            return str(client.get_experiment_by_name(NAME).experiment_id)
        if error.error_code == ErrorCode.Name(PERMISSION_DENIED):  # of a server where others make experiments
            return _DEFAULT
        raise


def _check(found: Experiment | None) -> None:
    if found is not None and found.lifecycle_stage == LifecycleStage.DELETED:
        raise ConfigError(
            f"experiment {found.name} (id {found.experiment_id}) was deleted: restore it with `mlflow experiments "
            f"restore --experiment-id {found.experiment_id}`, or give another name: MLFLOW_EXPERIMENT_NAME=..."
        )


def is_asked_to_run() -> bool:
    """Whether this process is ``mlflow run`` of a folder that holds this project."""
    program, *given = sys.argv or [""]
    is_mlflow = Path(program).stem == "mlflow" or Path(program).parts[-2:] == ("mlflow", "__main__.py")
    return is_mlflow and given[:1] == ["run"] and any(_is_project(Path(one)) for one in given[1:])


def _is_project(folder: Path) -> bool:
    """Whether a folder holds an MLproject of this name."""
    try:
        return (folder / "MLproject").read_text(encoding="utf-8").split("\n", 1)[0].strip() == f"name: {NAME}"
    except (OSError, ValueError):
        return False
