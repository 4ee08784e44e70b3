"""What killed processes leave: runs that say RUNNING for ever, and states of runs that are over or gone."""

import json
import shutil
from dataclasses import dataclass
from pathlib import Path

import mlflow
from filelock import FileLock, Timeout
from mlflow.entities import LifecycleStage, Run, ViewType
from mlflow.exceptions import MlflowException

from fracture.tracking import store
from fracture.tracking.liveness import is_gone

PROCESS = "fracture.process"  # tag: the process that writes the run
_REASON = "its process is gone (killed, or the machine went down)"
_ABANDONED = 24 * 3600 * 1000  # milliseconds after which a run that no process has taken up is nobody's


@dataclass(frozen=True)
class Leftover:
    """One of them.

    Attributes:
        run_id: whose.
        said: what it is, in a sentence.
        mend: what to do about it, or what ``--fix`` does.
        kind: ``run`` (marked RUNNING), ``state`` (a folder that nobody needs), ``resumable``, or ``unknown``.
        folder: of its state, None where there is none here.
    """

    run_id: str
    said: str
    mend: str
    kind: str
    folder: Path | None = None


def find(states: Path) -> list[Leftover]:
    """All leftovers of the store at hand, and of the folder that holds the states of unfinished runs."""
    found = [one for run in _running() if (one := _judge_running(run, states / run.info.run_id))]
    named = {one.run_id for one in found}
    folders = sorted(path for path in states.iterdir() if path.is_dir()) if states.is_dir() else []
    return found + [one for folder in folders if folder.name not in named and (one := _judge_state(folder))]


def mend(found: Leftover) -> None:
    """End a run whose process is gone as KILLED; delete a state that nobody needs. Others stay as they are."""
    if found.kind == "run":
        client = mlflow.MlflowClient()
        client.set_tag(found.run_id, "fracture.reason", _REASON)
        client.set_terminated(found.run_id, "KILLED")
    elif found.kind == "state" and found.folder is not None:
        shutil.rmtree(found.folder, ignore_errors=True)


def sweep(states: Path) -> list[Leftover]:
    """The safe part, which commands do by themselves: end what a process of this machine has left RUNNING."""
    gone = [one for run in _running() if (one := _judge_running(run, states / run.info.run_id)) and one.kind == "run"]
    for one in gone:
        mend(one)
    return gone


def _running() -> list[Run]:
    """The runs of this project that say that they run."""
    client = mlflow.MlflowClient()
    experiments = [one.experiment_id for one in client.search_experiments(view_type=ViewType.ACTIVE_ONLY)]
    found = list(client.search_runs(experiments, "attributes.status = 'RUNNING'", max_results=1000))
    return [run for run in found if _is_ours(run)]


def _is_ours(run: Run) -> bool:
    tags = run.data.tags
    return any(tag.startswith("fracture.") for tag in tags) or "mlflow.project.entryPoint" in tags


def _judge_running(run: Run, folder: Path) -> Leftover | None:
    """What a run that says RUNNING is; None where a process is at work on it."""
    run_id, tags = run.info.run_id, run.data.tags
    name = f"run {run_id} ({tags.get('fracture.kind', 'of mlflow run')}, {run.info.run_name})"
    process = json.loads(tags.get(PROCESS, "{}"))
    if is_gone(process) or (not process and folder.is_dir() and _is_free(folder)):
        later = f"; then: fracture train --resume {run_id}" if (folder / "config.json").is_file() else ""
        return Leftover(run_id, f"{name} says RUNNING, but {_REASON}", f"--fix marks it KILLED{later}", "run", folder)
    if process or folder.is_dir():
        return None  # at work here, or on another machine
    age = mlflow.utils.time.get_current_time_millis() - run.info.start_time
    if age < _ABANDONED:
        return None
    return Leftover(
        run_id, f"{name} says RUNNING for {age / 3600_000:.0f} hours, and nothing tells which process writes it",
        f"if none does: mlflow.MlflowClient().set_terminated('{run_id}', 'KILLED')", "unknown",
    )  # fmt: skip


def _judge_state(folder: Path) -> Leftover | None:
    """What a state folder is whose run does not say RUNNING."""
    if not _is_free(folder):
        return None
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 2**20
    what = f"the state of run {folder.name} ({size:.0f} MiB)"
    try:
        info = mlflow.MlflowClient().get_run(folder.name).info
        deleted = info.lifecycle_stage == LifecycleStage.DELETED
        over = "the run was deleted" if deleted else "the run has finished" if info.status == "FINISHED" else ""
    except MlflowException:
        over = f"the store {store.shown()} has no such run"
    if over:
        return Leftover(folder.name, f"{what}: {over}", "--fix deletes it", "state", folder)
    mend = f"fracture train --resume {folder.name}, or delete the run to be rid of it"
    return Leftover(folder.name, f"{what}: the run was interrupted and can go on", mend, "resumable", folder)


def _is_free(folder: Path) -> bool:
    """Whether no process of this machine holds a state folder."""
    try:
        with FileLock(folder / ".lock", timeout=0):
            return True
    except Timeout:
        return False
