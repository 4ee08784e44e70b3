"""What killed processes leave, and the doctor who finds it."""

import errno
import json
import math
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import mlflow
import pytest
from mlflow.exceptions import MlflowException

from fracture.runs import doctor, states
from fracture.tracking import leftovers, store
from fracture.tracking.liveness import me
from tests.forked import Command


def run_of(kind: str = "train", process: dict[str, object] | None = None, status: str = "RUNNING") -> str:
    """A run in the store, written by a process."""
    client = mlflow.MlflowClient()
    tags = {"fracture.kind": kind} | ({"fracture.process": json.dumps(process)} if process else {})
    run_id = str(client.create_run("0", tags=tags if kind else {}).info.run_id)
    if status != "RUNNING":
        client.set_terminated(run_id, status)
    return run_id


def state_of(run_id: str) -> Path:
    folder = states.state_folder(run_id)
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    return folder


@pytest.fixture
def gone() -> dict[str, object]:
    """A process of this machine that is over."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return me() | {"pid": process.pid}


def kinds() -> dict[str, str]:
    return {one.run_id: one.kind for one in leftovers.find(states.state_root())}


def status_of(run_id: str) -> str:
    return str(mlflow.get_run(run_id).info.status)


def test_a_run_whose_process_is_gone_is_ended_and_no_other(store_root: Path, gone: dict[str, object]) -> None:
    dead, alive, far, foreign = run_of(process=gone), run_of(process=me()), run_of(process=gone | {"machine": "m"}), ""
    foreign = run_of(kind="")
    found = kinds()
    assert found[dead] == "run"
    assert not {alive, far, foreign} & found.keys()
    assert dead in [one.run_id for one in leftovers.sweep(states.state_root())]
    assert [status_of(one) for one in (dead, alive, far, foreign)] == ["KILLED", "RUNNING", "RUNNING", "RUNNING"]
    assert "its process is gone" in mlflow.get_run(dead).data.tags["fracture.reason"]
    for one in (alive, far, foreign):
        mlflow.MlflowClient().set_terminated(one)


@pytest.mark.parametrize("edited", ["", "{", "[1]", '{"pid": "1"}'])
def test_a_run_that_does_not_say_whose_it_is_is_judged_by_the_lock_of_its_state(edited: str, store_root: Path) -> None:
    run_id = run_of()  # as an earlier version left it, or somebody has edited its tag
    mlflow.MlflowClient().set_tag(run_id, leftovers.PROCESS, edited)
    state_of(run_id)
    [found] = [one for one in leftovers.find(states.state_root()) if one.run_id == run_id]
    assert found.kind == "run"
    assert f"fracture train --resume {run_id}" in found.fix
    with states.held_state(states.state_folder(run_id), run_id):
        assert run_id not in kinds(), "somebody trains it"
    leftovers.sweep(states.state_root())


@pytest.mark.parametrize(
    ("status", "kind"), [("FINISHED", "over"), ("KILLED", "resumable"), ("FAILED", "resumable"), ("deleted", "state")]
)
def test_states_are_kept_as_long_as_somebody_may_need_them(status: str, kind: str, store_root: Path) -> None:
    run_id = run_of(status="FINISHED" if status == "deleted" else status)
    folder = state_of(run_id)
    if status == "deleted":
        mlflow.MlflowClient().delete_run(run_id)
    [found] = [one for one in leftovers.find(states.state_root()) if one.run_id == run_id]
    assert found.kind == kind
    leftovers.fix(found)
    assert folder.exists() == (kind == "resumable")


def test_a_state_whose_run_is_in_another_store_is_said_and_stays(
    store_root: Path, cli: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    folder = state_of("f" * 32)
    assert kinds()["f" * 32] == "foreign"
    assert cli("doctor", "--fix") == 0
    assert "MLFLOW_TRACKING_URI may name another store" in capsys.readouterr().out
    assert (folder / "config.json").is_file()
    shutil.rmtree(folder)


def test_a_store_that_fails_is_no_reason_to_delete_a_state(store_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run_id = run_of(status="KILLED")
    folder = state_of(run_id)

    def fail(*_: object) -> None:
        raise MlflowException("the server is busy")

    monkeypatch.setattr(mlflow.MlflowClient, "get_run", fail)
    [found] = [one for one in doctor._safely(lambda: doctor._leftovers(True)) if one.status == "problem"]
    assert "the server is busy" in found.said
    assert (folder / "config.json").is_file()


def test_a_state_from_before_its_run_was_recorded_cannot_go_on(store_root: Path) -> None:
    run_id = run_of(status="KILLED")
    (state_of(run_id) / "config.json").unlink()
    [found] = [one for one in leftovers.find(states.state_root()) if one.run_id == run_id]
    assert (found.kind, "no training progress" in found.said) == ("state", True)
    leftovers.fix(found)
    assert not states.state_folder(run_id).exists()


def test_a_state_that_is_taken_meanwhile_stays(store_root: Path) -> None:
    run_id = run_of(status="FINISHED")
    folder = state_of(run_id)
    [found] = [one for one in leftovers.find(states.state_root()) if one.run_id == run_id]
    with states.held_state(folder, run_id):
        leftovers.fix(found)
        assert (folder / "config.json").is_file()


def old(run_id: str, hours: float) -> str:
    """Have a run begin so long ago."""
    with sqlite3.connect(store.database(mlflow.get_tracking_uri())) as db:  # type: ignore[arg-type]
        change = "UPDATE runs SET start_time = start_time - ? WHERE run_uuid = ?"
        db.execute(change, (int(hours * 3600 * 1000), run_id))
    return run_id


@pytest.mark.parametrize(
    ("part", "hours", "kind"),
    [(0, 1, None), (0, 30, "silent"), (1, 0, "run"), (2, 1, None), (2, 30, "silent")],
    ids=["another machine", "it is silent", "this machine, started again", "another container", "it is silent too"],
)
def test_runs_of_other_machines(store_root: Path, part: int, hours: float, kind: str | None) -> None:
    parts = str(me()["machine"]).split("-")
    parts[part] = "00000000"
    run_id = old(run_of(process=me() | {"machine": "-".join(parts)}), hours)
    assert kinds().get(run_id) == kind
    assert (run_id in [one.run_id for one in leftovers.sweep(states.state_root())]) == (kind == "run")
    for one in leftovers.find(states.state_root()):
        leftovers.fix(one)
    assert status_of(run_id) == ("KILLED" if kind else "RUNNING")
    mlflow.MlflowClient().set_terminated(run_id)


def test_a_metric_is_a_sign_of_life(store_root: Path) -> None:
    run_id = old(run_of(process=me() | {"machine": "m"}), 30)
    mlflow.MlflowClient().log_metric(run_id, "val_loss", 1.0, step=1)
    assert run_id not in kinds()
    mlflow.MlflowClient().set_terminated(run_id)


def test_a_run_of_mlflow_run_that_nothing_was_begun_with(store_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = {"mlflow.project.entryPoint": "main"}
    run_id = str(mlflow.MlflowClient().create_run("0", 1, made).info.run_id)  # older than any `mlflow run` at work here
    monkeypatch.setattr(leftovers, "_SILENCE", math.inf)
    held = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, env={"MLFLOW_RUN_ID": run_id})
    try:
        assert run_id not in kinds(), "a process has been given it"
    finally:
        held.kill()
        held.communicate()
    assert kinds()[run_id] == "silent"
    leftovers.fix(next(one for one in leftovers.find(states.state_root()) if one.run_id == run_id))
    assert status_of(run_id) == "KILLED"


def test_files_half_written_by_processes_that_are_gone(store_root: Path, gone: dict[str, object]) -> None:
    folder = states.state_folder("e" * 32)
    folder.mkdir(parents=True)
    paths = [folder / f".state.pt.{gone['pid']}.part", store_root / f".mlflow.db.{gone['pid']}.part-journal"]
    mine, fresh = folder / f".state.pt.{me()['pid']}.part", folder / f".best.pth.{gone['pid']}.part"
    for path in (*paths, mine, fresh):
        path.write_bytes(b"half")
    for path in (*paths, mine):
        os.utime(path, (0, 0))
    found = leftovers.half_written(store_root, [store_root / "mlruns"])
    assert {one.folder for one in found} == set(paths)
    for one in found:
        leftovers.fix(one)
    assert [path.exists() for path in (*paths, mine, fresh)] == [False, False, True, True]
    shutil.rmtree(folder)


KILLED = """
import os
from fracture.tracking import store
from fracture.tracking.run import TrackedRun
store.connect()
run = TrackedRun.begin("first", "train", watched=False)
print(run.id, flush=True)
os._exit(9)
"""


def test_the_doctor_finds_and_mends_a_run_that_was_killed_as_it_began(
    forked: Callable[..., Command], store_root: Path, cli: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    command = forked(("python", KILLED), store_root)
    command.wait()
    run_id = command.said.split()[0]
    assert status_of(run_id) == "RUNNING"
    assert cli("doctor", "--json") == 1
    said = {one["said"]: one for one in json.loads(capsys.readouterr().out)}
    assert any(run_id in text and one["status"] == "problem" and "--fix" in one["fix"] for text, one in said.items())
    assert cli("doctor", "--fix") == 0
    assert f"{run_id} (train, first) says RUNNING" in capsys.readouterr().out
    assert status_of(run_id) == "KILLED"
    assert cli("doctor") == 0


def test_the_doctor_says_what_is_wrong_with_a_store_and_looks_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cli: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    address, before = "http://bob:hunter22@127.0.0.1:9", mlflow.get_tracking_uri()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    mlflow.set_tracking_uri(address)
    try:
        assert cli("doctor") == 1
    finally:
        mlflow.set_tracking_uri(before)
    shown = capsys.readouterr().out
    assert "hunter22" not in shown
    assert "problem  store: the tracking store http://***@127.0.0.1:9 cannot be used" in shown
    assert "Check MLFLOW_TRACKING_URI" in shown
    assert "torch " in shown


@pytest.mark.parametrize(
    ("threads", "idle", "wanted"),
    [(2, 2.0, ""), (2, 1.6, ""), (2, 1.0, "threads=1 "), (8, 2.9, "threads=3 "), (1, 0.0, "")],
)
def test_cores_that_others_use_are_said_with_fewer_threads(threads: int, idle: float, wanted: str) -> None:
    found = [one.fix for one in doctor._crowded(threads, idle)]
    assert len(found) == bool(wanted)
    assert all(wanted in fix for fix in found)


def test_a_look_that_fails_hides_no_other(monkeypatch: pytest.MonkeyPatch, store_root: Path) -> None:
    def broken() -> None:
        raise OSError("no such thing")

    def read_only() -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), "there/mlruns")

    monkeypatch.setattr(doctor.backbones, "find", lambda _: broken())
    monkeypatch.setattr(doctor.store, "connect", read_only)
    found = {one.name: one for one in doctor.examine()}
    assert found["weights"].status == "problem"
    assert "OSError: no such thing" in found["weights"].said
    assert (found["store"].said, found["store"].status) == ("there/mlruns: Read-only file system", "problem")
    assert found["store"].fix == "Allow writing there, or name another place."
