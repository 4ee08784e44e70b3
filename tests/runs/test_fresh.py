"""MLFLOW_RUN_ID left in a shell: no verb writes to a run that `mlflow run` has not just made for it."""

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import mlflow
import pytest

from fracture.__main__ import cli as fracture_cli
from fracture.__main__ import run
from fracture.privacy import who
from fracture.runs import session, states
from fracture.runs.attached import tag_attached_run
from fracture.tracking import store
from fracture.tracking.run import TrackedRun
from registry.__main__ import cli as registry_cli
from tests.runs.small import config, said, terminal
from tuning.__main__ import cli as tuning_cli

VERBS: dict[str, tuple[click.Command, tuple[str, ...]]] = {
    "train": (
        fracture_cli,
        ("train", "--data", "{data}", "--model", "test_resnet", "--weights", "none", "--epochs", "1"),
    ),
    "resume": (fracture_cli, ("train", "--resume", "{other}")),
    "group": (fracture_cli, ("train", "--data", "{data}", "--model", "test_resnet,test_vit", "--weights", "none")),
    "folds": (fracture_cli, ("train", "--data", "{data}", "--model", "test_resnet", "--folds", "2")),
    "evaluate": (fracture_cli, ("evaluate", "{other}", "--data", "{data}")),
    "ensemble": (fracture_cli, ("ensemble", "{other}", "{run}")),
    "compare": (fracture_cli, ("compare",)),
    "audit": (fracture_cli, ("audit", "{data}")),
    "prepare": (fracture_cli, ("prepare", "{data}", "m.csv")),
    "promote": (registry_cli, ("promote", "{other}")),
    "challenge": (registry_cli, ("challenge",)),
    "rollback": (registry_cli, ("rollback",)),
    "tune": (tuning_cli, ("--data", "{data}", "--model", "test_resnet", "--trials", "1")),
}
PROJECT = {"mlflow.project.entryPoint": "main", "mlflow.source.type": "PROJECT"}
client = mlflow.MlflowClient


def snapshot(run_id: str, store_root: Path) -> dict[str, Any]:
    """All that a run consists of."""
    found = client().get_run(run_id)
    place = store_root / "mlruns" / found.info.experiment_id / run_id
    files = {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in place.rglob("*") if path.is_file()}
    return {
        "files": files, "params": found.data.params, "metrics": found.data.metrics, "tags": found.data.tags,
        "status": found.info.status, "name": found.info.run_name, "end": found.info.end_time,
    }  # fmt: skip


def made(kind: str, folder: Path) -> str:
    """A run in one of the states that a shell may remember."""
    tags = {} if kind == "foreign" else PROJECT
    run_id = str(client().create_run("0", tags=tags).info.run_id)
    client().log_param(run_id, "lr", "0.5")
    if kind in ("finished", "failed", "interrupted", "deleted", "at work"):
        client().set_tag(run_id, "fracture.kind", "train")
        client().log_metric(run_id, "val_loss", 0.25, step=1)
        (folder / "best.pth").write_bytes(b"weights of another model")
        client().log_artifact(run_id, str(folder / "best.pth"))
    if kind == "with metrics":
        client().log_metric(run_id, "val_loss", 0.25, step=1)
    status = {"finished": "FINISHED", "failed": "FAILED", "interrupted": "KILLED", "ended": "FINISHED"}.get(kind)
    if status:
        client().set_terminated(run_id, status)
    if kind == "deleted":
        client().delete_run(run_id)
    return run_id


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("finished", "is over (FINISHED)"),
        ("failed", "is over (FAILED)"),
        ("interrupted", "is over (KILLED)"),
        ("ended", "is over (FINISHED)"),
        ("deleted", "was deleted"),
        ("at work", "is at work already (train)"),
        ("with metrics", "holds metrics"),
        ("foreign", "was not made by `mlflow run`"),
    ],
)
def test_every_verb_refuses_every_run_but_a_fresh_one(
    kind: str, said: str, store_root: Path, images: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str], tmp_path: Path,
) -> None:  # fmt: skip
    store.connect()
    run_id, other = made(kind, tmp_path), made("finished", tmp_path)
    state = states.state_folder(run_id)
    state.mkdir(parents=True)
    (state / "config.json").write_text("{}")
    before = snapshot(run_id, store_root)
    for command, words in VERBS.values():
        monkeypatch.setenv("MLFLOW_RUN_ID", run_id)
        filled = [word.format(data=images, run=run_id, other=other) for word in words]
        monkeypatch.setattr("sys.argv", ["x", *filled])
        with pytest.raises(SystemExit) as stop:
            run(command, "x")
        shown = capsys.readouterr().err
        assert stop.value.code == 2, shown
        assert said in shown
        assert "unset MLFLOW_RUN_ID" in shown
        assert snapshot(run_id, store_root) == before
        assert (state / "config.json").read_text() == "{}"


@pytest.mark.parametrize(
    ("command", "words", "said"),
    [
        (registry_cli, ("rollback",), "nothing is @previous"),
        (fracture_cli, ("drift", "log", "--since", "yesterday"), "--since yesterday"),
        (fracture_cli, ("feedback", "log", "--since", "yesterday"), "--since yesterday"),
        (fracture_cli, ("prepare", "a", "--out", "a.txt"), "must end in .csv"),
        (fracture_cli, ("audit", "a", "--probe", "x"), "probe=x"),
        (fracture_cli, ("evaluate", "{run}"), "Missing option '--data'"),
        (fracture_cli, ("train", "--epoch", "1"), "No such option"),
        (registry_cli, ("challenge", "--margin=abc"), "'abc' is not a valid float"),
        (registry_cli, ("promote", "--use"), "'--use' requires an argument"),
        (tuning_cli, ("--model",), "'--model' requires an argument"),
        (tuning_cli, ("--trials", "many"), "trials=many"),
    ],
)
def test_what_is_refused_before_it_begins_names_its_run_and_says_why(
    command: click.Command, words: tuple[str, ...], said: str, store_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.connect()
    started = {
        "mlflow.user": "alice.winter",
        "mlflow.source.git.repoURL": "https://al:pw@host/x.git",
    }  # by `mlflow run`
    run_id = str(client().create_run("0", tags=PROJECT | started).info.run_id)
    monkeypatch.setenv("MLFLOW_RUN_ID", run_id)
    monkeypatch.setattr("sys.argv", ["x", *words])
    with pytest.raises(SystemExit) as stop:
        run(command, "x")
    found = client().get_run(run_id)
    assert found.data.tags["mlflow.user"] == who()
    assert found.data.tags["mlflow.source.git.repoURL"] == "https://***@host/x.git"
    kind = "tune" if command is tuning_cli else words[0]
    assert stop.value.code == 2
    assert (found.info.run_name, found.data.tags["fracture.kind"]) == (kind, kind)
    assert said in found.data.tags["fracture.reason"]


def test_a_mistyped_option_touches_no_run_but_a_fresh_one(
    store_root: Path, tmp_path: Path, cli: Callable[..., int], monkeypatch: pytest.MonkeyPatch
) -> None:
    store.connect()
    run_id = made("finished", tmp_path)
    before = snapshot(run_id, store_root)
    monkeypatch.setenv("MLFLOW_RUN_ID", run_id)
    assert cli("train", "--epoch", "1") == 2
    assert snapshot(run_id, store_root) == before


def test_an_unforeseen_failure_names_the_run_too(store_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store.connect()
    run_id = str(client().create_run("0", tags=PROJECT).info.run_id)
    monkeypatch.setenv("MLFLOW_RUN_ID", run_id)
    with pytest.raises(ZeroDivisionError), tag_attached_run("compare"):
        print(1 // 0)
    tags = client().get_run(run_id).data.tags
    assert (tags["mlflow.runName"], tags["fracture.reason"]) == ("compare", "integer division or modulo by zero")


def test_a_run_that_is_not_in_the_store_is_refused(store_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_RUN_ID", "0" * 32)
    monkeypatch.setattr("sys.argv", ["x", "compare"])
    with pytest.raises(SystemExit) as stop:
        run(fracture_cli, "x")
    assert stop.value.code == 2


def test_a_fresh_run_is_attached_to_and_its_state_begins_empty(
    store_root: Path, images: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.connect()
    run_id = str(client().create_run("0", tags=PROJECT).info.run_id)
    state = states.state_folder(run_id)
    state.mkdir(parents=True)
    (state / "state.pt").write_bytes(b"of a run that was killed under this id")
    monkeypatch.setenv("MLFLOW_RUN_ID", run_id)
    screen = terminal()
    session.train(config(images, epochs=1), session.Session(screen, None, "again {run}"))
    found = client().get_run(run_id)
    assert found.info.status == "FINISHED"
    assert found.data.tags["fracture.kind"] == "train"
    assert f"Run {run_id}" in said(screen)
    assert "MLFLOW_RUN_ID" not in os.environ


def test_a_child_is_never_the_run_that_the_shell_remembers(
    store_root: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    store.connect()
    left, parent = made("finished", tmp_path), str(client().create_run("0").info.run_id)
    before = snapshot(left, store_root)
    monkeypatch.setenv("MLFLOW_RUN_ID", left)
    child = TrackedRun.begin("trial 0", "trial", parent=parent, watched=False)
    child.end("FINISHED")
    assert child.id != left
    assert client().get_run(child.id).data.tags["mlflow.parentRunId"] == parent
    assert snapshot(left, store_root) == before


def test_a_deleted_run_is_not_resumed(
    store_root: Path, tmp_path: Path, cli: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    store.connect()
    run_id = made("deleted", tmp_path)
    assert cli("train", "--resume", run_id) == 2
    assert f"mlflow runs restore --run-id {run_id}" in capsys.readouterr().err
