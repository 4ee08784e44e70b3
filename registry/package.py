"""Packaging: the model of a run as an MLflow model that needs neither the repository nor the data."""

import base64
import contextlib
import importlib.metadata
import io
import tempfile
import warnings
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
from mlflow.entities import LoggedModel
from mlflow.models import Model, ModelSignature
from mlflow.types import ColSpec, ParamSchema, ParamSpec, Schema
from PIL import Image

from fracture.errors import ConfigError, FractureError, Interrupted
from fracture.inference.predictor import Predictor
from fracture.models import checkpoint
from fracture.monitoring import reference
from fracture.progress import LOG
from fracture.runs.reference import reference_of
from fracture.runs.target import why_no_model
from fracture.tracking import artifacts, experiment, query
from registry.check import DIGEST, ROOT, digest, digest_of, files_of

SERVED = Path(__file__).with_name("served_model.py")
NAME = "fracture-classifier"
COLUMN = "image"
REQUIREMENTS = (
    "mlflow", "torch", "torchvision", "timm", "safetensors", "numpy", "pandas", "pillow", "opencv-python-headless",
    "pydantic", "filelock", "platformdirs", "click", "rich", "threadpoolctl",
)  # fmt: skip
_KEY = "fracture.package"


def package(run_id: str) -> str:
    """Log the model of a run as an MLflow model of that run; returns ``models:/m-...``.

    The same weights with the same code are packaged once: a promotion that was refused or cut short leaves a package
    that the next one takes up.

    Raises:
        ConfigError: no such run, or it has no checkpoint.
    """
    query.tags_of(run_id)
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        artifacts.fetch(run_id, ("best.pth", "best.json"), place)
        if not (place / "best.pth").is_file():
            raise ConfigError(why_no_model(run_id))
        with artifacts.named(place, f"run {run_id}"):
            module, sidecar = checkpoint.load(place / "best.pth")
        pins = [f"{name}=={importlib.metadata.version(name)}" for name in REQUIREMENTS]
        key = digest([*files_of(ROOT / "fracture"), SERVED], ROOT, sidecar.model_dump_json(), *pins)
        if made := _packaged(run_id, key):
            return made
        Predictor(module, sidecar).save(place / "model")
        _add_reference(run_id, place / "model")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # MLflow's, of its own classes and of pandas
            logged = Model.log(  # not pyfunc.log_model, which would have to open the finished run again
                None, mlflow.pyfunc, name=NAME, run_id=run_id, tags={_KEY: key}, flavor_name="pyfunc.ModelFromCode",
                python_model=str(SERVED), artifacts={"model": str(place / "model")},
                code_paths=[str(ROOT / "fracture")], signature=_signature(sidecar.classes),
                input_example=example(sidecar.image_size), pip_requirements=pins,
            )  # fmt: skip
        whole = digest_of(artifacts.fetch_model(logged.model_uri, place / "logged"))
    mlflow.MlflowClient().set_logged_model_tags(logged.model_id, {DIGEST: whole})
    return str(logged.model_uri)


def _add_reference(run_id: str, folder: Path) -> None:
    """What drift will be measured against travels with the model; a run without it is packaged all the same."""
    try:
        found, features = reference_of(run_id)
    except Interrupted:
        raise  # the store is away, which says nothing of the reference
    except FractureError as error:
        LOG.warning("the package takes no reference along: %s", error)
        return
    reference.write(found, folder)
    if features is not None:
        features.save(folder)


def example(size: int) -> pd.DataFrame:
    """One blank square as base64, which every model answers to."""
    buffer = io.BytesIO()
    Image.fromarray(np.tile(np.linspace(0, 255, size, dtype=np.uint8), (size, 1))).save(buffer, "PNG")
    return pd.DataFrame({COLUMN: [base64.b64encode(buffer.getvalue()).decode()]})


def _packaged(run_id: str, key: str) -> str:
    """The package of a run with this key, empty where there is none or it was never finished."""
    client = mlflow.MlflowClient()
    places = {client.get_run(run_id).info.experiment_id, experiment.current()}
    for model in client.search_logged_models(sorted(places), f"source_run_id = '{run_id}'"):
        if model.tags.get(_KEY) == key and _unchanged(model):
            return str(model.model_uri)
    return ""


def _unchanged(model: LoggedModel) -> bool:
    with tempfile.TemporaryDirectory() as folder, contextlib.suppress(ConfigError):
        wanted = model.tags.get(DIGEST)
        return bool(wanted) and digest_of(artifacts.fetch_model(model.model_uri, Path(folder))) == wanted
    return False


def _signature(classes: tuple[str, ...]) -> ModelSignature:
    shares = [ColSpec("double", f"probability_{name}", required=False) for name in classes]
    outputs = [ColSpec("string", "decision"), ColSpec("string", "label"), *shares,
               ColSpec("boolean", "fracture", required=False),
               ColSpec("double", "fracture_probability", required=False),
               ColSpec("string", "possible", required=False), ColSpec("string", "possible_in_words", required=False),
               ColSpec("boolean", "refer"), ColSpec("string", "reason"), ColSpec("string", "error"),
               ColSpec("string", "heat_map", required=False)]  # fmt: skip
    params = ParamSchema([ParamSpec("heat_map", "boolean", default=False)])
    return ModelSignature(inputs=Schema([ColSpec("string", COLUMN)]), outputs=Schema(outputs), params=params)
