"""`python -m tuning`: search learning rate and batch size; `python -m tuning worker` joins a study."""

import click

from fracture.__main__ import run
from fracture.commands.options import Int, WholeSentences, given, options_of
from fracture.config import TrainConfig, absolute
from fracture.progress import Terminal
from fracture.runs.attached import tag_attached_run
from tuning.config import TuneConfig, defaults, parse_tuning, shared_settings

_SETTINGS = {"help_option_names": ["-h", "--help"], "max_content_width": 120}


@click.group(cls=WholeSentences, invoke_without_command=True, context_settings=_SETTINGS)
@options_of(TuneConfig)
@options_of(TrainConfig, shared_settings())
@click.pass_context
def cli(context: click.Context, /, **values: str | None) -> None:
    """Search learning rate and batch size under a memory limit, as an Optuna study that can be continued.

    Every option is also a parameter of `mlflow run . -e tune -P NAME=VALUE`. No trial opens the test split.
    """
    if context.invoked_subcommand is not None:
        return
    with tag_attached_run("tune"):
        tuning, config = parse_tuning(given(values))
        from fracture.tracking import store  # heavy imports only once the values are right
        from tuning.tune import tune

        store.connect()
        standard = defaults()
        changed = {name: value for name, value in given(values).items() if value != standard[name]}
        tune(tuning, absolute(config), changed, Terminal())


@cli.command()
@click.option("--study", required=True, help="name of the study, as its first process shows it")
@click.option(
    "--storage", default="auto", show_default=True,
    help="as in the study; the variable FRACTURE_TUNING_STORAGE keeps a password off the command line",
)  # fmt: skip
@click.option("--worker", default="", help="name of this worker, by default its machine and process")
@click.option("--trials", type=Int(1), help="finished trials of the whole study, by default as it was begun")
@click.option("--data", help="where the same data lies on this machine, if elsewhere")
@click.option("--weights", help="where the same initial weights lie on this machine, if elsewhere")
@click.option("--cache-dir", help="as in training")
@click.option("--threads", help="as in training")
def worker(study: str, storage: str, worker: str, **overrides: str | int | None) -> None:
    """Join a study by name, from this machine or another; MLFLOW_TRACKING_URI must be that of the study's run."""
    from fracture.tracking import store
    from fracture.tracking.liveness import me
    from tuning import storage as storages
    from tuning.join import join

    store.connect()
    changed = {name: str(value) for name, value in overrides.items() if value is not None}
    name = worker or f"{me()['machine']} {me()['pid']}"
    join(study, storages.address(storage), changed, name, Terminal())


if __name__ == "__main__":
    run(cli, "python -m tuning")
