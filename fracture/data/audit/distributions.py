"""Counts and sizes that the audit describes: labels per split, sources per label, blank and outlying images."""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import quantiles

from fracture.data.audit.image import Image
from fracture.data.manifest import SPLITS

BLANK_SPREAD = 3.0  # grey levels; the palest radiograph of FracAtlas has more than three times as much
TINY_SIDE = 64  # pixels; a fracture line is not visible in less
SHARE_GAP = 0.10  # a class may be that much more frequent in one split than in another
FENCE = 3.0  # Tukey's far-out fence in interquartile ranges, on log2 of the pixel count


@dataclass(frozen=True)
class Distributions:
    """What the images are like.

    Attributes:
        labels: images per split and label.
        sources: images per source and label.
        sides: median width and height in pixels per split.
        blank, tiny, outliers: paths of images without content, too small, or far off the others in size.
        warnings: what a person should know, one sentence each.
    """

    labels: dict[str, dict[str, int]]
    sources: dict[str, dict[str, int]]
    sides: dict[str, tuple[int, int]]
    blank: tuple[str, ...]
    tiny: tuple[str, ...]
    outliers: tuple[str, ...]
    warnings: tuple[str, ...]


def describe(images: Sequence[Image]) -> Distributions:
    """Describe the images; unreadable ones count as labels but have no size."""
    labels = _table([(image.split or "unsplit", image.label) for image in images])
    sources = _table([(image.source or "unknown", image.label) for image in images])
    readable = [image for image in images if not image.error and image.width]
    blank = tuple(image.path for image in readable if image.spread < BLANK_SPREAD)
    tiny = tuple(image.path for image in readable if min(image.width, image.height) < TINY_SIDE)
    outliers = _outliers(readable)
    warnings = [*_label_warnings(labels), *_source_warnings(sources)]
    for found, words in (
        (blank, f"blank (grey levels spread by less than {BLANK_SPREAD:g})"),
        (tiny, f"less than {TINY_SIDE} pixels wide or high"),
        (outliers, f"far larger or smaller than the others ({FENCE:g} interquartile ranges)"),
    ):
        if found:
            warnings.append(f"{len(found):,} images are {words}, e.g. {found[0]}")
    return Distributions(labels, sources, _sides(readable), blank, tiny, outliers, tuple(warnings))


def _table(pairs: Sequence[tuple[str, str]]) -> dict[str, dict[str, int]]:
    counts = Counter(pairs)
    columns = sorted({column for _, column in pairs})
    order = {"train": 0, "val": 1, "test": 2}
    rows = sorted({row for row, _ in pairs}, key=lambda row: (order.get(row, 3), row))
    return {row: {column: counts[row, column] for column in columns} for row in rows}


def _sides(images: Sequence[Image]) -> dict[str, tuple[int, int]]:
    found: dict[str, tuple[int, int]] = {}
    for split in dict.fromkeys(image.split or "unsplit" for image in images):
        held = [image for image in images if (image.split or "unsplit") == split]
        found[split] = _median([image.width for image in held]), _median([image.height for image in held])
    return found


def _median(values: list[int]) -> int:
    return sorted(values)[len(values) // 2]


def _outliers(images: Sequence[Image]) -> tuple[str, ...]:
    """Images whose pixel count lies beyond Tukey's far-out fences (Tukey 1977), at least a factor of 8 off."""
    if len(images) < 20:
        return ()
    logs = [math.log2(image.width * image.height) for image in images]
    low, _, high = quantiles(logs, n=4)
    reach = max(FENCE * (high - low), 3.0)
    return tuple(i.path for i, value in zip(images, logs, strict=True) if not low - reach <= value <= high + reach)


def _label_warnings(labels: dict[str, dict[str, int]]) -> list[str]:
    absent = [split for split in SPLITS if split not in labels] if set(labels) - {"unsplit"} else []
    warnings = [f"no image is in {split}: training will refuse" for split in absent]
    warnings += [
        f"{split} has no {label}" for split, counts in labels.items() for label, count in counts.items() if not count
    ]
    shares = {split: {k: n / sum(counts.values()) for k, n in counts.items()} for split, counts in labels.items()}
    for label in next(iter(labels.values()), {}):
        held = {split: share[label] for split, share in shares.items()}
        top, bottom = max(held, key=lambda s: held[s]), min(held, key=lambda s: held[s])
        if held[top] - held[bottom] > SHARE_GAP:
            warnings.append(f"{label} makes up {held[top]:.0%} of {top} but {held[bottom]:.0%} of {bottom}")
    return warnings


def _source_warnings(sources: dict[str, dict[str, int]]) -> list[str]:
    """Classes that have a source of their own, so that class and source cannot be told apart."""
    if len(sources) < 2:
        return []
    warnings = []
    for label in next(iter(sources.values()), {}):
        own = [source for source, counts in sources.items() if counts[label]]
        if all(sum(sources[source].values()) == sources[source][label] for source in own):
            warnings.append(f"every {label} is from {', '.join(own)}, which has no other class")
    return warnings
