"""Thresholds on probabilities: for a fracture, and for asking a person."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fracture.evaluation.decide import Answers, fit_decisions
from fracture.evaluation.judge import judge
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
    assert "every image is referred" in found.note


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
    fitted = fit_decisions(Answers(logits, labels, [""] * len(labels), ("fractured", "normal"), healthy))
    assert fitted.decisions.healthy == healthy
    assert (fitted.operating_point.fracture_threshold is None) == (healthy is None)
    assert fitted.operating_point.note == ("" if healthy else "no class is known to be healthy")
    shown = judge(logits, labels, [""] * 200, ("fractured", "normal"), fitted.decisions).metrics
    assert ("any_fracture_sensitivity" in shown) == (healthy is not None)
    if healthy:
        threshold = fitted.operating_point.fracture_threshold
        shares = softmax(logits / fitted.calibration.temperature)[:, 0]
        assert shown["any_fracture_sensitivity"].value == pytest.approx((shares[labels == 0] >= threshold).mean())


PROBABILITY = np.arange(100) / 100
FRACTURED = np.arange(100) >= 50  # the upper half, but for what a case says


@pytest.mark.parametrize(
    ("rule", "threshold"),
    [
        ("youden", 0.495),
        ("sensitivity:0.9", 0.535),  # 46 of 51: the one image more counts as missed
        ("sensitivity:0.98", 0.495),
        ("specificity:0.9", 0.455),  # 46 of 51
        ("cost:1/1", 0.495),
    ],
)
def test_each_rule_has_its_threshold(rule: str, threshold: float) -> None:
    found = fit_operating_point(PROBABILITY, FRACTURED, rule)
    assert found.fracture_threshold == pytest.approx(threshold)
    assert (found.note, found.n) == ("", 100)


def test_a_dearer_miss_lowers_the_threshold() -> None:
    fractured = (np.arange(200) * 7 % 200) < np.arange(200)  # the more probable, the more often
    probability = np.arange(200) / 200
    found = [
        fit_operating_point(probability, fractured, f"cost:{cost}/1").fracture_threshold for cost in (0.2, 1, 5, 50)
    ]
    assert found == sorted(found, reverse=True)  # type: ignore[type-var]
    assert found[0] != found[-1]


@pytest.mark.parametrize(
    ("rule", "fractures", "others", "words"),
    [
        (
            "sensitivity:0.95",
            12,
            50,
            "sensitivity:0.95 cannot be promised from 12 fractures; the highest possible is ",
        ),
        (
            "specificity:0.99",
            50,
            30,
            "specificity:0.99 cannot be promised from 30 images without a fracture; the highest ",
        ),
    ],
)
def test_a_promise_that_cannot_be_kept_is_said_with_what_can(
    rule: str, fractures: int, others: int, words: str
) -> None:
    probability = np.concatenate([np.linspace(0.4, 1, fractures), np.linspace(0, 0.6, others)])
    truth = np.arange(fractures + others) < fractures
    found = fit_operating_point(probability, truth, rule)
    assert found.fracture_threshold is None, "never another rule in its place"
    assert words in found.note
    can = found.note.rsplit(" ", 1)[-1]
    assert fit_operating_point(probability, truth, can).fracture_threshold is not None, "what is said is possible"


def test_reporting_every_image_keeps_no_promise() -> None:
    probability = np.concatenate([np.zeros(50), np.linspace(0.5, 1, 50)])  # the 50 surely healthy are fractured
    truth = np.arange(100) < 50
    found = fit_operating_point(probability, truth, "sensitivity:0.95")
    assert found.fracture_threshold is None
    assert "no sensitivity is possible" in found.note


def test_the_error_that_can_be_had_is_said_and_can_be_had() -> None:
    correct = np.arange(200) % 10 > 0
    confidence = np.linspace(0.5, 1, 200)
    found = fit_referral(confidence, correct, 0.02)
    assert found.refer_below is None
    assert "no threshold keeps the error at 2% among 20 or more answered" in found.note
    can = float(found.note.split("refer_error=")[1].split(")")[0])
    assert fit_referral(confidence, correct, can).refer_below is not None


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 2**32 - 1), st.sampled_from(["sensitivity:0.9", "specificity:0.8"]))
def test_a_threshold_keeps_its_promise_on_what_chose_it(seed: int, rule: str) -> None:
    rng = np.random.default_rng(seed)
    truth = rng.random(120) < 0.5
    probability = np.round(rng.random(120) * 0.5 + truth * 0.4, 2)
    found = fit_operating_point(probability, truth, rule)
    if found.fracture_threshold is not None:
        alarm = probability >= found.fracture_threshold
        kept = alarm[truth].mean() if rule.startswith("sens") else (~alarm[~truth]).mean()
        assert kept >= float(rule.split(":")[1])


@pytest.mark.parametrize("rule", ["sensitivity:0.9", "specificity:0.9", "refer"])
def test_promises_hold_on_average_for_new_images(rule: str) -> None:
    """A thousand draws of 60 images to choose by; what a new image gets is known exactly, for scores are uniform."""
    rng, kept = np.random.default_rng(0), []
    for _ in range(1000):
        if rule == "refer":  # right with the probability that is said
            confidence = rng.uniform(0.6, 1, 60)
            found = fit_referral(confidence, rng.random(60) < confidence, 0.1).refer_below
            if found is not None:
                kept.append((1 + max(found, 0.6)) / 2)
            continue
        truth = np.arange(60) < 30
        point = fit_operating_point((rng.random(60) + truth) / 2, truth, rule).fracture_threshold
        assert point is not None
        kept.append(min(1, 2 - 2 * point) if rule.startswith("sens") else min(1, 2 * point))
    assert np.mean(kept) >= (0.9 if rule != "refer" else 0.885), np.mean(kept)
