"""kill -9 of real commands at random moments; then the same command, or the one that goes on, and what came of it."""

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tests import forked
from tests.faults.verbs import VERBS, Result, Verb
from tests.faults.world import World, half_written, running


@dataclass(frozen=True)
class Undisturbed:
    """What a verb does when nothing happens.

    Attributes:
        result: what is the same each time, and so is compared.
        seconds: that it takes.
    """

    result: Result
    seconds: float


@dataclass
class Killed:
    """One kill, and what came after it.

    Attributes:
        verb: the name in `VERBS`.
        moment: share of the undisturbed time after which the kill was sent.
        hit: whether the command was still at work then.
        went_on: how it was brought to its end: resumed, repeated, or finished before the kill.
        problems: what was not as it must be; empty where nothing was lost.
    """

    verb: str
    moment: float
    hit: bool
    went_on: str = ""
    problems: list[str] = field(default_factory=list)


def kill(count: int, seed: int, world: World, only: tuple[str, ...] = ()) -> Iterator[Killed]:
    """Kill commands.

    Args:
        count: how many kills that hit.
        seed: of verbs and moments.
        world: where.
        only: names of verbs; all where empty.

    Yields:
        each, also those that came too late and so do not count.
    """
    chance = random.Random(seed)
    known: dict[str, Undisturbed] = {}
    hits = 0
    for name in _in_turn(chance, only or tuple(VERBS)):
        if hits >= count:
            return
        verb = VERBS[name]
        if name not in known:
            known[name] = undisturbed(verb, world)
        one = _kill(name, verb, known[name], chance.random(), world)
        hits += one.hit
        yield one


def _in_turn(chance: random.Random, names: tuple[str, ...]) -> Iterator[str]:
    while True:
        deck = [name for name in names for _ in range(VERBS[name].weight)]
        chance.shuffle(deck)
        yield from deck


def undisturbed(verb: Verb, world: World) -> Undisturbed:
    """What a verb does when nothing happens: it is done twice, and what differs is left out."""
    results = []
    for _ in range(2):
        root = world.at(verb.world)
        ended = forked.run(world.filled(verb.words), root)
        if ended.code != 0:
            raise RuntimeError(f"{forked.line(world.filled(verb.words))} ended with {ended.code}:\n{ended.said}")
        results.append(verb.result(root))
    first, second = results
    same = {key: value for key, value in first.items() if second.get(key) == value}
    if not same or first.keys() != second.keys():
        raise RuntimeError(f"{forked.line(verb.words)} has nothing that is the same twice: {first} {second}")
    return Undisturbed(same, ended.seconds)


def _kill(name: str, verb: Verb, wanted: Undisturbed, moment: float, world: World) -> Killed:
    root, words = world.at(verb.world), world.filled(verb.words)
    ended = forked.run(words, root, kill_after=moment * wanted.seconds)
    one = Killed(name, moment, hit=ended.code == -9)
    half_written(root)
    doctor = forked.run(("fracture", "doctor", "--fix"), root)
    _check(one, doctor.code in (0, 1) and "Traceback" not in doctor.said, f"doctor --fix: {doctor.said[-1500:]}")
    _check(one, not running(root), f"{len(running(root))} runs RUNNING after doctor --fix")
    _check(one, not (left := half_written(root)), f"half-written after doctor --fix: {left}")
    whole = _same(verb.result, root, wanted.result)
    if whole and not verb.twice:
        one.went_on = "finished before the kill"
    else:
        told = forked.run(("fracture", "doctor", "--json"), root).said  # as JSON, for a screen breaks the lines
        _go_on(one, verb, words, forked.names_of_runs(told), whole, root)
    _compare(one, verb.result(root), wanted.result)
    _check(one, not running(root), "runs RUNNING at the end")
    if verb.words[0] == "registry":
        verified = forked.run(("registry", "verify"), root)
        _check(one, verified.code == 0, f"registry verify ended with {verified.code}: {verified.said[-1500:]}")
    return one


def _go_on(one: Killed, verb: Verb, words: tuple[str, ...], resumable: list[str], whole: bool, root: Path) -> None:
    trains = verb.words[:2] == ("fracture", "train") or verb.words[0] == "tuning"
    if trains and whole:
        one.went_on = "finished before the kill"
        return
    one.went_on = "repeated"
    if trains and resumable and words[0] == "fracture" and "--folds" not in words:  # a group goes on by its own command
        one.went_on, words = "resumed", ("fracture", "train", "--resume", resumable[0])
    again = forked.run(words, root)
    _check(one, again.code == 0, f"{forked.line(words)} ended with {again.code}: {again.said[-3000:]}")


def _same(result: Callable[[Path], Result], root: Path, wanted: Result) -> bool:
    got = result(root)
    return all(got.get(key) == value for key, value in wanted.items())


def _compare(one: Killed, got: Result, wanted: Result) -> None:
    differ = {key: (value, got.get(key)) for key, value in wanted.items() if got.get(key) != value}
    _check(one, not differ, f"{len(differ)} of {len(wanted)} values differ: {str(differ)[:1500]}")


def _check(one: Killed, right: bool, problem: str) -> None:
    if not right:
        one.problems.append(problem)
