"""Which run is promoted where none is named."""

from pathlib import Path

import mlflow
import pytest

from fracture.errors import ConfigError
from registry import promote


def trained(loss: float, digest: str = "same", folds: int = 1) -> str:
    """What `best_run` reads of a finished training run."""
    with mlflow.start_run() as run:
        mlflow.set_tags({"fracture.kind": "train", "fracture.data_digest": digest})
        mlflow.log_params({"folds": folds})
        mlflow.log_metrics({"best_val_loss": loss, "best_val_balanced_log_loss": loss, "best_val_macro_f1": 1 - loss})
    return str(run.info.run_id)


@pytest.fixture
def experiment(store_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An experiment of its own: that of the store holds other tests' runs."""
    number = mlflow.MlflowClient().create_experiment("promote", artifact_location=str(store_root / "promote"))
    monkeypatch.setenv("MLFLOW_EXPERIMENT_ID", number)


def test_the_best_on_the_newest_data_and_never_a_fold(experiment: None) -> None:
    with pytest.raises(ConfigError, match="no finished training run in this experiment; `fracture train` makes one"):
        promote.best_run("val_loss")
    trained(0.1, "fold 0", folds=5)
    with pytest.raises(ConfigError, match=r"only folds of cross-validations \(1\), of which none is the best"):
        promote.best_run("val_loss")
    trained(0.2, "old")
    best = trained(0.3)
    trained(0.4)
    trained(0.1, "fold 1", folds=5)
    assert promote.best_run("val_loss").id == promote.best_run("val_macro_f1").id == best
    said: list[str] = []
    assert promote.best_run("val_balanced_log_loss", said.append).id == best
    assert said[0].startswith(
        "Best by val_balanced_log_loss, 0.300, of 2 on the data of the newest run; 3 of other data, "
    )
