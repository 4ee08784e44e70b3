"""The life of a run that trains: watched, and ended in the store however it goes."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fracture.errors import FractureError, Interrupted
from fracture.failures import explained
from fracture.progress import LOG, Terminal, log_file
from fracture.runs.delivery import deliver
from fracture.tracking import store
from fracture.tracking.run import TrackedRun
from fracture.training import state
from fracture.training.job import Job
from fracture.training.watch import Watch


@contextmanager
def tracked_training(
    run: TrackedRun, job: Job, terminal: Terminal, resume_command: str, parent: str | None
) -> Iterator[Watch]:
    """Whatever happens, the run says how it ended, and its state is kept exactly when it can go on.

    Args:
        run: that has begun.
        job: what it trains.
        terminal: shows how to go on.
        resume_command: the command that does, with ``{run}`` for the run's id.
        parent: id of the group that goes on after this run, None for a single run.

    Raises:
        Interrupted: a signal stopped it, or came when it was done and the group would go on.
        FractureError: whatever ended the run.
    """
    terminal.say(f"Run {run.id}")
    try:
        with _watch(run, job, terminal, resume_command) as watch:
            with log_file(job.folder / "train.log"):
                yield watch
            watch.alive()
            run.evidence(job.folder)
            run.end("FINISHED")
    except (Interrupted, KeyboardInterrupt) as stop:
        reason = str(stop) or "interrupted"
        _end_badly(run, job, "KILLED", reason)
        raise Interrupted(f"{reason.removesuffix('.')}. {_next(run, job.folder, resume_command)}") from stop
    except BaseException as error:
        known = explained(error)
        _end_badly(run, job, "FAILED", str(known or error), error if known is None else known)
        if not state.exists(job.folder):
            state.delete(job.folder)
            raise
        if isinstance(known, Interrupted):
            raise Interrupted(f"{known} {_next(run, job.folder, resume_command)}") from error
        terminal.say(_next(run, job.folder, resume_command))
        raise
    deliver(run, job.folder, resume_command)
    say_done(run, terminal)
    if parent and watch.signal:
        raise Interrupted(f"stopped by {watch.signal}")


def say_done(run: TrackedRun, terminal: Terminal, report: str = "report.html") -> None:
    """Where the evidence of a finished run is."""
    shows = store.shown() if store.shown().startswith("http") else "`mlflow ui`"
    terminal.say(f"Done: {report} and the rest of run {run.id} are in {run.place}; {shows} shows them.")


def _next(run: TrackedRun, folder: Path, resume_command: str) -> str:
    """What to do about a run that has not finished."""
    if (folder / "config.json").is_file():
        return "Go on with:\n  " + resume_command.replace("{run}", run.id)
    return "Nothing was trained yet: the same command starts again."


def _end_badly(run: TrackedRun, job: Job, status: str, reason: str, error: BaseException | None = None) -> None:
    """Note the reason on the run and in its log, as far as disk and store still take it."""
    try:
        with log_file(job.folder / "train.log"):
            LOG.error("%s: %s", status, reason, exc_info=None if isinstance(error, FractureError) else error)
        run.rest()
        run.evidence(job.folder, only=("train.log", "config.json", "environment.json", "uncommitted.diff"))
        run.end(status, reason)
    except Exception as unreachable:  # noqa: BLE001 - the first failure is what the user must hear of
        LOG.error("the run could not be ended in the store: %s", unreachable)


def _watch(run: TrackedRun, job: Job, terminal: Terminal, resume_command: str) -> Watch:
    def stalled(reason: str) -> None:
        message = f"Interrupted (exit code 6)\n{reason}. {_next(run, job.folder, resume_command)}"
        terminal.console.print(message, markup=False)
        run.kill_from_outside(reason)

    def stopping(name: str) -> None:
        terminal.say(f"{name}: stopping once the batch or step under way is done.")

    return Watch(job.config.stall_seconds, job.folder / "train.log", stalled, stopping)
