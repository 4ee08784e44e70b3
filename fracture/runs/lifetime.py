"""The life of a run: held by one process, watched, and ended in the store however it goes."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from fracture.errors import ConfigError, FractureError, Interrupted
from fracture.progress import LOG, Terminal, log_file
from fracture.tracking.run import TrackedRun
from fracture.training import fit, state
from fracture.training.watch import Watch


@contextmanager
def accounted(run: TrackedRun, job: fit.Job, terminal: Terminal, again: str) -> Iterator[Watch]:
    """Whatever happens, the run says how it ended, and its state is kept exactly when it can go on.

    Args:
        run: that has begun.
        job: what it trains.
        terminal: is told how to go on.
        again: the command that does, with ``{run}`` for the run's id.

    Raises:
        Interrupted: a signal asked for it.
        FractureError: whatever ended the run.
    """
    terminal.say(f"Run {run.id}")
    try:
        with _watch(run, job, terminal, again) as watch:
            with log_file(job.folder / "train.log"):
                yield watch
            watch.alive()
            run.evidence(job.folder)
    except (Interrupted, KeyboardInterrupt) as stop:
        reason = str(stop) or "interrupted"
        _end_badly(run, job, "KILLED", reason)
        raise Interrupted(f"{reason}. {_next(run, job, again)}") from stop
    except BaseException as error:
        _end_badly(run, job, "FAILED", str(error), error)
        if state.exists(job.folder):
            terminal.say(_next(run, job, again))
        else:
            state.delete(job.folder)
        raise
    run.end("FINISHED")
    state.delete(job.folder)
    terminal.say(f"Done: report.html and the rest of run {run.id} are in {run.place}; `mlflow ui` shows them.")


def _next(run: TrackedRun, job: fit.Job, again: str) -> str:
    """What to do about a run that has not finished."""
    if (job.folder / "config.json").is_file():
        return "Go on with:\n  " + again.replace("{run}", run.id)
    return "Nothing was learned yet: the same command starts again."


def _end_badly(run: TrackedRun, job: fit.Job, status: str, reason: str, error: BaseException | None = None) -> None:
    """Note the reason on the run and in its log, as far as the store still answers."""
    with log_file(job.folder / "train.log"):
        LOG.error("%s: %s", status, reason, exc_info=None if isinstance(error, FractureError) else error)
    try:
        run.evidence(job.folder, only=("train.log", "config.json", "environment.json", "uncommitted.diff"))
        run.end(status, reason)
    except Exception as unreachable:  # noqa: BLE001 - the first failure is what the user must hear of
        LOG.error("the run could not be ended in the store: %s", unreachable)


@contextmanager
def only_here(folder: Path, run_id: str) -> Iterator[None]:
    """Hold a run's state for this process.

    Raises:
        ConfigError: another process on this machine trains it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(folder / ".lock", timeout=0):
            yield
    except Timeout as error:
        raise ConfigError(f"run {run_id} is being trained by another process on this machine") from error


def _watch(run: TrackedRun, job: fit.Job, terminal: Terminal, again: str) -> Watch:
    def stalled(reason: str) -> None:
        message = f"Interrupted (exit code 6)\n{reason}. {_next(run, job, again)}"
        terminal.console.print(message, markup=False)
        run.kill_from_outside(reason)

    def stopping(name: str) -> None:
        terminal.say(f"{name}: stopping once the batch or step under way is done.")

    return Watch(job.config.stall_seconds, job.folder / "train.log", stalled, stopping)
