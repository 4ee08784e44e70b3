"""predictions_<split>.csv: what a model answered to each image, to be read by whatever comes later."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from fracture.data.manifest import Manifest
from fracture.errors import DataError
from fracture.evaluation.metrics import Floats, softmax
from fracture.evidence.verdict import Rule, decide
from fracture.files import replacing

_FACTS = ("path", "decision", "label", "predicted", "group", "source", "sha256")


@dataclass(frozen=True)
class Predictions:
    """The answers to one split.

    Attributes:
        classes: in the order of the columns of the logits.
        logits: float64 [n, classes].
        labels: int64 [n].
        groups, paths, sha256: [n] each.
    """

    classes: tuple[str, ...]
    logits: npt.NDArray[np.float64]
    labels: npt.NDArray[np.int64]
    groups: tuple[str, ...]
    paths: tuple[str, ...]
    sha256: tuple[str, ...]


def write(
    path: Path, manifest: Manifest, indices: Sequence[int], logits: Floats, temperature: float, rule: Rule
) -> None:
    """Write what is decided about some images of a manifest, logits as they are, and calibrated probabilities.

    ``label`` is the true class, ``predicted`` the one with the largest logit, which metrics count; ``decision`` is what
    is said of the image.
    """
    classes = rule.classes
    with replacing(path) as part, part.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow([*_FACTS, *(f"{kind}_{name}" for kind in ("logit", "probability") for name in classes)])
        for index, line, shares in zip(indices, logits, softmax(logits / temperature), strict=True):
            row = manifest.rows[index]
            predicted, said = classes[int(line.argmax())], decide(rule, shares.tolist()).decision
            facts = [manifest.relative(row), said, row.label, predicted, row.group, row.source, row.sha256]
            writer.writerow([*facts, *(f"{v:.9g}" for v in line), *(f"{v:.6f}" for v in shares)])


def read(path: Path) -> Predictions:
    """Read what `write` wrote.

    Raises:
        DataError: not such a file.
    """
    try:
        with path.open(newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file)
            names = reader.fieldnames or ()
            rows = list(reader)
        classes = tuple(name.removeprefix("logit_") for name in names if name.startswith("logit_"))
        if not classes:
            raise ValueError("it has no column of logits")
        logits = np.array([[float(row[f"logit_{name}"]) for name in classes] for row in rows], np.float64)
        labels = np.array([classes.index(row["label"]) for row in rows], np.int64)
        columns = [tuple(row[name] for row in rows) for name in ("group", "path", "sha256")]
    except (OSError, KeyError, TypeError, ValueError, csv.Error) as error:
        raise DataError(f"{path}: cannot be read as predictions: {error}") from error
    return Predictions(classes, logits.reshape(len(rows), len(classes)), labels, *columns)
