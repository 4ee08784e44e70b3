"""The store: found, made ready and repaired."""

import sqlite3
from collections.abc import Callable
from pathlib import Path

import mlflow
import pytest

from fracture.errors import ConfigError
from fracture.tracking import store
from fracture.tracking.address import why_no_address
from fracture.tracking.moved import follow_move
from tests.forked import Command

CREATE = "from fracture.tracking import store; print(store.connect())"


Python = Callable[[str, Path], tuple[int, str]]


@pytest.fixture
def python(forked: Callable[..., Command]) -> Python:
    """Execute a text in a process of its own; its exit code and what it said."""

    def executed(code: str, cwd: Path) -> tuple[int, str]:
        command = forked(("python", code), cwd)
        return command.wait(), command.said

    return executed


@pytest.mark.slow
def test_first_processes_may_create_the_store_at_once(forked: Callable[..., Command], tmp_path: Path) -> None:
    order = ("mlflow", "ours", "ours")
    (tmp_path / "MLproject").touch()
    code = {"ours": CREATE, "mlflow": "import mlflow; mlflow.MlflowClient('sqlite:///mlflow.db').get_experiment('0')"}
    processes = [forked(("python", code[name]), tmp_path) for name in order]
    codes = [(name, process.wait()) for name, process in zip(order, processes, strict=True)]
    assert codes[1:] == [("ours", 0), ("ours", 0)], [process.said for process in processes]
    assert sorted(path.name for path in tmp_path.glob("*mlflow.db*")) == ["mlflow.db"]


def test_whoever_is_killed_while_making_the_store_leaves_none(python: Python, tmp_path: Path) -> None:
    killed = """
import os
from mlflow.store.db import utils
utils._upgrade_db = lambda engine: os._exit(9)
from fracture.tracking import store
store.connect()
"""
    assert python(killed, tmp_path)[0] == 9
    assert not (tmp_path / "mlflow.db").exists()
    assert python(CREATE, tmp_path)[0] == 0


def test_a_deleted_experiment_is_named_with_what_brings_it_back(
    store_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.connect()
    client = mlflow.MlflowClient()
    number = client.create_experiment("bones")
    client.delete_experiment(number)
    for name, value in (("MLFLOW_EXPERIMENT_NAME", "bones"), ("MLFLOW_EXPERIMENT_ID", number)):
        with monkeypatch.context() as here:
            here.setenv(name, value)
            with pytest.raises(ConfigError, match=f"mlflow experiments restore --experiment-id {number}"):
                store.connect()
    monkeypatch.setenv("MLFLOW_EXPERIMENT_ID", "12345")
    with pytest.raises(ConfigError, match="MLFLOW_EXPERIMENT_ID=12345"):
        store.connect()
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "x" * 501)
    with pytest.raises(ConfigError, match=r"MLFLOW_EXPERIMENT_NAME=x+ .*maximum length"):
        store.connect()
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "another")
    monkeypatch.setenv("MLFLOW_EXPERIMENT_ID", "0")
    with pytest.raises(ConfigError, match="two experiments; unset one"):
        store.connect()
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "")
    store.connect()


@pytest.mark.slow
def test_a_run_from_a_subfolder_goes_to_the_project_root_even_after_mlflow_ui(python: Python, tmp_path: Path) -> None:
    root = tmp_path / "my project"  # which MLflow writes with %20
    below = root / "notebooks"
    below.mkdir(parents=True)
    (root / "MLproject").touch()
    assert python(CREATE, root)[0] == 0
    with sqlite3.connect(root / "mlflow.db") as db:  # what `mlflow ui` does when it is first
        db.execute("UPDATE experiments SET artifact_location = 'mlflow-artifacts:/0'")
    begin = """
from pathlib import Path
from fracture.tracking import store
from fracture.tracking.run import TrackedRun
store.connect()
run = TrackedRun.begin("first", "train", watched=False)
Path("train.log").write_text("hello")
run.evidence(Path("."))
run.end("FINISHED")
"""
    for place in (below, root):
        code, said = python(begin, place)
        assert code == 0, said
    assert len(list(root.glob("mlruns/1/*/artifacts/train.log"))) == 2
    assert not (below / "mlruns").exists()


@pytest.mark.slow
def test_runs_follow_a_project_folder_that_was_moved(python: Python, tmp_path: Path) -> None:
    before, after = tmp_path / "a", tmp_path / "b c"
    before.mkdir()
    (before / "MLproject").touch()
    (before / "train.log").write_text("hello")
    begin = """
from pathlib import Path
from fracture.tracking import artifacts, query, store
from fracture.tracking.run import TrackedRun
store.connect()
for run in query.finished(["train"]):
    [path] = artifacts.fetch(run.id, ["train.log"], Path("fetched"))
    print("FETCHED", path.read_text())
run = TrackedRun.begin("first", "train", watched=False)
run.evidence(Path("."), only=["train.log"])
run.end("FINISHED")
"""
    assert python(begin, before)[0] == 0
    before.rename(after)
    (after / "fetched").mkdir()
    code, said = python(begin, after)
    assert code == 0, said
    assert f"pointed to {before / 'mlruns'}, which is gone" in said
    assert "FETCHED hello" in said
    assert len(list(after.glob("mlruns/1/*/artifacts/train.log"))) == 2
    assert not before.exists(), "the old place is not made anew"
    assert "which is gone" not in python(CREATE, after)[1], "once is enough"


def test_artifacts_that_were_put_elsewhere_on_purpose_stay_there(tmp_path: Path) -> None:
    place = tmp_path / "mlflow.db"
    assert follow_move(place) == "", "no store yet"
    with sqlite3.connect(place) as db:
        db.execute("CREATE TABLE experiments (experiment_id INTEGER, artifact_location TEXT)")
        for location in (
            "s3://bucket/mlruns/0",
            str(tmp_path / "disk" / "artifacts"),
            str(tmp_path / "gone" / "mlruns" / "0"),
        ):
            db.execute("DELETE FROM experiments")
            db.execute("INSERT INTO experiments VALUES (0, ?)", (location,))
            db.commit()
            assert follow_move(place) == "", "its counterpart is not here"
            assert db.execute("SELECT artifact_location FROM experiments").fetchone() == (location,)
        (tmp_path / "mlruns" / "0").mkdir(parents=True)
        (tmp_path / "gone" / "mlruns").mkdir(parents=True)
        assert follow_move(place) == "", "it exists"


@pytest.mark.parametrize(
    ("uri", "said"),
    [
        ("   ", "names a folder of files"), ("mlruns", "names a folder of files"), ("file:r", "a folder of files"),
        ("sqlite:///", "names no file"), ("sqlite://", "names no file"), ("sqlite:///:memory:", "names no file"),
        ("sqlite://mlflow.db", "a file comes after three slashes"), ("htpp://127.0.0.1:5000", "MLflow knows no 'htpp'"),
        ("http://", "names no host"), ("http://127.0.0.1:99999", "Port out of range"), ("http://h:x", "Port could not"),
        ("http://user:geheim@host:x", r"MLFLOW_TRACKING_URI=http://\*\*\*@host:x: "),
        ("sqlite:///mlflow.db", ""), ("sqlite:////a/b%20c.db?timeout=9", ""), ("http://127.0.0.1:5000", ""),
        ("https://user:password@host/path", ""), ("postgresql+psycopg2://u:p@host:5432/db", ""), ("databricks", ""),
        ("databricks://profile", ""), ("mysql+pymysql://u@h/db", ""),
    ],
)  # fmt: skip
def test_an_address_that_is_none_is_told_before_it_is_asked(
    uri: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not said:
        assert why_no_address(uri) == ""
        return
    monkeypatch.setattr(mlflow, "get_tracking_uri", lambda: uri)
    with pytest.raises(ConfigError, match=said) as told:
        store.connect()
    assert "Allowed: sqlite:///mlflow.db" in str(told.value)
    assert "geheim" not in str(told.value)
    assert not any(tmp_path.iterdir())


def test_so_is_that_of_a_registry_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mlflow, "get_registry_uri", lambda: "htpp://host")
    with pytest.raises(ConfigError, match=r"^MLFLOW_REGISTRY_URI=htpp://host: MLflow knows no 'htpp'"):
        store.connect()
    assert not any(tmp_path.iterdir())
    assert why_no_address("databricks-uc") == ""


@pytest.mark.parametrize(("path", "said"), [("/dev/null/x.db", "Not a directory"), (".", "Is a directory")])
def test_a_database_that_can_be_no_file_is_told_with_the_variable(
    path: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mlflow, "get_tracking_uri", lambda: f"sqlite:///{path}")
    with pytest.raises(ConfigError, match=rf"cannot be used: .*{said}(.|\n)*Check MLFLOW_TRACKING_URI"):
        store.connect()


def test_a_server_that_does_not_answer_is_exit_6(forked: Callable[..., Command], tmp_path: Path) -> None:
    command = forked(("fracture", "train", "--resume", "x"), tmp_path, MLFLOW_TRACKING_URI="http://127.0.0.1:9")
    assert command.wait() == 6
    assert "MLFLOW_TRACKING_URI" in command.said
    assert "Traceback" not in command.said
