"""What the values of a configuration may be, in words, and what is said of those that are something else."""

import difflib
import re
from collections.abc import Iterable, Mapping
from types import UnionType
from typing import Annotated, Any, Literal, NamedTuple, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from fracture.errors import ConfigError

M = TypeVar("M", bound=BaseModel)
_LIMITS = {"ge": "at least", "gt": "above", "le": "at most", "lt": "below"}


def parse_model(model: type[M], values: Mapping[str, Any], command: str) -> M:
    """Make a configuration of strings or values, as they come from a command line or a file.

    Args:
        model: which configuration.
        values: by name; what is left out takes its default.
        command: as the user calls it, for the hint.

    Raises:
        ConfigError: every unknown name and every value out of range, at once.
    """
    made, problems = validated(model, values)
    if made is None:
        raise refused(problems, command)
    return made


def validated(model: type[M], values: Mapping[str, Any], more: Iterable[str] = ()) -> tuple[M | None, list[str]]:
    """A configuration, or None and what is wrong with each value; ``more`` names are known beside the model's own.

    A model's ``AUTO_TOO`` names fields that take ``auto`` beside what their types say.
    """
    try:
        return model.model_validate(dict(values)), []
    except ValidationError as error:
        known = list(dict.fromkeys([*model.model_fields, *more]))
        return None, [_explain(dict(problem), known, model) for problem in error.errors(include_url=False)]


def refused(problems: Iterable[str], command: str) -> ConfigError:
    """The failure that tells all problems at once, and where to read on."""
    hint = f"`{command} --help` lists every parameter with its range."
    return ConfigError("\n".join([*dict.fromkeys(problems), hint]))


def names_in(text: str) -> list[str]:
    """The names in a text, with commas or blanks between them."""
    return text.replace(",", " ").split()


def nearest(word: str, known: list[str]) -> str:
    """A sentence with the names nearest to a mistyped one, case, blanks, - and _ aside; empty where none is near."""
    spelt: dict[str, list[str]] = {}
    for name in known:
        spelt.setdefault(_plain(name), []).append(name)
    close = [name for one in difflib.get_close_matches(_plain(word), spelt, n=5, cutoff=0.5) for name in spelt[one]]
    return f"Nearest: {', '.join(close[:5])}." if close else ""


def _plain(name: str) -> str:
    return re.sub(r"[\s_-]+", "", name).casefold()


def _explain(problem: dict[str, Any], known: list[str], model: type[BaseModel]) -> str:
    place = [str(part) for part in problem["loc"]]
    if not place:
        return str(problem["msg"]).removeprefix("Value error, ")
    name = place[0]
    if problem["type"] == "extra_forbidden":
        return f"{name}: no such parameter. {nearest(name, known)}".rstrip()
    said = problem["msg"].removeprefix("Value error, ")
    if said == problem["msg"] and (words := _must_be(model, name)):  # else in a library's words, for each type in turn
        said = f"must be {words}"
    return f"{name}={problem['input']}: {said[0].lower()}{said[1:]}"


def _must_be(model: type[BaseModel], name: str) -> str:
    """What a setting takes, as the end of a sentence; empty for any text."""
    found = _parts(model.model_fields[name])
    words = found.words
    if name in getattr(model, "AUTO_TOO", ()) and "auto" not in words:
        words = ["auto", *words]
    several = f"one of {', '.join(words)}" if len(words) > 1 else "".join(words)
    return " or ".join(filter(None, [f"a {found.kind} ({found.range})" if found.range else "", several]))


def allowed(field: FieldInfo) -> str:
    """The values that a setting takes, in words: its choices, or its range; empty for any text."""
    found = _parts(field)
    return " or ".join(filter(None, [found.range, ", ".join(found.words)]))


def range_of(field: FieldInfo) -> str:
    """The range of a number, as ``at least 1``; empty where it has none."""
    return _parts(field).range


class _Parts(NamedTuple):
    """What a setting takes: a ``number`` or ``whole number`` of a range, and words."""

    kind: str
    range: str
    words: list[str]


def _parts(field: FieldInfo) -> _Parts:
    kind, ranges, words = "", "", list[str]()
    several = get_origin(field.annotation) in (Union, UnionType)
    for one in get_args(field.annotation) if several else [field.annotation]:
        plain, limits = (get_args(one)[0], get_args(one)[1].metadata) if get_origin(one) is Annotated else (one, [])
        if get_origin(plain) is Literal:
            words += map(str, get_args(plain))
        elif plain is bool:
            words += ["true", "false"]
        elif plain in (int, float):
            kind, ranges = "whole number" if plain is int else "number", _range([*field.metadata, *limits])
    return _Parts(kind, ranges, words)


def _range(limits: Iterable[Any]) -> str:
    """``from 1 to 20``, ``above 0, up to 1`` and the like."""
    found = {name: value for limit in limits for name in _LIMITS if (value := getattr(limit, name, None)) is not None}
    if {"ge", "le"} <= found.keys():
        return f"{found['ge']:,} to {found['le']:,}"
    return ", ".join(f"{words} {found[name]:,}" for name, words in _LIMITS.items() if name in found)
