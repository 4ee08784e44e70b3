"""What one cell of a table says: yes, no, nobody knows, or one class or several."""

import re
from collections.abc import Collection

from fracture.data.listing import some

UNKNOWN = {"?", "nan", "n/a", "na", "null", "unknown", "uncertain", "unclear", "-", "#n/a", "not available"}
_DOUBTED = re.compile(
    r"\?|possib|probab|suspe[ck]t|suspici|question|uncertain|unclear|unsure|equivocal|indetermin|maybe|verdacht|fraglich",
    re.IGNORECASE,
)
HOT = {"1", "true", "yes", "y", "x"}
COLD = {"0", "", "false", "no", "n"}


def is_unknown(label: str, labels: Collection[str] = ()) -> bool:
    """Whether a label says that nobody knows the class; so does -1 beside 0 and 1, or beside 1 and empty cells.

    Args:
        label: without what pandas adds.
        labels: all of the column, likewise.
    """
    return label.lower() in UNKNOWN or (label == "-1" and "1" in labels and ("0" in labels or "" in labels))


def doubt_note(labels: Collection[str]) -> list[str]:
    """What is said where some classes sound as if nobody was sure."""
    doubted = sorted(label for label in labels if _DOUBTED.search(label))
    if not doubted:
        return []
    return [f"classes that may be uncertain: {some(doubted)}; --label-map OLD=NEW,OTHER= renames and excludes them"]


def findings_of(label: str, labels: Collection[str]) -> list[str]:
    """The classes that a cell names: ``a|b``, ``a; b``, ``['a', 'b']``, and ``a, b`` or ``a and b`` of known ones.

    Args:
        label: the cell.
        labels: all cells of the column.
    """
    inner = label[1:-1] if label[:1] + label[-1:] == "[]" else label
    listed = inner != label
    parts = [part.strip(" \"'") for part in re.split(r"[|;]|,(?=\s*[\"'])" if listed else r"[|;]", inner)]
    if len(parts) == 1 and not listed:
        split = _split(label)
        parts = split if len(split) > 1 and set(split) <= set(labels) else parts
    return [part for part in parts if part]


def mixed_note(labels: Collection[str]) -> list[str]:
    """What is said where some classes are made of another one and of more, which may be a class of its own or not."""
    mixed = sorted(label for label in labels if len(parts := set(_split(label))) > 1 and len(parts & set(labels)) > 0)
    mixed = [label for label in mixed if not set(_split(label)) <= set(labels)]
    if not mixed:
        return []
    return [
        f"classes that may be several findings: {some(mixed)}; --label-map OLD=NEW,OTHER= renames classes and excludes "
        "them"
    ]


def _split(label: str) -> list[str]:
    return [part.strip() for part in re.split(r"\s*[,+/&]\s*|\s+and\s+", label)]
