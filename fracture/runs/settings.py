"""Settings of a training from elsewhere than the command line: a file, or a run that there is."""

from pathlib import Path

import yaml

from fracture.config import TrainConfig, spelt
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
    settings = set(TrainConfig.model_fields) - _OF_ONE_RUN
    return {  # earlier versions wrote a default where the recipe had the choice
        name: value for name, value in run.params.items() if name in settings and f"recipe.{name}" not in run.params
    }
