"""What killed processes leave: runs that say RUNNING for ever, states of runs that are over, files half written."""

import re
import shutil
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import mlflow
import psutil
from filelock import FileLock, Timeout
from mlflow.entities import LifecycleStage, Run, ViewType
from mlflow.exceptions import MlflowException

from fracture.tracking import liveness, store
from fracture.tracking.liveness import is_gone, is_launched, is_seen
from fracture.tracking.outbox import only_delivery_is_left

PROCESS = "fracture.process"  # tag: the process that writes the run
_REASON = "its process is gone (killed, or the machine went down)"
_SILENCE = 24 * 3600  # seconds without a sign of life after which a process that cannot be seen counts as gone
_WRITING = 60  # seconds since its last change within which another machine may be writing a file
_PAGE = 200
_PART = re.compile(r"\.(\d+)\.part")  # the number of the process, see `fracture.files.replacing`
_NOT_THERE = ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE")  # the latter where a name is no id at all
Kind = Literal["run", "silent", "over", "state", "part", "resumable", "foreign"]
REPAIRED: frozenset[Kind] = frozenset({"run", "silent", "over", "state", "part"})


@dataclass(frozen=True)
class Leftover:
    """One of them.

    Attributes:
        run_id: whose; empty for a file.
        said: what it is, in a sentence.
        fix: what to do about it, or what ``--fix`` does.
        kind: what is repaired: ``run`` (RUNNING, and its process is gone), ``silent`` (RUNNING, without a sign of
            life), ``over`` (the state of a finished run), ``state`` (another one that nobody needs), ``part`` (a file
            half written). What stays: ``resumable``, and ``foreign``, whose run this store does not have.
        folder: of its state, or the file; None where there is none here.
    """

    run_id: str
    said: str
    fix: str
    kind: Kind
    folder: Path | None = None


def find(states: Path) -> list[Leftover]:
    """All leftovers of the store at hand, and of the folder that holds the states of unfinished runs."""
    found = [one for run in _running() if (one := _judge_running(run, states / run.info.run_id))]
    named = {one.run_id for one in found}
    folders = sorted(path for path in states.iterdir() if path.is_dir()) if states.is_dir() else []
    return found + [one for folder in folders if folder.name not in named and (one := _judge_state(folder))]


def half_written(root: Path, below: Iterable[Path]) -> list[Leftover]:
    """Files that a process which is gone was about to write, in a folder, and anywhere below others."""
    paths = list(root.glob(".*.part*"))
    for folder in below:
        paths += folder.rglob(".*.part*") if folder.is_dir() else ()
    return [
        Leftover("", f"{path} ({path.stat().st_size / 2**20:.0f} MiB) is half written, and its process is gone",
                 "--fix deletes it", "part", path)
        for path in paths if _is_dead(path)
    ]  # fmt: skip


def _is_dead(part: Path) -> bool:
    """Whether nobody writes a file any more, whose name holds the number of the process that began to."""
    number = _PART.search(part.name)
    gone = number is not None and not psutil.pid_exists(int(number[1]))
    return gone and time.time() - part.stat().st_mtime > _WRITING


def fix(found: Leftover) -> None:
    """End a run whose process is gone as KILLED; delete what nobody needs. Others stay as they are."""
    if found.kind in ("run", "silent"):
        client = mlflow.MlflowClient()
        client.set_tag(found.run_id, "fracture.reason", _REASON)
        client.set_terminated(found.run_id, "KILLED")
    if found.folder is None or found.kind not in REPAIRED:
        return
    if found.kind == "part":
        found.folder.unlink(missing_ok=True)
    elif (
        found.folder.is_dir()
        and (found.kind in ("over", "state") or not _can_go_on(found.folder))
        and _is_free(found.folder)
    ):
        shutil.rmtree(found.folder, ignore_errors=True)


def sweep(states: Path) -> list[Leftover]:
    """The safe part, which training does by itself: ends of runs of this machine, and states of finished runs."""
    safe = [one for one in find(states) if one.kind in ("run", "over")]
    for one in safe:
        fix(one)
    return safe


def _running() -> Iterator[Run]:
    """The runs of this project that say that they run."""
    client = mlflow.MlflowClient()
    experiments = [one.experiment_id for one in client.search_experiments(view_type=ViewType.ACTIVE_ONLY)]
    condition, token = "attributes.status = 'RUNNING'", None
    while experiments:
        page = client.search_runs(experiments, condition, ViewType.ACTIVE_ONLY, _PAGE, page_token=token)
        yield from filter(_is_ours, page)
        if not (token := page.token):
            return


def _is_ours(run: Run) -> bool:
    """Whether this project has made a run, or ``mlflow run`` of this project, or of any in a store that is a file."""
    tags = run.data.tags
    if any(tag.startswith("fracture.") for tag in tags):
        return True
    source = tags.get("mlflow.source.name", "").partition("#")[0].removeprefix("file://")
    return "mlflow.project.entryPoint" in tags and (_is_file() or source == str(store.project_root()))


def _is_file() -> bool:
    return store.database(mlflow.get_tracking_uri()) is not None


def _judge_running(run: Run, folder: Path) -> Leftover | None:
    """What a run that says RUNNING is; None where a process is at work on it, or may be."""
    run_id, tags = run.info.run_id, run.data.tags
    process, kind = liveness.read(tags.get(PROCESS, "")), tags.get("fracture.kind", "")
    name = f"run {run_id} ({kind or 'of mlflow run'}, {run.info.run_name}) says RUNNING"
    later = f"; then: fracture train --resume {run_id}" if _can_go_on(folder) else ""
    fix = f"--fix marks it KILLED{later}"
    if is_gone(process) or (not process and folder.is_dir() and _is_free(folder)):
        return Leftover(run_id, f"{name}, but {_REASON}", fix, "run", folder)
    if is_seen(process) or (folder.is_dir() and not _is_free(folder)):
        return None
    silent = time.time() - _sign(run)
    if not process and not kind and _is_file() and not is_launched(run_id, run.info.start_time / 1000):
        return Leftover(run_id, f"{name}, but `mlflow run` has begun nothing with it, and is gone", fix, "silent")
    if silent < _SILENCE:
        return None
    where = "on another machine" if process else "nobody knows where"
    said = f"{name}, {where}, without a sign of life for {silent / 3600:.0f} hours"
    return Leftover(run_id, said, fix, "silent", folder)


def _sign(run: Run) -> float:
    """When a run gave its last sign of life: its beginning or its newest metric, in seconds since 1970."""
    return float(max([run.info.start_time or 0, *(metric.timestamp for metric in run.data._metric_objs)])) / 1000


def _judge_state(folder: Path) -> Leftover | None:
    """What a state folder is whose run does not say RUNNING."""
    if not _is_free(folder):
        return None
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 2**20
    what = f"the state of run {folder.name} ({size:.0f} MiB)"
    try:
        info = mlflow.MlflowClient().get_run(folder.name).info
    except MlflowException as error:
        if error.error_code not in _NOT_THERE:
            raise  # a store that does not answer is no reason to delete anything
        fix = f"MLFLOW_TRACKING_URI may name another store, which has it; else delete {folder}"
        return Leftover(folder.name, f"{what}: the store {store.shown()} has no such run", fix, "foreign", folder)
    if info.status == "RUNNING":
        return None
    if info.lifecycle_stage == LifecycleStage.DELETED:
        return Leftover(folder.name, f"{what}: the run was deleted", "--fix deletes it", "state", folder)
    if info.status == "FINISHED":
        return Leftover(folder.name, f"{what}: the run has finished", "--fix deletes it", "over", folder)
    if not _can_go_on(folder):
        said = f"{what}: it has no training progress to resume"
        return Leftover(folder.name, said, "--fix deletes it", "state", folder)
    fix = f"fracture train --resume {folder.name}, or delete the run to remove it"
    return Leftover(folder.name, f"{what}: the run was interrupted and can be resumed", fix, "resumable", folder)


def _can_go_on(folder: Path) -> bool:
    """Whether the settings of a run were recorded, which comes last before it learns, or all but the store is done."""
    return (folder / "config.json").is_file() or only_delivery_is_left(folder)


def _is_free(folder: Path) -> bool:
    """Whether no process of this machine holds a state folder."""
    try:
        with FileLock(folder / ".lock", timeout=0):
            return True
    except Timeout:
        return False
