"""Watching a run: signals stop it at the next safe moment, and a run without progress is ended, not left hanging."""

import faulthandler
import os
import select
import signal
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType, TracebackType

from fracture.errors import Interrupted

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_END = b"\0"  # no signal has this number


class Watch:
    """A context in which SIGINT and SIGTERM are kept for `beat`, and a thread looks for progress.

    ``mlflow run`` passes Ctrl-C on as SIGINT and SIGTERM at once, so that a second signal changes nothing.
    """

    def __init__(
        self,
        stall_seconds: float,
        log: Path,
        on_stall: Callable[[str], None],
        on_signal: Callable[[str], None] | None = None,
    ) -> None:
        """Prepare to watch.

        Args:
            stall_seconds: time without a beat after which the process ends with exit code 6.
            log: file that the stacks of all threads are appended to.
            on_stall: told the reason before the process ends; it may itself hang and gets ten seconds.
            on_signal: told the name of the first signal, at once and on another thread: the main one may be deep in a
                training step, where Python's own handlers wait until it returns.
        """
        self._stall, self._log, self._on_stall, self._on_signal = stall_seconds, log, on_stall, on_signal
        self._signal = ""
        self._last = time.monotonic()
        self._over = False
        self._ear: socket.socket
        self._mouth: socket.socket
        self._previous: dict[signal.Signals, object] = {}
        self._previous_mouth = -1

    def __enter__(self) -> "Watch":
        """Catch the signals and start looking; the interpreter itself tells the thread of them through a socket."""
        self._ear, self._mouth = socket.socketpair()
        self._mouth.setblocking(False)
        self._last = time.monotonic()
        if threading.current_thread() is threading.main_thread():
            self._previous_mouth = signal.set_wakeup_fd(self._mouth.fileno(), warn_on_full_buffer=False)
            self._previous = {number: signal.signal(number, self._note) for number in _SIGNALS}
        threading.Thread(target=self._look, name="stall watch", daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Give the signals back; after one has come, the next must not cut short what ends the run in good order."""
        if self._previous:
            signal.set_wakeup_fd(self._previous_mouth)
        for number, handler in self._previous.items():
            signal.signal(number, signal.SIG_IGN if self._signal else handler)  # type: ignore[arg-type]
        self._over = True
        self._mouth.send(_END)

    @property
    def signal(self) -> str:
        """Name of the signal that has come, empty for none."""
        return self._signal

    def alive(self) -> None:
        """Say that there is progress, where stopping is not safe."""
        self._last = time.monotonic()

    def beat(self) -> None:
        """Say that there is progress and that this is a safe moment to stop.

        Raises:
            Interrupted: a signal has stopped it.
        """
        self.alive()
        if self._signal:
            raise Interrupted(f"stopped by {self._signal}")

    def _note(self, number: int, _frame: FrameType | None) -> None:
        self._signal = self._signal or signal.Signals(number).name

    def _look(self) -> None:
        told = self._on_signal is None
        with self._ear, self._mouth:
            while True:
                ready, _, _ = select.select([self._ear], [], [], min(1.0, self._stall / 4))
                received = self._ear.recv(64) if ready else b""
                if _END in received:  # only then may the sockets be closed: the main thread writes to one until the end
                    return
                heard = [number for number in received if number in _SIGNALS]
                if heard and not told and self._on_signal is not None:
                    told = True
                    self._on_signal(signal.Signals(heard[0]).name)
                if not self._over and time.monotonic() - self._last > self._stall:
                    self._end()

    def _end(self) -> None:
        reason = f"no progress for {self._stall:g} s (stall_seconds); the stacks of all threads are in {self._log.name}"
        with self._log.open("a") as file:
            file.write(f"\n{reason}\n")
            file.flush()
            faulthandler.dump_traceback(file)
        teller = threading.Thread(target=self._on_stall, args=(reason,), daemon=True)
        teller.start()
        teller.join(10)
        os._exit(Interrupted.exit_code)  # the main thread hangs: nothing gentler would end it
