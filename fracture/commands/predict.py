"""`fracture predict`: predict many images, as a table."""

import tempfile
from pathlib import Path
from typing import Any

import click

from fracture.commands.options import by_option, log_options
from fracture.errors import ConfigError
from fracture.failures import check_output
from fracture.progress import Terminal

_PATH = click.Path(path_type=Path)


@click.command()
@click.argument("target", metavar="RUN|MODEL")
@click.argument("sources", metavar="IMAGE...|DIR|MANIFEST", nargs=-1, required=True, type=_PATH)
@click.option(
    "--out",
    default="predictions.csv",
    show_default=True,
    type=_PATH,
    help="output table; the same command continues it after an interruption",
)
@by_option
@click.option(
    "--dicom-sr", type=_PATH, metavar="DIR", help="also write a DICOM report and heat map for each DICOM file into DIR"
)
@log_options
def command(
    target: str, sources: tuple[Path, ...], out: Path, by: str, dicom_sr: Path | None, log: str, **kept: Any
) -> None:
    """Predict images with the model of a run, a .pth or models:/NAME@ALIAS; unreadable files are listed."""
    if dicom_sr and by != "image":
        raise ConfigError(f"--dicom-sr writes one report per image; it cannot be combined with --by {by}")
    check_output(out, out.with_name(f"{out.name}.model"))
    from fracture.inference import dicom_out  # heavy imports only once the values are right
    from fracture.inference.study_table import PredictionInputs
    from fracture.runs import answer_log, answering
    from fracture.tracking import store

    if dicom_sr:
        dicom_out.ready(dicom_sr)
    questions = PredictionInputs.read(sources, by)
    store.connect()
    terminal = Terminal()
    with tempfile.TemporaryDirectory() as folder:
        predictor, served = answering.find_served(target, Path(folder))
    with answer_log.open_log(log, predictor, served, terminal, **kept) as answers, terminal.working() as progress:
        heard = {"heard": answers.store} if answers else {}
        written = questions.answer(predictor, out, progress, **heard)
    terminal.say(written.said(out))
    for warning in written.warnings():
        terminal.warn(warning)
    if dicom_sr:
        with terminal.working() as progress:
            sent = dicom_out.write(predictor, served, questions.images, dicom_sr, progress)
        terminal.say(sent.said(dicom_sr))
        for warning in sent.warnings():
            terminal.warn(warning)
    if answers:
        answer_log.check(answers)
