"""The settings of a study: what is refused, and what is shared with training."""

import pytest

from fracture.config import TrainConfig
from fracture.errors import ConfigError
from tuning.config import NOT_SHARED, TuneConfig, defaults, parse_tuning, powers_of_two, shared_settings


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"trials": "0"}, "trials=0: must be a whole number (1 to 100,000)"),
        ({"trials": "many"}, "trials=many"),
        ({"lr_low": "0.1", "lr_high": "0.01"}, "lr_low=0.1: must be below lr_high=0.01"),
        ({"batch_low": "9", "batch_high": "15"}, "no power of two from batch_low=9 to batch_high=15"),
        (
            {"further": "momentum,drop_path"},
            "further=momentum,drop_path: momentum unknown. Allowed: none, weight_decay",
        ),
        ({"pruner": "asha"}, "pruner=asha"),
        ({"study": "a b"}, "study=a b"),
        ({"workers": "0"}, "workers=0"),
        ({"memory_limit_gib": "auto"}, "memory_limit_gib=auto"),
        ({"lr": "2"}, "lr=2"),
        ({"recipe": "best"}, "recipe=best"),
    ],
)
def test_bad_values_are_refused(values: dict[str, str], said: str) -> None:
    with pytest.raises(ConfigError) as raised:
        parse_tuning(values)
    assert said in str(raised.value)


def test_all_bad_values_are_told_at_once() -> None:
    with pytest.raises(ConfigError) as raised:
        parse_tuning({"trials": "0", "pruner": "asha", "lr": "2", "worker": "3"})
    said = str(raised.value).splitlines()
    assert [line.split(":")[0] for line in said[:-1]] == ["trials=0", "pruner=asha", "lr=2", "worker"]
    assert "workers" in said[3]  # the study's own names are near ones too
    assert "--help" in said[-1]


def test_the_limit_and_the_recipe_reach_the_trials() -> None:
    tuning, config = parse_tuning({"memory_limit_gib": "3.5", "epochs": "2"})
    assert (config.memory_limit_gib, config.recipe, config.epochs) == (3.5, "seed", 2)
    assert tuning.memory_limit_gib == 3.5


def test_the_seeds_settings_are_tried_first_by_default() -> None:
    _, config = parse_tuning({})
    assert (config.lr, config.batch_size) == (1e-4, 16)


def test_every_setting_of_training_is_shared_or_named_as_not() -> None:
    own = TuneConfig.model_fields.keys()
    assert set(shared_settings()) | NOT_SHARED | own >= TrainConfig.model_fields.keys()
    assert not set(shared_settings()) & (NOT_SHARED | own)
    assert defaults().keys() == set(shared_settings()) | own


@pytest.mark.parametrize(
    ("low", "high", "powers"),
    [(1, 1, (1,)), (4, 128, (4, 8, 16, 32, 64, 128)), (5, 31, (8, 16)), (3, 3, ()), (8, 4, ())],
)
def test_powers_of_two(low: int, high: int, powers: tuple[int, ...]) -> None:
    assert powers_of_two(low, high) == powers
