"""Packaging: the model of a run as an MLflow model that needs neither the repository nor the data."""

import base64
import importlib.metadata
import io
import json
import os
import subprocess
import sys
import tempfile
import warnings
from dataclasses import dataclass
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
from mlflow.models import ModelSignature
from mlflow.types import ColSpec, Schema
from PIL import Image

from fracture.errors import ConfigError
from fracture.inference.predictor import Predictor
from fracture.models import checkpoint
from fracture.tracking import artifacts, query

ROOT = Path(__file__).resolve().parents[1]
NAME = "fracture-classifier"
COLUMN = "image"
REQUIREMENTS = (
    "mlflow", "torch", "torchvision", "timm", "safetensors", "numpy", "pandas", "pillow", "opencv-python-headless",
    "pydantic", "filelock", "platformdirs", "click", "rich", "threadpoolctl",
)  # fmt: skip
TOLERANCE = 1e-4  # of logits: the same weights on another processor or another number of threads


@dataclass(frozen=True)
class Check:
    """How a packaged model, loaded in a process of its own, answers to the run's probe.

    Attributes:
        ok: whether it loaded without pickles and agrees.
        difference: largest difference of a logit, None where it did not answer.
        reason: what went wrong.
    """

    ok: bool
    difference: float | None = None
    reason: str = ""


def package(run_id: str) -> str:
    """Log the model of a run as an MLflow model of that run; returns ``models:/m-...``.

    Raises:
        ConfigError: no such run, or it holds no checkpoint.
    """
    query.tags_of(run_id)
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        artifacts.fetch(run_id, ("best.pth", "best.json"), place)
        if not (place / "best.pth").is_file():
            raise ConfigError(f"run {run_id}: holds no best.pth; only a finished training run can be packaged")
        module, sidecar = checkpoint.load(place / "best.pth")
        Predictor(module, sidecar).save(place / "model")
        with warnings.catch_warnings(), mlflow.start_run(run_id=run_id):
            warnings.simplefilter("ignore")  # MLflow's, of its own classes and of pandas
            logged = mlflow.pyfunc.log_model(
                name=NAME,
                python_model=str(Path(__file__).with_name("served_model.py")),
                artifacts={"model": str(place / "model")},
                code_paths=[str(ROOT / "fracture")],
                signature=_signature(sidecar.classes),
                input_example=example(sidecar.image_size),
                pip_requirements=[f"{name}=={importlib.metadata.version(name)}" for name in REQUIREMENTS],
            )
    return str(logged.model_uri)


def example(size: int) -> pd.DataFrame:
    """One blank square as base64, which every model answers to."""
    buffer = io.BytesIO()
    Image.fromarray(np.tile(np.linspace(0, 255, size, dtype=np.uint8), (size, 1))).save(buffer, "PNG")
    return pd.DataFrame({COLUMN: [base64.b64encode(buffer.getvalue()).decode()]})


def check(model_uri: str, run_id: str) -> Check:
    """Load a packaged model in a clean process that cannot import the repository nor unpickle, and ask it the probe."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        artifacts.fetch(run_id, ("probe.npz",), place)
        if not (place / "probe.npz").is_file():
            return Check(ok=False, reason="the run holds no probe.npz")
        local = mlflow.artifacts.download_artifacts(artifact_uri=model_uri, dst_path=str(place / "packaged"))
        env = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "MLFLOW_RUN_ID")}
        env |= {"MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
        done = subprocess.run(
            [sys.executable, "-I", "-c", _ASK, local, str(place / "probe.npz"), str(ROOT)],
            cwd=place, env=env, capture_output=True, text=True, check=False, timeout=600,
        )  # fmt: skip
        if done.returncode:
            return Check(ok=False, reason=(done.stderr.strip().splitlines() or ["it did not load"])[-1])
        difference = float(json.loads(done.stdout.strip().splitlines()[-1]))
    reason = "" if difference <= TOLERANCE else f"its logits differ by {difference:.2g} from the run's"
    return Check(difference <= TOLERANCE, difference, reason)


def _signature(classes: tuple[str, ...]) -> ModelSignature:
    shares = [ColSpec("double", f"probability_{name}", required=False) for name in classes]
    outputs = [ColSpec("string", "label"), *shares, ColSpec("boolean", "fracture", required=False),
               ColSpec("boolean", "refer"), ColSpec("string", "reason"), ColSpec("string", "error")]  # fmt: skip
    return ModelSignature(inputs=Schema([ColSpec("string", COLUMN)]), outputs=Schema(outputs))


_ASK = """
import sys
sys.meta_path[:] = [finder for finder in sys.meta_path if "editable" not in getattr(finder, "__module__", "").lower()
                    and "editable" not in repr(finder).lower()]
sys.path[:] = [place for place in sys.path if not place.startswith(sys.argv[3])]
try:
    import fracture
    raise SystemExit("the repository can be imported: this is no clean process")
except ModuleNotFoundError:
    pass
import mlflow, numpy
model = mlflow.pyfunc.load_model(sys.argv[1]).unwrap_python_model()
with numpy.load(sys.argv[2]) as probe:
    images, logits = probe["images"], probe["logits"]
found = model.predictor.logits(images)
print(float(numpy.abs(found - logits).max()))
"""
