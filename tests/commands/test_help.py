"""The help of every command: whole sentences, and nothing that a reader cannot use."""

from collections.abc import Iterator

import click
import pytest
from click.testing import CliRunner

from fracture.__main__ import cli as verbs
from registry.__main__ import cli as registry
from tuning.__main__ import cli as tuning


def commands(group: click.Group) -> Iterator[tuple[click.Group, tuple[str, ...]]]:
    """A group, and every command of it."""
    yield group, ()
    for name in group.list_commands(click.Context(group)):
        yield group, (name,)


ALL = [one for group in (verbs, registry, tuning) for one in commands(group)]


@pytest.mark.parametrize(("group", "words"), [*ALL, (verbs, ("log", "export"))])
def test_help_can_be_read(group: click.Group, words: tuple[str, ...]) -> None:
    for width in (60, 80, 120):
        told = CliRunner().invoke(group, [*words, "--help"], terminal_width=width)
        assert told.exit_code == 0
        assert [line for line in told.output.splitlines() if len(line) > width] == []
    found = group.get_command(click.Context(group), words[0]) if words else group
    options = [one for one in (found.params if found else ()) if isinstance(one, click.Option) and not one.hidden]
    assert [one.name for one in options if not one.help] == [], "every option says what it is"
    assert "RANGE" not in told.output
    assert "INTEGER" not in told.output
    assert "x>=" not in told.output
    assert "[default: ]" not in told.output
    assert "..." not in told.output.partition("\nCommands:")[2], "no sentence is cut off"
