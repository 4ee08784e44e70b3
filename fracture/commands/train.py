"""`fracture train`: train one backbone or several."""

import shlex

import click

from fracture import config as knobs
from fracture.commands.options import given, options_of
from fracture.config import TrainConfig
from fracture.errors import ConfigError
from fracture.progress import Terminal


@click.command("train")
@options_of(TrainConfig)
def command(**values: str | None) -> None:
    """Train a backbone and leave a complete, resumable MLflow run.

    Every option is also a parameter of `mlflow run . -P NAME=VALUE`.
    """
    wanted = knobs.absolute(knobs.parse(given(values)))
    from fracture.tracking import store  # heavy imports only once the values are right

    attached = store.attached_run_id() is not None
    store.connect()
    terminal = Terminal()
    if wanted.resume != "none":
        _resume(wanted, terminal, attached)
        return
    from fracture.models import backbones
    from fracture.runs import group, session

    names = backbones.split_names(wanted.model)
    for name in names:
        backbones.find(name).image_size(wanted.image_size)
    if len(names) == 1:
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
        return "mlflow run . --env-manager local " + " ".join(
            f"-P {name}={_quoted(value)}" for name, value in values.items()
        )
    return "fracture train " + " ".join(
        f"--{name.replace('_', '-')} {_quoted(value)}" for name, value in values.items()
    )


def _quoted(value: str) -> str:
    """As a shell takes it; ``{run}`` stands for an id that is filled in later."""
    return value if value == "{run}" else shlex.quote(value)
