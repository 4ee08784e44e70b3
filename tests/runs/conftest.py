"""One real SQLite store for all tests of runs: creating one takes seconds."""

from pathlib import Path

import pytest


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
