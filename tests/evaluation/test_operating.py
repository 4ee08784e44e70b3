"""Thresholds chosen on validation: for a fracture, and for asking a person."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fracture.evaluation.judge import fit_decisions, judge
from fracture.evaluation.metrics import softmax
from fracture.evaluation.operating import fit_operating_point, fit_referral, rejection_curve


def test_the_threshold_separates_what_can_be_separated() -> None:
    found = fit_operating_point(np.array([0.1, 0.2, 0.6, 0.9]), np.array([False, False, True, True]))
    assert found.fracture_threshold == pytest.approx(0.4)


def test_of_equally_good_thresholds_the_one_that_misses_fewest_fractures() -> None:
    probability, fractured = np.array([0.2, 0.4, 0.6, 0.8]), np.array([True, False, True, False])
    found = fit_operating_point(probability, fractured)
    assert found.fracture_threshold is not None
    assert (probability[fractured] >= found.fracture_threshold).all()


@pytest.mark.parametrize("fractured", [True, False])
def test_one_kind_alone_tells_no_threshold(fractured: bool) -> None:
    found = fit_operating_point(np.array([0.1, 0.9]), np.array([fractured] * 2))
    assert found.fracture_threshold is None
    assert "only one of" in found.note


@settings(deadline=None, max_examples=50)
@given(st.lists(st.tuples(st.integers(0, 5), st.booleans()), min_size=2, max_size=40))
def test_no_threshold_is_better(pairs: list[tuple[int, bool]]) -> None:
    probability = np.array([score / 5 for score, _ in pairs])
    fractured = np.array([truth for _, truth in pairs])
    found = fit_operating_point(probability, fractured)
    if found.fracture_threshold is None:
        return

    def youden(threshold: float) -> float:
        alarm = probability >= threshold
        return float(alarm[fractured].mean() - alarm[~fractured].mean())

    assert youden(found.fracture_threshold) >= max(youden(t) for t in np.linspace(-0.05, 1.05, 45)) - 1e-12


def test_the_rejection_curve_by_hand() -> None:
    share, accuracy = rejection_curve(np.array([0.9, 0.5, 0.7, 0.6]), np.array([True, False, False, True]))
    assert share.tolist() == [0.25, 0.5, 0.75, 1.0]
    assert accuracy.tolist() == pytest.approx([1, 1 / 2, 2 / 3, 1 / 2])


def test_the_sure_images_are_answered_and_the_others_referred() -> None:
    confidence = np.concatenate([np.linspace(0.8, 0.99, 30), np.linspace(0.4, 0.6, 10)])
    correct = np.array([True] * 30 + [False] * 10)
    found = fit_referral(confidence, correct)
    assert found.refer_below is not None
    assert 0.58 < found.refer_below < 0.8
    answered = confidence >= found.refer_below
    assert found.answered == pytest.approx(answered.mean())
    assert found.error == pytest.approx(1 - correct[answered].mean())
    assert found.error <= 0.05


def test_a_model_that_is_right_answers_everything() -> None:
    assert fit_referral(np.linspace(0.5, 1, 40), np.ones(40, np.bool_)).refer_below == 0.0


@pytest.mark.parametrize("n", [5, 100])
def test_where_no_threshold_keeps_the_error_every_image_is_referred(n: int) -> None:
    found = fit_referral(np.linspace(0.5, 1, n), np.arange(n) % 2 == 0)
    assert found.refer_below is None
    assert "refer every image" in found.note


def test_images_of_equal_probability_are_treated_alike() -> None:
    confidence = np.array([0.9] * 25 + [0.6] * 10)
    correct = np.array([True] * 25 + [True] * 5 + [False] * 5)
    found = fit_referral(confidence, correct)
    assert found.refer_below == pytest.approx(0.75)
    assert found.answered == pytest.approx(25 / 35)


@pytest.mark.parametrize("healthy", ["normal", None])
def test_a_threshold_needs_a_healthy_class(healthy: str | None) -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 200)
    logits = rng.normal(size=(200, 2)) + 2 * np.eye(2)[labels]
    fitted = fit_decisions(logits, labels, ("fractured", "normal"), healthy)
    assert fitted.decisions.healthy == healthy
    assert (fitted.operating_point.fracture_threshold is None) == (healthy is None)
    assert fitted.operating_point.note == ("" if healthy else "no class is known to be healthy")
    shown = judge(logits, labels, [""] * 200, ("fractured", "normal"), fitted.decisions).metrics
    assert ("any_fracture_sensitivity" in shown) == (healthy is not None)
    if healthy:
        threshold = fitted.operating_point.fracture_threshold
        shares = softmax(logits / fitted.calibration.temperature)[:, 0]
        assert shown["any_fracture_sensitivity"].value == pytest.approx((shares[labels == 0] >= threshold).mean())
