"""Answers as a CSV: a row an image, or a row a study with each image's share of it."""

import csv
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from fracture.data.prepare.listed_images import read_studies
from fracture.data.tables import is_table
from fracture.errors import ConfigError
from fracture.files import as_text, located
from fracture.inference.predictor import Predictor
from fracture.inference.study import StudyAnswer, answer_study
from fracture.inference.table import FIRST, LAST, Heard, Written, begin, column, images_of, row, write


@dataclass(frozen=True)
class PredictionInputs:
    """What is to be answered: single images, or studies by name.

    Attributes:
        images: to be answered one by one.
        studies: the images of each study; empty where single images are answered.
    """

    images: Sequence[Path]
    studies: Mapping[str, Sequence[Path]]

    @classmethod
    def read(cls, sources: Sequence[Path], by: str) -> "PredictionInputs":
        """What files, folders and tables name, by ``image``, ``study`` or ``folder``.

        Raises:
            ConfigError, DataError: as `studies_of` and `fracture.inference.table.images_of`.
        """
        return cls(images_of(sources), {}) if by == "image" else cls((), studies_of(sources, by))

    def answer(
        self, predictor: Predictor, out: Path, progress: Callable[[str, int, int], None], heard: Heard = lambda *_: None
    ) -> Written:
        """Add to ``out`` what it has no answer to yet; see `fracture.inference.table.write`."""
        if self.studies:
            return write_studies(predictor, self.studies, out, progress, heard)
        return write(predictor, list(self.images), out, progress, heard)


def studies_of(sources: Sequence[Path], by: str) -> dict[str, list[Path]]:
    """The images of each study, by its name, in order.

    Args:
        sources: tables with ``by=study``; anything with ``by=folder``, which takes the images of one folder for one.
        by: study or folder.

    Raises:
        ConfigError: a source with ``by=study`` is no table.
        DataError: a table has neither studies nor patients, or there is no image at all.
    """
    found: dict[str, list[Path]] = {}
    if by == "folder":
        for path in images_of(sources):
            found.setdefault(as_text(str(path.parent)), []).append(path)
        return found
    for source in sources:
        if source.exists() and not is_table(source):
            raise ConfigError(
                f"--by study: {source} is not a table, so it is unknown which images belong together. Give a manifest "
                "with a column study or group, or --by folder, which takes the images of each folder for one study"
            )
        for name, paths in read_studies(source).items():
            found.setdefault(name, []).extend(paths)
    return found


def write_studies(
    predictor: Predictor, studies: Mapping[str, Sequence[Path]], out: Path, progress: Callable[[str, int, int], None],
    heard: Heard = lambda *_: None,
) -> Written:  # fmt: skip
    """Add a row for each study that ``out`` has no answer for yet; see `fracture.inference.table.write`.

    Raises:
        ConfigError: ``out`` holds something else, or the answers of another model.
    """
    rule = predictor.sidecar.rule
    header = ["study", *FIRST[1:], *(column(name) for name in rule.classes), *LAST[:-1], "images", LAST[-1]]
    done, bad = begin(out, header, predictor.sidecar.weights_sha256), []
    left = [name for name in studies if name not in done]
    with located(out), out.open("a", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        for number, name in enumerate(left, start=1):
            paths, began = list(studies[name]), time.perf_counter()
            found = answer_study(predictor.predict(paths), rule)
            heard(paths, found.images, time.perf_counter() - began)
            *said, error = row(name, found.answer, rule.classes)
            table.writerow([*said, _images(paths, found), error])
            file.flush()
            pairs = zip(paths, found.images, strict=True)
            bad += [(as_text(str(path)), image.error) for path, image in pairs if image.error]
            progress("studies", number, len(left))
    return Written(len(left), len(studies) - len(left), tuple(bad))


def _images(paths: Sequence[Path], found: StudyAnswer) -> str:
    """What each image says, as JSON."""
    each = zip(paths, found.images, found.shares, strict=True)
    rows = [
        {
            "path": as_text(str(path)), "share": None if share is None else round(share, 6), "label": image.label,
            "fracture_probability": image.fracture_probability, "error": image.error,
        }
        for path, image, share in each
    ]  # fmt: skip
    return json.dumps(rows, ensure_ascii=False)
