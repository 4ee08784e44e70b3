"""`fracture drift`: test whether a deployed model's images or answers have changed."""

from pathlib import Path

import click

from fracture.failures import check_output
from fracture.progress import Terminal
from fracture.runs import attached


@click.command()
@click.argument("log", metavar="LOG")
@click.option(
    "--against",
    default="auto",
    show_default=True,
    help="model to compare with: RUN, models:/... or reference.json; auto is the model that answered",
)
@click.option("--since", default="30d", show_default=True, help="answers since: 30d, 12h, 4w, 2026-01-31 or all")
@click.option("--thresholds", default="default", show_default=True, help="default, or a TOML file of thresholds")
@click.option("--out", default="drift", show_default=True, type=click.Path(path_type=Path), help="folder of the report")
@attached.tag_attached_run("drift")
def command(log: str, against: str, since: str, thresholds: str, out: Path) -> None:
    """Test whether images and answers in LOG differ from those of the model's test; exit code 5: drift.

    LOG is a folder, sqlite:///FILE or postgresql://..., as `--log` of serve and predict names it. By default its
    answers are compared with the reference of the model that gave them.
    """
    from fracture.monitoring import limits, window  # heavy imports only once the values are right
    from fracture.runs.drift import drift
    from fracture.tracking import store

    begin = window.begin(since)
    chosen = limits.read(limits.DEFAULT if thresholds == "default" else Path(thresholds))
    check_output(folder=out)
    store.connect()
    drift(log, against, begin, chosen, out, Terminal())
