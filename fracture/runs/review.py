"""Labels to look at again, of a run that has just ended or of any in the store."""

import tempfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path, PurePosixPath

import numpy as np
import numpy.typing as npt

from fracture.data.images import decode, letterbox
from fracture.data.manifest import read_csv
from fracture.errors import ConfigError
from fracture.evaluation import predictions, review
from fracture.evaluation.figures.images import Tile, grid_figure, short
from fracture.evaluation.figures.style import png
from fracture.evaluation.review import SHOWN, Review
from fracture.files import replacing
from fracture.runs.record import Record
from fracture.tracking import artifacts, query

NAME = "label_review.csv"
_ANSWERS = {
    "predictions_out_of_fold.csv": "out of fold: by models that had not seen the image",
    "predictions_val.csv": "on validation, which the model has not learned from; with head=probe or folds=5 it is all "
    "of train and validation, or all images",
}
_SIDE = 320  # pixels of a tile


def review_folder(folder: Path) -> Review | None:
    """Rank the images of a run whose evidence lies in ``folder``, and write label_review.csv there.

    Nothing is written where the answers are no better than chance; None where it holds none to images that its models
    had not seen.
    """
    for name, of in _ANSWERS.items():
        if (folder / name).is_file():
            found = review.review(predictions.read(folder / name), of)
            if len(found.order):
                review.write(found, folder / NAME, _splits(folder / "manifest.csv"))
            return found
    return None


def review_run(run_id: str, out: Path) -> tuple[Review, list[Path]]:
    """The same of any run: the CSV ``out`` and, where its images are still there, a picture of the first beside it.

    Nothing is written where its answers are no better than chance.

    Raises:
        ConfigError: no such run, or it has no answers to images that its models had not seen; or ``out`` exists, for
            somebody may have corrected it.
    """
    if out.suffix.lower() != ".csv":
        raise ConfigError(f"out={out}: must end in .csv")
    if out.exists():
        raise ConfigError(f"out={out}: exists, and may hold corrected labels; give another --out")
    run_id = query.trained_by(run_id)
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        artifacts.fetch(run_id, [*_ANSWERS, "manifest.csv", "config.json"], place)
        with artifacts.named(place, f"run {run_id}"):
            found = review_folder(place)
        if found is None:
            names = " or ".join(_ANSWERS)
            raise ConfigError(f"run {run_id}: has no {names}, so there is nothing to rank labels by; train one run")
        if not len(found.order):
            return found, []
        out.parent.mkdir(parents=True, exist_ok=True)
        with replacing(out) as part:
            part.write_bytes((place / NAME).read_bytes())
        return found, [out, *_gallery(found, _root(place), out.with_suffix(".png"))]


def tiles(found: Review, pixels: Mapping[str, npt.NDArray[np.uint8]]) -> list[Tile]:
    """The first images with their label and what the model says; ``pixels`` by digest, [size, size] each."""
    shown = []
    for i in found.order[:SHOWN]:
        answers, shares = found.answers, found.probabilities[i]
        own, told = answers.classes[answers.labels[i]], int(shares.argmax())
        said = f"label: {own} {found.own[i]:.0%}\nmodel: {answers.classes[told]} {shares[told]:.0%}"
        if (square := pixels.get(answers.sha256[i])) is not None:
            shown.append(Tile(square, f"{said}\n{short(PurePosixPath(answers.paths[i]).name)}"))
    return shown


def _splits(path: Path) -> dict[str, str]:
    """The split of each image, by its digest."""
    return {row.sha256: row.split for row in read_csv(path).rows} if path.is_file() else {}


def _gallery(found: Review, root: Path, picture: Path) -> list[Path]:
    """The picture of the first images, where they lie below ``root``."""
    squares = {}
    for i in found.order[:SHOWN]:
        place = root / found.answers.paths[i]
        if place.is_file():
            squares[found.answers.sha256[i]] = letterbox(decode(place.read_bytes()), _SIDE)
    shown = tiles(found, squares)
    if not shown:
        return []
    with replacing(picture) as part:
        part.write_bytes(png(grid_figure(shown)))
    return [picture]


def _root(folder: Path) -> Path:
    """Where the run's images lay."""
    with suppress(OSError, ValueError):  # gone, damaged or of an earlier version: then there is no picture
        return Path(Record.model_validate_json((folder / "config.json").read_bytes()).data_root)
    return Path()
