"""The store: found, made ready and mended."""

import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

CREATE = "from fracture.tracking import store; print(store.connect())"


def python(code: str, cwd: Path, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code],
        cwd=cwd,
        env=os.environ | env,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


@pytest.mark.slow
def test_two_first_processes_may_create_the_store_at_once(tmp_path: Path) -> None:
    first, second = (
        subprocess.Popen([sys.executable, "-c", CREATE], cwd=tmp_path, stderr=subprocess.PIPE, text=True)
        for _ in range(2)
    )
    errors = [process.communicate(timeout=300)[1] for process in (first, second)]
    assert (first.returncode, second.returncode) == (0, 0), errors
    assert (tmp_path / "mlflow.db").is_file()


@pytest.mark.slow
def test_a_run_from_a_subfolder_goes_to_the_project_root_even_after_mlflow_ui(tmp_path: Path) -> None:
    (tmp_path / "MLproject").touch()
    below = tmp_path / "notebooks"
    below.mkdir()
    assert python(CREATE, below).returncode == 0
    with sqlite3.connect(tmp_path / "mlflow.db") as db:  # what `mlflow ui` does when it is first
        db.execute("UPDATE experiments SET artifact_location = 'mlflow-artifacts:/0'")
    begin = """
from pathlib import Path
from fracture.tracking import store
from fracture.tracking.run import TrackedRun
store.connect()
run = TrackedRun.begin("first", watched=False)
Path("train.log").write_text("hello")
run.evidence(Path("."))
run.end("FINISHED")
"""
    for _ in range(2):
        done = python(begin, below)
        assert done.returncode == 0, done.stderr
    assert len(list(tmp_path.glob("mlruns/0/*/artifacts/train.log"))) == 2
    assert not (below / "mlruns").exists()


def test_a_store_that_cannot_be_reached_is_exit_2(tmp_path: Path) -> None:
    code = "import sys; sys.argv = ['fracture', 'train', '--resume', 'x']; from fracture.__main__ import main; main()"
    done = python(code, tmp_path, MLFLOW_TRACKING_URI="http://127.0.0.1:9")
    assert done.returncode == 2
    assert "MLFLOW_TRACKING_URI" in done.stderr
    assert "Traceback" not in done.stderr
