"""The study: seeds, pruners, counts, and trials whose worker is gone."""

import os
from pathlib import Path

import optuna
import pytest
from optuna.trial import TrialState

from fracture.config import TrainConfig
from fracture.tracking import liveness
from tuning import conclude, study
from tuning.task import _NOT_LEARNED


def new(direction: str = "maximize") -> optuna.Study:
    return optuna.create_study(direction=direction)  # type: ignore[arg-type]


def test_suggestions_differ_between_trials_and_workers_and_repeat_for_the_same() -> None:
    def first(trials: int, worker: str) -> float:
        own = optuna.create_study(sampler=study.sampler_of(0, trials, worker))
        return own.ask().suggest_float("lr", 1e-5, 1e-2, log=True)

    drawn = [first(trials, worker) for trials in range(8) for worker in ("0", "1", "2", "3")]
    assert len(set(drawn)) == len(drawn)
    assert first(3, "2") == first(3, "2")


@pytest.mark.parametrize("kind", ["median", "hyperband"])
def test_what_does_worse_than_the_others_is_pruned(kind: str) -> None:
    own = optuna.create_study(direction="maximize", pruner=study.pruner_of(kind, 9))
    own.sampler = study.sampler_of(0, 0, "0")
    for quality in [0.5, 0.6, 0.7, 0.8, 0.9] * 3:
        asked = own.ask()
        for epoch in range(1, 10):
            asked.report(quality, epoch)
            asked.should_prune()  # Hyperband notes there how far a trial came
        own.tell(asked, quality)
    ended = []
    for _ in range(9):  # Hyperband lets some go to the end, by their number
        bad = own.ask()
        for epoch in range(1, 10):
            bad.report(0.1, epoch)
            if bad.should_prune():
                ended.append(epoch)
                break
        own.tell(bad, state=TrialState.PRUNED)
    assert ended
    assert kind == "hyperband" or set(ended) == {2}  # the first epoch is for warming up


def test_without_a_pruner_nothing_is_pruned() -> None:
    own = optuna.create_study(direction="maximize", pruner=study.pruner_of("none", 5))
    for quality in (0.9, 0.9, 0.9, 0.9, 0.9, 0.9, 0.1):
        asked = own.ask()
        asked.report(quality, 4)
        assert not asked.should_prune()
        own.tell(asked, quality)


def test_what_counts() -> None:
    own = new()
    own.tell(own.ask(), 1.0)
    own.tell(own.ask(), state=TrialState.PRUNED)
    own.tell(own.ask(), state=TrialState.FAIL)
    own.ask()
    own.enqueue_trial({})
    assert study.count(own) == study.Count(finished=2, running=1)


@pytest.mark.parametrize("direction", ["maximize", "minimize"])
def test_the_best_keeps_within_the_limit(direction: str) -> None:
    own = new(direction)
    assert study.best(own) is None
    for value, excess in ((5.0, 0.1), (3.0, -1.0), (2.0, 0.0), (9.0, 2.0)):
        asked = own.ask()
        asked.set_constraint("memory_gib", excess)
        own.tell(asked, value)
    found = study.best(own)
    assert found is not None
    assert found.value == (3.0 if direction == "maximize" else 2.0)
    assert [one.value for one in study.ranked(own)] == ([3.0, 2.0] if direction == "maximize" else [2.0, 3.0])


@pytest.mark.parametrize("direction", ["maximize", "minimize"])
def test_the_earlier_of_equals_is_the_best(direction: str, tmp_path: Path) -> None:
    for storage in (None, f"sqlite:///{tmp_path / 'optuna.db'}"):
        own = optuna.create_study(direction=direction, storage=storage)
        for value in (1.0, 2.0, 1.0, 2.0, 2.0, 1.0):
            own.tell(own.ask(), value)
        assert [one.number for one in study.ranked(own)] == (
            [1, 3, 4, 0, 2, 5] if direction == "maximize" else [0, 2, 5, 1, 3, 4]
        )
        assert study.best(own) == study.ranked(own)[0]


@pytest.mark.parametrize("how", ["reports", "ends"])
def test_a_trial_that_another_worker_has_ended_is_known(how: str) -> None:
    own = new()

    def objective(asked: optuna.Trial) -> float:
        study.fail(own, own.trials[asked.number])  # as another worker would, once there was no sign of life
        if how == "reports":
            asked.report(0.5, 1)
        return 0.5

    with pytest.raises((ValueError, AssertionError, optuna.exceptions.UpdateFinishedTrialError)) as raised:
        own.optimize(objective, n_trials=1)
    assert study.is_taken(raised.value)
    assert not study.is_taken(ValueError("something else"))


def test_a_lost_trial_is_tried_again_with_its_values_but_not_for_ever() -> None:
    own = new()
    asked = own.ask()
    value = asked.suggest_float("lr", 0, 1)
    for turn in range(study.MOST_RETRIES):
        frozen = own.trials[asked.number]
        assert study.retry(own, frozen)
        study.fail(own, frozen)
        asked = own.ask()
        assert asked.suggest_float("lr", 0, 1) == value
        assert study.origin(own.trials[asked.number]) == 0
        assert asked.number == turn + 1
    assert not study.retry(own, own.trials[asked.number])
    assert study.count(own) == study.Count(0, 1)
    assert conclude.counted_by_end(own) == f"{study.MOST_RETRIES} interrupted and tried again, 1 running"
    study.fail(own, own.trials[asked.number])
    assert conclude.counted_by_end(own).endswith(", 1 failed")


@pytest.mark.parametrize(
    ("changed", "gone"),
    [
        ({}, False),
        ({"tick": 1}, True),  # the process id was given to another one since
        ({"began": 1.0}, False),  # the clock was set
        ({"began": 1.0, "tick": 0}, True),  # noted by an earlier version, or not on Linux
        ({"pid": 2**22 - 3}, True),
        ({"machine": "elsewhere", "pid": 2**22 - 3}, False),  # only its heartbeat can tell
    ],
)
def test_whose_worker_is_gone(changed: dict[str, str | int | float], gone: bool) -> None:
    own = new()
    own.ask().set_user_attr(study.WORKER, liveness.me() | changed)
    assert liveness.me()["pid"] == os.getpid()
    assert bool(study.orphans(own)) is gone


def test_a_trial_tried_again_is_judged_anew() -> None:
    own = new()
    asked = own.ask()
    asked.suggest_float("lr", 1e-5, 1e-2)
    asked.storage.set_trial_system_attr(asked._trial_id, "completed_rung_0", 0.5)
    asked.set_constraint("memory_gib", 1.0)
    study.fail(own, own.trials[0])
    assert study.retry(own, own.trials[0])
    again = own.trials[1]
    assert (again.state, again.params) == (TrialState.WAITING, own.trials[0].params)
    assert not [name for name in again.system_attrs if name.startswith(("completed_rung_", "constraints"))]


@pytest.mark.parametrize("moved", [0.0, 1.0, -3600.0, 86400.0])
def test_a_clock_that_was_set_makes_no_orphan(moved: float) -> None:
    own = new()
    me = liveness.me()
    own.ask().set_user_attr(study.WORKER, me | {"began": float(me["began"]) + moved})
    assert not study.orphans(own)


@pytest.mark.parametrize(("trials", "told"), [(2, False), (9, False), (10, True)])
def test_importances_need_ten_complete_trials(trials: int, told: bool) -> None:
    own = new()
    for number in range(trials):
        asked = own.ask()
        asked.suggest_float("lr", 1e-5, 1e-2, log=True)
        own.tell(asked, number / 10)
    assert bool(conclude.importances(own)) is told


def test_a_setting_that_is_new_makes_no_study_of_an_earlier_version_another() -> None:
    counted = """
    accumulation augmentation batch_norm batch_size checkpointing class_weights clip_norm data_seed
    demo_images device drop_path early_stop_patience ema_decay epochs features fold folds head image_size
    label_smoothing layer_decay layer_decay_cutoff lr memory_format memory_limit_gib model optimizer
    plateau_factor plateau_patience precision recipe scheduler seed select_metric test_fraction trained
    val_fraction warmup_epochs weight_decay
    """
    new = set(TrainConfig.model_fields) - _NOT_LEARNED - set(counted.split())
    assert not new, "without effect on trials: into _NOT_LEARNED; else left out of the digest at its default"
