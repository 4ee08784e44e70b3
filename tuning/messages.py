"""What a trial's process and the one that optimises say to each other: plain values."""

from dataclasses import dataclass
from typing import Literal

from fracture.training.execution import Plan

Kind = Literal["done", "pruned", "memory", "diverged", "interrupted", "killed", "failed"]


@dataclass(frozen=True)
class Planned:
    """The trial begins to learn, under this plan."""

    plan: Plan


@dataclass(frozen=True)
class Batch:
    """So much of an epoch's part (train, val) is done; epochs count from 1."""

    phase: str
    epoch: int
    done: int
    total: int


@dataclass(frozen=True)
class Epoch:
    """An epoch is done, ``earlier`` by a process that was lost; the trial waits to be told whether to go on."""

    number: int
    metrics: dict[str, float]
    earlier: bool = False


@dataclass(frozen=True)
class Outcome:
    """How a trial ended.

    Attributes:
        kind: done; pruned, when told to stop; memory, when it did not fit after all; diverged, when its loss was no
            number; interrupted, by a signal, its state kept; killed, without a word; failed, of anything else.
        reason: in words, empty for done and pruned.
        details: a traceback, for failed.
    """

    kind: Kind
    reason: str = ""
    details: str = ""
