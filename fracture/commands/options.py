"""Command-line options derived from a configuration model, so that no setting is written down twice."""

import math
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args, get_origin

import click
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from fracture.allowed_values import range_of
from fracture.config import BY_RECIPE, default_of

F = TypeVar("F", bound=Callable[..., Any])
_METAVARS = {str: "TEXT", int: "INT", float: "FLOAT", bool: "true|false"}
_NARROW = 60  # columns of a terminal that the names of an option and its choices fit into


def options_of(model: type[BaseModel], only: Collection[str] = ()) -> Callable[[F], F]:
    """A decorator that adds ``--name VALUE`` for each field of ``model``, or for some of them.

    Values arrive as text, and only for options that were given; the model itself converts and checks them, so that a
    command line, an MLproject and a file are all judged by the same rules.
    """

    def decorate(function: F) -> F:
        for name, field in reversed(model.model_fields.items()):
            if only and name not in only:
                continue
            flag = "--" + name.replace("_", "-")
            spellings = dict.fromkeys([flag, "--" + name])  # MLproject and habit write underscores
            bare: dict[str, Any] = {"is_flag": False, "flag_value": "true"} if field.annotation is bool else {}
            metavar = _metavar(name, field)
            long = len(f"  {', '.join(spellings)} {metavar}") > _NARROW  # then they are told in the text
            said = _help(model, name, f"one of {metavar.replace('|', ', ')}" if long else "")
            option = click.option(  # a switch alone means true
                *spellings, name, default=None, metavar="TEXT" if long else metavar, help=said, **bare
            )
            function = option(function)
        return function

    return decorate


def given(values: dict[str, str | None]) -> dict[str, str]:
    """The options that were given."""
    return {name: value for name, value in values.items() if value is not None}


def _help(model: type[BaseModel], name: str, choices: str) -> str:
    field, default = model.model_fields[name], default_of(model, name)
    said = "; ".join(filter(None, [f"default: {default}" if default else "", range_of(field), choices]))
    return str(field.description) + (f"  [{said}]" if said else "")


def _metavar(name: str, field: FieldInfo) -> str:
    if get_origin(field.annotation) is Literal:
        return "|".join([*(["auto"] if name in BY_RECIPE else []), *get_args(field.annotation)])
    plain, *words = get_args(field.annotation) or (field.annotation,)  # a type, or one of a type and words
    kind = get_args(plain)[0] if get_args(plain) else plain
    more = [str(word) for one in words for word in get_args(one)] or (["auto"] if name in BY_RECIPE else [])
    return "|".join([_METAVARS[kind], *more])


class Int(click.IntRange):
    """A whole number with a range, named as the options of `options_of` are."""

    name = "int"

    def _describe_range(self) -> str:
        return f"at least {self.min:,}" if self.max is None else f"{self.min:,} to {self.max:,}"


class Float(click.FloatRange):
    """A number with a range, named as the options of `options_of` are."""

    name = "float"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """The number; nan is in no range, though it is not outside either."""
        number: float = super().convert(value, param, ctx)
        return number if math.isfinite(number) else self.fail(f"{value} is no number.", param, ctx)

    def _describe_range(self) -> str:
        return f"at least {self.min:g}" if self.max is None else f"{self.min:g} to {self.max:g}"


class WholeSentences(click.Group):
    """A group whose help lists its commands with their first sentences, not cut off."""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The commands, each with its sentence."""
        found = [(name, self.get_command(ctx, name)) for name in self.list_commands(ctx)]
        with formatter.section("Commands"):
            formatter.write_dl([(name, command.get_short_help_str(limit=1000)) for name, command in found if command])


def by_option(function: F) -> F:
    """Add ``--by``: what is answered once, as `fracture.inference.study_table.PredictionInputs` takes it."""
    told = "one answer per image, study (column study, else patient or group) or folder"
    choices = click.Choice(["image", "study", "folder"])
    return click.option("--by", type=choices, default="image", show_default=True, help=told)(function)


def log_options(function: F) -> F:
    """Add the options of a log of answers, as `fracture.runs.answer_log.open_log` takes them."""
    path = click.Path(path_type=Path)
    log = "keep every answer in LOG: a folder, sqlite:///FILE or postgresql://..."
    for option in (
        click.option("--log-key", type=path, help="file with the secret key of the digests; created if missing"),
        click.option(
            "--keep-images", type=path, metavar="DIR", help="also keep the images in DIR, named by their digest"
        ),
        click.option("--keep-days", type=Int(1), help="delete rows that are older than N days"),
        click.option("--log", default="", metavar="LOG", help=log),
    ):
        function = option(function)
    return function
