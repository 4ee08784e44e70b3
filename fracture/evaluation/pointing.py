"""Whether activation maps hit the boxes of annotated findings: pointing game and energy inside, against controls."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.ndimage import maximum_filter

from fracture.evaluation.intervals import LEVEL, ROUNDS, draws, share
from fracture.evaluation.metrics import Floats
from fracture.evidence import Estimate
from fracture.evidence.hits import Hits

Masks = npt.NDArray[np.bool_]

TOLERANCE = 15 / 384  # of the side: the 15 pixels of Zhang et al. at the size that recipe=auto trains at
_BLOB = 1 / 6  # of the side: standard deviation of the blob in the centre, nearly all of which lies on the image
MODEL, RANDOM, CENTRE = "model", "random_weights", "centre"


@dataclass(frozen=True)
class Mapped:
    """Images with boxes, and the maps of the class that they are of.

    Attributes:
        masks: bool [n, size, size], where the boxes are.
        images: bool [n, size, size], where the image lies in its square.
        maps: of the model, [n, size, size], not negative.
        random_maps: of the same architecture with random weights.
        groups: [n].
        labels: of the boxes that count.
    """

    masks: Masks
    images: Masks
    maps: Floats
    random_maps: Floats
    groups: Sequence[str]
    labels: tuple[str, ...]


def judge_maps(mapped: Mapped) -> Hits:
    """Pointing game and energy of the maps, of those with random weights and of the image's centre."""
    tables = {MODEL: mapped.maps, RANDOM: mapped.random_maps, CENTRE: _centre(mapped.masks)}
    points = {name: point_hits(maps, mapped.masks) for name, maps in tables.items()}
    energies = {name: energy_inside(maps, mapped.masks) for name, maps in tables.items()}
    everything = np.ones(len(mapped.masks), np.bool_)
    return Hits(
        n=len(mapped.masks),
        groups=len(set(mapped.groups)),
        labels=mapped.labels,
        pointing={name: share(hits, everything, mapped.groups) for name, hits in points.items()}
        | _differences({name: hits.astype(np.float64) for name, hits in points.items()}, mapped.groups),
        energy={name: mean(values, mapped.groups) for name, values in energies.items()}
        | _differences(energies, mapped.groups),
        area=float((mapped.masks.sum((1, 2)) / mapped.images.sum((1, 2))).mean()),
    )


def point_hits(maps: Floats, masks: Masks) -> npt.NDArray[np.bool_]:
    """Whether the brightest place of each map [n, size, size] lies in its mask or just beside; an empty map misses."""
    reach = 2 * round(TOLERANCE * maps.shape[-1]) + 1
    wide = np.stack([maximum_filter(mask, size=reach) for mask in masks])
    flat = maps.reshape(len(maps), -1)
    at = flat.argmax(axis=1)
    rows = np.arange(len(maps))
    return np.asarray(wide.reshape(len(maps), -1)[rows, at] & (flat[rows, at] > 0))


def energy_inside(maps: Floats, masks: Masks) -> Floats:
    """Share of the weight of each map [n, size, size] within its mask; 0 of an empty map."""
    total = maps.sum(axis=(1, 2))
    inside = (maps * masks).sum(axis=(1, 2))
    return np.asarray(np.divide(inside, total, out=np.zeros(len(maps)), where=total > 0))


def mean(values: Floats, groups: Sequence[str]) -> Estimate:
    """A mean over images with its 95% percentile bootstrap interval over groups."""
    names, member = np.unique(np.array(groups), return_inverse=True)
    sums = np.zeros((len(names), 2))
    np.add.at(sums, member, np.stack([values, np.ones(len(values))], axis=1))
    drawn = np.concatenate([one @ sums for one in draws(len(sums), ROUNDS, 0)])
    low, high = np.quantile(drawn[:, 0] / drawn[:, 1], [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    few = share(np.ones(len(values), np.bool_), np.ones(len(values), np.bool_), groups).caution
    return Estimate(
        value=float(values.mean()), low=float(low), high=float(high), n=len(values), groups=len(names), caution=few
    )


def _differences(found: dict[str, Floats], groups: Sequence[str]) -> dict[str, Estimate]:
    return {f"{MODEL} - {other}": mean(found[MODEL] - found[other], groups) for other in (RANDOM, CENTRE)}


def _centre(masks: Masks) -> Floats:
    """A blob in the middle of each square."""
    count, size = masks.shape[:2]
    away = (np.arange(size) - (size - 1) / 2) / (size * _BLOB)
    blob = np.exp(-(away[:, None] ** 2 + away[None] ** 2) / 2)
    return np.broadcast_to(blob, (count, size, size))
