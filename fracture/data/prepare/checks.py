"""What refuses a preparation: names that join too much, splits without images, fewer than two classes."""

import shlex
from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import replace
from itertools import combinations

from fracture.data.exclusions import Exclusion, kind_of, reasons
from fracture.data.groups import grouped
from fracture.data.listing import some
from fracture.data.manifest import SPLITS, Row
from fracture.data.originals import Original, unlikely
from fracture.data.prepare.config import PrepareConfig
from fracture.data.prepare.gather import Gathered
from fracture.data.prepare.label_files import how_to_read
from fracture.data.prepare.records import Record
from fracture.errors import DataError
from fracture.evidence.healthy import healthy_names
from fracture.files import as_text, is_text


def without_odd_labels(records: list[Record], excluded: list[Exclusion]) -> list[Record]:
    """The records but those whose label cannot be written on one line, which are left out by name."""
    reason = "its label holds a line break or another character that is not shown"
    odd = [record for record in records if not is_text(record.label)]
    excluded += [Exclusion(str(record.path), reason, as_text(record.label), record.source) for record in odd]
    return [record for record in records if is_text(record.label)] if odd else records


def several_healthy(classes: Sequence[str]) -> list[str]:
    """A sentence where several classes are called as the healthy one is."""
    names = healthy_names(classes)
    if len(names) < 2:
        return []
    pairs = shlex.quote(",".join(f"{name}={names[0]}" for name in names[1:]))
    return [f"{' and '.join(names)} may all be the healthy class: --label-map {pairs} makes them one"]


def unshared(rows: Sequence[Row]) -> list[str]:
    """A sentence where two sources have several classes each and none in common, be it in other words only."""
    held = grouped(dict.fromkeys((row.source, row.label) for row in rows))
    several = [(source, sorted(labels)) for source, labels in held.items() if len(labels) > 1]
    return [
        f"{one} has {some(first)} and {other} has {some(second)}, no class in common: if some are the same, "
        "--label-map OLD=NEW makes them one"
        for (one, first), (other, second) in combinations(several, 2)
        if not {*first} & {*second}
    ][:1]


def check_originals(records: list[Record], config: PrepareConfig) -> list[Record]:
    """The records without originals where names are not to be looked at; refused where names join too many.

    Raises:
        DataError: an original would have more copies than augmentation makes.
    """
    if config.originals == "ignore":
        return [replace(record, original="", rule="") for record in records]
    found = [Original(record.original, record.rule) for record in records]
    labels, paths = [record.label for record in records], [str(record.path) for record in records]
    if config.originals == "auto" and (sentences := unlikely(found, labels, paths)):
        raise DataError(
            sentences[:5],
            "If they are different images: --originals ignore. If they are copies of one: --originals names.",
        )
    return records


_LINKS = {
    "patient": ("the same patient", "--patients ignore"),
    "study": ("the same study", "--patients ignore"),
    "original": ("names of one original", "--originals ignore"),
    "near": ("near-duplicates", "--near-duplicates false"),
}


def check_splits(rows: list[Row], keys: list[list[Hashable]], named: bool) -> None:
    """Every split has images; ``named``: the data names the split of some.

    Raises:
        DataError: one has none, since the groups are too few or too large, or the data names no training images.
    """
    held = Counter(row.split for row in rows)
    if not (empty := [split for split in SPLITS if not held[split]]):
        return
    if named and "train" in empty:
        raise DataError(
            f"no image would be in train: the folders or the table put all {len(rows):,} images into "
            f"{' and '.join(split for split in SPLITS if held[split])}",
            "--resplit true makes new splits; or give the training images as a further SOURCE.",
        )
    members = grouped((row.group, i) for i, row in enumerate(rows))
    largest = max(members.values(), key=len)
    kinds = Counter(key[0] for i in largest for key in keys[i] if isinstance(key, tuple) and key[0] in _LINKS)
    by, way = _LINKS[kinds.most_common(1)[0][0]] if kinds and len(largest) > 1 else ("nothing", "")
    examples = ", ".join(rows[i].path.name for i in largest[:3])
    hint = f"If they are not: {way}. " if way else ""
    raise DataError(
        f"no image would be in {' and '.join(empty)}: {len(rows):,} images are {len(members):,} groups that must "
        f"stay together; the largest has {len(largest):,} images, linked by {by}: {examples}",
        f"{hint}Three groups of each class are needed; more images help.",
    )


def missing_classes(rows: list[Row]) -> list[str]:
    """A sentence for each split without some class, and what to do."""
    images = Counter(row.label for row in rows)
    held = {split: {row.label for row in rows if row.split == split} for split in SPLITS}
    missing = {split: sorted(images.keys() - held[split]) for split in SPLITS if images.keys() - held[split]}
    said = [
        f"{split} has no image of {', '.join(f'{label} ({images[label]:,} in all)' for label in labels)}, so training "
        "will refuse this manifest"
        for split, labels in missing.items()
    ]
    lacking = ",".join(f"{label}=" for label in dict.fromkeys(label for labels in missing.values() for label in labels))
    hint = (
        f"Add images of these classes, or leave them out (--label-map {shlex.quote(lacking)}) or merge them with others"
    )
    return [*said, hint] if said else []


_UNLISTED = (
    "--background NAME is for images that are listed without a box: whether an image that is not listed shows nothing "
    "is not known. Export as COCO or YOLO, which list every image, write a row with only its file name into the table, "
    "or move such images into a folder of their class and give that as a further SOURCE."
)


def check_classes(classes: set[str], images: int, excluded: list[Exclusion], sources: Sequence[Gathered]) -> None:
    """There are two classes.

    Raises:
        DataError: there are fewer; the message says what was left out and which files may hold the labels.
    """
    if len(classes) > 1:
        return
    first = {kind_of(one.reason): one.reason for one in reversed(excluded)}
    listed = "; ".join(f"{count:,} x {first[kind]}" for kind, count in reasons(excluded)[:5])
    why = f" Left out: {listed}." if listed else ""
    found = ", ".join(sorted(classes))
    tables = "".join(how_to_read(one.tree) for one in sources if one.tree and not one.annotated)
    raise DataError(
        f"{images} usable images of {len(classes)} class(es) ({found}), two are needed.{why}{tables}",
        _unlisted(sources) or "Give more sources, or say where the class is with --label-pattern or --columns.",
    )


def unused_background(background: str, classes: Sequence[str], sources: Sequence[Gathered]) -> list[str]:
    """What is said if no image has the class that the user names for images without a box."""
    if not background or background in classes:
        return []
    why = _unlisted(sources)
    return [f"no image has the class {background}, which --background names{f'. {why}' if why else ''}"]


def _unlisted(sources: Sequence[Gathered]) -> str:
    """Why images that annotations do not list have no class, empty if there are none."""
    return _UNLISTED if any(one.unlisted for one in sources) else ""
