"""One answer to several images of one study, made of the answers to each: the mean of their logits."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from fracture.evidence.verdict import Rule, decide
from fracture.inference.predictor import Answer

_TINY = 1e-300


@dataclass(frozen=True)
class StudyAnswer:
    """What is said of a study.

    Attributes:
        answer: of all its images together; one that cannot be read, or is unlike a radiograph, has a person look.
        images: what is said of each alone, in order.
        shares: of each image, its share of what speaks for the study's label against the other classes: negative where
            it speaks against it, absolute values of sum 1; None for one that has no answer.
    """

    answer: Answer
    images: tuple[Answer, ...]
    shares: tuple[float | None, ...]

    def said(self) -> dict[str, Any]:
        """As plain values, for whoever called: the answer, with each image's own and its share under ``images``."""
        each = zip(self.images, self.shares, strict=True)
        return self.answer.said() | {"images": [{"share": share, **image.said()} for image, share in each]}


def answer_study(images: Sequence[Answer], rule: Rule) -> StudyAnswer:
    """One answer from those to the images of one study, under the decisions for images.

    The mean of logits needs no logits: logarithms of calibrated probabilities differ from them by a number an image.

    Args:
        images: the answers to one image or more, in order.
        rule: of the model, as its sidecar has it.

    Raises:
        ValueError: there is no image.
    """
    if not images:
        raise ValueError("a study of no image has no answer")
    known = [image for image in images if not image.error]
    if not known:
        said = "; ".join(dict.fromkeys(image.error for image in images))
        answer = Answer(error=f"none of {len(images)} images has an answer: {said}")
        return StudyAnswer(answer, tuple(images), (None,) * len(images))
    logits = np.log(np.maximum([[image.probabilities[name] for name in rule.classes] for image in known], _TINY))
    odds = np.exp(logits.mean(axis=0) - logits.mean(axis=0).max())
    probabilities = (odds / odds.sum()).tolist()
    found = decide(rule, probabilities, _doubt(images, rule))
    answer = Answer(
        **vars(found), probabilities=dict(zip(rule.classes, probabilities, strict=True)), refer=bool(found.reason)
    )  # fmt: skip
    given = iter(_shares(logits, rule.classes.index(found.label)))
    return StudyAnswer(answer, tuple(images), tuple(None if image.error else next(given) for image in images))


def _doubt(images: Sequence[Answer], rule: Rule) -> str:
    """Why a person must look whatever the images say together: not because one alone is not sure enough."""
    for number, image in enumerate(images, start=1):
        if image.error:
            return f"image {number} of {len(images)} has no answer: {image.error}"
        alone = decide(rule, [image.probabilities[name] for name in rule.classes])
        if image.reason and image.reason != alone.reason:
            return f"image {number} of {len(images)}: {image.reason}" if len(images) > 1 else image.reason
    return ""


def _shares(logits: npt.NDArray[np.float64], label: int) -> list[float]:
    """Shares of the mean's evidence for a class: its logit less the mean of the others', which adds up over images."""
    evidence = logits[:, label] - np.delete(logits, label, axis=1).mean(axis=1)
    total = float(np.abs(evidence).sum())
    return [1 / len(evidence)] * len(evidence) if total == 0 else (evidence / total).tolist()
