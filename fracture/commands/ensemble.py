"""`fracture ensemble`: average several finished runs as one model."""

import click

from fracture.allowed_values import names_in
from fracture.progress import Terminal
from fracture.runs.attached import tag_attached_run


@click.command()
@click.argument("runs", metavar="RUN RUN...", nargs=-1, required=True)
def command(runs: tuple[str, ...]) -> None:
    """Average the probabilities of runs on the same data, with weights fitted on validation only.

    Nothing is trained: the stored answers of the runs are averaged, evaluated, and logged as a run.
    """
    with tag_attached_run("ensemble"):
        from fracture.runs.ensemble import ensemble
        from fracture.tracking import store

        store.connect()
        ensemble(names_in(" ".join(runs)), Terminal())
