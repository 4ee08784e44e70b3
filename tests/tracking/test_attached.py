"""What does not train leaves its mark on the run that `mlflow run` made."""

from collections.abc import Iterator
from pathlib import Path

import mlflow
import pytest

from fracture.tracking import attached


@pytest.fixture
def client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[mlflow.MlflowClient]:
    before = mlflow.get_tracking_uri()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    monkeypatch.chdir(tmp_path)
    mlflow.set_tracking_uri(f"sqlite:///{tmp_path}/mlflow.db")
    yield mlflow.MlflowClient()
    mlflow.set_tracking_uri(before)


def test_a_run_that_nobody_named_is_called_by_its_kind(client: mlflow.MlflowClient, tmp_path: Path) -> None:
    experiment = client.create_experiment("bones", artifact_location=str(tmp_path / "artifacts"))
    (tmp_path / "compare.csv").write_text("run\n")
    for given, shown in (("luminous-newt-252", "compare"), ("my comparison", "my comparison")):
        run_id = client.create_run(experiment, run_name=given).info.run_id
        attached.keep(run_id, [tmp_path / "compare.csv"], {"fracture.kind": "compare"})
        run = client.get_run(run_id)
        assert run.info.run_name == shown
        assert run.data.tags["fracture.kind"] == "compare"
        assert [file.path for file in client.list_artifacts(run_id)] == ["compare.csv"]
