"""The main job as a user runs it: real processes in a copy of the project, killed, interrupted and taken up again."""

import os
import re
import shlex
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from fracture.data.demo import write_demo
from fracture.data.manifest import SPLITS, read_csv, write_csv
from tests.forked import Command

ROOT = Path(__file__).resolve().parents[1]
TINY = {"model": "test_resnet", "image_size": 64, "demo_images": 30, "threads": 1, "memory_format": "contiguous"}

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of what the repository holds, and one cache for all tests here."""
    copy = tmp_path_factory.mktemp("project")
    for name in ("MLproject", "conda.yaml", "pyproject.toml"):
        shutil.copy(ROOT / name, copy)
    shutil.copytree(ROOT / "fracture", copy / "fracture", ignore=shutil.ignore_patterns("__pycache__"))
    return copy


Start = Callable[[Sequence[str]], Command]
Run = Callable[[Sequence[str]], tuple[int, str]]


def variables(project: Path) -> dict[str, str | None]:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return {"PATH": path, "FRACTURE_CACHE_DIR": str(project / "cache"), "MLFLOW_TRACKING_URI": None}


@pytest.fixture
def start(project: Path, forked: Callable[..., Command]) -> Start:
    """Start a command whose own libraries are loaded already; what `mlflow run` starts is a new interpreter."""
    return lambda command: forked(tuple(command), project, **variables(project))


@pytest.fixture
def run(start: Start) -> Run:
    """Run a command to its end; its exit code and all that it said."""

    def ended(command: Sequence[str]) -> tuple[int, str]:
        process = start(command)
        return process.wait(), process.said

    return ended


def run_anew(project: Path, command: Sequence[str], limit: float = 300) -> tuple[int, str]:
    """As `run`, in a new interpreter."""
    env = {name: value for name, value in (os.environ | variables(project)).items() if value is not None}
    words = [sys.executable, "-m", *command] if command[0] == "mlflow" else command
    done = subprocess.run(
        words, cwd=project, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=limit
    )
    return done.returncode, done.stdout


def mlflow_run(entry: str = "main", manager: str = "local", **parameters: object) -> list[str]:
    flags = [part for name, value in parameters.items() for part in ("-P", f"{name}={value}")]
    return ["mlflow", "run", ".", "--env-manager", manager, "-e", entry, *flags]


def train(**parameters: object) -> list[str]:
    flags = [part for name, value in parameters.items() for part in ("--" + name.replace("_", "-"), str(value))]
    return ["fracture", "train", *flags]


def rows(project: Path, query: str) -> list[tuple[str, ...]]:
    with sqlite3.connect(project / "mlflow.db") as db:
        return db.execute(query).fetchall()


def tag(project: Path, run_id: str, key: str) -> str:
    return rows(project, f"SELECT value FROM tags WHERE run_uuid = '{run_id}' AND key = '{key}'")[0][0]


def status(project: Path, run_id: str) -> str:
    return rows(project, f"SELECT status FROM runs WHERE run_uuid = '{run_id}'")[0][0]


def wait_for_state(project: Path, process: Command) -> str:
    """The id of the run whose first epoch has been saved."""
    deadline = time.monotonic() + 200
    while process.poll() is None and time.monotonic() < deadline:
        found = list((project / "mlruns" / "state").glob("*/state.pt"))
        if found:
            return found[0].parent.name
        time.sleep(0.02)
    pytest.fail(f"no state was saved: {process.said}")


def test_mlflow_run_trains_and_leaves_a_complete_run(project: Path) -> None:
    code, output = run_anew(project, mlflow_run(**TINY, epochs=1, lr="1e-4"))
    assert code == 0, output
    assert "SYNTHETIC" in output
    assert "RANDOM weights" in output
    assert re.search(r"^epoch 1/1 .*val_macro_f1 ", output, re.MULTILINE)
    [(run_id, state)] = rows(project, "SELECT run_uuid, status FROM runs")
    assert state == "FINISHED"
    assert rows(project, "SELECT value FROM params WHERE key = 'lr'") == [("1e-4",)]
    artifacts = project / "mlruns" / "1" / run_id / "artifacts"
    assert {"best.pth", "results.json", "train.log", "probe.npz"} <= {path.name for path in artifacts.iterdir()}
    assert "Data: demo (synthetic)" in (artifacts / "train.log").read_text()
    assert not list((project / "mlruns" / "state").iterdir())


@pytest.mark.parametrize("manager", ["conda", "uv"])
def test_other_environment_managers_train_too(project: Path, manager: str) -> None:
    if shutil.which(manager) is None:
        pytest.skip(f"{manager} is not installed here")
    if not os.environ.get("FRACTURE_TEST_ENVIRONMENTS"):
        pytest.skip("building an environment takes minutes and gigabytes: FRACTURE_TEST_ENVIRONMENTS=1 asks for it")
    command = mlflow_run(manager=manager, **TINY, epochs=1, seed=3)
    _, output = run_anew(project, command, 1800)
    assert re.search(r"^Run [0-9a-f]{32}", output, re.MULTILINE), output
    assert "succeeded" in output, output


def test_a_wrong_value_fails_with_its_reason_and_a_failed_run(project: Path, run: Run) -> None:
    code, output = run(mlflow_run(**TINY, lr="abc"))
    assert code == 1
    assert "ConfigError (exit code 2)\nlr=abc: must be a number" in output
    [(run_id,)] = rows(project, "SELECT run_uuid FROM runs WHERE status = 'FAILED'")
    assert tag(project, run_id, "fracture.reason").startswith("lr=abc: must be a number")


def test_leaking_data_are_refused_with_their_audit_on_the_run_and_mended(
    project: Path, tmp_path: Path, run: Run
) -> None:
    images = read_csv(write_demo(tmp_path / "images", 30, 0))
    leaking = [replace(row, split=SPLITS[i % 3]) for i, row in enumerate(images.rows)]  # patients are torn apart
    write_csv(images.with_rows(leaking), tmp_path / "leaky.csv")
    code, output = run(mlflow_run(**TINY, data=tmp_path / "leaky.csv"))
    assert code == 1
    assert "DataError (exit code 3)" in output
    [(run_id,)] = rows(project, "SELECT run_uuid FROM tags WHERE key = 'fracture.audit' AND value = 'leaking'")
    fix = tag(project, run_id, "fracture.reason").splitlines()[-1].removeprefix("To fix it: ")
    assert fix.startswith("mlflow run . -e regroup --env-manager local ")
    assert (project / "mlruns" / "1" / run_id / "artifacts" / "audit.html").is_file()
    code, output = run(shlex.split(fix))
    assert code == 0, output
    repaired = project / "leaky.regrouped.csv"
    code, output = run(mlflow_run("audit", data=repaired, out=tmp_path / "audit.json"))
    assert code == 0, output
    [(run_id,)] = rows(project, "SELECT run_uuid FROM tags WHERE key = 'fracture.kind' AND value = 'audit'")
    kept = {path.name for path in (project / "mlruns" / "1" / run_id / "artifacts").iterdir()}
    assert kept == {"audit.json", "audit.html"}


@pytest.mark.long
def test_kill_9_and_resume_end_with_the_same_weights(project: Path, start: Start, run: Run) -> None:
    settings = TINY | {"epochs": 8, "early_stop_patience": 0, "seed": 5, "ema_decay": 0.9}
    code, output = run(train(**settings))
    assert code == 0, output
    whole = re.findall(r"^Run ([0-9a-f]{32})", output, re.MULTILINE)[0]
    process = start(train(**settings))
    run_id = wait_for_state(project, process)
    process.kill()
    process.wait()
    assert status(project, run_id) == "RUNNING"
    code, output = run(train(resume=run_id))
    assert code == 0, output
    assert "Going on in epoch" in output
    assert status(project, run_id) == "FINISHED"
    assert tag(project, run_id, "fracture.weights_sha256") == tag(project, whole, "fracture.weights_sha256")


def test_ctrl_c_in_mlflow_run_is_resumable_and_the_new_run_points_to_the_old(project: Path, start: Start) -> None:
    process = start(mlflow_run(**TINY, epochs=500, early_stop_patience=0))
    run_id = wait_for_state(project, process)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does; mlflow then sends SIGTERM as well
    assert process.wait() != 0
    output = process.said
    command = f"mlflow run . --env-manager local -P resume={run_id}"
    assert command in output
    assert (project / "mlruns" / "state" / run_id / "state.pt").is_file()
    process = start(mlflow_run(resume=run_id))
    deadline = time.monotonic() + 100
    while not rows(project, f"SELECT 1 FROM tags WHERE key = 'fracture.resumed_by' AND value = '{run_id}'"):
        assert time.monotonic() < deadline
        time.sleep(0.2)
    os.killpg(process.pid, signal.SIGTERM)
    process.wait()
    [(pointer,)] = rows(project, f"SELECT run_uuid FROM tags WHERE key = 'fracture.resumed_by' AND value = '{run_id}'")
    assert tag(project, pointer, "fracture.kind") == "pointer"
