"""Metrics over folds: means with intervals that know that training sets overlap."""

import numpy as np
import pytest

from fracture.evaluation.folds import over_folds, summarise
from fracture.evidence import Results
from tests.registry.made_up import results


def test_the_interval_is_that_of_the_corrected_resampled_t_test() -> None:
    mean, low, high = over_folds([0.6, 0.7, 0.8, 0.7, 0.7], 0.25)
    half = 2.7764451 * np.sqrt((1 / 5 + 0.25) * 0.005)  # t of 4 degrees of freedom, and the sample variance
    assert (mean, low, high) == pytest.approx((0.7, 0.7 - half, 0.7 + half))


def test_folds_that_agree_leave_no_doubt() -> None:
    assert over_folds([0.5, 0.5, 0.5], 0.5) == (0.5, 0.5, 0.5)


def test_overlapping_folds_are_worth_less_than_apart() -> None:
    values = [0.6, 0.7, 0.8, 0.7, 0.7]
    assert over_folds(values, 0.25)[2] > over_folds(values, 0.0)[2]


def test_images_of_validation_are_not_trained_on() -> None:
    folds = [results(skill) for skill in (2.0, 2.1, 2.2)]  # 600 images each of validation and test, so 600 to train on
    found = summarise(folds)["accuracy"]
    values = [one.splits["test"].metrics["accuracy"].value for one in folds]
    assert (found.value, found.low, found.high) == pytest.approx(over_folds(values, 1.0))  # type: ignore[arg-type]


def test_two_folds_have_a_mean_and_no_interval() -> None:
    folds = [results(skill) for skill in (1.0, 3.0)]
    small = [fold.splits["val"].model_copy(update={"n": 300}) for fold in folds]
    folds = [
        fold.model_copy(update={"splits": fold.splits | {"val": val}}) for fold, val in zip(folds, small, strict=True)
    ]
    found = summarise(folds)["accuracy"]
    assert found.value is not None
    assert (found.low, found.high) == (None, None)


def _scoring(name: str, value: float) -> Results:
    one = results(1.0)
    test = one.splits["test"]
    metrics = test.metrics | {name: test.metrics["accuracy"].model_copy(update={"value": value})}
    return one.model_copy(update={"splits": one.splits | {"test": test.model_copy(update={"metrics": metrics})}})


@pytest.mark.parametrize(
    ("name", "values", "low", "high"),
    [
        ("accuracy", (0.1, 0.5, 0.9), None, None),
        ("mcc", (0.3, 0.5, 0.7), -0.494, 1.0),
        ("mcc", (-0.9, 0.0, 0.9), None, None),
        ("brier", (0.3, 0.5, 0.7), 0.0, 1.494),
        ("log_loss", (0.3, 0.5, 0.7), 0.0, 1.494),
        ("accuracy", (0.8, 0.9, 1.0), 0.403, 1.0),
    ],
)
def test_intervals_are_cut_off_at_what_the_metric_can_be(
    name: str, values: tuple[float, ...], low: float | None, high: float | None
) -> None:
    found = summarise([_scoring(name, value) for value in values])[name]
    assert found.value == pytest.approx(np.mean(values))
    assert (found.low, found.high) == (pytest.approx(low, abs=0.001), pytest.approx(high, abs=0.001))
