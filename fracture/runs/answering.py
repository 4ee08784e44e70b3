"""The predictor of a run, of the registry or of a file."""

from pathlib import Path

from fracture.inference.predictor import SIDECAR, Predictor
from fracture.runs import target
from fracture.tracking import artifacts


def find(name: str, folder: Path) -> Predictor:
    """Bring a model into ``folder`` and make it answer.

    Args:
        name: id of a run, ``models:/...``, or path of a ``.pth``.
        folder: where what has to be downloaded goes.

    Raises:
        ConfigError: no such run, model or file.
    """
    if name.startswith("models:/"):
        fetched = artifacts.fetch_model(name, folder)
        return Predictor.load(next(fetched.rglob(SIDECAR), fetched / SIDECAR).parent)
    found = target.find(name, folder)
    return Predictor(found.model, found.sidecar)
