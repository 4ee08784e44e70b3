"""`fracture predict`: answer to many images, as a table."""

import tempfile
from functools import partial
from pathlib import Path
from typing import Any

import click

from fracture.commands.options import log_options
from fracture.progress import Terminal

_PATH = click.Path(path_type=Path)


@click.command()
@click.argument("target", metavar="RUN|MODEL")
@click.argument("sources", metavar="IMAGE...|DIR|MANIFEST", nargs=-1, required=True, type=_PATH)
@click.option("--out", default="predictions.csv", show_default=True, type=_PATH, help="the same command goes on in it")
@click.option(
    "--by",
    type=click.Choice(["image", "study", "folder"]),
    default="image",
    show_default=True,
    help="one answer for each; study: by that column of a table, else its patient or group; folder: for each folder",
)
@log_options
def command(target: str, sources: tuple[Path, ...], out: Path, by: str, log: str, **kept: Any) -> None:
    """Answer to images with the model of a run, a .pth or models:/NAME@ALIAS; bad files are listed, not fatal."""
    from fracture.inference import study_table, table  # heavy imports only once the values are right
    from fracture.runs import answering, logged
    from fracture.tracking import store

    studies = {} if by == "image" else study_table.studies_of(sources, by)
    paths = [] if studies else table.images_of(sources)
    store.connect()
    terminal = Terminal()
    with tempfile.TemporaryDirectory() as folder:
        predictor, served = answering.find_served(target, Path(folder))
    with logged.open_log(log, predictor, served, terminal, **kept) as answers, terminal.working() as progress:
        heard = {"heard": partial(answers.put, wait=True)} if answers else {}
        if studies:
            written = study_table.write_studies(predictor, studies, out, progress, **heard)
        else:
            written = table.write(predictor, paths, out, progress, **heard)
    terminal.say(f"{written.answered} answered, {written.kept} kept from before, {len(written.bad)} bad: {out}")
    for path, error in written.bad[:20]:
        terminal.warn(f"{path}: {error}")
    if answers:
        logged.check(answers)
