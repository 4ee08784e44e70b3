"""A folder as an earlier version has left it: store, registry, model, cache, state."""

import tarfile
from collections.abc import Iterator
from pathlib import Path

import mlflow
import pytest

from fracture.tracking import store

STORES = sorted(Path(__file__).parent.glob("*.tar.xz"))


@pytest.fixture(params=STORES, ids=lambda path: path.name.partition(".")[0])
def old(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder of an earlier version, at another place than it was made; this process works there."""
    folder = tmp_path / "moved"
    with tarfile.open(request.param) as archive:
        archive.extraction_filter = getattr(tarfile, "data_filter", None)  # Python before 3.11.4 has none
        archive.extractall(folder)
    monkeypatch.chdir(folder)
    monkeypatch.setenv("FRACTURE_CACHE_DIR", str(folder / "cache"))
    uri = f"sqlite:///{folder / 'mlflow.db'}"
    before = mlflow.get_tracking_uri()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    mlflow.set_tracking_uri(uri)
    mlflow.set_registry_uri(uri)
    store.connect()
    yield folder
    mlflow.set_tracking_uri(before)
    mlflow.set_registry_uri(None)  # type: ignore[arg-type] # that of the tracking store again
