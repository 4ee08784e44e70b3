"""Processes of trials: every way in which one can end is heard, and none outlives the one that started it."""

import os
import signal
import subprocess
import sys
import time
from multiprocessing.connection import Connection
from pathlib import Path

import psutil
import pytest

from tuning import process
from tuning.messages import Batch, Epoch, Outcome, Planned
from tuning.stop import Stop

ROOT = Path(__file__).parents[2]


class Recorder:
    def __init__(self, go_on: bool = True) -> None:
        self.epochs: list[int] = []
        self.stopped = ""
        self.go_on = go_on

    def planned(self, message: Planned) -> None:
        raise AssertionError

    def batch(self, message: Batch) -> None:
        raise AssertionError

    def epoch(self, message: Epoch) -> bool:
        self.epochs.append(message.number)
        return self.go_on

    def stopping(self, reason: str) -> None:
        self.stopped = reason


def counting(work: object, connection: Connection) -> None:
    for number in range(1, 4):
        connection.send(Epoch(number, {}))
        if not connection.recv():
            connection.send(Outcome("pruned"))
            return
    connection.send(Outcome("done"))


def killed(work: object, connection: Connection) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def killed_unread(work: object, connection: Connection) -> None:
    """Killed before it has read the answer: its end of the line is reset, not closed."""
    connection.send(Epoch(1, {}))
    connection.poll(10)
    os.kill(os.getpid(), signal.SIGKILL)


def silent(work: object, connection: Connection) -> None:
    os._exit(3)


def stalled(work: object, connection: Connection) -> None:
    os._exit(6)


def patient(work: object, connection: Connection) -> None:
    """Ends in good order when asked to."""
    asked: list[int] = []  # an Event set by a handler could wait for itself
    signal.signal(signal.SIGTERM, lambda number, _: asked.append(number))
    connection.send(Epoch(1, {}))
    connection.recv()
    end = time.monotonic() + 30
    while not asked and time.monotonic() < end:
        time.sleep(0.02)
    connection.send(Outcome("interrupted", "asked to"))


def square(number: int) -> int:
    if number < 0:
        raise ValueError("negative")
    return number**2


def test_each_epoch_is_heard() -> None:
    recorder = Recorder()
    assert process.run(counting, None, recorder, Stop()).kind == "done"
    assert recorder.epochs == [1, 2, 3]


def test_a_trial_can_be_told_to_stop() -> None:
    recorder = Recorder(go_on=False)
    assert process.run(counting, None, recorder, Stop()).kind == "pruned"
    assert recorder.epochs == [1]


@pytest.mark.parametrize(
    ("target", "kind", "reason"),
    [
        (killed, "killed", "killed by signal 9"),
        (killed_unread, "killed", "killed by signal 9"),
        (silent, "failed", "exit code 3"),
        (stalled, "killed", "stall_seconds"),
    ],
)
def test_an_end_without_a_word(target, kind: str, reason: str) -> None:  # type: ignore[no-untyped-def]
    outcome = process.run(target, None, Recorder(), Stop())
    assert outcome.kind == kind
    assert reason in outcome.reason


def test_a_stop_is_passed_on_and_waited_for() -> None:
    stop = Stop()

    class Stopping(Recorder):
        def epoch(self, message: Epoch) -> bool:
            stop.reason = "stopped by the test"
            return True

    listener = Stopping()
    outcome = process.run(patient, None, listener, stop)
    assert outcome == Outcome("interrupted", "asked to")
    assert listener.stopped == "stopped by the test"


def test_a_question_in_another_process() -> None:
    assert process.call(square, 7) == 49
    with pytest.raises(ValueError, match="negative"):
        process.call(square, -1)


@pytest.mark.slow
def test_a_trial_dies_with_its_parent(tmp_path: Path) -> None:
    code = f"""
import os, sys, time
sys.path[:0] = [{str(ROOT)!r}]
from tuning import process

process._CONTEXT.set_forkserver_preload([])  # which takes seconds, and this trial needs none of it

def endless(work, connection):
    process.die_with()
    connection.send(os.getpid())
    time.sleep(600)

class Tell:
    pass

if __name__ == "__main__":
    ours, theirs = process._CONTEXT.Pipe()
    child = process._CONTEXT.Process(target=endless, args=(None, theirs))
    child.start()
    print(ours.recv(), flush=True)
    time.sleep(600)
"""
    script = tmp_path / "parent.py"
    script.write_text(code)
    with subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        assert psutil.pid_exists(child)
        parent.kill()
    deadline = time.monotonic() + 20
    while psutil.pid_exists(child) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not psutil.pid_exists(child) or psutil.Process(child).status() == psutil.STATUS_ZOMBIE


def test_what_is_preloaded_knows_neither_tracker_nor_optuna() -> None:
    """Both bring threads along, which a fork does not survive."""
    code = "import sys, tuning.trial; sys.exit(any(name in sys.modules for name in ('mlflow', 'optuna')))"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0
