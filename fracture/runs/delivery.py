"""Telling the store of a run that is over: the end of training, and runs that train nothing (evaluate, ensemble)."""

import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fracture.errors import Interrupted
from fracture.evidence import ARTIFACTS, EnsembleResults, EvaluationResults, Judged
from fracture.failures import explained
from fracture.progress import Terminal
from fracture.runs.states import held_state, state_root
from fracture.tracking import query
from fracture.tracking.outbox import only_delivery_is_left
from fracture.tracking.run import TrackedRun
from fracture.training import state

PATIENCE = 20.0  # seconds that a finished run waits for a store that is away
_EVIDENCE = "evidence"  # below the state's folder, where a training keeps other files under the same names
_JUDGED: dict[str, type[Judged]] = {"evaluate": EvaluationResults, "ensemble": EnsembleResults}


@contextmanager
def tracked_evaluation(run: TrackedRun, terminal: Terminal, resume_command: str) -> Iterator[Path]:
    """A folder for the evidence of a run that trains nothing, which is ended however the block goes.

    Args:
        run: that has begun.
        terminal: shows when the store goes and comes back.
        resume_command: the command that delivers, with ``{run}`` for the run's id.

    Raises:
        Interrupted: stopped, or all is computed and kept, and the store does not take it.
    """
    folder = state_root() / run.id
    with held_state(folder, run.id):
        run.keep(folder, terminal.say)
        try:
            yield folder / _EVIDENCE
        except BaseException as error:
            run.rest()
            stopped = isinstance(explained(error) or error, Interrupted | KeyboardInterrupt)
            run.end("KILLED" if stopped else "FAILED", str(error))
            state.delete(folder)
            raise
        run.evidence(folder, only=[f"{_EVIDENCE}/{name}" for name in ARTIFACTS])
        run.end("FINISHED")
        deliver(run, folder, resume_command)


def copy_evidence(out: Path, folder: Path) -> None:
    """Copy what a run leaves of a folder of the user's, who may write other things there before it is delivered."""
    for source in (out / name for name in ARTIFACTS):
        if source.is_dir():
            shutil.copytree(source, folder / source.name)
        elif source.is_file():
            folder.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, folder / source.name)


def deliver(run: TrackedRun, folder: Path, resume_command: str) -> None:
    """See that the store knows all of a run that is over, and only then delete its state.

    Raises:
        Interrupted: the store does not take it, for twenty seconds by now.
    """
    until = time.monotonic() + PATIENCE
    try:
        while not run.delivered() and time.monotonic() < until:
            time.sleep(1)
    except KeyboardInterrupt:
        until = 0.0
    if run.trouble:
        place = folder / _EVIDENCE if (folder / _EVIDENCE).is_dir() else folder
        kept = ", ".join(name for name in ("best.pth", "results.json", "report.html") if (place / name).exists())
        raise Interrupted(
            f"The run is over, but the tracking store does not accept it: {run.trouble}. Its results are in "
            f"{place}: {kept}. Once the store answers, send them with:\n  " + resume_command.replace("{run}", run.id)
        )
    state.delete(folder)


def go_on_judged(run_id: str, terminal: Terminal, resume_command: str) -> bool:
    """Deliver a run that has trained nothing; whether ``run_id`` is one, and waits for it.

    Raises:
        Interrupted: the store does not take it.
    """
    folder = state_root() / run_id
    kind = query.tags_of(run_id).get("fracture.kind", "")
    if kind not in _JUDGED or not only_delivery_is_left(folder):
        return False
    results = _JUDGED[kind].model_validate_json((folder / _EVIDENCE / "results.json").read_bytes())
    with held_state(folder, run_id):
        finish_delivery(run_id, folder, terminal, resume_command)
    terminal.results(results)
    return True


def finish_delivery(
    run_id: str, folder: Path, terminal: Terminal, resume_command: str, parent: str | None = None
) -> TrackedRun:
    """Tell the store of a run that was over when the store was away; nothing is computed again.

    Raises:
        Interrupted: it is away still.
    """
    run = TrackedRun.go_on(run_id, parent=parent, watched=False)
    run.keep(folder, terminal.say)
    run.leave("FINISHED" if run.delivered() else "KILLED")
    deliver(run, folder, resume_command)
    return run
