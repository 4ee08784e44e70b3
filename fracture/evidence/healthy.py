"""Which class is healthy: decided here, once, for all that speaks of fractures."""

import re
import shlex
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from fracture.allowed_values import nearest
from fracture.errors import ConfigError

AUTO, NONE = "auto", "none"
NO_HEALTHY_CLASS = "no class is known to be healthy"
_BEFORE = "no_fracture"  # the only name that counted before runs and models recorded their healthy class

# as `_plain` spells them; left out is what may mean something else: benign (a tumour), background, 0 beside 1 and 2
_NAMES = frozenset(
    {f"{no}{fracture}" for no in ("no", "non", "not") for fracture in ("fracture", "fractures", "fractured", "fx")}
    | {f"{fracture}{no}" for no in ("none", "no", "negative", "absent") for fracture in ("fracture", "fx")}
    | {
        "unfractured",
        "fracturefree",
        "normal",
        "healthy",
        "negative",
        "nofinding",
        "nofindings",
        "intact",
        "neg",
        "nad",
    }
    | {f"no{acute}{finding}" for acute in ("", "acute") for finding in ("fractureseen", "osseousabnormality")}
    | {"noacutefracture", "noacutefinding", "noacutefindings", "noabnormality", "noabnormalitydetected", "notbroken"}
    | {"healthycontrol", "healthycontrols"}
    | {"gesund", "unauffällig", "unauffaellig", "keinefraktur", "ohnefraktur"}  # German
    | {"sain", "sansfracture", "pasdefracture", "sano", "sinfractura", "nofractura"}  # French, Italian, Spanish
    | {"normale", "senzafrattura", "saudável", "saudavel", "semfratura", "gezond", "geenfractuur"}
)
_FRACTURES = frozenset({"fracture", "fractures", "fractured", "fx", "broken", "fracture+", "fx+"}) | {
    "fraktur", "frakturen", "fractura", "frattura", "fratura", "fractuur",
}  # fmt: skip
_SAYS_FRACTURE = re.compile(r"fract|frakt|fratt|\bfx\b|bro[kc]en|break", re.IGNORECASE)
_CASES = frozenset({"case", "cases"})
_PAIRS = {  # healthy only where the one other class is the counterpart
    "0": frozenset({"1"}),
    "false": frozenset({"true"}),
    "f": frozenset({"t"}),
    "no": frozenset({"yes"}),
    "n": frozenset({"y", "p"}),
    "fracture-": frozenset({"fracture+"}),
    "fx-": frozenset({"fx+"}),
    "absent": frozenset({"present"}),
    "control": _CASES | _FRACTURES,  # alone it may be the radiograph that checks on a treated fracture
    "controls": _CASES | _FRACTURES,
}
_COST = "no threshold for reporting a fracture and no sensitivity will be given"


@dataclass(frozen=True)
class Healthy:
    """The healthy class of a data set, and how it was found.

    Attributes:
        name: of the class, None where none is known.
        sentence: what a person is told.
        doubted: whether a person should look: none was found, or it was guessed from the other class's name.
    """

    name: str | None
    sentence: str
    doubted: bool = False


def find_healthy(wanted: str, classes: Sequence[str]) -> Healthy:
    """Which class is healthy; every other one then counts as a fracture.

    Args:
        wanted: the setting ``healthy``: ``auto`` goes by the names, ``none`` says that no class is, else a class.
        classes: of the data.

    Raises:
        ConfigError: no class is called ``wanted``, or one is called ``none``.
    """
    if wanted == AUTO:
        return _by_name(classes)
    if wanted == NONE and NONE in classes:
        raise ConfigError(
            "healthy=none says that no class is healthy, but a class is called none. Rename it:\n"
            "  fracture prepare DATA --label-map none=no_fracture --out renamed.csv"
        )
    if wanted == NONE:
        return Healthy(None, f"Healthy class: none, as healthy=none says: {_COST}.")
    if wanted not in classes:
        close = nearest(wanted, list(classes))
        raise ConfigError(
            f"healthy={wanted}: no class of the data is called so. Classes: {', '.join(classes)}. {close}".rstrip()
        )
    return Healthy(wanted, f"Healthy class: {wanted}, as given. Every other class counts as a fracture.")


def recorded_healthy(text: str, classes: Collection[str]) -> str | None:
    """The healthy class that a run has recorded as text: ``none``, or empty in one from before this was recorded."""
    if not text:
        return healthy_before(classes)
    return None if text == NONE else text


def healthy_before(classes: Collection[str]) -> str | None:
    """The healthy class of runs and models from before it was recorded: they go on answering as they did."""
    return _BEFORE if _BEFORE in classes else None


def completed(values: Any) -> Any:
    """Fields of a record with ``classes``, before validation: ``healthy`` is added where an older version wrote it.

    Raises:
        ValueError: ``healthy`` is none of the classes.
    """
    if not isinstance(values, dict) or not isinstance(values.get("classes"), list | tuple):
        return values
    if "healthy" not in values:
        return values | {"healthy": healthy_before(values["classes"])}
    if values["healthy"] is not None and values["healthy"] not in values["classes"]:
        raise ValueError(f"healthy={values['healthy']} is none of the classes {', '.join(map(str, values['classes']))}")
    return values


def suspicion(classes: Sequence[str]) -> str:
    """Why a model that knows no healthy class probably has one; empty where nothing says so."""
    if likely := healthy_names(classes):
        return f"{_listed(likely)} {'is a name' if len(likely) == 1 else 'are names'} for the healthy class"
    if len(classes) == 2 and not all("fract" in name.casefold() for name in classes):
        return f"of two classes, here {_listed(classes)}, one is usually healthy"
    return ""


def _by_name(classes: Sequence[str]) -> Healthy:
    likely = healthy_names(classes)
    if not likely:
        return Healthy(
            None,
            f"Healthy class: none is known among {', '.join(classes)}: {_COST}. Set healthy=CLASS if one of them is "
            "healthy, healthy=none if none is.",
            doubted=True,
        )
    if len(likely) > 1:
        first, second = (shlex.quote(name) for name in likely[:2])
        return Healthy(
            None,
            f"Healthy class: none chosen, because {_listed(likely)} are names for it: {_COST}. Choose with "
            f"healthy={first} "
            f"or make them one class: fracture prepare DATA --label-map {second}={first} --out merged.csv",
            doubted=True,
        )
    (name,) = likely
    if _plain(name) in _NAMES:
        known = "by its name; healthy=... changes it"
        others = [one for one in classes if one != name and not _SAYS_FRACTURE.search(one.replace("_", " "))]
        also = f", also {_listed(others)}" if others and len(classes) > 2 else ""
        return Healthy(name, f"Healthy class: {name} ({known}). Every other class counts as a fracture{also}.")
    (other,) = (one for one in classes if one != name)
    guess = f"guessed, because the other one is called {other}. Should {other} be the healthy one"
    return Healthy(name, f"Healthy class: {name}, {guess}: healthy={shlex.quote(other)}", doubted=True)


def healthy_names(classes: Sequence[str]) -> list[str]:
    """The classes whose names mean healthy, alone or beside their one counterpart."""
    if named := [name for name in classes if _plain(name) in _NAMES]:
        return named
    if len(classes) != 2:
        return []
    return [
        name
        for name, other in (tuple(classes), tuple(reversed(classes)))
        if _plain(other) in _PAIRS.get(_plain(name), ())
    ]


def means_fracture(name: str) -> bool:
    """Whether a class is called a fracture, of no particular kind."""
    return _plain(name) in _FRACTURES


def _plain(name: str) -> str:
    """A name without case, spaces and punctuation: ``No-Fracture``, ``no fracture`` and ``no_fracture`` are one.

    The sign at the end of ``fx -`` stays.
    """
    return re.sub(r"[\W_](?!$)|[^\w+-]|_", "", name.strip().casefold())


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
