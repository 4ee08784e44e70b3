"""What a reader says an image really is: kept beside the answers, with who said it."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from types import MappingProxyType
from typing import Any

VERSION = 1


@dataclass(frozen=True)
class Correction:
    """One label that a reader of an answer gave.

    Attributes:
        time: UTC, as `Record.time`.
        image: SHA-256 of the file's bytes, as `Record.image`.
        label: the class that it really is; that of the answer where the reader agrees.
        by: who says so, as typed.
        model, version, weights: of the model that answered then, see `Served`.
    """

    time: str
    image: str
    label: str
    by: str
    model: str
    version: str
    weights: str
    v: int = VERSION

    def line(self) -> str:
        """As one line of JSON."""
        return json.dumps(vars(self), ensure_ascii=False, separators=(",", ":"))


NONE: "Mapping[str, Correction]" = MappingProxyType({})
NAMES = tuple(field.name for field in fields(Correction))


def parse(values: Mapping[str, Any]) -> Correction:
    """A correction as it was stored; columns of a later version are left out.

    Raises:
        TypeError: it is no such row.
    """
    return Correction(**{name: values[name] for name in NAMES if name in values})


def latest(found: Iterable[Correction]) -> dict[str, Correction]:
    """The last word on each image, by its digest."""
    return {one.image: one for one in sorted(found, key=lambda one: one.time)}
