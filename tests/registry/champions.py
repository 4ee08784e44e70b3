"""A registry with models that answer and that nobody has trained, made in a moment."""

from pathlib import Path

import mlflow
import torch

from fracture.inference.predictor import Predictor
from fracture.models import backbones, checkpoint

NAME = "bones"
CLASSES = ("comminuted_fracture", "no_fracture", "simple_fracture")


def small(seed: int) -> Predictor:
    """A small model with random weights."""
    torch.manual_seed(seed)
    backbone = backbones.find("test_resnet")
    model = backbones.build(backbone, len(CLASSES))
    sidecar = checkpoint.Sidecar(
        model=backbone.name, classes=CLASSES, image_size=32 + 32 * (seed % 2), mean=backbone.mean, std=backbone.std,
        parameters=1, weights_sha256=checkpoint.weights_sha256(model.state_dict()), epoch=1, synthetic=False,
        license="none", fracture_threshold=0.5, refer_below=0.3,
    )  # fmt: skip
    return Predictor(model, sidecar)


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
