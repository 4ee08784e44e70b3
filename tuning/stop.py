"""Being asked to stop, which is kept for the next safe moment."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType


@dataclass
class Stop:
    """Asked to stop, by a signal; ``reason`` is empty until then."""

    reason: str = ""


@contextmanager
def stoppable() -> Iterator[Stop]:
    """SIGINT and SIGTERM are kept for the next safe moment; ``mlflow run`` sends both at once."""
    stop = Stop()

    def note(number: int, _: FrameType | None) -> None:
        stop.reason = stop.reason or f"stopped by {signal.Signals(number).name}"

    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, signal.SIG_IGN if stop.reason else handler)
