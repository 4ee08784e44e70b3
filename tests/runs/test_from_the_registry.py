"""A serving machine: the package is installed, the folder is empty, and only the registry's address is known."""

import csv
import os
import shutil
import subprocess
import sys
import tarfile
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.mlflow_server import free_port

pytestmark = pytest.mark.long
ROOT = Path(__file__).parents[2]
CHAMPION = "models:/fracture-classifier@champion"
Run = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """The store of another machine, without the data that its model was trained on; images to be answered beside it."""
    folder = tmp_path / "store"
    with tarfile.open(next(ROOT.glob("tests/upgrades/*.tar.xz"))) as archive:
        archive.extraction_filter = getattr(tarfile, "data_filter", None)
        archive.extractall(folder)
    shutil.move(folder / "images", tmp_path / "scans")
    for name in ("cache", "MLproject", "prepared.csv", "answers.csv"):
        path = folder / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    return folder


@pytest.fixture
def start(store: Path, tmp_path: Path) -> Run:
    """Start an installed `fracture` in an empty folder."""
    site, source = tmp_path / "site", tmp_path / "source"
    kept = shutil.ignore_patterns("__pycache__", ".git", "docs", "tests", "*.egg-info")
    shutil.copytree(ROOT, source, ignore=kept)
    options = ("-q", "--no-deps", "--no-build-isolation", "--no-index", "--target", str(site), str(source))
    if subprocess.run([sys.executable, "-m", "pip", "install", *options], check=False).returncode:
        pytest.skip("needs pip and setuptools")
    (tmp_path / "empty").mkdir()
    environment = os.environ | {
        "PYTHONPATH": str(site), "MLFLOW_TRACKING_URI": f"sqlite:///{store / 'mlflow.db'}",
        "FRACTURE_CACHE_DIR": str(tmp_path / "key"), "COLUMNS": "200",
    }  # fmt: skip

    def run(*words: str) -> "subprocess.Popen[str]":
        command = [sys.executable, "-m", "fracture", *words]
        out = subprocess.PIPE
        return subprocess.Popen(
            command, cwd=tmp_path / "empty", env=environment, stdout=out, stderr=subprocess.STDOUT, text=True
        )

    return run


def test_an_empty_folder_answers_and_watches(start: Run, tmp_path: Path) -> None:
    scans = str(tmp_path / "scans")
    answered = start("predict", CHAMPION, scans, "--out", "answers.csv", "--log", "log")
    said, _ = answered.communicate(timeout=120)
    assert answered.returncode == 0, said
    with (tmp_path / "empty" / "answers.csv").open() as file:
        assert [row["error"] for row in csv.DictReader(file)] == [""] * 36
    watched = start("drift", "log")
    said, _ = watched.communicate(timeout=120)
    assert watched.returncode == 2, "the model was promoted before references had traits"
    assert "against test answers of run" in said
    assert "whether the images drift is not known" in said
    port = str(free_port())
    server = start("serve", CHAMPION, "--follow", "--port", port, "--log", "log")
    image = next((tmp_path / "scans").rglob("*.png")).read_bytes()
    body = b'--x\r\nContent-Disposition: form-data; name="files"; filename="a.png"\r\n\r\n' + image + b"\r\n--x--\r\n"
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/predict", body, {"content-type": "multipart/form-data; boundary=x"}
    )
    for _ in range(240):
        try:
            with urllib.request.urlopen(request, timeout=20) as reply:
                assert b'"version":"1"' in reply.read()
            break
        except OSError:
            assert server.poll() is None, server.stdout
            time.sleep(0.25)
    server.terminate()
    said, _ = server.communicate(timeout=30)
    assert server.returncode == 0, said
    assert {path.name for path in (tmp_path / "empty").iterdir()} == {
        "answers.csv",
        "answers.csv.model",
        "log",
        "drift",
    }
    assert len(list((tmp_path / "empty" / "log").rglob("*.jsonl"))) == 2, "each process writes files of its own"
