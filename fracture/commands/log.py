"""`fracture log`: export the log of answers as a table."""

from pathlib import Path

import click

from fracture.commands.options import WholeSentences
from fracture.errors import ConfigError
from fracture.failures import check_output
from fracture.progress import Terminal
from fracture.tables import counted


@click.group(cls=WholeSentences)
def command() -> None:
    """Export the log of answers that `fracture serve --log` and `fracture predict --log` write."""


@command.command()
@click.argument("log", metavar="LOG")
@click.option("--format", "form", type=click.Choice(["parquet", "csv"]), default="parquet", show_default=True)
@click.option("--out", default="auto", show_default=True, help="output file; auto is answers.parquet or answers.csv")
@click.option("--since", default="all", show_default=True, help="answers since: 30d, 12h, 4w, 2026-01-31 or all")
def export(log: str, form: str, out: str, since: str) -> None:
    """Write the rows of LOG as one table; an existing file is not overwritten.

    LOG is a folder, sqlite:///FILE or postgresql://..., as `--log` of serve and predict names it.
    """
    from fracture.monitoring import export as exporting  # heavy imports only once the values are right
    from fracture.monitoring import window
    from fracture.monitoring.correction import latest
    from fracture.monitoring.log import check_answers, place_of

    begin, path = window.begin(since), Path(f"answers.{form}" if out == "auto" else out)
    if path.exists():
        raise ConfigError(f"--out {path}: exists already and is not overwritten; name another file")
    check_output(path)
    place = place_of(log)
    check_answers(log, place, begin)
    classes = dict.fromkeys(name for row in place.read(begin) for name in row.probabilities)
    said = latest(place.corrections())
    count = exporting.export(place.read(begin), classes, path, form, said)
    Terminal().say(f"{counted(count, 'answer')}, {counted(len(said), 'image')} corrected by readers: {path}")
