"""`fracture train`: train one backbone or several."""

import os
import shlex
import sys
from pathlib import Path

import click

from fracture import config as knobs
from fracture.commands.options import given, options_of
from fracture.config import TrainConfig
from fracture.errors import ConfigError
from fracture.progress import Terminal
from fracture.runs.attached import accounted


@click.command("train")
@options_of(TrainConfig)
def command(**values: str | None) -> None:
    """Train a backbone and leave a complete, resumable MLflow run.

    Every option is also a parameter of `mlflow run . -P NAME=VALUE`.
    """
    with accounted("train"):
        _train(knobs.absolute(knobs.parse(given(values))), Terminal())


def _train(wanted: TrainConfig, terminal: Terminal) -> None:
    from fracture.tracking import store  # heavy imports only once the values are right

    attached = store.attached_run_id() is not None
    store.connect()
    if wanted.resume != "none":
        _resume(wanted, terminal, attached)
        return
    from fracture.models import backbones
    from fracture.runs import folds, group, session

    names = backbones.split_names(wanted.model)
    for name in names:
        backbones.find(name).image_size(wanted.image_size)
    if wanted.folds > 1 and wanted.fold == "all":
        if len(names) > 1:
            raise ConfigError(f"folds={wanted.folds} with {len(names)} backbones: give one model a command")
        folds.train_folds(wanted.model_copy(update={"model": names[0]}), terminal, _command(_changed(wanted), attached))
    elif len(names) == 1:
        again = _command({"resume": "{run}"}, attached)
        session.train(wanted.model_copy(update={"model": names[0]}), session.Session(terminal, None, again))
    else:
        group.train_group(wanted, names, terminal, _command(_changed(wanted), attached))


def _resume(wanted: TrainConfig, terminal: Terminal, attached: bool) -> None:
    from fracture.runs import session

    others = {name: value for name, value in _changed(wanted).items() if name != "resume"}
    if others:
        settings = ", ".join(f"{name}={value}" for name, value in others.items())
        raise ConfigError(
            f"resume={wanted.resume} goes on under the run's own settings, but {settings} was given too.\n"
            f"Leave it out:\n  {_command({'resume': wanted.resume}, attached)}"
        )
    session.resume(wanted.resume, session.Session(terminal, None, _command({"resume": "{run}"}, attached)))


def _changed(wanted: TrainConfig) -> dict[str, str]:
    """What differs from the defaults."""
    defaults = knobs.defaults()
    return {name: value for name, value in knobs.as_text(wanted).items() if value != defaults[name]}


def _command(values: dict[str, str], attached: bool) -> str:
    """The command line that does this, in the way that this one was started."""
    if attached:
        given = [f"-P {name}={_quoted(value)}" for name, value in values.items()]
        return " ".join(["mlflow run .", *_manager(), *_experiment(), *given])
    return "fracture train " + " ".join(
        f"--{name.replace('_', '-')} {_quoted(value)}" for name, value in values.items()
    )


def _manager() -> list[str]:
    """The environment manager that ``mlflow run`` was given, judged by the interpreter that it chose."""
    prefix = Path(sys.prefix)
    if prefix.name.startswith("mlflow-"):
        return [] if (prefix / "conda-meta").is_dir() else ["--env-manager uv"]
    return ["--env-manager local"]


def _experiment() -> list[str]:
    """The experiment that ``mlflow run`` was given, where it is not the default one."""
    experiment = os.environ.get("MLFLOW_EXPERIMENT_ID", "0")
    return [] if experiment == "0" else [f"--experiment-id {shlex.quote(experiment)}"]


def _quoted(value: str) -> str:
    """As a shell takes it; ``{run}`` stands for an id that is filled in later."""
    return value if value == "{run}" else shlex.quote(value)
