"""The study: its sampler, its pruner, what it has come to, and trials whose worker is gone."""

import copy
import warnings
import zlib
from dataclasses import dataclass

import numpy as np
import optuna
from optuna.exceptions import ExperimentalWarning, UpdateFinishedTrialError
from optuna.pruners import BasePruner, HyperbandPruner, MedianPruner, NopPruner
from optuna.samplers import TPESampler
from optuna.storages import RetryHeartbeatStaleTrialCallback
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from fracture.tracking.liveness import is_gone

MOST_RETRIES = 3  # of one trial whose process or worker was killed
WORKER, RUN = "worker", "run"  # user attributes of a trial
_STARTUP_TRIALS = 5  # that are never judged by the median of others
_WARMUP_SHARE = 0.1  # of the epochs, in which no trial is judged
_OF_ITS_NUMBER = ("completed_rung_", "constraints")  # system attributes that a trial tried again must not inherit
FINISHED = (TrialState.COMPLETE, TrialState.PRUNED)


@dataclass(frozen=True)
class Count:
    """Trials of a study: those that count (done or pruned), and those under way."""

    finished: int
    running: int


def sampler_of(seed: int, trials: int, worker: str) -> TPESampler:
    """The sampler of the next trial.

    Its seed follows from the study's, the trials so far and the worker: one fixed seed would suggest the same again
    after each start, and the same to workers that start together.
    """
    mixed = np.random.SeedSequence([seed, trials, zlib.crc32(worker.encode())]).generate_state(1)
    return TPESampler(seed=int(mixed[0]))


def pruner_of(kind: str, epochs: int) -> BasePruner:
    """The pruner: ``median``, ``hyperband`` or ``none``, which judge epoch by epoch."""
    if kind == "none":
        return NopPruner()
    if kind == "hyperband":
        return HyperbandPruner(min_resource=1, max_resource=epochs, reduction_factor=3)
    warmup = max(1, round(_WARMUP_SHARE * epochs))
    return MedianPruner(n_startup_trials=_STARTUP_TRIALS, n_warmup_steps=warmup + 1)  # steps count from 1


def count(study: optuna.Study) -> Count:
    """How many trials there are."""
    states = [trial.state for trial in study.get_trials(deepcopy=False)]
    return Count(sum(state in FINISHED for state in states), states.count(TrialState.RUNNING))


def ranked(study: optuna.Study) -> list[FrozenTrial]:
    """The complete trials that kept within the limit, the best first; of equals, the earlier one."""
    complete = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    fit = [one for one in complete if one.value is not None and all(excess <= 0 for excess in one.constraints.values())]
    sign = 1 if study.direction is StudyDirection.MINIMIZE else -1
    return sorted(fit, key=lambda one: (sign * float(one.value or 0.0), one.number))


def best(study: optuna.Study) -> FrozenTrial | None:
    """The first of `ranked`; None where there is none. Optuna's own choice among equals differs between storages."""
    return next(iter(ranked(study)), None)


def origin(trial: FrozenTrial) -> int:
    """The number of the trial that this one tries again, its own where it is a first try."""
    return int(trial.system_attrs.get("failed_trial", trial.number))


def retry(study: optuna.Study, trial: FrozenTrial) -> bool:
    """Put a trial that was lost back in the queue, with the same values; whether it was not too often already."""
    before = len(trial.system_attrs.get("retry_history", []))
    trial = copy.deepcopy(trial)
    for name in [name for name in trial.system_attrs if name.startswith(_OF_ITS_NUMBER)]:
        del trial.system_attrs[name]  # another number is judged at other epochs
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        RetryHeartbeatStaleTrialCallback(max_retry=MOST_RETRIES)(study, trial)
    return before < MOST_RETRIES


def orphans(study: optuna.Study) -> list[FrozenTrial]:
    """Trials under way whose worker, on this machine, is gone; those of other machines are told by their heartbeat."""
    running = study.get_trials(deepcopy=True, states=(TrialState.RUNNING,))
    return [trial for trial in running if is_gone(trial.user_attrs.get(WORKER, {}))]


def fail_stale(study: optuna.Study) -> None:
    """End trials whose worker, on whatever machine, gives no sign of life; Optuna itself only looks between trials."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        optuna.storages.fail_stale_trials(study)


def is_taken(error: Exception) -> bool:
    """Whether a trial could not be told because another worker had ended it; Optuna says so in three ways."""
    said = str(error)
    return isinstance(error, UpdateFinishedTrialError) or said.startswith(("Cannot tell a ", "Should not reach"))


def fail(study: optuna.Study, trial: FrozenTrial) -> None:
    """End a trial that nobody will end any more."""
    study.tell(trial.number, state=TrialState.FAIL)
