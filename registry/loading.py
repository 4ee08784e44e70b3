"""A registered version, loaded to answer in this process."""

import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path

from fracture.errors import ConfigError, GateError
from fracture.inference.predictor import Predictor
from fracture.runs import answering
from fracture.tracking import store
from registry.versions import MODEL, WEIGHTS, Registry


def load(name: str = "@champion") -> Predictor:
    """As `registry.load`."""
    return open_version(*find(name, lambda what: warnings.warn(what, stacklevel=4)))


def open_version(registry: Registry, version: str) -> Predictor:
    """The predictor of a version.

    Raises:
        ConfigError: it was made for other preprocessing, or its files are gone.
        GateError: it holds other weights than were promoted.
    """
    with tempfile.TemporaryDirectory() as folder:
        predictor = answering.find(f"models:/{registry.name}/{version}", Path(folder))
    wanted = registry.version(version).tags.get(WEIGHTS, predictor.sidecar.weights_sha256)
    if predictor.sidecar.weights_sha256 != wanted:
        raise GateError(f"{registry.name} version {version} holds other weights than were promoted")
    return predictor


def find(name: str, warn: Callable[[str], object]) -> tuple[Registry, str]:
    """The registered model and the version that ``@ALIAS``, ``VERSION``, ``NAME@ALIAS`` or ``NAME/VERSION`` is.

    Args:
        name: of the version.
        warn: hears of an alias that was moved by hand, and of a version that was rolled back.

    Raises:
        ConfigError: no such version.
    """
    store.connect()
    model, at, alias = name.removeprefix("models:/").partition("@")
    version = ""
    if not at:
        model, _, version = model.rpartition("/")
    registry = Registry(model or MODEL)
    status = registry.look()
    chosen = registry.alias(alias) if at else version
    for what in status.misplaced_aliases:
        if what.startswith(f"@{alias} "):
            warn(what)
    if chosen in status.withdrawn:
        warn(status.why_withdrawn(chosen))
    if chosen in status.there:
        return registry, chosen
    why = registry.renamed(status) or registry.deleted(status) or status.gone.get(alias, "")
    raise ConfigError(
        f"{name}: no such version of {registry.name}{f': {why}' if why else ''}. Name one as @champion, @candidate, a "
        f"number, NAME@ALIAS or NAME/NUMBER; `python -m registry list{registry.option}` shows all"
    )
