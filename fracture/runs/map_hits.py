"""The images of a run whose findings are annotated, with the maps of what the model sees in them."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, floor

import numpy as np
import numpy.typing as npt
from torch import nn

from fracture.data.boxes import Box, from_text
from fracture.data.images import decode, placed
from fracture.data.manifest import Row
from fracture.evaluation.pointing import Mapped, judge_maps
from fracture.evidence.hits import Hits
from fracture.runs.subject import Subject

_MOST = 100  # images: each goes through the model and back, and through the one with random weights


@dataclass(frozen=True)
class _Boxed:
    """One of the judged images, by its position among them, and the boxes that count."""

    position: int
    row: Row
    boxes: tuple[Box, ...]


def find_hits(subject: Subject, random: nn.Module) -> Hits | None:
    """Whether the maps hit the boxes that the manifest has; None where it has none around a fracture.

    Args:
        subject: the model and the images that it judged.
        random: the same architecture with random weights, on the same device.

    Raises:
        ValueError: a cell of the column ``boxes`` cannot be read, or the model has no maps.
    """
    found, labels = _boxed(subject)
    if not found:
        return None
    chosen = np.sort(np.random.default_rng(0).permutation(len(found))[:_MOST])
    kept = [found[i] for i in chosen]
    positions = [one.position for one in kept]
    classes = [int(subject.labels[i]) for i in positions]
    pairs = [_masks(one, subject.plan.image_size) for one in kept]
    groups = subject.groups
    return judge_maps(
        Mapped(
            np.stack([mask for mask, _ in pairs]), np.stack([image for _, image in pairs]),
            _maps(subject, positions, classes), _maps(subject, positions, classes, random),
            [groups[i] for i in positions], labels,
        )
    )  # fmt: skip


def _boxed(subject: Subject) -> tuple[list[_Boxed], tuple[str, ...]]:
    """The judged images of a class with a fracture that have a box around one, and what these boxes are called."""
    rows, results = subject.dataset.manifest.rows, subject.results
    drawn = []
    for position, index in enumerate(subject.indices):
        row = rows[index]
        if results.classes[int(subject.labels[position])] == results.healthy:
            continue
        try:
            boxes = from_text(row.extra.get("boxes", ""))
        except ValueError as error:
            raise ValueError(f"{subject.dataset.manifest.relative(row)}: {error}") from error
        drawn.append(_Boxed(position, row, boxes))
    labels = _that_count({box.label for one in drawn for box in one.boxes}, results.classes, results.healthy)
    counted = [
        _Boxed(one.position, one.row, tuple(box for box in one.boxes if box.label in labels)) for one in drawn
    ]  # fmt: skip
    return [one for one in counted if one.boxes], tuple(sorted(labels))


def _that_count(labels: set[str], classes: Sequence[str], healthy: str | None) -> set[str]:
    """Of the labels of boxes, those of a class or of a fracture by name; all of them where none is named so."""
    known = {_plain(name) for name in classes if name != healthy}
    named = {label for label in labels if _plain(label) in known or "fract" in _plain(label)}
    return named or labels


def _plain(name: str) -> str:
    return "".join(letter for letter in name.lower() if letter.isalnum())


def _masks(one: _Boxed, size: int) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """Where the boxes and where the image lie in its square, [size, size] each."""
    shape = decode(one.row.path.read_bytes()).shape
    top, left, height, width = placed(shape, size)
    boxes, image = np.zeros((size, size), np.bool_), np.zeros((size, size), np.bool_)
    image[top : top + height, left : left + width] = True
    for box in one.boxes:
        boxes[_pixels(top, height, box.top, box.bottom), _pixels(left, width, box.left, box.right)] = True
    return boxes, image


def _pixels(start: int, length: int, low: float, high: float) -> slice:
    """Pixels that two shares of a side enclose, those that they cut included: one at least, as low < high."""
    return slice(start + floor(low * length), start + ceil(high * length))


def _maps(
    subject: Subject, positions: list[int], classes: list[int], model: nn.Module | None = None
) -> npt.NDArray[np.float64]:
    """The maps of some images, a micro-batch at a time."""
    step = max(1, subject.plan.micro_batch)
    starts = range(0, len(positions), step)
    return np.concatenate([subject.maps(positions[i : i + step], classes[i : i + step], model) for i in starts])
