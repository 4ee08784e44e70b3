"""What people said of images that they looked at again: a CSV, or an export of Label Studio."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fracture.data.tables import open_table, plain
from fracture.errors import DataError
from fracture.progress import LOG

_STUDIO = "choice"  # the column of Label Studio's answer, as its template for image classification names it
_IMAGE = {"path", "image", "sha256"}  # any of these columns says which image is meant


@dataclass(frozen=True)
class Reviewed:
    """What was said of one image.

    Attributes:
        where: file and line, for messages.
        path: of the image, or the end of it.
        label: its class, empty where nobody has filled it in.
        sha256: of its contents, empty where the file does not say.
        reason: why it was to be looked at, empty where the file does not say.
        drawn: how many images were drawn at random when the file was written, empty where it does not say.
    """

    where: str
    path: str
    label: str
    sha256: str
    reason: str
    drawn: str


def read(path: Path) -> list[Reviewed]:
    """The rows of a file.

    Columns are ``path`` and ``label``, and ``sha256`` and ``reason`` where they are known. An export of Label Studio
    (CSV, JSON-MIN or JSON) has ``choice`` for the label, ``image`` for the path, and the columns that were imported.

    Raises:
        DataError: a column is missing, or it is no such file.
    """
    return _from_json(path) if path.suffix.lower() == ".json" else _from_table(path)


def _from_table(path: Path) -> list[Reviewed]:
    with open_table(path, foreign=True) as table:
        names = {plain(name): name for name in reversed(table.names)}
        label = _STUDIO if _STUDIO in names else "label"
        missing = [*(["label"] if label not in names else []), *(["path"] if not names.keys() & _IMAGE else [])]
        if missing:
            raise DataError(
                f"{path}: column {' and '.join(missing)} missing, found {', '.join(table.names) or 'none'}",
                "Corrections have the columns path and label, as label_review.csv has.",
            )
        for note in table.notes:
            LOG.warning("%s: %s", path, note)
        rows = [(line, {name: row.get(own, "") for name, own in names.items()}) for line, row in table.rows]
        return [_row(f"{path}:{line}", row, label) for line, row in rows]


def _from_json(path: Path) -> list[Reviewed]:
    try:
        tasks = json.loads(path.read_text(encoding="utf-8-sig"))
        each = [(place, one) for place, task in enumerate(tasks) for one in _answers(task)]
        return [_row(f"{path}:{place}", one, _STUDIO) for place, one in each]
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise DataError(
            f"{path}: is no export of Label Studio: {error}", "It exports JSON, JSON-MIN and CSV; any of them will do."
        ) from error


def _answers(task: dict[str, Any]) -> list[dict[str, Any]]:
    """A task of JSON-MIN as it is; of JSON one for each annotation that was not cancelled.

    Where several questions were put, the one that is called `_STUDIO` counts.
    """
    if "annotations" not in task:
        return [task]
    results = [
        result
        for annotation in task["annotations"]
        if not annotation.get("was_cancelled")
        for result in annotation.get("result") or ()
        if result.get("type") == "choices"
    ]
    named = [result for result in results if result.get("from_name") == _STUDIO] or results
    chosen = [" | ".join(result["value"]["choices"]) for result in named]  # several are no class, which is said later
    return [{**task["data"], _STUDIO: label} for label in chosen or [""]]


def _row(where: str, values: Mapping[Any, Any], label: str) -> Reviewed:
    def text(name: str) -> str:
        return str(values.get(name) or "").strip()

    return Reviewed(
        where, text("path") or text("image"), text(label), text("sha256").lower(), text("reason"), text("drawn")
    )
