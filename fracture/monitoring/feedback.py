"""Which answers a person should look at first, and why: review.csv, to be filled in and brought back."""

import csv
import hashlib
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fracture.data.audit import traits
from fracture.files import as_cell, replacing
from fracture.monitoring.correction import NONE, Correction
from fracture.monitoring.record import Record
from fracture.monitoring.reference import QUANTILES, Reference

CORRECTED = "corrected by a reader"
RANDOM = "drawn at random"  # a reason: such rows alone estimate how often the model is right
COLUMNS = (
    "path", "label", "reason", "drawn", "model_says", "decision", "confidence", "fracture_probability", "time", "model",
    "version", "station", "device", "sha256",
)  # fmt: skip
_LOW, _MIDDLE, _HIGH = (QUANTILES.index(level) for level in (0.25, 0.5, 0.75))


@dataclass(frozen=True)
class Choice:
    """An answer to look at.

    Attributes:
        row: the answer.
        reasons: why, one or more.
    """

    row: Record
    reasons: tuple[str, ...]


def choose(
    rows: Sequence[Record], reference: Reference | None, count: int, seed: int = 0, corrected: Collection[str] = ()
) -> list[Choice]:
    """Half of ``count`` at random among all images that were answered, the rest in turn by what makes them telling.

    These are the referred ones, those nearest to the threshold and those most unlike the reference. The random half is
    the same for the same rows and seed, and all its images are equally likely, whatever the model said.

    Args:
        rows: of the log, of one model.
        reference: of it, None where there is none.
        count: images in all.
        seed: of the random half.
        corrected: digests of images that a reader called something else than the model did: all of these are chosen.
    """
    latest = list({row.image: row for row in sorted(rows, key=lambda row: row.time) if not row.error}.values())
    drawn = sorted(latest, key=lambda row: hashlib.sha256(f"{seed} {row.image}".encode()).digest())
    reasons: dict[str, list[str]] = {row.image: [RANDOM] for row in drawn[: (count + 1) // 2]}
    for image in sorted(set(corrected) & {row.image for row in latest}):
        reasons.setdefault(image, []).append(CORRECTED)
    lines = _lines(latest, reference)
    places = dict.fromkeys(lines, 0)
    while len(reasons) < min(count, len(latest)) and any(places[why] < len(line) for why, line in lines.items()):
        for why, line in lines.items():
            while places[why] < len(line) and len(reasons) < count:
                image = line[places[why]].image
                places[why] += 1
                known = reasons.setdefault(image, [])
                known.append(why)
                if len(known) == 1:
                    break
    found = {row.image: row for row in latest}
    return [Choice(found[image], tuple(why)) for image, why in reasons.items()]


def write(
    choices: Sequence[Choice], path: Path, images: Path | None, corrected: Mapping[str, Correction] = NONE
) -> None:
    """Write them with a column ``label``, to be filled in with the true class; what readers said stands there already.

    Args:
        choices: in order.
        path: of the CSV.
        images: the folder of kept images, whose files ``path`` then names.
        corrected: what readers said, by digest.
    """
    drawn = sum(RANDOM in choice.reasons for choice in choices)
    with replacing(path) as part, part.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        for choice in choices:
            row = choice.row
            place = str((images / row.kept).absolute()) if images and row.kept and (images / row.kept).is_file() else ""
            fracture = "" if row.fracture_probability is None else row.fracture_probability
            label = corrected[row.image].label if row.image in corrected else ""
            writer.writerow([
                place, label, "; ".join(choice.reasons), drawn, as_cell(row.label), row.decision, row.confidence,
                fracture, row.time, as_cell(row.model), row.version, as_cell(row.station), as_cell(row.device),
                row.image,
            ])  # fmt: skip


def _lines(rows: Sequence[Record], reference: Reference | None) -> dict[str, list[Record]]:
    """Who waits for which reason, the clearest case first."""

    def by(key: Callable[[Record], float], among: Sequence[Record]) -> list[Record]:
        return sorted(among, key=lambda row: (key(row), row.image))

    far = {row.image: unlike(row, reference) for row in rows}
    return {
        "referred": by(lambda row: row.confidence or 0, [row for row in rows if row.refer]),
        "near the threshold": by(lambda row: _gap(row, reference), rows),
        "unlike the reference": by(lambda row: -far[row.image], [row for row in rows if far[row.image] > 0]),
    }


def _gap(row: Record, reference: Reference | None) -> float:
    """How far an answer was from another one: from the threshold for a fracture, else from the second class."""
    threshold = reference.fracture_threshold if reference else None
    if threshold is not None and row.fracture_probability is not None:
        return abs(row.fracture_probability - threshold)
    first, second = sorted([*row.probabilities.values(), 0.0, 0.0], reverse=True)[:2]
    return first - second


def unlike(row: Record, reference: Reference | None) -> float:
    """How far an image is from the reference: by its features, else by its traits in quartile distances; 0: unknown."""
    if reference is None:
        return 0.0
    if row.distance is not None and reference.distance_quantiles:
        return row.distance
    if len(row.traits) != len(traits.NAMES) or reference.trait_names != traits.NAMES:
        return 0.0
    known = np.array([reference.trait_quantiles[name] for name in traits.NAMES])
    scale = np.maximum(known[:, _HIGH] - known[:, _LOW], 1e-3 * (1 + np.abs(known[:, _MIDDLE])))
    return float(np.minimum(np.abs(np.array(row.traits) - known[:, _MIDDLE]) / scale, 10).mean())
