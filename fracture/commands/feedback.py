"""`fracture feedback`: choose answers for people to check, and measure accuracy in use."""

from pathlib import Path

import click

from fracture.commands.options import Int
from fracture.failures import check_output
from fracture.progress import Terminal
from fracture.runs import attached

_PATH = click.Path(path_type=Path)


@click.command()
@click.argument("log", metavar="LOG")
@click.option(
    "--out",
    default="review.csv",
    show_default=True,
    type=_PATH,
    help="file of images to check; an existing file is not overwritten",
)
@click.option(
    "--count", default=100, show_default=True, type=Int(2), help="number of images; half of them are drawn at random"
)
@click.option("--since", default="30d", show_default=True, help="answers since: 30d, 12h, 4w, 2026-01-31 or all")
@click.option(
    "--against",
    default="auto",
    show_default=True,
    help="model to compare with: RUN, models:/... or reference.json; auto is the model that answered",
)
@click.option("--images", type=_PATH, help="folder that --keep-images wrote; its paths are put into the file")
@click.option("--seed", default=0, show_default=True, type=Int(0), help="seed of the random half")
@click.option(
    "--corrected",
    type=_PATH,
    help="a review.csv with labels, or its export from Label Studio: compute the accuracy in use",
)
@attached.tag_attached_run("feedback")
def command(
    log: str, out: Path, count: int, since: str, against: str, images: Path | None, seed: int, corrected: Path | None
) -> None:
    """Choose answers in LOG for people to check; with --corrected FILE measure how often the model was right.

    LOG is a folder, sqlite:///FILE or postgresql://..., as `--log` of serve and predict names it.

    Accuracy and sensitivity in use come from the images that were drawn at random, and are stored with the version of
    the model. `python -m registry verify` and `fracture drift` report a champion below its floor.
    """
    from fracture.monitoring import window  # heavy imports only once the values are right
    from fracture.runs import feedback
    from fracture.runs.drift import open_window
    from fracture.tracking import store

    begin, terminal = window.begin("all" if corrected else since), Terminal()
    if not corrected:
        check_output(out)
    store.connect()
    said = feedback.read(corrected) if corrected else []
    found = open_window(log, against, begin, {one.sha256 for one in said if one.sha256})
    if found.reference is None:
        terminal.warn("The model has no reference: no threshold and no healthy class are known.")
    if corrected:
        feedback.take(found, said, corrected, terminal)
    else:
        feedback.ask(found, out, count, seed, images, terminal)
