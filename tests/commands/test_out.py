"""A place that nothing can be written to is told before the work that it is to hold, by every command."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import click
import pytest

from fracture.__main__ import cli as verbs
from fracture.errors import ConfigError
from fracture.failures import check_output
from registry.__main__ import cli as registry
from tests.commands.test_help import ALL

NOBODY = "0" * 32
FILES = (
    ("fracture", "audit", "demo"), ("fracture", "audit", NOBODY), ("fracture", "feedback", "log"),
    ("fracture", "log", "export", "log"), ("fracture", "predict", NOBODY, "images"), ("fracture", "prepare", "images"),
    ("registry", "predict", "images"),
)  # fmt: skip
FOLDERS = (
    ("fracture", "compare"), ("fracture", "drift", "log"), ("fracture", "evaluate", NOBODY, "--data", "demo"),
    ("registry", "export", "--format", "pt2"),
)  # fmt: skip


@pytest.mark.parametrize("place", ["there.csv", "text/below.csv"])
@pytest.mark.parametrize("words", FILES + FOLDERS)
def test_told_before_anything_is_done(
    cli: Callable[..., int], entry: Callable[..., int], tmp_path: Path, words: tuple[str, ...], place: str,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    (tmp_path / "text").touch()
    (tmp_path / "there.csv").mkdir() if words in FILES else (tmp_path / "there.csv").touch()
    before = sorted(tmp_path.rglob("*"))
    program, *more = words
    assert (cli(*more, "--out", place) if program == "fracture" else entry(program, *more, "--out", place)) == 2
    said = capsys.readouterr().err
    assert f"--out {place}: " in said, "not what else is wrong"
    assert "is a folder" in said or "exists" in said or "is no folder" in said
    assert sorted(tmp_path.rglob("*")) == before


def test_every_command_that_writes_is_among_them() -> None:
    def writes(group: click.Group, *name: str) -> bool:
        command = group.get_command(click.Context(group), name[-1]) if name else group
        return any(one.name == "out" for one in command.params) if command else False

    programs = {id(verbs): "fracture", id(registry): "registry"}
    known = {(programs.get(id(group), "tuning"), *name) for group, name in ALL if writes(group, *name)}
    assert {words[:2] for words in FILES + FOLDERS} == known | {("fracture", "log")}, "the last has it one level below"


@pytest.mark.parametrize(
    ("files", "said"),
    [
        (("kept.csv",), ""),
        (("not/yet/there.csv",), ""),
        ((".",), "is a folder, and a file must be written"),
        (("kept.csv", "taken"), r"is a folder, .* \(taken is written beside it\)"),
        (("/dev/null",), "is a device, which a file would replace"),
        (("a" * 250 + ".csv",), "nothing can be written there: File name too long"),
        (("/proc/a.csv",), "nothing can be written there: .*"),
    ],
)
def test_what_is_no_place_for_a_file(tmp_path: Path, files: tuple[str, ...], said: str) -> None:
    (tmp_path / "kept.csv").touch()
    (tmp_path / "taken").mkdir()
    if said:
        with pytest.raises(ConfigError, match=rf"^--out .*: {said}\. Name another place\.$"):
            check_output(*map(Path, files))
    else:
        check_output(*map(Path, files))
    assert {path.name for path in tmp_path.iterdir()} == {"kept.csv", "taken"}


def test_a_read_only_disk_is_told(small_disk: Path) -> None:
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    for folder in (small_disk, small_disk / "new"):
        with pytest.raises(ConfigError, match="nothing can be written there: Read-only file system"):
            check_output(folder=folder)
