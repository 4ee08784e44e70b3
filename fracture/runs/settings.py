"""Settings of a training from elsewhere than the command line: a file, or a run that there is."""

from collections.abc import Mapping
from pathlib import Path

import yaml

from fracture.config import TrainConfig, absolute, parse, spelt
from fracture.config import as_text as config_as_text
from fracture.errors import ConfigError
from fracture.failures import unreadable
from fracture.files import as_text

_OF_ONE_RUN = frozenset({"resume", "fold"})  # say nothing about another one


def from_file(path: Path) -> dict[str, str]:
    """The settings that a YAML or JSON file sets, as they would be typed.

    Raises:
        ConfigError: it cannot be read, or is not one mapping of names to single values.
    """
    try:
        held = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"--config {path}: cannot be read as YAML or JSON: {as_text(unreadable(error))}") from error
    if not isinstance(held, dict):
        raise ConfigError(f"--config {path}: has no settings; write a line each, as `model: swin`")
    found = {}
    for name, value in held.items():
        if not isinstance(value, str | int | float):
            raise ConfigError(f"--config {path}: {name}: {value!r} is not a single value")
        found[str(name).replace("-", "_")] = spelt(value)
    return found


def from_run(run_id: str) -> dict[str, str]:
    """The settings of a training run, as they were given to it; what the recipe chose is left to it again.

    Raises:
        ConfigError: no such run, or not one of training.
    """
    from fracture.tracking import query, store

    store.connect()
    run = query.run_of(run_id)
    if run.kind not in ("train", "group"):
        raise ConfigError(f"--like {run_id}: is a run of {run.kind or 'another program'}; name one of training")
    settings = {name: value for name, value in given(run.params).items() if name not in _OF_ONE_RUN}
    if not settings:
        raise ConfigError(f"--like {run_id}: has no settings, as groups of earlier versions; name a run below it")
    return settings


def given(params: Mapping[str, str]) -> dict[str, str]:
    """The settings among a run's parameters; earlier versions wrote a default where the recipe had the choice."""
    known = TrainConfig.model_fields
    return {name: value for name, value in params.items() if name in known and f"recipe.{name}" not in params}


def same(params: Mapping[str, str], config: TrainConfig) -> bool:
    """Whether a run's parameters mean these settings; what it does not know yet was at its default."""
    try:
        return bool(params) and _meaning(absolute(parse(given(params)))) == _meaning(config)
    except ConfigError:  # what no setting of this version can be
        return False


def _meaning(config: TrainConfig) -> dict[str, str]:
    """The settings as text; with recipe=seed its values, which are as good as ``auto``."""
    if config.recipe != "seed":
        return config_as_text(config)
    idle = {"batch_norm"} if config.head == "random" else set()
    return {name: spelt(value) for name, value in config if name not in idle}
