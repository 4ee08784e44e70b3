"""Labels that somebody has looked at again, applied before images are linked."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath

from fracture.allowed_values import nearest
from fracture.data.groups import grouped
from fracture.data.inspection.inspected import Inspection
from fracture.data.listing import first
from fracture.data.prepare import reviewed
from fracture.data.prepare.records import Record
from fracture.data.prepare.reviewed import Reviewed
from fracture.errors import ConfigError, DataError
from fracture.files import expanded

BEFORE = "label_before"  # column of the manifest: what an image's label was where it was corrected

Opened = tuple[Record, Inspection]


def correct(opened: Sequence[Opened], corrections: str) -> list[Opened]:
    """The images with the labels of a file; copies of the same bytes get the same one.

    A row names its image by ``sha256`` where it has that column, as label_review.csv has, else by its path or the end
    of it. The label before stays in the column `BEFORE`. Rows that change nothing are allowed, and rows of a review.csv
    without a label.

    Args:
        opened: the images of all sources.
        corrections: path of a file that `reviewed.read` reads, empty for none.

    Raises:
        ConfigError: no such file.
        DataError: a row names no image, several, or a class that no image has; every such row at once.
    """
    if not corrections:
        return list(opened)
    path = expanded(corrections)
    if not path.is_file():
        raise ConfigError(f"corrections={corrections}: no such file")
    labels = _labels(reviewed.read(path), opened, path)
    return [(_corrected(record, labels.get(found.sha256)), found) for record, found in opened]


def _corrected(record: Record, label: str | None) -> Record:
    if label is None or label == record.label:
        return record
    before = record.extra.get(BEFORE) or record.label
    return replace(record, label=label, extra={**record.extra, BEFORE: before})


def _labels(corrections: Sequence[Reviewed], opened: Sequence[Opened], path: Path) -> dict[str, str]:
    """The new label of each content, by its digest.

    Raises:
        DataError: see `correct`.
    """
    places, held = _Places(opened, path.resolve().parent), {found.sha256 for _, found in opened}
    classes = sorted({record.label for record, _ in opened})
    found: dict[str, str] = {}
    problems = []
    for one in corrections:
        if not one.label and one.reason:
            continue  # of a review.csv, and nobody has looked at it
        digests = {one.sha256} & held or places.find(one.path)
        if one.label not in classes:
            hint = nearest(one.label, classes) or f"Known: {', '.join(classes)}."
            problems.append(f"{one.where}: no image has the class {one.label!r}. {hint}")
        elif len(digests) != 1:
            count = "more than one image" if digests else "no image"
            problems.append(f"{one.where}: {one.path or 'an empty path'} is {count}")
        elif found.setdefault(digest := next(iter(digests)), one.label) != one.label:
            problems.append(f"{one.where}: {one.path} is corrected to {found[digest]} and to {one.label}")
    if problems:
        raise DataError(first(problems), "Paths are whole ones, or the end of one that no other image has.")
    return found


class _Places:
    """Contents by the path of their image or the end of it."""

    def __init__(self, opened: Sequence[Opened], folder: Path) -> None:
        self._folder = folder
        places = [(record.path, inspection.sha256) for record, inspection in opened]
        self._whole = grouped(places)
        self._ends = grouped((path.name, (path.parts, digest)) for path, digest in places)

    def find(self, path: str) -> set[str]:
        """Digests of the images that a path names."""
        if not path:
            return set()
        if whole := self._whole.get(self._folder / path):
            return set(whole)
        parts = PurePosixPath(path.replace("\\", "/").removeprefix("./")).parts
        ends = self._ends.get(parts[-1], ()) if parts else ()
        return {digest for own, digest in ends if own[-len(parts) :] == parts}
