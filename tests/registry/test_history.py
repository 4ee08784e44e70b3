"""The history and the aliases: many at once, deaths between any two steps, hands that meddle; in every store."""

import multiprocessing
import re
import sqlite3
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path

import mlflow
import pytest

from fracture.errors import ConfigError, GateError
from registry import champion, thresholds
from registry.lines import replay
from registry.verify import verify
from registry.versions import THRESHOLDS, Registry
from tests.registry import moves
from tests.registry.made_up import GOOD
from tests.registry.screens import quiet

DEMO = thresholds.read(thresholds.DEMO)
PROCESSES = multiprocessing.get_context("forkserver")

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("forked")]  # whose processes have all libraries loaded

Die = Callable[[int, partial[object]], bool]


def registered(count: int) -> Registry:
    """A registered model with some versions that nobody loads."""
    registry, client = Registry(f"m{uuid.uuid4().hex[:8]}"), mlflow.MlflowClient()
    for number in range(count):
        model = client.create_logged_model("0", f"model-{number}")
        registry.register(f"models:/{model.model_id}", "", {}, f"number {number}")
    return registry


def test_many_at_once_leave_a_line_each_and_aliases_that_agree(connected: str) -> None:
    registry, together = registered(4), PROCESSES.Barrier(4)
    wanted = [("candidate", "1"), ("candidate", "2"), ("champion", "3"), ("champion", "4")]
    asked = [
        PROCESSES.Process(target=moves.move_at_once, args=(connected, registry.name, *one, "", together))
        for one in wanted
    ]
    for one in asked:
        one.start()
    for one in asked:
        one.join(120)
    assert sorted(one.exitcode for one in asked) == [0, 0, 0, moves.REFUSED], "one of two becomes champion"  # type: ignore[type-var]
    lines = registry.history.lines()
    assert [one.number for one in lines] == [1, 2, 3, 4]
    assert sorted((one.entry.action, one.entry.version) for one in lines) == wanted
    assert all(one.settled for one in lines)
    assert len(replay(lines).void) == 1
    assert registry.look().by_hand == []
    assert registry.alias("champion") == next(one for one in lines if one.entry.action == "champion").entry.version


@pytest.fixture
def die(connected: str) -> Iterator[Die]:
    """Let a process do something and die before the write to the store that follows so many others; whether it died."""
    ours, theirs = PROCESSES.Pipe()
    parent = PROCESSES.Process(target=moves.nursery, args=(connected, theirs))
    parent.start()

    def ask(writes: int, work: partial[object]) -> bool:
        ours.send((writes, work))
        assert ours.poll(120)
        ended = ours.recv()
        assert ended in (0, moves.DIED)
        return bool(ended == moves.DIED)

    yield ask
    ours.send(None)
    parent.join(30)


def explained(registry: Registry) -> list[str]:
    """What `verify` says, but for the contents of versions and runs, which nobody has made here."""
    status = registry.look()
    return [
        one.what
        for one in (verify(registry, quiet()) if status.exists or status.lines else [])
        if not re.search("registered by hand|which version . was made from", one.what)
    ]


def test_a_promotion_that_dies_anywhere_is_explained_and_finished_by_the_next(die: Die) -> None:
    client, said = mlflow.MlflowClient(), []
    run = client.create_run("0").info.run_id
    model = client.create_logged_model("0", "model", source_run_id=run)
    evidence = replace(GOOD, run_id=run, package_digest="")
    for writes in range(20):
        name = f"m{uuid.uuid4().hex[:8]}"
        work, registry = partial(moves.enter, name, evidence, f"models:/{model.model_id}"), Registry(name)
        died = die(writes, work)
        said += explained(registry)
        work()
        assert [one.entry.version for one in registry.history.lines()] == ["1"], "one line"
        assert [str(one.version) for one in registry.versions()] == ["1"], "one version"
        assert registry.alias("candidate") == "1"
        assert explained(registry) == []
        if not died:
            break
    assert not died
    assert any(f"the promotion of run {run} was cut short" in one for one in said)
    assert any("@candidate points to nothing, the history says version 1: line 1" in one for one in said)
    assert any(one.startswith("line 1 of the history (candidate by ") for one in said)
    assert not any("by hand" in one for one in said)


@pytest.mark.parametrize("action", ["champion", "rollback"])
def test_a_move_that_dies_anywhere_is_explained_and_finished_by_the_next(die: Die, action: str) -> None:
    registry = registered(2)
    registry.move("champion", "1", "", "first")
    said, state, writes = [], ("1", ""), 0
    while True:
        other = "2" if state[0] == "1" else "1"
        known = len(registry.history.lines())
        died = die(writes, partial(moves.move, registry.name, action, other, state[0]))
        said += explained(registry)
        registry.ready()
        if len(registry.history.lines()) > known:
            state = (other, state[0] if action == "champion" else "")
        assert (registry.alias("champion"), registry.alias("previous")) == state
        assert explained(registry) == []
        if not died:
            break
        writes += 1
    assert sum("was cut short" in one for one in said) >= 2
    assert not any("by hand" in one for one in said)


@pytest.mark.parametrize("action", ["champion", "rollback"])
def test_a_command_that_was_cut_short_and_is_given_again_is_done_once(connected: str, action: str) -> None:
    registry = registered(2)
    registry.move("candidate", "1", "", "first")
    registry.move("champion", "1", "", "first")
    registry.move("candidate", "2", "1", "second")
    if action == "rollback":
        registry.move("champion", "2", "1", "better")
    new, old, previous = ("2", "1", "1") if action == "champion" else ("1", "2", "")
    registry.history.append(action, new, old, "because")  # and its writer is killed
    again = champion.challenge if action == "champion" else partial(champion.rollback, reason="")
    again(registry, terminal=quiet())
    assert (registry.alias("champion"), registry.alias("previous")) == (new, previous)
    assert registry.history.lines()[-1].entry.reason == "because"
    assert registry.history.lines()[-1].settled


TAGGED: dict[str, tuple[dict[str, str], dict[str, str], str]] = {
    "changed files": ({}, {}, "its files are not"),
    "research against commercial": ({"fracture.use": "research"}, {"fracture.use": "commercial"}, "for research use"),
    "demonstration against real": ({THRESHOLDS: DEMO.digest}, {THRESHOLDS: "real"}, "the champion real ones"),
    "unknown against real": ({}, {THRESHOLDS: "real"}, "did not record its thresholds"),
    "demonstration against unknown": ({THRESHOLDS: DEMO.digest}, {}, "the champion ones that an earlier version"),
}


@pytest.mark.parametrize("case", TAGGED)
def test_who_may_not_challenge(store_root: object, monkeypatch: pytest.MonkeyPatch, case: str) -> None:
    new, old, why = TAGGED[case]
    registry, client = registered(2), mlflow.MlflowClient()
    for version, tags in (("1", old), ("2", new)):
        for name, value in {"fracture.gates": "whole passed", **tags}.items():
            client.set_model_version_tag(registry.name, version, name, value)
    problem = "its files are not those that were promoted" if case == "changed files" else ""
    monkeypatch.setattr(champion.check, "changed", lambda *_: problem)
    registry.move("champion", "1", "", "first")
    registry.move("candidate", "2", "", "second")
    with pytest.raises(GateError, match=rf"version 2 cannot challenge: .*{why}"):
        champion.challenge(registry, quiet())
    assert registry.alias("champion") == "1"


def test_hands_that_meddle_are_found_and_nothing_is_built_upon_them(connected: str) -> None:
    registry, client = registered(2), mlflow.MlflowClient()
    registry.move("champion", "1", "", "first")
    registry.move("champion", "2", "1", "second")
    client.set_registered_model_alias(registry.name, "champion", "1")
    assert "moved by hand" in "".join(registry.look().misplaced_aliases)
    with pytest.raises(ConfigError, match=r"moved by hand\n.*verify --repair"):
        registry.ready()
    verify(registry, quiet(), repair=True)
    registry.ready()
    assert registry.alias("champion") == "2"


def test_a_clock_that_was_set_back_brings_no_bad_version_back(store_root: Path) -> None:
    registry, later = registered(2), "UPDATE model_versions SET creation_time = creation_time + 3600000 WHERE name = ?"
    registry.move("champion", "1", "", "first")
    registry.move("champion", "2", "1", "second")
    with closing(sqlite3.connect(store_root / "mlflow.db", timeout=30)) as db, db:
        db.execute(later, (registry.name,))
    registry.move("rollback", "1", "2", "bad")
    status = registry.look()
    assert set(status.withdrawn) == {"2"}
    assert status.aliases == {"candidate": "", "champion": "1", "previous": ""}
    assert not status.by_hand
