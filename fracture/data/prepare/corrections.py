"""Labels that somebody has looked at again: a CSV with ``path`` and ``label``, applied before images are linked."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from fracture.config import nearest
from fracture.data.inspection.inspected import Inspection
from fracture.data.prepare.records import Record
from fracture.data.tables import open_table
from fracture.errors import ConfigError, DataError

BEFORE = "label_before"  # column of the manifest: what an image's label was where it was corrected
_SHOWN = 20

Opened = tuple[Record, Inspection]


@dataclass(frozen=True)
class _Correction:
    where: str
    path: str
    label: str
    sha256: str


def correct(opened: Sequence[Opened], corrections: str) -> list[Opened]:
    """The images with the labels of a CSV; copies of the same bytes get the same one.

    A row names its image by ``sha256`` where it has that column, as label_review.csv has, else by its path or the end
    of it. The label before stays in the column `BEFORE`. Rows that change nothing are allowed.

    Args:
        opened: the images of all sources.
        corrections: path of the CSV, empty for none.

    Raises:
        ConfigError: no such file.
        DataError: a row names no image, several, or a class that no image has; every such row at once.
    """
    if not corrections:
        return list(opened)
    path = Path(corrections).expanduser()
    if not path.is_file():
        raise ConfigError(f"corrections={corrections}: no such file")
    labels = _labels(_read(path), opened, path)
    return [(_corrected(record, labels.get(found.sha256)), found) for record, found in opened]


def _corrected(record: Record, label: str | None) -> Record:
    if label is None or label == record.label:
        return record
    before = record.extra.get(BEFORE) or record.label
    return replace(record, label=label, extra={**record.extra, BEFORE: before})


def _read(path: Path) -> list[_Correction]:
    with open_table(path) as table:
        if missing := sorted({"path", "label"} - set(table.names)):
            raise DataError(
                f"{path}: column {' and '.join(missing)} missing, found {', '.join(table.names) or 'none'}",
                "Corrections have the columns path and label, as label_review.csv has.",
            )
        return [
            _Correction(f"{path}:{line}", *((row.get(name) or "").strip() for name in ("path", "label", "sha256")))
            for line, row in table.rows
        ]


def _labels(corrections: Sequence[_Correction], opened: Sequence[Opened], path: Path) -> dict[str, str]:
    """The new label of each content, by its digest.

    Raises:
        DataError: see `correct`.
    """
    places, held = _Places(opened, path.resolve().parent), {found.sha256 for _, found in opened}
    classes = sorted({record.label for record, _ in opened})
    found: dict[str, str] = {}
    problems = []
    for one in corrections:
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
        more = [f"... and {len(problems) - _SHOWN} more"] if len(problems) > _SHOWN else []
        raise DataError(problems[:_SHOWN] + more, "Paths are whole ones, or the end of one that no other image has.")
    return found


class _Places:
    """Contents by the path of their image or the end of it."""

    def __init__(self, opened: Sequence[Opened], folder: Path) -> None:
        self._folder = folder
        self._whole: dict[Path, set[str]] = defaultdict(set)
        self._ends: dict[str, list[tuple[tuple[str, ...], str]]] = defaultdict(list)
        for record, inspection in opened:
            self._whole[record.path].add(inspection.sha256)
            self._ends[record.path.name].append((record.path.parts, inspection.sha256))

    def find(self, path: str) -> set[str]:
        """Digests of the images that a path names."""
        if not path:
            return set()
        if whole := self._whole.get(self._folder / path):
            return whole
        parts = PurePosixPath(path.replace("\\", "/").removeprefix("./")).parts
        ends = self._ends.get(parts[-1], ()) if parts else ()
        return {digest for own, digest in ends if own[-len(parts) :] == parts}
