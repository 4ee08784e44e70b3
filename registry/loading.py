"""A registered version, loaded to be asked in this process."""

import tempfile
import warnings
from pathlib import Path

from fracture.errors import ConfigError, GateError
from fracture.inference.predictor import Predictor
from fracture.runs import answering
from fracture.tracking import store
from registry.versions import MODEL, Registry


def load(name: str = "@champion") -> Predictor:
    """As `registry.load`."""
    store.connect()
    registry, version = find(name)
    with tempfile.TemporaryDirectory() as folder:
        predictor = answering.find(f"models:/{registry.name}/{version}", Path(folder))
    wanted = registry.version(version).tags.get("fracture.weights_sha256", predictor.sidecar.weights_sha256)
    if predictor.sidecar.weights_sha256 != wanted:
        raise GateError(f"{registry.name} version {version} holds other weights than were promoted")
    return predictor


def find(name: str) -> tuple[Registry, str]:
    """The registered model and the version that ``@ALIAS``, ``VERSION``, ``NAME@ALIAS`` or ``NAME/VERSION`` is.

    Raises:
        ConfigError: no such version.
    """
    body = name.removeprefix("models:/")
    if "@" in body:
        model, alias = body.split("@", 1)
        registry = Registry(model or MODEL)
        if astray := registry.astray().get(alias):
            warnings.warn(astray, stacklevel=3)
        version = registry.alias(alias)
    else:
        model, _, version = body.rpartition("/")
        registry = Registry(model or MODEL)
    if not version.isdigit():
        raise ConfigError(
            f"{name}: no such version of {registry.name}. Name one as @champion, @candidate, a number, NAME@ALIAS or "
            "NAME/NUMBER; `python -m registry list` shows all"
        )
    registry.version(version)
    return registry, version
