"""Signals and stalls, in real processes."""

import hashlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from fracture.errors import Interrupted
from fracture.training.watch import Watch

STALLED = """
import sys, time
from pathlib import Path
from fracture.training.watch import Watch
def tell(reason):
    print("TOLD", reason, flush=True)
    {tell}
with Watch(0.3, Path(sys.argv[1]), tell) as watch:
    watch.beat()
    def hang_here():
        time.sleep(60)
    hang_here()
"""


@pytest.fixture
def handlers() -> Iterator[None]:
    """Brings the handlers of signals back."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_waits_for_a_safe_moment(tmp_path: Path, number: signal.Signals, handlers: None) -> None:
    with Watch(60, tmp_path / "log", lambda reason: None) as watch:
        watch.beat()
        signal.raise_signal(number)
        signal.raise_signal(signal.SIGTERM)  # mlflow run sends both; the second changes nothing
        watch.alive()
        with pytest.raises(Interrupted, match=number.name):
            watch.beat()
    signal.raise_signal(signal.SIGTERM)  # still ignored: the run is being ended in good order


def test_the_end_waits_for_nobody(tmp_path: Path, handlers: None) -> None:
    for _ in range(2000):  # a signal wakes the watching thread just while the context ends
        with Watch(60, tmp_path / "log", lambda reason: None):
            signal.raise_signal(signal.SIGINT)
    assert signal.set_wakeup_fd(-1) == -1


def test_a_signal_is_acknowledged_while_a_step_runs(tmp_path: Path, handlers: None) -> None:
    told: list[tuple[str, float]] = []
    with Watch(60, tmp_path / "log", pytest.fail, lambda name: told.append((name, time.monotonic()))):
        for number in (signal.SIGINT, signal.SIGTERM):
            threading.Timer(0.05, os.kill, (os.getpid(), number)).start()
        hashlib.pbkdf2_hmac("sha256", b"a step", b"that no handler interrupts", 3_000_000)
        done = time.monotonic()
    assert len(told) == 1
    assert told[0][0] in ("SIGINT", "SIGTERM")
    assert told[0][1] < done


def test_without_a_signal_the_handlers_come_back(tmp_path: Path) -> None:
    before = signal.getsignal(signal.SIGTERM)
    with Watch(60, tmp_path / "log", lambda reason: None):
        assert signal.getsignal(signal.SIGTERM) != before
    assert signal.getsignal(signal.SIGTERM) is before


@pytest.mark.parametrize("tell", ["pass", "raise OSError('the store is gone')"])
def test_a_stall_ends_the_process_with_all_stacks(tmp_path: Path, tell: str) -> None:
    log = tmp_path / "train.log"
    done = subprocess.run(
        [sys.executable, "-c", STALLED.format(tell=tell), str(log)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 6
    assert "TOLD no progress for 0.3 s" in done.stdout
    assert "hang_here" in log.read_text()


def test_progress_keeps_the_process_alive(tmp_path: Path) -> None:
    with Watch(3, tmp_path / "log", lambda reason: pytest.fail(reason)) as watch:
        for _ in range(12):  # longer than the limit in all; a beat that comes late would end the whole test run
            time.sleep(0.3)
            watch.beat()
