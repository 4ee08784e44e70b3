"""The little languages of the command line: ``OLD=NEW`` pairs, columns by meaning, and expressions with a group."""

import csv
import re
import shlex

_EMPTY = ("''", '""')


def parse_pairs(text: str) -> dict[str, str]:
    """Read ``a=b,c=d``; a value may be empty, and so may a name (``=b`` or ``''=b``); ``"a,b=c"`` quotes a comma.

    Raises:
        ValueError: a part without ``=``, or a name given twice.
    """
    pairs: dict[str, str] = {}
    for part in _parts(text):
        name, equals, value = (piece.strip() for piece in part.partition("="))
        if not equals:
            raise ValueError(f"{part!r} is not of the form OLD=NEW")
        name, value = ("" if piece in _EMPTY else piece for piece in (name, value))
        if name in pairs:
            raise ValueError(f"{name!r} is given twice")
        pairs[name] = value
    return pairs


def parse_columns(text: str) -> dict[str, list[str]]:
    """Read ``path=file,labels=a,b,c``: what has no ``=`` is one more column of the meaning before it.

    Raises:
        ValueError: nothing before the first ``=``, or a meaning given twice.
    """
    columns: dict[str, list[str]] = {}
    for part in _parts(text):
        meaning, equals, name = (piece.strip() for piece in part.partition("="))
        if not equals and columns:
            columns[next(reversed(columns))].append(meaning)
        elif not equals or not meaning:
            raise ValueError(f"{part!r} is not of the form MEANING=COLUMN")
        elif meaning in columns:
            raise ValueError(f"{meaning!r} is given twice")
        else:
            columns[meaning] = [name]
    return columns


def said_columns(**meaning: str) -> str:
    """The option that names these columns, as it is typed."""
    return f"--columns {shlex.quote(','.join(f'{m}={column}' for m, column in meaning.items()))}"


def canonical(value: str) -> str:
    """A whole number without what pandas adds to it in a column with gaps: ``1.0`` is ``1``."""
    return re.sub(r"[.,]0+$", "", value) if re.fullmatch(r"-?\d+[.,]0+", value) else value


def _parts(text: str) -> list[str]:
    rows = list(csv.reader([text], skipinitialspace=True))
    return [part.strip() for part in (rows[0] if rows else []) if part.strip()]


def pattern_problem(name: str, pattern: str) -> str:
    """What is wrong with a user's expression, empty if nothing."""
    try:
        groups = re.compile(pattern).groups
    except re.error as error:
        return f"{name}={pattern}: {error}"
    return f"{name}={pattern}: needs a group, e.g. (patient\\d+)" if pattern and not groups else ""


def found_by(pattern: str, name: str, text: str) -> str | None:
    """What the group ``name`` of the expression finds in the text, or its first group; None where it finds nothing."""
    compiled = re.compile(pattern)
    found = compiled.search(text)
    return found[name if name in compiled.groupindex else 1] if found else None
