"""`fracture predict`: answer to many images, as a table."""

import tempfile
from functools import partial
from pathlib import Path
from typing import Any

import click

from fracture.commands.options import by_option, log_options
from fracture.progress import Terminal

_PATH = click.Path(path_type=Path)


@click.command()
@click.argument("target", metavar="RUN|MODEL")
@click.argument("sources", metavar="IMAGE...|DIR|MANIFEST", nargs=-1, required=True, type=_PATH)
@click.option("--out", default="predictions.csv", show_default=True, type=_PATH, help="the same command goes on in it")
@by_option
@log_options
def command(target: str, sources: tuple[Path, ...], out: Path, by: str, log: str, **kept: Any) -> None:
    """Answer to images with the model of a run, a .pth or models:/NAME@ALIAS; bad files are listed, not fatal."""
    from fracture.inference.study_table import Questions  # heavy imports only once the values are right
    from fracture.runs import answering, logged
    from fracture.tracking import store

    questions = Questions.read(sources, by)
    store.connect()
    terminal = Terminal()
    with tempfile.TemporaryDirectory() as folder:
        predictor, served = answering.find_served(target, Path(folder))
    with logged.open_log(log, predictor, served, terminal, **kept) as answers, terminal.working() as progress:
        heard = {"heard": partial(answers.put, wait=True)} if answers else {}
        written = questions.answer(predictor, out, progress, **heard)
    terminal.say(written.said(out))
    for warning in written.warnings():
        terminal.warn(warning)
    if answers:
        logged.check(answers)
