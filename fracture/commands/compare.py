"""`fracture compare`: compare the runs of an experiment."""

from pathlib import Path

import click

from fracture.allowed_values import names_in, parse_model
from fracture.commands.options import given, options_of
from fracture.evaluation.config import CompareConfig
from fracture.failures import check_output
from fracture.progress import Terminal
from fracture.runs import attached


@click.command()
@click.argument("runs", metavar="[RUN]...", nargs=-1)
@click.option(
    "--out", default="compare", show_default=True, type=click.Path(path_type=Path), help="folder for the results"
)
@options_of(CompareConfig)
def command(runs: tuple[str, ...], out: Path, **values: str | None) -> None:
    """Compare runs in a table, by default all of the experiment, and test whether the best two differ.

    The table is sorted by validation, because choosing by the test split would bias it. Runs with different test data
    are never ranked against each other.
    """
    with attached.tag_attached_run("compare"):
        config = parse_model(CompareConfig, given(values), "fracture compare")
        check_output(folder=out)
        from fracture.runs.compare import compare_runs  # heavy imports only once the values are right
        from fracture.tracking import store

        store.connect()
        named = names_in(" ".join(runs))
        terminal = Terminal()
        files = compare_runs([name for name in named if name != "all"], config, out, terminal)
        terminal.say(f"Written: {', '.join(str(path) for path in files)}")
        attached.keep(files)
