"""What lines amount to, whatever was written."""

import dataclasses
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fracture.errors import ConfigError
from registry.lines import SCHEMA, Entry, Line, lost, parse, replay

ACTIONS = st.sampled_from(["candidate", "champion", "rollback", "removed"])
VERSIONS = st.sampled_from(["1", "2", "3"])
BEFORE = st.sampled_from(["", "1", "2", "3"])
SAID = st.lists(st.tuples(ACTIONS, VERSIONS, BEFORE), max_size=14)


def line(number: int, action: str, version: str, before: str = "") -> Line:
    entry = Entry("now", "me", action, version, before, f"why {number}", "", str(number), 0, "", SCHEMA)
    return Line(number, entry, settled=True)


def numbered(said: list[tuple[str, str, str]]) -> list[Line]:
    return [line(number, *one) for number, one in enumerate(said, 1)]


@given(SAID)
def test_whatever_was_written_no_version_is_in_two_places(said: list[tuple[str, str, str]]) -> None:
    lines = numbered(said)
    state = replay(lines)
    earlier = [one.entry.version for one in state.earlier]
    champion = state.aliases["champion"]
    assert len(set(earlier)) == len(earlier)
    assert champion not in earlier
    assert champion not in state.withdrawn
    assert not state.withdrawn.keys() & set(earlier), "what was rolled back is nothing to roll back to"
    for number in state.void:
        before = replay(lines[: number - 1]).aliases["champion"]
        assert lines[number - 1].entry.before != before, "only who replaces another champion does not count"


@given(SAID, st.integers(1, 14))
def test_a_lost_line_undoes_no_later_champion(said: list[tuple[str, str, str]], gap: int) -> None:
    lines = [one for one in numbered(said) if one.number not in replay(numbered(said)).void]
    moves = [one for one in lines if one.entry.action in ("champion", "rollback")]
    if gap > len(lines) or not moves or lines[gap - 1].number >= moves[-1].number:
        return
    lines[gap - 1] = dataclasses.replace(lines[gap - 1], entry=lost(lines[gap - 1].number))
    removed = any(one.entry.action == "removed" for one in lines[gap:])
    assert removed or replay(lines).aliases["champion"] == moves[-1].entry.version


def test_rollbacks_go_further_back_and_never_forward() -> None:
    lines = [line(1, "champion", "1"), line(2, "champion", "2", "1"), line(3, "candidate", "3"),
             line(4, "champion", "3", "2")]  # fmt: skip
    assert replay(lines).aliases == {"candidate": "3", "champion": "3", "previous": "2"}
    lines.append(line(5, "rollback", "2", "3"))
    state = replay(lines)
    assert state.aliases == {"candidate": "", "champion": "2", "previous": "1"}
    assert state.withdrawn["3"].entry.reason == "why 5"
    lines.append(line(6, "rollback", "1", "2"))
    assert replay(lines).aliases == {"candidate": "", "champion": "1", "previous": ""}
    lines.append(line(7, "champion", "3", "1"))  # by name, although
    state = replay(lines)
    assert (state.aliases["champion"], state.aliases["previous"], set(state.withdrawn)) == ("3", "1", {"2"})


OLD = {"when": "2026-01-01T00:00:00Z", "who": "ada", "action": "candidate", "version": "1", "before": "",
       "reason": "run r passed", "gates": "whole passed", "token": "t", "after": 0, "after_seal": ""}  # fmt: skip


def test_a_line_of_the_version_before_keeps_its_seal() -> None:
    entry = parse(json.dumps(OLD))
    assert entry is not None
    assert entry.schema_version == 1
    assert entry.seal == "5346265f47a8c84f"
    assert parse(entry.text) == entry
    assert dataclasses.replace(entry, source="models:/m-1").seal != entry.seal


@pytest.mark.parametrize("text", ["", "{", "[]", "1", json.dumps(OLD | {"more": 1}), json.dumps({"when": "now"})])
def test_what_is_no_line(text: str) -> None:
    assert parse(text) is None


def test_a_line_of_a_newer_version_is_not_taken_for_damage() -> None:
    with pytest.raises(ConfigError, match="newer version of this project"):
        parse(json.dumps(OLD | {"schema_version": 3, "more": 1}))
