"""The space: what it suggests lies in it, and what is tried first too."""

import optuna
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fracture.config import TrainConfig
from fracture.errors import ConfigError
from tuning.config import FURTHER, TuneConfig
from tuning.space import Space, space_of

SPACE = Space(lr_low=1e-5, lr_high=1e-2, batches=(4, 8, 16), further=("weight_decay", "drop_path"))


@given(st.integers(0, 10_000))
def test_suggestions_lie_inside(seed: int) -> None:
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=seed))
    values = SPACE.suggest(study.ask())
    assert set(values) == {"lr", "batch_size", "weight_decay", "drop_path"}
    assert 1e-5 <= values["lr"] <= 1e-2
    assert values["batch_size"] in SPACE.batches
    assert all(0 <= values[name] <= FURTHER[name] for name in SPACE.further)
    TrainConfig.model_validate(values)


@pytest.mark.parametrize(("asked", "tried"), [(16, 16), (12, 8), (64, 16), (2, 4)])
def test_the_first_batch_is_the_nearest_that_fits(asked: int, tried: int) -> None:
    assert SPACE.first(TrainConfig(batch_size=asked))["batch_size"] == tried


def test_the_first_values_are_those_given() -> None:
    first = SPACE.first(TrainConfig(lr=0.001, weight_decay=0.05))
    assert (first["lr"], first["weight_decay"], first["drop_path"]) == (0.001, 0.05, 0.0)


@pytest.mark.parametrize(
    ("config", "said"),
    [
        (TrainConfig(lr=0.5), "lr=0.5 is tried first, so it must lie from 1e-05 to 0.01"),
        (TrainConfig(drop_path=0.9), "drop_path=0.9 is tried first, so it must lie from 0 to 0.4"),
    ],
)
def test_what_is_tried_first_must_lie_inside(config: TrainConfig, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        space_of(TuneConfig(further="drop_path"), config, (4, 8))
