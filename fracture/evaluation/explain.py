"""Controls that go with activation maps: whether the model looks at the bone or at what surrounds it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.stats import spearmanr

from fracture.evaluation.intervals import estimate
from fracture.evaluation.metrics import Floats, Integers, softmax
from fracture.evaluation.sample import Decisions
from fracture.evidence import Controls

Pixels = npt.NDArray[np.uint8]
Answers = Callable[[Pixels], Floats]  # uint8 [n, size, size] to logits [n, classes]

BORDER = 0.2  # of the side, on every side: the frame is then 64% of the area, the centre 36%
_GREYS = (0, 64, 128, 192, 255)


@dataclass(frozen=True)
class ControlImages:
    """The images that controls are tried on.

    Attributes:
        pixels: uint8 [n, size, size].
        labels: int64 [n].
        groups: [n].
        classes: names in the order of the logits.
        decisions: taken on validation.
    """

    pixels: Pixels
    labels: Integers
    groups: Sequence[str]
    classes: tuple[str, ...]
    decisions: Decisions


def hide_centre(pixels: Pixels) -> Pixels:
    """The images with the centre black: what is left is frame, markers and soft tissue."""
    rim = round(BORDER * pixels.shape[1])
    hidden = pixels.copy()
    hidden[:, rim:-rim, rim:-rim] = 0
    return hidden


def hide_border(pixels: Pixels) -> Pixels:
    """The images with everything but the centre black."""
    rim = round(BORDER * pixels.shape[1])
    hidden = np.zeros_like(pixels)
    hidden[:, rim:-rim, rim:-rim] = pixels[:, rim:-rim, rim:-rim]
    return hidden


def try_controls(
    answers: Answers, images: ControlImages, logits: Floats, maps: Floats, random_maps: Floats
) -> Controls:
    """Judge a model on images that lack their centre or their border, and on blank ones.

    Args:
        answers: the model.
        images: images of the test split.
        logits: its answers to them, [n, classes].
        maps: activation maps of some images, [m, size, size].
        random_maps: of the same images by the same architecture with random weights (Adebayo et al. 2018).
    """
    owned = [group or f"alone {i}" for i, group in enumerate(images.groups)]

    def accuracy(found: Floats) -> dict[str, object]:
        metrics = estimate(found, images.labels, owned, images.classes, images.decisions, rounds=500)
        return {"accuracy": metrics["accuracy"], "balanced_accuracy": metrics["balanced_accuracy"]}

    size = images.pixels.shape[1]
    blank = np.stack([np.full((size, size), grey, np.uint8) for grey in _GREYS])
    centre = answers(hide_centre(images.pixels))
    temperature = images.decisions.temperature
    return Controls.model_validate({
        "n": len(images.labels),
        "whole": accuracy(logits),
        "centre_hidden": accuracy(centre),
        "border_hidden": accuracy(answers(hide_border(images.pixels))),
        "centre_hidden_probability": _by_class(softmax(centre / temperature).mean(axis=0), images.classes),
        "blank_probability": _by_class(softmax(answers(blank) / temperature).mean(axis=0), images.classes),
        "border_share": _border_share(maps) if len(maps) else None,
        "random_weights_correlation": _alike(maps, random_maps) if len(maps) else None,
        "maps": len(maps),
    })  # fmt: skip


def _by_class(shares: Floats, classes: tuple[str, ...]) -> dict[str, float]:
    return {name: float(share) for name, share in zip(classes, shares, strict=True)}


def _border_share(maps: Floats) -> float:
    """Share of the maps' weight in the frame; 0.64 would be that of a flat map."""
    rim = round(BORDER * maps.shape[1])
    total = maps.sum(axis=(1, 2))
    inside = maps[:, rim:-rim, rim:-rim].sum(axis=(1, 2))
    known = total > 0
    return float((1 - inside[known] / total[known]).mean()) if known.any() else 0.0


def _alike(maps: Floats, others: Floats) -> float:
    """Mean rank correlation; maps that do not depend on what was learned stay alike when the weights are random."""
    pairs = [(one[::8, ::8].ravel(), other[::8, ::8].ravel()) for one, other in zip(maps, others, strict=True)]
    found = [spearmanr(one, other).statistic for one, other in pairs if np.ptp(one) > 0 and np.ptp(other) > 0]
    return float(np.mean(found)) if found else 0.0
