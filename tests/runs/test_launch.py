"""The command that is printed under `mlflow run` names the project as the user did, and finds the state again."""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from fracture.runs import launch
from fracture.tracking import store

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("line", "project"),
    [
        ("python /venv/bin/mlflow run . -P lr=1", "."),
        ("python -m mlflow run ../here --env-manager local", "../here"),
        ("/venv/bin/mlflow run -e tune -P a=b https://host/x.git", "https://host/x.git"),
        ("mlflow run https://host/x.git#sub -v main", "'https://host/x.git#sub' --version main"),
        ("mlflow run -vmain --experiment-name=run git@host:x.git", "git@host:x.git --version main"),
        ("mlflow run --build-image --version=v1 .", ". --version v1"),
        ("mlflow run -P note=--version -P x=1 /a", "/a"),
        ("mlflow server --port 5000", ""),
        ("bash -c mlflow", ""),
        ("", ""),
    ],
)
def test_how_mlflow_run_was_called(line: str, project: str) -> None:
    assert launch.read(line.split()) == project


@pytest.mark.filterwarnings("ignore::UserWarning")  # MLflow's own type hints
def test_options_without_a_value_are_those_of_mlflow() -> None:
    from mlflow.cli import cli

    options = cli.commands["run"].params
    flags = {name for one in options if getattr(one, "is_flag", False) for name in one.opts}
    assert flags | {"--help"} == launch.FLAGS


def test_a_fetched_copy_keeps_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path))
    copy = tmp_path / "tmpab12_xyz" / "sub"
    copy.mkdir(parents=True)
    (copy / "MLproject").touch()
    monkeypatch.chdir(copy)
    assert store.project_root() == copy, "without a store named, MLflow has not fetched it"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'mine' / 'mlflow.db'}")
    assert store.project_root() == tmp_path / "mine"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:5000")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    assert tmp_path / "tmpab12_xyz" not in store.project_root().parents
    own = tmp_path / "work"
    own.mkdir()
    (own / "MLproject").touch()
    monkeypatch.chdir(own)
    assert store.project_root() == own


@pytest.fixture
def address(tmp_path: Path) -> Iterator[str]:
    """This project as a repository, served on the loopback interface."""
    served = tmp_path / "served" / "project"
    for name in ("fracture", "tuning", "registry"):
        shutil.copytree(ROOT / name, served / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("MLproject", "conda.yaml"):
        shutil.copy(ROOT / name, served / name)
    git = ["git", "-C", str(served), "-c", "user.name=t", "-c", "user.email=t@example.org"]
    for words in (["init", "-qb", "main"], ["add", "-A"], ["commit", "-qm", "all"]):
        subprocess.run([*git, *words], check=True)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    daemon = Path(subprocess.check_output(["git", "--exec-path"], text=True).strip()) / "git-daemon"
    if not daemon.is_file():
        pytest.skip("needs git daemon")
    server = subprocess.Popen(
        [daemon, "--export-all", f"--base-path={tmp_path / 'served'}", "--listen=127.0.0.1", f"--port={port}"]
    )
    try:
        for _ in range(100):
            with socket.socket() as knock:
                if knock.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.1)
        yield f"git://127.0.0.1:{port}/project"
    finally:
        server.terminate()
        server.wait()


@pytest.mark.long
@pytest.mark.slow
def test_a_run_of_a_repository_goes_on_by_the_command_that_it_printed(
    address: str, tmp_path: Path, images: Path
) -> None:
    stands = tmp_path / "stands here"
    stands.mkdir()
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"} | {"OMP_NUM_THREADS": "1"}
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}"
    settings = {
        "model": "test_resnet", "weights": "none", "data": str(images), "image_size": "32", "epochs": "400",
        "threads": "1", "audit": "off", "memory_format": "contiguous", "early_stop_patience": "0",
    }  # fmt: skip
    given = [word for name, value in settings.items() for word in ("-P", f"{name}={value}")]
    with (stands / "log").open("w") as log:
        run = subprocess.Popen(
            ["mlflow", "run", address, "--env-manager", "local", *given], cwd=stands, env=environment, stdout=log,
            stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
        until = time.monotonic() + 180
        while "epoch 2/400" not in (stands / "log").read_text() and time.monotonic() < until and run.poll() is None:
            time.sleep(0.2)
        os.killpg(run.pid, signal.SIGINT)
        run.wait(120)
    said = (stands / "log").read_text()
    printed = re.search(rf"mlflow run {re.escape(address)} .*-P resume=(\w+)", said)
    assert printed, said
    assert (stands / "mlruns" / "state" / printed[1] / "state.pt").is_file()
    settings = stands / "mlruns" / "state" / printed[1] / "config.json"  # its last epoch shall be the one it stands at
    settings.write_text(re.sub(r'"epochs": \d+', '"epochs": 1', settings.read_text()))
    done = subprocess.run(printed[0], shell=True, cwd=stands, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert not (stands / "mlruns" / "state" / printed[1]).exists()
