"""The story of a study: prepared, begun or taken up again, worked at, concluded."""

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass

import optuna
from optuna.storages import RDBStorage
from optuna.study import StudyDirection

from fracture.config import TrainConfig, changed, seeds
from fracture.data.audit.report import AuditReport
from fracture.errors import ConfigError, Interrupted
from fracture.failures import explained
from fracture.progress import Terminal
from fracture.runs import gpus, resume_command
from fracture.runs.session import Session
from fracture.tracking import store
from fracture.tracking.run import TrackedRun
from fracture.training.memory.limit import find_limit
from tuning import conclude, process, record, storage, study, tracked
from tuning.budget import Verdict, judge_batches
from tuning.config import TuneConfig, powers_of_two
from tuning.final import train_best
from tuning.prepare import prepare
from tuning.record import StudyRecord
from tuning.space import space_of
from tuning.stop import Stop, stoppable
from tuning.task import Task, with_threads
from tuning.worker import Worker, folder_of, stale


@dataclass(frozen=True)
class Opened:
    """A study that has begun.

    Attributes:
        url, storage: where it is kept.
        study: with its trials.
        record: what it is.
        run: its MLflow run.
    """

    url: str
    storage: RDBStorage
    study: optuna.Study
    record: StudyRecord
    run: TrackedRun


def tune(tuning: TuneConfig, config: TrainConfig, given: Mapping[str, str], terminal: Terminal) -> None:
    """Search, and leave the best values on a run.

    Args:
        tuning: the study's settings.
        config: what its trials share.
        given: the options that differ from their defaults, for the command that goes on.
        terminal: shows how it goes.

    Raises:
        Interrupted: a signal stopped it; the same command goes on.
        FractureError: see `fracture.errors`.
    """
    attached = store.attached_run_id() is not None
    goes_on = resume_command.command_line(given, attached, "tune")
    url = storage.address(tuning.storage)
    if attached and storage.has_password(tuning.storage):
        raise ConfigError(
            f"-P storage={storage.hidden(tuning.storage)}: `mlflow run` has written its password to run "
            f"{store.attached_run_id()}. Delete that run, and put the address into {storage.VARIABLE} instead."
        )
    gpus.check_enough(tuning.workers, config.device)
    with gpus.claim(config.device):
        process.warm_up()
        task, report = prepare(tuning, config, terminal)
        _warn_of_memory(tuning.workers, task, terminal)
        verdicts = budget(tuning, task, terminal)
        space = space_of(tuning, task.config, tuple(one.batch_size for one in verdicts if one.plan))
        name = record.name_of(tuning, task, space)
        shown = tuning.model_copy(update={"storage": storage.hidden(url)})  # it is kept, and seen by many
        wanted = record.record_of(shown, task, space, verdicts)
        with storage.closing(storage.open_storage(url, stale)) as kept:
            opened = _begin(url, kept, name, wanted, task, report)
            _say(opened, terminal)
            _search(opened, task, goes_on, terminal)
            _finish(opened, task, attached, goes_on, terminal)


def budget(tuning: TuneConfig, task: Task, terminal: Terminal) -> list[Verdict]:
    """What fits, as a table."""
    sizes = powers_of_two(tuning.batch_low, tuning.batch_high)
    images = len(task.dataset.manifest.indices("train"))
    verdicts = judge_batches(task.step(), task.limit_gib, sizes, images, tuning.accumulate, task.cache_dir)
    rows = [
        [str(one.batch_size), f"{one.process_gib:.2f}", "yes" if one.plan else "no", one.reason] for one in verdicts
    ]
    plan = task.plan
    where = f"{plan.device}, {plan.precision}, {plan.image_size} px"
    title = f"Batches of {task.backbone.name.split('.')[0]} on {where}; limit {task.limit_gib:g} GiB"
    terminal.table(title, ["batch", "predicted GiB", "searched", "why"], rows)
    return verdicts


def _begin(
    url: str, kept: RDBStorage, name: str, wanted: StudyRecord, task: Task, report: AuditReport | None
) -> Opened:
    """Begin a study, or take it up again; one worker at a time, so that it has one run and one first trial."""
    direction = StudyDirection.MINIMIZE if task.minimised else StudyDirection.MAXIMIZE
    with storage.turn(kept, name):
        own = optuna.create_study(storage=kept, study_name=name, direction=direction, load_if_exists=True)
        found = record.read(own)
        run = tracked.open_parent(found, f"tune {name}")
        now = (found or wanted).model_copy(update={"run": run.id, "tuning": wanted.tuning})
        if now != found:
            record.write(own, now)
        tracked.describe_parent(run, name, now, task, report)
        if found is None:
            own.enqueue_trial(now.space.first(task.config), skip_if_exists=True)
    own.pruner = study.pruner_of(now.tuning.pruner, task.plan.epochs - task.judged_first)
    return Opened(url, kept, own, now, run)


def _say(opened: Opened, terminal: Terminal) -> None:
    finished = study.count(opened.study).finished
    more = f"; {finished} of {opened.record.tuning.trials} trials are finished" if finished else ""
    terminal.say(f"Study {opened.study.study_name} in {storage.hidden(opened.url)}, run {opened.run.id}{more}.")


def _search(opened: Opened, task: Task, goes_on: str, terminal: Terminal) -> None:
    """Work at the study, with as many more workers on this machine as wanted."""
    tuning = opened.record.tuning
    threads = max(1, task.plan.threads // tuning.workers)
    own = with_threads(task, threads) if task.plan.device == "cpu" and task.config.threads == "auto" else task
    try:
        with stoppable() as stop, _more_workers(opened, own, terminal):
            worker = _worker(opened, own, "0", terminal, stop)
            worker.settle_kept()
            worker.work()
            worker.keep_best()
        if stop.reason:  # also of a signal that came while other workers were waited for
            raise Interrupted(stop.reason)
    except BaseException as error:
        reason = _stopped(error)
        opened.run.end("KILLED" if reason else "FAILED", reason or str(error))
        if not reason:
            raise
        raise Interrupted(f"{reason}. Go on with:\n  {goes_on}") from error


def _stopped(error: BaseException) -> str:
    """Why a study was stopped that goes on later; empty where it failed."""
    away = explained(error) or error
    if isinstance(away, Interrupted | KeyboardInterrupt):
        return str(away).removesuffix(".") or "interrupted"
    return ""


@contextmanager
def _more_workers(opened: Opened, task: Task, terminal: Terminal) -> Iterator[None]:
    """Further workers on this machine, which end with the study, or are told to when this one ends early."""
    tuning, config = opened.record.tuning, task.config
    command = [sys.executable, "-m", "tuning", "worker", "--study", opened.study.study_name]
    command += ["--data", config.data, "--weights", config.weights, "--cache-dir", config.cache_dir]
    command += ["--threads", str(task.plan.threads), "--trials", str(tuning.trials)]
    environment = {key: value for key, value in os.environ.items() if key not in ("MLFLOW_RUN_ID", gpus.VARIABLE)}
    environment |= gpus.original_variable() | {storage.VARIABLE: opened.url}
    more = [
        subprocess.Popen([*command, "--worker", str(number)], env=environment) for number in range(1, tuning.workers)
    ]
    try:
        yield
    except BaseException:
        for one in more:
            one.terminate()
        raise
    finally:
        if any(one.poll() is None for one in more):
            terminal.say("Waiting for the other workers to end ...")
        codes = [one.wait() for one in more]
    if failed := [str(code) for code in codes if code]:
        terminal.warn(f"{len(failed)} of {tuning.workers} workers ended with exit code {', '.join(failed)}; see above")


def _told(best: TrainConfig) -> dict[str, str]:
    """What has to be given for the same training: the seed's recipe has the other values by itself."""
    return {name: value for name, value in changed(best).items() if value != seeds()[name] or name == "recipe"}


def _finish(opened: Opened, task: Task, attached: bool, goes_on: str, terminal: Terminal) -> None:
    """Conclude, and train the final model where that is wanted."""
    own, kept, run = opened.study, opened.record, opened.run
    try:
        found = study.best(own)
        best = task.with_values(dict(found.params)) if found else task.config
        with storage.turn(opened.storage, own.study_name):  # the same command may come to its end at the same moment
            summary = conclude.summarise(own, kept, resume_command.command_line(_told(best), attached))
            conclude.publish(summary, own, run)
        conclude.show(summary, own, terminal)
        if tracked.holds(run.id) != summary.best_trial:
            terminal.warn(
                f"best.pth of run {run.id} is not of trial {summary.best_trial}, whose weights are on the machine that "
                "trained it: `python -m tuning worker` there brings them."
            )
        if kept.tuning.train_best:
            train_best(best, summary.best_values, Session(terminal, run.id, goes_on))
        run.end("FINISHED")
    except BaseException as error:
        reason = _stopped(error)
        run.end("KILLED" if reason else "FAILED", reason or str(error))
        if not reason or isinstance(error, Interrupted):  # which names the command itself
            raise
        raise Interrupted(f"{reason}. Go on with:\n  {goes_on}") from error
    with suppress(OSError):  # a trial that failed for good has left something to look at
        folder_of(own.study_name).rmdir()


def _warn_of_memory(workers: int, task: Task, terminal: Terminal) -> None:
    """Without a GPU each trial is held to the limit, and nobody holds all of them together to what there is."""
    free = find_limit("auto", "cpu").gib
    if task.plan.device == "cpu" and workers * task.limit_gib > free:
        terminal.warn(
            f"{workers} x {task.limit_gib:g} GiB (workers, memory_limit_gib) is more than the {free:.1f} GiB of main "
            "memory that are free: trials may swap or be killed. Lower one of them."
        )


def _worker(opened: Opened, task: Task, name: str, terminal: Terminal, stop: Stop) -> Worker:
    trials = opened.record.tuning.trials
    folder = folder_of(opened.study.study_name)
    return Worker(
        opened.study, opened.storage, opened.record, task, trials, opened.run.id, name, folder, terminal, stop
    )
