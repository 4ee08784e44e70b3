"""A registry with models that answer and that nobody has trained, made in a moment."""

from pathlib import Path

import mlflow

from fracture.inference.predictor import Predictor

NAME = "bones"


def register(folder: Path, predictor: Predictor) -> str:
    """Package a model as promotion does, and register it; its version."""
    client = mlflow.MlflowClient()
    predictor.save(folder / "packaged")
    run = client.create_run("0").info.run_id
    model = client.create_logged_model("0", "package", source_run_id=run)
    client.log_model_artifacts(model.model_id, str(folder / "packaged"))
    client.finalize_logged_model(model.model_id, "READY")
    if not client.search_registered_models(f"name = '{NAME}'"):
        client.create_registered_model(NAME)
    return str(client.create_model_version(NAME, f"models:/{model.model_id}", run_id=run).version)


def point(version: str, alias: str = "champion") -> None:
    """Move an alias."""
    mlflow.MlflowClient().set_registered_model_alias(NAME, alias, version)
