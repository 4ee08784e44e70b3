"""What the store does not take for now: kept beside the run's state, and told later, in order and each once."""

import contextlib
import json
import math
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import mlflow

from fracture.failures import is_store, sentence
from fracture.files import replacing
from fracture.tracking import store, writes
from fracture.tracking.writes import Write

NAME = "undelivered.jsonl"
_EVERY = 15.0  # seconds between two attempts while the store is away


class Outbox:
    """The way of everything that a run tells the store.

    Without a folder a write is done at once or fails. With one, a write that fails is kept there, and with it all that
    follow, until the store answers again.
    """

    def __init__(
        self, run_id: str, folder: Path | None = None, say: Callable[[str], None] = print, *, over: bool = False
    ) -> None:
        """Write to one run.

        Args:
            run_id: of the run.
            folder: where its evidence lies, and what an earlier process has kept.
            say: hears when the store goes and when it comes back.
            over: whether the run will not go on, so that it is told, too, that it has ended badly.
        """
        self._run_id, self._folder, self._say = run_id, folder, say
        self._next_try = 0.0
        self._waiting = read(folder, over=over) if folder is not None else []
        self.reason = ""

    @property
    def waiting(self) -> tuple[Write, ...]:
        """What the store has not been told, oldest first."""
        return tuple(self._waiting)

    def put(self, write: Write, folder: Path | None = None) -> None:
        """Tell the store, or keep it for later; files of the evidence lie in ``folder``, by default the outbox's own.

        Raises:
            Exception: the store does not take it and there is no folder to keep it in.
        """
        if self._folder is None or folder not in (None, self._folder):
            writes.do(self._run_id, folder or Path(), write)
            return
        self._waiting.append(write)
        if len(self._waiting) > 1 and time.monotonic() < self._next_try:
            self._keep()
        else:
            self.deliver()

    def rest(self) -> None:
        """Where the store is away, keep what comes without one more attempt: the process is to end at once."""
        if self.reason:
            self._next_try = math.inf

    def deliver(self) -> bool:
        """Tell the store what waits; returns whether it has been told all."""
        if not self._waiting or self._folder is None:
            return not self._waiting
        before, failed = len(self._waiting), False
        while self._waiting and not failed:
            failed = not self._done(self._folder, self._waiting[0])
            if not failed:
                self._waiting.pop(0)
        if failed or before > 1:
            self._keep()
        if not failed and self.reason:
            self._say(f"The tracking store answers again: {before} waiting writes were sent.")
            self.reason = ""
        return not failed

    def _done(self, folder: Path, write: Write) -> bool:
        try:
            if self.reason or write["what"] == "evidence":  # a short question, before megabytes are sent
                with few_retries():
                    mlflow.MlflowClient().get_run(self._run_id)
            with few_retries(large=write["what"] == "evidence"):
                writes.do(self._run_id, folder, write)
        except Exception as error:
            if not is_store(error):
                self._waiting.pop(0)  # it would fail for ever, and what follows would wait for it
                raise
            self._next_try = time.monotonic() + _EVERY
            if not self.reason:
                self._say(
                    f"The tracking store does not accept data ({sentence(error)}): the work goes on, and "
                    f"what waits is kept in {folder / NAME}."
                )
            self.reason = sentence(error)
            return False
        return True

    def _keep(self) -> None:
        """Write down what waits, whole or not at all."""
        assert self._folder is not None
        path = self._folder / NAME
        if not self._waiting:
            path.unlink(missing_ok=True)
            return
        with replacing(path) as part:
            part.write_text("".join(f"{json.dumps(write)}\n" for write in self._waiting), encoding="utf-8")


def read(folder: Path, *, over: bool = False) -> list[Write]:
    """What an earlier process of a run has kept, oldest first; that it has ended badly only where it is ``over``."""
    path = folder / NAME
    if not path.is_file():
        return []
    kept: list[Write] = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return [write for write in kept if over or write["what"] != "end" or write["status"] == "FINISHED"]


def only_delivery_is_left(folder: Path) -> bool:
    """Whether a run is over and has left all its evidence in ``folder``; only the store does not know."""
    return any(write["what"] == "end" for write in read(folder))


@contextlib.contextmanager
def few_retries(seconds: int = 10, *, large: bool = False) -> Iterator[None]:
    """One attempt, and a short one unless it is about ``large`` files: MLflow itself would try for minutes."""
    short = {} if large else {"MLFLOW_HTTP_REQUEST_TIMEOUT": str(seconds)}
    with store.environment_of({"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0"} | short):
        yield
