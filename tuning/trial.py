"""One trial, in a process of its own: it trains, tells each epoch, and knows neither Optuna nor the tracker."""

import contextlib
import multiprocessing
import signal
import time
import traceback
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from pathlib import Path

import psutil
from filelock import FileLock, Timeout

from fracture.errors import DivergedError, Interrupted, MemoryLimitError
from fracture.evidence.healthy import find_healthy
from fracture.progress import LOG, log_file
from fracture.training import fit, state
from fracture.training.explain import out_of_memory_explained
from fracture.training.head import fit_probe
from fracture.training.job import Job, build_model
from fracture.training.memory.plan import MemoryPlan
from fracture.training.memory.shortage import is_out_of_memory
from fracture.training.state import Position
from fracture.training.timing import Timings
from fracture.training.watch import Watch
from tuning.messages import Batch, Epoch, Outcome, Planned
from tuning.process import die_with
from tuning.space import Value
from tuning.task import Task

_EVERY = 0.5  # seconds between two messages about batches
_PATIENCE = 60  # seconds that an earlier process of the same trial has to end


@dataclass(frozen=True)
class Work:
    """What one trial is to do.

    Attributes:
        task: what all trials share.
        values: of the settings that are searched.
        memory: how its batch fits.
        folder: where its state lies; one that was interrupted goes on from there.
    """

    task: Task
    values: dict[str, Value]
    memory: MemoryPlan
    folder: Path


class Pruned(Exception):  # noqa: N818 - it is no error
    """The trial was told to stop."""


def main(work: Work, connection: Connection) -> None:
    """Train, and say how it ended; what a process needs is all in its arguments."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all of a terminal; the study itself asks with SIGTERM
    die_with(multiprocessing.parent_process())
    work.folder.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(work.folder / ".lock", timeout=_PATIENCE), log_file(work.folder / "train.log"):
            outcome = _outcome(work, connection)
    except Timeout:
        outcome = Outcome("killed", "an earlier process of this trial has not ended yet")
    with contextlib.suppress(OSError):  # nobody is there any more
        connection.send(outcome)


def _outcome(work: Work, connection: Connection) -> Outcome:
    try:
        _train(work, connection)
    except Pruned:
        return Outcome("pruned")
    except (MemoryLimitError, MemoryError) as error:
        return Outcome("memory", str(error) or "out of memory")
    except DivergedError as error:
        return Outcome("diverged", str(error))
    except Interrupted as stop:
        return Outcome("interrupted", str(stop))
    except Exception as error:  # noqa: BLE001 - whatever it is, the study must be told
        if is_out_of_memory(error):
            return Outcome("memory", str(error))
        return Outcome("failed", str(error) or type(error).__name__, traceback.format_exc())
    return Outcome("done")


def _train(work: Work, connection: Connection) -> None:
    task, fits = work.task, work.memory
    plan = task.plan.model_copy(
        update={
            "micro_batch": fits.micro_batch,
            "accumulation": fits.accumulation,
            "checkpointing": fits.checkpointing,
            "memory_gib": round(fits.prediction.process_gib, 3),
            "memory_reserved_gib": round(fits.prediction.reserved_gib, 3),
            "memory_allocated_gib": round(fits.prediction.allocated_gib, 3),
        }
    )
    config = task.with_values(work.values)
    healthy = find_healthy(config.healthy, task.dataset.classes).name
    job = Job(config, plan, task.backbone, task.weights, task.dataset, work.folder, healthy)
    job = replace(job, plan=fit.choose_execution(job, Timings(task.cache_dir, LOG.info)))  # not compiled: short
    with out_of_memory_explained(job):
        model = build_model(job)
    hold(task.limit_gib, plan.device)  # only now: the timing of formats is no part of what was predicted
    with Watch(config.stall_seconds, work.folder / "train.log", lambda _: None) as watch:
        if config.head == "probe" and not state.exists(job.folder):
            with out_of_memory_explained(job):
                LOG.info("%s", fit_probe(job, model, lambda *_: watch.beat(), decides=False).described())
        connection.send(Planned(job.plan))
        fit.fit(job, model, watch, _Messenger(connection))


def hold(limit_gib: float, device: str) -> None:
    """Have the system refuse this process more main memory than the limit, on Linux; a GPU is held by `fit`.

    What the system counts is private writable memory. It is more than the resident set by what was reserved and never
    touched; that difference, as it is now, is added, so that the limit is one of the resident set.
    """
    if device == "cpu" and psutil.LINUX:
        import resource  # not on Windows

        _, hard = resource.getrlimit(resource.RLIMIT_DATA)
        memory = psutil.Process().memory_info()
        wanted = int(limit_gib * 2**30) + max(0, memory.data - memory.rss)
        resource.setrlimit(resource.RLIMIT_DATA, (wanted if hard < 0 else min(wanted, hard), hard))


class _Messenger:
    """Tells the optimising process how training goes on; a `fracture.training.job.Listener`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._told = 0.0

    def started(self, job: Job, batches: int, position: Position) -> None:  # noqa: ARG002 - a listener's signature
        """Tell again what an earlier process of this trial has learned."""
        for number, metrics in enumerate(position.history, start=1):
            self._tell(Epoch(number, metrics, earlier=True))

    def batch(self, phase: str, done: int, total: int, position: Position) -> None:
        """Tell how far it is, now and then."""
        now = time.monotonic()
        if now - self._told >= _EVERY:
            self._told = now
            self._connection.send(Batch(phase, position.epoch + 1, done, total))

    def corrected(self, job: Job, reason: str) -> None:  # noqa: ARG002 - a listener's signature
        """A batch in more parts than planned is not what the study has wanted."""
        raise MemoryLimitError(reason)

    def epoch(self, number: int, metrics: dict[str, float], best: bool) -> None:  # noqa: ARG002 - a listener's signature
        """Tell an epoch's metrics, and stop if that is the answer."""
        self._tell(Epoch(number, metrics))

    def _tell(self, message: Epoch) -> None:
        self._connection.send(message)
        if not self._connection.recv():
            raise Pruned
