"""What one cell of a table says: yes, no, nobody knows, or one class or several."""

import json
import re
from collections.abc import Collection

from fracture.data.listing import some

EMPTY = "its label is empty (--label-map \"''=NAME\" gives such images a class)"
_UNKNOWN = re.compile(
    r"nan|n/?a|nat|<na>|null|unk(?:nown)?|uncertain|unclear|not (?:available|known|label+ed)|no label|unlabel+ed"
    r"|missing|pending|tb[ad]|[-?.*_~/–—]+|#\S+[?!]|#n/a",  # the last are errors of a spreadsheet
    re.IGNORECASE,
)
_DOUBTED = re.compile(
    r"\?|possib|probab|suspe[ck]t|suspici|question|uncertain|unclear|(?:un|not )sure|equivocal|(?:inde|undeter)mined"
    r"|indeterm|maybe|verdacht|fraglich|quality|unusable|exclu|skip|^none$"
    r"|(?:not|nicht|non|un)[ -]?(?:evalu|assess|diagnos|beurteil|interpret)",
    re.IGNORECASE,
)
_CODES = re.compile(r"-?(9+|8)")  # what statistics programs write for missing
HOT = {"1", "true", "t", "yes", "y", "x", "checked", "✓", "✔"}
COLD = {"0", "", "false", "f", "no", "n", "unchecked"}
_QUOTED = r"\"[^\"]*\"|'[^']*'"
_LIST = re.compile(rf"[\[(]\s*(?:(?:{_QUOTED})[\s,]*)*[\])]")
_BETWEEN = re.compile(r"[;|,\n]|(?<=\.\w{3})\s+|(?<=\.\w{4})\s+")  # between the names of several files
_WORDS = re.compile(r"\[[^\W\d][^{}\[\]\"']*\]")


def is_unknown(label: str, labels: Collection[str] = ()) -> bool:
    """Whether a label says that nobody knows the class; so do -1 or 9 beside 0 and 1, or -1 beside 1 and empty cells.

    Args:
        label: without what pandas adds.
        labels: all of the column, likewise.
    """
    if _UNKNOWN.fullmatch(label):
        return True
    if label == "-1":
        return "1" in labels and ("0" in labels or "" in labels)
    plain = [one for one in labels if not (_CODES.fullmatch(one) or _UNKNOWN.fullmatch(one) or one in ("", "-1"))]
    return bool(_CODES.fullmatch(label)) and sorted(plain) == ["0", "1"]


def doubt_note(labels: Collection[str]) -> list[str]:
    """What is said where some classes sound as if nobody was sure."""
    doubted = sorted(label for label in labels if _DOUBTED.search(label))
    if not doubted:
        return []
    way = "--label-map OLD=NEW,OTHER= renames and excludes them"
    return [f"classes that may be uncertain or unusable: {some(doubted)}; {way}"]


def is_code(label: str) -> bool:
    """Whether a cell holds a value of a program that names no class, as ``[0, 1]`` or ``{"x": 3}``."""
    bracketed = label[:1] + label[-1:] in ("[]", "{}")
    return bracketed and _listed(label) is None and not _WORDS.fullmatch(label)


def _listed(label: str) -> list[str] | None:
    """The classes that a list or an object of a program names; None where it is neither, or holds something else."""
    if _LIST.fullmatch(label):
        return [one[1:-1].strip() for one in re.findall(_QUOTED, label)]
    try:
        return _names(json.loads(label)) if label.startswith(("{", "[")) else None
    except (ValueError, RecursionError):
        return None


def names_in(cell: str) -> list[str]:
    """The files that a cell may name: of ``a.png;b.png`` and ``["a.png", "b.png"]`` both, else the cell itself.

    An address with a query is one, be there a semicolon in it.
    """
    if "?" in cell or (not _BETWEEN.search(cell) and cell[:1] not in ("[", "{", "(")):
        return [cell]
    listed = _listed(cell)
    names = _BETWEEN.split(cell.strip("[]()")) if listed is None else listed
    return [name.strip() for name in names if name.strip()]


def _names(value: object) -> list[str]:
    """The strings in a JSON value, and the names of what is true.

    Raises:
        ValueError: it holds a number.
    """
    if isinstance(value, str):
        return [value.strip()]
    if isinstance(value, list):
        return [name for one in value for name in _names(one)]
    if not isinstance(value, dict):
        raise ValueError("neither a name nor several")
    return [
        name
        for key, one in value.items()
        for name in (([key] if one else []) if isinstance(one, bool) else _names(one))
    ]


def findings_of(label: str, labels: Collection[str]) -> list[str]:
    """The classes that a cell names: ``a|b``, ``['a', 'b']``, ``{"choices": ["a"]}``, and ``a, b`` of known ones.

    Args:
        label: the cell.
        labels: all cells of the column.
    """
    listed = _listed(label)
    if listed is not None:
        return [part for part in listed if part]
    words = _WORDS.fullmatch(label)
    parts = [part.strip(" \"'") for part in re.split(r"[|;]", label[1:-1] if words else label)]
    if len(parts) == 1 and not words:
        split = _split(label)
        parts = split if len(split) > 1 and set(split) <= set(labels) else parts
    return [part for part in parts if part]


def mixed_note(labels: Collection[str]) -> list[str]:
    """What is said where some classes are made of another one and of more, which may be a class of its own or not."""
    known = [label for label in labels if not is_unknown(label, labels)]
    mixed = sorted(label for label in known if len(parts := set(_split(label))) > 1 and len(parts & set(labels)) > 0)
    mixed = [label for label in mixed if not set(_split(label)) <= set(labels)]
    if not mixed:
        return []
    return [
        f"classes that may be several findings: {some(mixed)}; --label-map OLD=NEW,OTHER= renames classes and excludes "
        "them"
    ]


def _split(label: str) -> list[str]:
    return [part.strip() for part in re.split(r"\s*[,+/&]\s*|\s+and\s+", label)]
