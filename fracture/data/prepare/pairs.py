"""The two little languages of the command line: ``OLD=NEW`` pairs and expressions with a group."""

import re


def parse_pairs(text: str) -> dict[str, str]:
    """Read ``a=b,c=d``; a value may be empty.

    Raises:
        ValueError: a part without ``=`` or without a name before it, or a name given twice.
    """
    pairs: dict[str, str] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        name, equals, value = (piece.strip() for piece in part.partition("="))
        if not equals or not name:
            raise ValueError(f"{part!r} is not of the form OLD=NEW")
        if name in pairs:
            raise ValueError(f"{name!r} is given twice")
        pairs[name] = value
    return pairs


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
