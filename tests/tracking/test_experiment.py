"""Where runs go: to the experiment that the user names, else to the project's own."""

import shutil
import sys
from collections.abc import Iterator
from importlib.metadata import entry_points
from pathlib import Path

import mlflow
import pytest
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import PERMISSION_DENIED, RESOURCE_ALREADY_EXISTS

from fracture.errors import ConfigError
from fracture.tracking import creation, experiment, query, store
from fracture.tracking.provider import OwnExperiment

PROJECT = Path(experiment.__file__).parents[2]


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store as MLflow makes it, which takes a second."""
    path = tmp_path_factory.mktemp("empty") / "mlflow.db"
    creation.create(path)
    return path


@pytest.fixture
def client(empty: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[mlflow.MlflowClient]:
    """Of a store that nobody has connected to yet."""
    before = mlflow.get_tracking_uri()
    shutil.copy(empty, tmp_path)
    monkeypatch.chdir(tmp_path)
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    mlflow.set_tracking_uri(uri)
    yield mlflow.MlflowClient()
    mlflow.set_tracking_uri(before)


def test_the_beginning_of_an_id_is_answered_with_the_whole(client: mlflow.MlflowClient) -> None:
    store.connect()
    run = client.create_run(experiment.current()).info.run_id
    with pytest.raises(ConfigError, match=f"^run {run[:6]}: .*not found\nAn id has 32 characters; did you mean {run}"):
        query.run_of(run[:6])
    for wrong in ("nope", "", "0" * 32):
        with pytest.raises(ConfigError, match=r"\n`mlflow ui` shows the ids"):
            query.run_of(wrong)


def name_of_current(client: mlflow.MlflowClient) -> str:
    store.connect()
    return str(client.get_experiment(experiment.current()).name)


def test_runs_go_to_the_projects_own_experiment_unless_one_is_named(
    client: mlflow.MlflowClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert name_of_current(client) == name_of_current(client) == experiment.NAME
    own = client.get_experiment_by_name(experiment.NAME)
    assert own.artifact_location == str(tmp_path / "mlruns" / own.experiment_id)
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "bones")
    assert name_of_current(client) == "bones"
    monkeypatch.delenv("MLFLOW_EXPERIMENT_NAME")
    monkeypatch.setenv("MLFLOW_EXPERIMENT_ID", "0")
    assert name_of_current(client) == "Default"


@pytest.mark.parametrize(
    ("tags", "name"),
    [({"fracture.kind": "train"}, "Default"), ({"mlflow.runName": "of another project"}, experiment.NAME)],
)
def test_a_store_whose_runs_lie_in_default_goes_on_there(
    client: mlflow.MlflowClient, tags: dict[str, str], name: str
) -> None:
    client.create_run("0", tags=tags)
    assert name_of_current(client) == name


def test_the_own_experiment_once_deleted_is_named_with_what_brings_it_back(client: mlflow.MlflowClient) -> None:
    store.connect()
    client.delete_experiment(own := experiment.current())
    with pytest.raises(ConfigError, match=f"was deleted.*mlflow experiments restore --experiment-id {own}"):
        store.connect()
    client.restore_experiment(own)
    assert name_of_current(client) == experiment.NAME


@pytest.mark.parametrize(("code", "name"), [(PERMISSION_DENIED, "Default"), (RESOURCE_ALREADY_EXISTS, experiment.NAME)])
def test_whoever_may_make_none_uses_default_and_whoever_comes_second_finds_it(
    client: mlflow.MlflowClient, code: int, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    make = mlflow.MlflowClient.create_experiment

    def refused(self: mlflow.MlflowClient, wanted: str) -> None:
        if code == RESOURCE_ALREADY_EXISTS:
            make(self, wanted)
        raise MlflowException("refused", code)

    monkeypatch.setattr(mlflow.MlflowClient, "create_experiment", refused)
    assert name_of_current(client) == name


@pytest.mark.parametrize(
    ("command", "ours"),
    [
        (["mlflow", "run", str(PROJECT)], True),
        (["/usr/bin/mlflow", "run", "-P", "model=swin", str(PROJECT)], True),
        (["/usr/lib/python3/site-packages/mlflow/__main__.py", "run", str(PROJECT)], True),
        (["mlflow", "run", "."], False),
        (["mlflow", "run", "https://example.org/project.git"], False),
        (["mlflow", "ui", str(PROJECT)], False),
        (["python", "run", str(PROJECT)], False),
        ([], False),
    ],
)
def test_mlflow_run_of_the_project_asks_for_it(
    command: list[str], ours: bool, client: mlflow.MlflowClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", command)
    assert OwnExperiment().in_context() is ours


def test_an_entry_point_tells_mlflow_of_it() -> None:
    (found,) = entry_points(group="mlflow.default_experiment_provider")
    assert found.load() is OwnExperiment


@pytest.mark.parametrize(
    ("number", "option"), [(None, []), ("0", []), ("own", []), ("other", ["--experiment-id", "other"])]
)
def test_a_printed_command_names_an_experiment_only_where_it_was_given(
    number: str | None, option: list[str], client: mlflow.MlflowClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.connect()
    own, other = experiment.current(), client.create_experiment("bones")
    if number:
        monkeypatch.setenv("MLFLOW_EXPERIMENT_ID", {"own": own, "other": other}.get(number, number))
    wanted = " ".join(option).replace("other", other)
    assert " ".join(experiment.option()) == wanted
