"""`fracture evaluate`: evaluate a model on any data set."""

from pathlib import Path

import click

from fracture.allowed_values import parse_model
from fracture.commands.options import given, options_of
from fracture.evaluation.config import EvaluateConfig
from fracture.failures import check_output
from fracture.progress import Terminal
from fracture.runs.attached import tag_attached_run


@click.command()
@click.argument("target", metavar="RUN|MODEL")
@click.option("--data", required=True, help="demo, a folder of classes with or without splits, or a manifest CSV")
@click.option(
    "--out", default="evaluation", show_default=True, type=click.Path(path_type=Path), help="folder for the results"
)
@options_of(EvaluateConfig)
def command(target: str, data: str, out: Path, **values: str | None) -> None:
    """Evaluate the model of a run, a .pth or models:/NAME@ALIAS on a data set, and log the results as a run.

    Temperature, operating point and referral are those of training. --refit-decisions fits new ones on these images
    and keeps the weights.
    """
    with tag_attached_run("evaluate"):
        config = parse_model(EvaluateConfig, given(values), "fracture evaluate")
        check_output(folder=out)
        from fracture.runs.evaluate import evaluate  # heavy imports only once the values are right
        from fracture.tracking import store

        store.connect()
        terminal = Terminal()
        evaluate(target, data, config, out, terminal)
        terminal.say(f"Written: {out}/report.html, results.json, predictions_test.csv and more")
