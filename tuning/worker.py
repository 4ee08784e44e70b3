"""A worker: takes its turn at the study, trains one trial after the other, and tells the study what came of each."""

import contextlib
import hashlib
import json
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import optuna
from optuna.exceptions import TrialPruned, UpdateFinishedTrialError
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial

from fracture.errors import FractureError, Interrupted
from fracture.failures import explained
from fracture.progress import LOG, Terminal, Working
from fracture.tables import counted
from fracture.tracking import liveness, store
from fracture.tracking.run import TrackedRun
from fracture.training import fit
from fracture.training.memory.plan import MemoryPlan
from tuning import process, storage, study, tracked, trial
from tuning.listener import Listener
from tuning.messages import Outcome
from tuning.record import StudyRecord
from tuning.stop import Stop
from tuning.task import Task

_MOST_FAILURES = 3  # one after the other: what fails again and again is no matter of its parameters
PATIENCE = (
    900.0  # seconds that a trial which is over waits for a store that is away: a server is started again meanwhile
)
_LOOK_AGAIN = 1.0  # seconds, while the last trials are under way elsewhere
_UNKNOWN_EXCESS = 1.0  # GiB, where all that is known is that it did not fit


class TrialLostError(FractureError):
    """A trial was stopped or killed; `study.MOST_RETRIES` says how often the same is tried again."""


class TrialFailedError(TrialLostError):
    """A trial's process ended without a word, or with an unforeseen error."""


@dataclass
class Worker:
    """One process that optimises.

    Attributes:
        study, storage: where trials are kept.
        record: what the study is.
        task: what its trials share.
        trials: finished ones that are wanted in all.
        run: id of the study's MLflow run.
        name: of this worker; each one's sampler draws its own numbers.
        folder: where the state of its trials lies.
        terminal: what is said is said there.
        stop: set by a signal.
    """

    study: optuna.Study
    storage: RDBStorage
    record: StudyRecord
    task: Task
    trials: int
    run: str
    name: str
    folder: Path
    terminal: Terminal
    stop: Stop
    _plans: dict[int, MemoryPlan] = field(init=False)

    def __post_init__(self) -> None:
        self._plans = {one.batch_size: one.plan for one in self.record.verdicts if one.plan is not None}

    def work(self) -> None:
        """Train trials until enough are finished, by whomever.

        Raises:
            Interrupted: a signal asked for it; the same command goes on.
            FractureError: several trials in a row failed of something unforeseen.
        """
        failures = 0
        with self.terminal.working() as bars:
            while self._begin(bars):
                try:
                    self._one(bars)
                    failures = 0
                except TrialLostError as error:
                    failures += isinstance(error, TrialFailedError)
                    self.terminal.warn(str(error))
                    if failures == _MOST_FAILURES:
                        raise FractureError(f"{failures} trials in a row failed; the last one: {error}") from error
                except (UpdateFinishedTrialError, ValueError, AssertionError) as error:
                    if not study.is_taken(error):
                        raise
                    self.terminal.warn("this worker gave no sign of life in time, and its trial was given to another")

    def _begin(self, bars: Working) -> bool:
        """Whether another trial is due; waits for those under way elsewhere, which may still be lost."""
        while True:
            if self.stop.reason:
                raise Interrupted(self.stop.reason)
            self._put_back()
            have = study.count(self.study)
            bars("trials", have.finished, self.trials)
            if have.finished >= self.trials:
                return False
            if have.finished + have.running < self.trials:
                return True
            process.wait(_LOOK_AGAIN, self.stop)

    def _put_back(self) -> None:
        """End the trials that nobody trains any more; in turn, for one that has just begun is not yet told apart."""
        with storage.turn(self.storage, self.study.study_name):
            for gone in study.orphans(self.study):
                self.lost(self.study, gone, "its worker is gone")
            study.fail_stale(self.study)

    def _one(self, bars: Working) -> None:
        """One trial, unless another worker was quicker to take the last one."""
        with ExitStack() as turn:
            turn.enter_context(storage.turn(self.storage, self.study.study_name))
            have = study.count(self.study)
            if have.finished + have.running >= self.trials:
                return
            before = len(self.study.get_trials(deepcopy=False))
            self.study.sampler = study.sampler_of(self.record.config.seed, before, self.name)
            objective = partial(self._objective, turn.close, bars)
            self.study.optimize(objective, n_trials=1, callbacks=[self._done])

    def _objective(self, give_turn: Callable[[], None], bars: Working, optuna_trial: optuna.Trial) -> float:
        """What Optuna calls: a trial's value, or why there is none."""
        began = time.monotonic()
        values = self.record.space.suggest(optuna_trial)
        optuna_trial.set_user_attr(study.WORKER, liveness.me())
        give_turn()
        number = optuna_trial.number
        try:
            run = tracked.TrialRun(
                self.run, self.study.study_name, number, self.task, values, self.folder, self.terminal.say
            )
        except Exception as error:
            if isinstance(explained(error) or error, Interrupted):  # no matter of these values
                study.retry(self.study, self.study.trials[number])
            raise
        optuna_trial.set_user_attr(study.RUN, run.id)
        plan = self._plans[int(values["batch_size"])]
        work = trial.Work(self.task, values, plan, self._place(self.study.trials[number]))
        listener = Listener(optuna_trial, run, self.task, bars, self.terminal)
        with _ended_badly(run):
            outcome = process.run(trial.main, work, listener, self.stop)
            listener.costs(time.monotonic() - began, plan)
        return self._conclude(optuna_trial, run, listener, outcome, work.folder)

    def _conclude(
        self, optuna_trial: optuna.Trial, run: tracked.TrialRun, listener: "Listener", outcome: Outcome, folder: Path
    ) -> float:
        kind, reason = outcome.kind, outcome.reason
        optuna_trial.set_user_attr("reason", reason[:1000])
        if kind in ("killed", "failed", "interrupted"):
            run.keep(folder / "train.log")
            run.end("FAIL" if kind == "failed" else "LOST", outcome.details or reason)
            if kind == "failed":
                LOG.error("%s", outcome.details)
                raise TrialFailedError(f"trial {optuna_trial.number} failed: {reason}")
            again = study.retry(self.study, self.study.trials[optuna_trial.number])
            if kind == "interrupted":
                raise Interrupted(self.stop.reason or reason)
            more = "; it is tried again" if again else ""
            raise TrialLostError(f"trial {optuna_trial.number} was lost: {reason}{more}")
        excess = listener.measured_gib - self.task.limit_gib if listener.measured_gib else -self.task.limit_gib
        optuna_trial.set_constraint("memory_gib", max(excess, _UNKNOWN_EXCESS) if kind == "memory" else excess)
        optuna_trial.set_constraint("diverged", 1.0 if kind == "diverged" else 0.0)
        run.end("COMPLETE" if kind == "done" else "PRUNED", _why(kind, reason, len(listener.values)))
        if kind != "done":
            raise TrialPruned(reason)
        return listener.best

    def _done(self, _: optuna.Study, ended: FrozenTrial) -> None:
        """Say what came of a trial, and tell the store."""
        self.terminal.say(line(ended, self.study, self.trials, self.task.config.select_metric))
        self._settle(ended)

    def _settle(self, ended: FrozenTrial) -> None:
        """Tell the store of a trial that is over, and wait for one that is away.

        Raises:
            Interrupted: it is away for `PATIENCE`, or a signal came; all stays here until `settle_kept`.
        """
        until, said = time.monotonic() + PATIENCE, False
        while True:
            try:
                return self._tell(ended)
            except Exception as error:
                away = explained(error) or error
                if not isinstance(away, Interrupted) or self.stop.reason or time.monotonic() > until:
                    raise
                if not said:
                    self.terminal.warn(f"{away}. Waiting for the store, {PATIENCE / 60:.0f} minutes at most.")
                said = True
            process.wait(1, self.stop)

    def _tell(self, ended: FrozenTrial) -> None:
        """Tell the store of a trial, keep its weights if none is better, and forget what lies here of it."""
        run_id = str(ended.user_attrs[study.RUN])
        box = tracked.waiting(run_id, self.folder)
        if not box.deliver():
            raise Interrupted(
                f"the tracking store does not take trial {ended.number}: {box.reason}; what came of it is in the "
                f"study, and what waits for the store in {tracked.waiting_place(self.folder, run_id)}"
            )
        if ended.state in study.FINISHED:
            self.keep_best()
            found = study.best(self.study)
            values = {"trial_value": ended.value, "best_value": found.value if found else None}
            told = {name: value for name, value in values.items() if value is not None}
            TrackedRun(self.run).metrics(told, step=ended.number)  # last, since it must not be told twice
            shutil.rmtree(self._place(ended), ignore_errors=True)
        shutil.rmtree(tracked.waiting_place(self.folder, run_id), ignore_errors=True)

    def settle_kept(self) -> None:
        """Settle the trials whose workers on this machine ended while the store was away.

        Raises:
            Interrupted: it is away still.
        """
        for one in self.study.get_trials(deepcopy=False):
            run_id, worker = one.user_attrs.get(study.RUN), one.user_attrs.get(study.WORKER, {})
            waits = run_id and one.state.is_finished() and tracked.waiting_place(self.folder, str(run_id)).is_dir()
            if waits and (liveness.is_gone(worker) or liveness.is_me(worker)):
                self._settle(one)

    def keep_best(self) -> None:
        """Let the study's run hold the weights of its best trial, where they lie on this machine."""
        with storage.turn(self.storage, self.study.study_name):
            found = study.best(self.study)
            if found is None or tracked.holds(self.run) == found.number:
                return
            weights = self._place(found) / fit.BEST
            if weights.is_file():
                tracked.hold(self.run, found.number, [weights, weights.with_suffix(".json")])

    def _place(self, one: FrozenTrial) -> Path:
        """Where a trial's state lies: of this number and these values, whichever storage they are from."""
        values = json.dumps(one.params, sort_keys=True)
        return self.folder / f"{study.origin(one)}-{hashlib.sha256(values.encode()).hexdigest()[:8]}"

    def lost(self, own: optuna.Study, gone: FrozenTrial, reason: str) -> None:
        """End a trial that nobody trains any more, and put it back in the queue."""
        with contextlib.suppress(ValueError, UpdateFinishedTrialError):  # another worker was quicker
            study.fail(own, gone)
            again = study.retry(own, gone)
            close_run(gone, reason)
            self.terminal.say(f"trial {gone.number} was lost: {reason}{'; it is tried again' if again else ''}")


def folder_of(name: str) -> Path:
    """Where the states of a study's trials lie on this machine."""
    return store.project_root() / "mlruns" / "tuning" / name


def stale(own: optuna.Study, gone: FrozenTrial) -> None:
    """What Optuna calls for a trial without a sign of life, which it has failed."""
    study.retry(own, gone)
    close_run(gone, f"no sign of life of its worker for {storage.GRACE} s")


def close_run(gone: FrozenTrial, reason: str) -> None:
    """End the MLflow run of a lost trial."""
    if run := gone.user_attrs.get(study.RUN):
        tracked.close(str(run), reason)


def line(ended: FrozenTrial, own: optuna.Study, trials: int, metric: str) -> str:
    """One trial in one line."""
    have, found = study.count(own), study.best(own)
    value = f"{metric} {ended.value:.4f}" if ended.value is not None else "no value"
    top = f"best {found.value:.4f} in trial {found.number}" if found else "none complete yet"
    values = "  ".join(f"{name} {value:.4g}" for name, value in ended.params.items())
    costs = ended.user_attrs
    memory = f"{costs.get('measured_gib', 0):.2f} GiB of {costs.get('predicted_gib', 0):.2f} predicted"
    reason = f"  ({costs['reason'].splitlines()[0]})" if costs.get("reason") else ""
    return (
        f"trial {ended.number} ({have.finished} of {trials}) {ended.state.name.lower()}  {value} ({top})  {values}  "
        f"{counted(int(costs.get('epochs', 0)), 'epoch')}  {costs.get('seconds', 0):.1f} s  {memory}{reason}"
    )


def _why(kind: str, reason: str, epochs: int) -> str:
    if kind == "pruned":
        return f"pruned after {counted(epochs, 'epoch')}: other trials were better by then"
    return {"memory": f"did not fit: {reason}", "diverged": f"diverged: {reason}"}.get(kind, "")


@contextlib.contextmanager
def _ended_badly(run: tracked.TrialRun) -> Iterator[None]:
    """Whatever happens in this process, the trial's run does not stay open."""
    try:
        yield
    except BaseException as error:
        run.end("FAIL", str(error) or type(error).__name__)
        raise
