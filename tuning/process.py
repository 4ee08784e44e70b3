"""Processes: a trial in one of its own, forked from one that has the libraries loaded and no CUDA context."""

import multiprocessing
import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import forkserver
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Protocol, TypeVar

from tuning.messages import Batch, Epoch, Outcome, Planned
from tuning.stop import Stop

R = TypeVar("R")
_FORKS = "forkserver" in multiprocessing.get_all_start_methods()  # not on Windows: there each trial imports anew
_CONTEXT = multiprocessing.get_context("forkserver") if _FORKS else multiprocessing.get_context("spawn")
_PRELOADED = ["tuning.trial"]
if _FORKS:
    _CONTEXT.set_forkserver_preload(_PRELOADED)  # before the first process, which begins the one that is forked
_POLL = 0.2  # seconds between looks at what asks to stop
_VMSTAT = Path("/proc/vmstat")


class Listener(Protocol):
    """Is told how a trial goes on, in the process that optimises."""

    def planned(self, message: Planned) -> None:
        """It begins."""

    def batch(self, message: Batch) -> None:
        """It has come so far in an epoch."""

    def epoch(self, message: Epoch) -> bool:
        """An epoch is done; whether it shall go on."""

    def stopping(self, reason: str) -> None:
        """It was told to save how far it has come, and to end."""


def warm_up() -> None:
    """Begin to load what trials need, while this process does other things."""
    if _FORKS:
        forkserver.ensure_running()


def call(function: Callable[..., R], *arguments: Any) -> R:
    """The answer of a function, called in another process; what it raises is raised here."""
    with ProcessPoolExecutor(1, mp_context=_CONTEXT) as pool:
        return pool.submit(function, *arguments).result()


def run(target: Callable[..., None], work: object, listener: Listener, stop: Stop) -> Outcome:
    """Run ``target(work, connection)`` in a process and listen to its end, however it ends.

    Args:
        target: sends `Planned`, `Batch`, `Epoch` (each of which waits for an answer) and at last an `Outcome`.
        work: what it is given.
        listener: hears of each message.
        stop: once it has a reason the process is told to end, and given the time to save how far it has come.
    """
    ours, theirs = _CONTEXT.Pipe()
    kills = _out_of_memory_kills()
    process = _CONTEXT.Process(target=target, args=(work, theirs), daemon=True)
    process.start()
    theirs.close()
    told = False
    try:
        while True:
            if stop.reason and not told:
                process.terminate()
                told = True
                listener.stopping(stop.reason)
            if ours.poll(_POLL):
                outcome = _receive(ours, listener)
                if outcome is not None:
                    process.join()
                    return outcome
            elif not process.is_alive() and not ours.poll():
                break
    except (EOFError, ConnectionError):  # a killed process resets what it had not read
        pass
    finally:
        ours.close()  # whoever still waits for an answer listener that nobody is there
        process.join(10)
        if process.is_alive():
            process.kill()
    if stop.reason:
        return Outcome("killed", stop.reason)
    return _ended(process.exitcode, _out_of_memory_kills() > kills)


def die_with(parent: Any = None) -> None:
    """End this process as soon as the one that started it is gone, however that ended."""
    parent = parent or multiprocessing.parent_process()

    def wait() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=wait, name="parent watch", daemon=True).start()


def _receive(connection: Connection, listener: Listener) -> Outcome | None:
    """One message; the outcome if it is that."""
    message = connection.recv()
    if isinstance(message, Outcome):
        return message
    if isinstance(message, Epoch):
        connection.send(listener.epoch(message))
    elif isinstance(message, Batch):
        listener.batch(message)
    elif isinstance(message, Planned):
        listener.planned(message)
    return None


def _ended(code: int | None, for_memory: bool) -> Outcome:
    """What it means that a trial's process ended without a word."""
    if code == -9 and for_memory:
        return Outcome("memory", "the system killed the trial's process, which ran out of memory")
    if code is not None and code < 0:
        return Outcome("killed", f"the trial's process was killed by signal {-code}")
    if code == 6:
        return Outcome("killed", "the trial made no progress and ended itself (stall_seconds)")
    return Outcome("failed", f"the trial's process ended with exit code {code} and gave no reason")


def _out_of_memory_kills() -> int:
    """How often this system has killed a process for lack of memory, 0 where it does not say."""
    try:
        lines = dict(line.split() for line in _VMSTAT.read_text().splitlines())
    except (OSError, ValueError):
        return 0
    return int(lines.get("oom_kill", 0))


def wait(seconds: float, stop: Stop) -> None:
    """Wait, but not once told to stop."""
    end = time.monotonic() + seconds
    while time.monotonic() < end and not stop.reason:
        time.sleep(min(_POLL, seconds))
