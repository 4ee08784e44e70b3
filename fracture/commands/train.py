"""`fracture train`: train one or several backbones."""

from pathlib import Path

import click

from fracture.commands.options import given, options_of
from fracture.config import TrainConfig, absolute, changed, parse
from fracture.errors import ConfigError
from fracture.progress import Terminal
from fracture.runs import resume_command
from fracture.runs.attached import tag_attached_run
from fracture.runs.settings import from_file, from_run


@click.command("train")
@click.option("--like", metavar="RUN", help="start from the settings of this run; other options win")
@click.option(
    "--config",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="read settings from YAML or JSON; other options win",
)
@click.option("--verbose", is_flag=True, help="show the audit's table even if it found nothing")
@click.option("--parent", default="", hidden=True)  # of a group, whose command starts its members so
@options_of(TrainConfig)
def command(like: str | None, config: Path | None, verbose: bool, parent: str, **values: str | None) -> None:
    """Train a backbone as a complete MLflow run that can be resumed.

    Every option except --like, --config and --verbose is also a parameter of `mlflow run . -P NAME=VALUE`.
    """
    with tag_attached_run("train"):
        if values["resume"] and (like or config):
            raise ConfigError(
                f"resume={values['resume']} continues with the run's own settings; leave --like and --config out"
            )
        settings = (from_run(like) if like else {}) | (from_file(config) if config else {}) | given(values)
        _train(absolute(parse(settings)), Terminal(verbose=verbose), parent)


def _train(wanted: TrainConfig, terminal: Terminal, parent: str) -> None:
    from fracture.runs import states  # heavy imports only once the values are right
    from fracture.tracking import leftovers, store

    attached = store.attached_run_id() is not None
    store.connect()
    for left in leftovers.sweep(states.state_root()):
        terminal.say(f"{left.said}: {'marked KILLED' if left.kind == 'run' else 'deleted'}.")
    if wanted.resume != "none":
        _resume(wanted, terminal, attached)
        return
    from fracture.models import backbones
    from fracture.runs import folds, group, session

    if parent:
        group.train_member(wanted, session.Session(terminal, parent, "the same command of the group"))
        return
    names = backbones.split_names(wanted.model)
    for name in names:
        backbones.find(name).image_size(wanted.image_size)
    if wanted.folds > 1:
        folds.check(wanted)
    if wanted.folds > 1 and wanted.fold == "all":
        if len(names) > 1:
            raise ConfigError(f"folds={wanted.folds} with {len(names)} backbones: cross-validate one model at a time")
        folds.train_folds(
            wanted.model_copy(update={"model": names[0]}),
            terminal,
            resume_command.command_line(changed(wanted), attached),
        )
    elif len(names) == 1:
        goes_on = resume_command.command_line({"resume": "{run}"}, attached)
        session.train(wanted.model_copy(update={"model": names[0]}), session.Session(terminal, None, goes_on))
    else:
        group.train_group(wanted, names, terminal, resume_command.command_line(changed(wanted), attached))


def _resume(wanted: TrainConfig, terminal: Terminal, attached: bool) -> None:
    from fracture.runs import delivery, longer, resume, session

    run_id, typed = wanted.resume, changed(wanted)
    others = {name: value for name, value in typed.items() if name not in ("resume", "data", "epochs")}
    if others:
        settings = ", ".join(f"{name}={value}" for name, value in others.items())
        left = {name: value for name, value in typed.items() if name not in others}
        raise ConfigError(
            f"resume={run_id} continues with the run's own settings, but {settings} was given too. Only data=NEW and "
            f"epochs=N can be given with it.\nLeave it out:\n  {resume_command.command_line(left, attached)}"
        )
    here = session.Session(terminal, None, resume_command.command_line({"resume": "{run}"}, attached))
    if delivery.go_on_judged(run_id, terminal, here.resume_command):
        return
    if wanted.epochs == "auto" or "epochs" not in typed:
        resume.resume(run_id, here, typed.get("data", ""))
    else:
        longer.train_longer(run_id, wanted.epochs, here, typed.get("data", ""))
