"""Fixtures shared by all tests: nothing outside the temporary folders is read or written, and no network is asked."""

import gc
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from PIL import Image

from fracture.__main__ import main, run
from fracture.evaluation.figures import style
from tests import chromium
from tests import forked as forked_commands

pytest_plugins = ["tests.mlflow_server", "tests.postgres"]

CLASSES = ("comminuted_fracture", "no_fracture", "simple_fracture")
SHARED = Path(__file__).resolve().parents[2] / "shared"


@pytest.fixture(autouse=True)
def _isolated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Each test in its own folder, with its own cache, without hub, without a tracking server."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FRACTURE_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HOME", str(tmp_path_factory.getbasetemp() / "no-hub"))
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    for name in ("RUN_ID", "EXPERIMENT_ID", "EXPERIMENT_NAME", "TRACKING_URI", "REGISTRY_URI"):
        monkeypatch.delenv(f"MLFLOW_{name}", raising=False)


class _Blank(FigureCanvasAgg):
    """A canvas that nothing is drawn on."""

    def draw(self) -> None:
        self.renderer = self.get_renderer()


@pytest.fixture(autouse=True)
def _blank_pictures(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Figures are made but not painted, which takes half of a small training; but for tests that are of pictures."""
    if not request.node.get_closest_marker("pictures"):
        monkeypatch.setattr(style, "FigureCanvasAgg", _Blank)


def _exit_code(program: Callable[[], object]) -> int:
    """What a program ends with in this process, whose handling of SIGTERM stays as it was."""
    before = signal.getsignal(signal.SIGTERM)
    try:
        program()
    except SystemExit as stop:
        return int(stop.code or 0)
    finally:
        signal.signal(signal.SIGTERM, before)
    return 0


@pytest.fixture
def cli(monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """Run the command line in this process; the exit code that it ends with."""

    def called(*words: str) -> int:
        monkeypatch.setattr(sys, "argv", ["fracture", *words])
        return _exit_code(main)

    return called


@pytest.fixture
def entry(monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """Run a command of the registry or of tuning in this process; its exit code."""
    from registry import __main__ as registry
    from tuning import __main__ as tuning

    def called(program: str, *words: str) -> int:
        monkeypatch.setattr(sys, "argv", [program, *words])
        return _exit_code(lambda: run({"registry": registry.cli, "tuning": tuning.cli}[program], program))

    return called


@pytest.fixture
def make_images() -> Callable[..., Path]:
    """Write a folder of classes with small images whose brightness tells the class: learnable in seconds."""

    def make(root: Path, per_class: int = 10, splits: tuple[str, ...] = (), classes: tuple[str, ...] = CLASSES) -> Path:
        rng = np.random.default_rng(0)
        for split in splits or ("",):
            for k, name in enumerate(classes):
                folder = root / split / name
                folder.mkdir(parents=True)
                for i in range(per_class):
                    pixels = rng.normal(60 + 60 * k, 20, (40, 32)).clip(0, 255).astype(np.uint8)
                    Image.fromarray(pixels).save(folder / f"{split}{i:03d}.png")
        return root

    return make


@pytest.fixture
def images(tmp_path: Path, make_images: Callable[..., Path]) -> Path:
    """A folder of three classes with ten images each."""
    return make_images(tmp_path / "images")


@pytest.fixture
def real_data() -> Path:
    """The real radiographs beside the checkout, where they are."""
    folder = SHARED / "data"
    if not folder.is_dir():
        pytest.skip("real radiographs are not beside this checkout")
    return folder


@pytest.fixture
def real_weights() -> Path:
    """ImageNet weights of tf_efficientnet_lite0 beside the checkout, where they are."""
    path = SHARED / "weights" / "tf_efficientnet_lite0.safetensors"
    if not path.is_file():
        pytest.skip("ImageNet weights are not beside this checkout")
    return path


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Any]:
    """A headless Chromium of 1100 x 900 pixels, where there is one."""
    if missing := chromium.missing():
        pytest.skip(missing)
    started = chromium.start(tmp_path / "profile")
    yield started
    started.quit()


def pytest_configure() -> None:
    """No screen is needed for figures; one thread, for two of them wait for each other on a busy machine.

    The garbage collector needs half a second to look through all that is imported, so it does so less often.
    """
    gc.set_threshold(20_000, 20, 20)
    os.environ.setdefault("MPLBACKEND", "Agg")
    os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture(scope="session")
def forked() -> Callable[..., forked_commands.Command]:
    """Start a command in a process of its own that has imported everything; see `tests.forked.call`."""
    forked_commands.serve()
    return forked_commands.call


@pytest.fixture(scope="session")
def store_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the store, which is also the project root of these tests."""
    return tmp_path_factory.mktemp("store")


@pytest.fixture
def store_root(store_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A connected store; the current folder is its root."""
    import mlflow

    from fracture.tracking import store

    monkeypatch.chdir(store_folder)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{store_folder / 'mlflow.db'}")
    mlflow.set_tracking_uri(f"sqlite:///{store_folder / 'mlflow.db'}")
    store.connect()
    return store_folder


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 6 MiB, where this user may mount one."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=6m", "tmpfs", str(folder)]
    if not shutil.which("mount") or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("this user may not mount a small file system")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the tests of a module keep images and the ids of runs, since the store is connected test by test."""
    return tmp_path_factory.mktemp("place")
