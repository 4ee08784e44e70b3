"""Labels to look at again: images ranked by the probability of their own label, by models that have not seen them.

The ranking is that of self-confidence in confident learning (Northcutt et al. 2021); no verdict is given, for on small
data its thresholds flag far too many (docs/evaluation.md). Nothing is refused and no label changed by it.
"""

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from fracture.evaluation.calibration import fit_temperature
from fracture.evaluation.intervals import estimate
from fracture.evaluation.metrics import Floats, softmax
from fracture.evaluation.predictions import Predictions
from fracture.evaluation.sample import Decisions
from fracture.files import replacing

SHOWN = 20  # in the gallery
_ROUNDS = 500


@dataclass(frozen=True)
class Review:
    """Images to look at again, the most doubtful first.

    Attributes:
        answers: to the images, by models that have not seen them.
        probabilities: calibrated, [n, classes].
        order: int64 [n], positions in ``answers``; empty where the answers are no better than chance.
        sentence: how many images, and by what they were ranked, or why they were not.
    """

    answers: Predictions
    probabilities: Floats
    order: npt.NDArray[np.int64]
    sentence: str

    @property
    def own(self) -> Floats:
        """Probability of each image's own label: [n]."""
        return np.asarray(self.probabilities[np.arange(len(self.answers.labels)), self.answers.labels])


def review(answers: Predictions, of: str) -> Review:
    """Rank images by the probability of their own label.

    Args:
        answers: out-of-fold ones, or of images that the model has not learned from.
        of: what they are, for people.
    """
    labels, classes = answers.labels, answers.classes
    probabilities = softmax(answers.logits / fit_temperature(answers.logits, labels).temperature)
    if reason := _no_better_than_chance(answers):
        return Review(answers, probabilities, np.zeros(0, np.int64), f"Labels were not ranked: {reason}.")
    own = probabilities[np.arange(len(labels)), labels]
    order = np.argsort(own, kind="stable")
    sentence = (
        f"{len(labels):,} images of {len(classes)} classes, ranked by the probability of their own label ({of}). Check "
        "the first ones; many of these labels are right and the images are hard."
    )
    return Review(answers, probabilities, order, sentence)


def write(found: Review, path: Path, splits: dict[str, str]) -> None:
    """Write label_review.csv: after correcting its column ``label`` it goes into ``fracture prepare --corrections``.

    Args:
        found: ranked images.
        path: of the CSV.
        splits: of each image, by its digest.
    """
    answers, own = found.answers, found.own
    with replacing(path) as part, part.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["path", "label", "probability", "model_says", "its_probability", "split", "group", "sha256"])
        for i in found.order:
            shares = found.probabilities[i]
            told = int(shares.argmax())
            writer.writerow([
                answers.paths[i], answers.classes[answers.labels[i]], f"{own[i]:.6f}", answers.classes[told],
                f"{shares[told]:.6f}", splits.get(answers.sha256[i], ""), answers.groups[i], answers.sha256[i],
            ])  # fmt: skip


def _no_better_than_chance(answers: Predictions) -> str:
    """Why such answers say nothing of labels, empty where they do."""
    groups = [group or f"alone {i}" for i, group in enumerate(answers.groups)]
    if len(set(answers.labels.tolist())) < 2:
        return "the images are of one class"
    found = estimate(answers.logits, answers.labels, groups, answers.classes, Decisions(), rounds=_ROUNDS)
    score, chance = found["balanced_accuracy"], 1 / len(set(answers.labels.tolist()))
    if score.low is not None and score.low > chance:
        return ""
    return (
        f"the answers to images that the model has not seen are no better than chance (balanced accuracy "
        f"{score.value:.2f}, {score.low:.2f} to {score.high:.2f}; chance is {chance:.2f})"
    )
