"""The fault suite itself, in its quick part: a few kills, and damaged inputs for every reader."""

import random
import subprocess
import sys
from pathlib import Path

import pytest

from tests.faults import fuzz

ROOT = Path(__file__).resolve().parents[2]
READERS = fuzz.readers()


@pytest.mark.filterwarnings(  # starlette leaves the file of a form that is cut short to the garbage collector
    "ignore:Exception ignored in. <function SpooledTemporaryFile:pytest.PytestUnraisableExceptionWarning",
    "ignore:Invalid value:UserWarning",
    "ignore:Expected (im|ex)plicit:UserWarning",
)
@pytest.mark.parametrize("reader", READERS)
def test_damaged_inputs_are_read_or_refused(tmp_path: Path, reader: str) -> None:
    seeds, read = READERS[reader]
    whole = [fuzz.outcome(read, data, tmp_path) for data in seeds]
    assert all(whole), "what is not damaged is read"
    chance = random.Random(reader)
    for _ in range(60):
        fuzz.outcome(read, fuzz.mutated(seeds, chance), tmp_path)


@pytest.mark.parametrize("error", [ValueError("unforeseen"), KeyError("unforeseen")])
def test_what_a_reader_does_not_foresee_is_reported_with_its_input(tmp_path: Path, error: Exception) -> None:
    def read(_data: bytes, _place: Path) -> None:
        raise error

    found = fuzz.in_child("one", [b"abc"], read, 3, 0, tmp_path / "work", tmp_path / "kept")
    assert found.inputs == 3
    assert len(found.problems) == 3
    assert len(list((tmp_path / "kept").iterdir())) == 3


@pytest.mark.long
@pytest.mark.parametrize("verb", ["train", "predict", "prepare", "promote", "rollback"])
def test_nothing_is_lost_to_kills_at_random_moments(tmp_path: Path, verb: str) -> None:
    words = [sys.executable, "-W", "ignore", "-m", "tests.faults", "--kills", "3", "--verb", verb]
    done = subprocess.run(
        [*words, "--out", str(tmp_path / "faults.json")],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"| {verb} | 3 |" in done.stdout
