"""The clock is set while a run is trained, or between a kill and what goes on; the folder is moved meanwhile."""

import json
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest

from tests.faults.test_kills import PREPARE, TRAIN
from tests.faults.world import running, told_twice

pytestmark = [pytest.mark.slow, pytest.mark.long]
JUMPS = {"an hour back": -3600, "a day on": 86400}
LIBRARY = next(iter(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1")), None)  # where Debian keeps it
IN_SECOND_EPOCH = f"""
{PREPARE}
import select, time
from pathlib import Path
def wait():
    select.select([], [], [], 0.1)  # not time.sleep: libfaketime gives it a moment that is over
def jumps(*arguments, real=engine.train_epoch, seen=[]):
    seen.append(1)
    if len(seen) == 2:
        before = time.time()
        Path("clock").write_text(os.environ["JUMP"])
        while abs(time.time() - before) < 1000:
            wait()
        Path("jumped").write_text(str(time.time() - before))
        while not Path("go").exists():
            wait()
    return real(*arguments)
"""
KILLED = "engine.train_epoch = second"
JUMPED = "engine.train_epoch = jumps"


@pytest.fixture
def project(tmp_path: Path, images: Path) -> Path:
    """A folder with data and a store of its own, as a person has it."""
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "MLproject").touch()
    return images.rename(folder / "images").parent


@pytest.fixture
def shifted(project: Path) -> dict[str, str]:
    """Variables under which a process has a clock that the file ``clock`` in its folder sets."""
    if LIBRARY is None:
        pytest.skip("needs Debian's libfaketime")
    (project / "clock").write_text("+0")
    return {
        "LD_PRELOAD": str(LIBRARY), "FAKETIME_TIMESTAMP_FILE": str(project / "clock"), "FAKETIME_CACHE_DURATION": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1", "NO_FAKE_STAT": "1",
    }  # fmt: skip


def start(project: Path, arranged: str, words: tuple[str, ...], **variables: str) -> "subprocess.Popen[str]":
    code = f"{IN_SECOND_EPOCH}\n{arranged}\nfrom fracture.__main__ import main; main()"
    return subprocess.Popen(
        [sys.executable, "-c", code, *words], cwd=project, env=os.environ | variables, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip


def train() -> tuple[str, ...]:
    flags = [word for name, value in (TRAIN | {"epochs": "3"}).items() for word in (f"--{name}", value)]
    return ("train", "--data", "images", *flags)


def end(command: "subprocess.Popen[str]", code: int) -> str:
    said, _ = command.communicate(timeout=900)
    assert command.returncode == code, said
    assert code < 0 or "Traceback" not in said
    return said


def doctor(project: Path, jump: int, **variables: str) -> list[dict[str, str]]:
    """What a doctor finds and repairs when the machine's clock is set, and with it when Linux says that it began."""
    stat = re.sub(r"(?m)^btime (\d+)$", lambda m: f"btime {int(m[1]) + jump}", Path("/proc/stat").read_text())
    (project / "stat").write_text(stat)
    as_set = 'mount --bind stat /proc/stat && exec "$0" -m fracture doctor --fix --json'
    words = ["unshare", "--mount", "sh", "-c", as_set, sys.executable]
    done = subprocess.run(
        words, cwd=project, env=os.environ | variables, capture_output=True, text=True, timeout=900, check=False
    )
    if "unshare failed" in done.stderr or not shutil.which("unshare"):
        pytest.skip("this user may not have a view of /proc of its own")
    found: list[dict[str, str]] = json.loads(done.stdout)
    return found


def check_whole(project: Path, epochs: int = 3) -> None:
    with closing(sqlite3.connect(project / "mlflow.db")) as db:
        runs = db.execute("SELECT status FROM runs").fetchall()
        steps = db.execute("SELECT step FROM metrics WHERE key = 'val/loss' ORDER BY step").fetchall()
    assert runs == [("FINISHED",)]
    assert steps == [(step,) for step in range(1, epochs + 1)]
    assert not told_twice(project)
    assert not list((project / "mlruns" / "state").iterdir())


@pytest.mark.parametrize("jump", JUMPS)
def test_the_clock_is_set_in_the_middle_of_a_training(project: Path, shifted: dict[str, str], jump: str) -> None:
    command = start(project, JUMPED, train(), **shifted, JUMP=f"{JUMPS[jump]:+d}")
    until = time.monotonic() + 900
    while not (project / "jumped").exists() and command.poll() is None and time.monotonic() < until:
        time.sleep(0.1)
    assert (project / "jumped").exists(), end(command, 0)
    assert abs(float((project / "jumped").read_text()) - JUMPS[jump]) < 100
    said = doctor(project, JUMPS[jump], **shifted)
    assert not [one for one in said if "RUNNING" in str(one)], "the doctor takes it for dead"
    assert len(running(project)) == 1
    (project / "go").touch()
    end(command, 0)
    check_whole(project)


@pytest.mark.parametrize("jump", JUMPS)
def test_the_clock_is_set_between_a_kill_and_what_goes_on(project: Path, shifted: dict[str, str], jump: str) -> None:
    end(start(project, KILLED, train()), -signal.SIGKILL)
    (project / "clock").write_text(f"{JUMPS[jump]:+d}")
    (run,) = running(project)
    doctor(project, JUMPS[jump], **shifted)
    assert not running(project)
    assert f"--resume {run}" in str(doctor(project, JUMPS[jump], **shifted))
    end(start(project, "", ("train", "--resume", run), **shifted), 0)
    check_whole(project)


def test_the_folder_is_moved_between_a_kill_and_what_goes_on(project: Path) -> None:
    end(start(project, KILLED, train()), -signal.SIGKILL)
    (run,) = running(project)
    moved = project.rename(project.with_name("elsewhere"))
    again = ("train", "--resume", run)
    said = end(start(moved, "", again), 3)
    assert "its runs pointed to" in said
    assert "give data=NEW" in said, "the data was moved with it"
    end(start(moved, "", (*again, "--data", "images")), 0)
    check_whole(moved)
    assert list((moved / "mlruns").rglob("best.pth"))
    assert not project.exists()
