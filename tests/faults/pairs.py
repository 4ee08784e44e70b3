"""Two commands at once on one store, every pair: both end well, or one is refused in a sentence and nothing is lost."""

import random
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import combinations_with_replacement
from pathlib import Path

from tests import forked
from tests.faults import kills
from tests.faults.kills import Undisturbed
from tests.faults.verbs import TUNE, VERBS, Verb, files, runs
from tests.faults.world import World, half_written, running, told_twice
from tests.forked import Ended

_REFUSED = (2, 3, 5, 6)
# of those that move an alias the order decides what comes out: only the history is checked
AT_ONCE: dict[str, Verb] = {
    "train": VERBS["train"],
    "tune": Verb(("tuning", *TUNE, "--trials", "1"), "", runs, 1),
    "evaluate": replace(VERBS["evaluate"], result=files("evaluation/**/*.csv")),
    **{name: VERBS[name] for name in ("promote", "challenge", "rollback")},
    **{name: VERBS[name] for name in ("export", "predict", "prepare", "cache --clear", "audit")},
    "doctor --fix": Verb(("fracture", "doctor", "--fix"), "", runs, 1),
}
_FILES = ("evaluate", "export", "predict", "prepare", "audit")  # whose result does not depend on who else is at work


@dataclass
class Pair:
    """Two commands that were started at once.

    Attributes:
        first, second: names in `AT_ONCE`.
        refused: what each that was refused said, by name.
        problems: what was not as it must be.
    """

    first: str
    second: str
    refused: dict[str, str] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)


def pairs(seed: int, world: World, only: tuple[str, ...] = (), skip: int = 0) -> Iterator[Pair]:
    """Start every two at once, in an order that ``seed`` chooses, but the first ``skip``; of ``only`` where named."""
    known: dict[str, Undisturbed] = {}
    every = [*combinations_with_replacement(AT_ONCE, 2)]
    random.Random(seed).shuffle(every)
    for first, second in every[skip:]:
        if only and not {first, second} & set(only):
            continue
        for name in {first, second} & set(_FILES) - known.keys():
            known[name] = kills.undisturbed(replace(AT_ONCE[name], world="contested"), world)
        yield _at_once(first, second, known, world)


def _at_once(first: str, second: str, known: dict[str, Undisturbed], world: World) -> Pair:
    root, names, one = world.at("contested"), (first, second), Pair(first, second)
    words = [world.filled(AT_ONCE[name].words) for name in names]
    started = [forked.start(given, root, log=f"log-{number}") for number, given in enumerate(words)]
    ended = [command.end() for command in started]
    for name, given, end in zip(names, words, ended, strict=True):
        if end.code in _REFUSED and "Traceback" not in end.said:
            one.refused[name] = " ".join(end.said[end.said.rfind("(exit code") :].split())[:300]
            again = forked.run(given, root)
            _check(one, again.code == 0 or not AT_ONCE[name].twice, f"{name} repeated: {_said(again)}")
        else:
            _check(one, end.code == 0, f"{name}: {_said(end)}")
    for name in {first, second} & known.keys():
        got, wanted = AT_ONCE[name].result(root), known[name].result
        differ = [key for key, value in wanted.items() if got.get(key) != value]
        _check(one, not differ, f"{name} has left other files: {differ}")
    _check_left(one, root)
    return one


def _check_left(one: Pair, root: Path) -> None:
    _check(one, not (left := running(root)), f"runs RUNNING: {left}")
    _check(one, not (left := half_written(root)), f"half-written: {left}")
    _check(one, not (twice := told_twice(root)), f"told twice: {twice[:5]}")
    for words in (("registry", "verify"), ("fracture", "doctor")):
        end = forked.run(words, root)
        _check(one, "Traceback" not in end.said and (end.code == 0 or words[1] == "doctor"), f"{words}: {_said(end)}")


def _said(end: Ended) -> str:
    return f"ended with {end.code}: {end.said[-2000:]}"


def _check(one: Pair, right: bool, problem: str) -> None:
    if not right:
        one.problems.append(problem)
