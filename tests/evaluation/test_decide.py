"""Decisions with what they rest on and what is to be expected of them."""

from dataclasses import replace

import numpy as np
import pytest

from fracture.evaluation.decide import Answers, cross_fitted, describe, fit_decisions
from fracture.evaluation.judge import judge
from fracture.evaluation.sample import Decisions, Sample
from fracture.evidence.decisions import ANSWERED, ERROR, SENSITIVITY, SPECIFICITY, Decided
from fracture.rules import Wanted

CLASSES = ("comminuted", "none", "simple")


def answers(seed: int = 0, n: int = 400, skill: float = 2.0, images_a_group: int = 1) -> Answers:
    """Of a model with some skill."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 3, n)
    logits = rng.normal(size=(n, 3)) + skill * np.eye(3)[labels]
    return Answers(logits, labels, [f"p{i // images_a_group}" for i in range(n)], CLASSES, "none")


def test_no_image_has_a_say_in_what_is_decided_about_it() -> None:
    """The others of its group have none either: what they answer changes nothing for it."""
    before = answers(images_a_group=4)
    first = cross_fitted(before)
    changed = before.logits.copy()
    changed[:4] = 9 * np.eye(3)[(before.labels[:4] + 1) % 3]
    again = cross_fitted(replace(before, logits=changed))
    assert first is not None
    assert again is not None
    for name in ("temperature", "fracture_threshold", "refer_below"):
        one, other = getattr(first, name), getattr(again, name)
        np.testing.assert_array_equal(one[:4], other[:4])
        assert (one != other).any(), "others are decided about with them"


def test_decisions_that_are_one_an_image_judge_like_the_one_for_all() -> None:
    given, fitted = answers(), fit_decisions(answers()).decisions
    n = len(given.labels)
    each = Decisions(
        np.full(n, fitted.temperature), np.full(n, fitted.fracture_threshold), np.full(n, fitted.refer_below), "none",
        np.tile(fitted.sets, (n, 1)),  # type: ignore[arg-type]
    )  # fmt: skip
    one = judge(given.logits, given.labels, given.groups, CLASSES, fitted)
    assert one == judge(given.logits, given.labels, given.groups, CLASSES, each)


def test_what_is_expected_covers_what_comes() -> None:
    """The intervals of 25 fits hold what their thresholds do on 20,000 new images, in nine of ten cases."""
    new = answers(seed=999, n=20_000)
    hits = {ERROR: 0, ANSWERED: 0, SENSITIVITY: 0, SPECIFICITY: 0}
    for seed in range(25):
        given = answers(seed=seed, n=300)
        fitted = fit_decisions(given, Wanted("sensitivity:0.9", 0.1))
        expected = describe(given, fitted, "out_of_fold", Wanted("sensitivity:0.9", 0.1)).expected
        sample = Sample(new.logits, new.labels, CLASSES, fitted.decisions)
        fractured = new.labels != 1
        assert sample.alarm is not None
        came = {
            ERROR: 1 - sample.correct[sample.answered].mean(), ANSWERED: sample.answered.mean(),
            SENSITIVITY: sample.alarm[fractured].mean(), SPECIFICITY: 1 - sample.alarm[~fractured].mean(),
        }  # fmt: skip
        for name, value in came.items():
            low, high = expected[name].low, expected[name].high
            assert low is not None
            assert high is not None
            hits[name] += low <= value <= high
    assert min(hits.values()) >= 23, hits


def test_what_was_wanted_stands_beside_what_is_expected() -> None:
    given, wanted = answers(), Wanted("sensitivity:0.95", 0.08)
    found = describe(given, fit_decisions(given, wanted), "out_of_fold", wanted)
    assert (found.images, found.groups, found.unmet) == (400, 400, ())
    said = " ".join(found.promises())
    assert "Wrong among the answered: at most 8.0% wanted, " in said
    assert "Fractures reported: at least 95.0% wanted, " in said
    assert said.count(" expected") == 4
    assert found.basis == "out-of-fold answers to train and validation (400 images, 400 groups)"
    assert Decided.model_validate_json(found.model_dump_json()) == found


@pytest.mark.parametrize(
    ("wanted", "healthy", "words"),
    [
        (Wanted("sensitivity:0.99", 0.05), "none", "sensitivity:0.99 cannot be promised from"),
        (Wanted("youden", 0.001), "none", "no threshold keeps the error at 0.1% among 20 or more"),
        (Wanted("cost:5/1", 0.1), None, "no class is known to be healthy"),
    ],
)
def test_what_cannot_be_had_is_said_and_nothing_expected_of_it(wanted: Wanted, healthy: str | None, words: str) -> None:
    given = replace(answers(n=60), healthy=healthy)
    found = describe(given, fit_decisions(given, wanted), "validation", wanted)
    assert any(words in one for one in found.unmet)
    assert (SENSITIVITY in found.expected) == (wanted.operating == "youden")
    assert (ERROR in found.expected) == (wanted.refer_error > 0.01)


def test_without_a_wish_a_missing_healthy_class_is_no_broken_promise() -> None:
    given = replace(answers(), healthy=None)
    assert describe(given, fit_decisions(given), "validation").unmet == ()


def test_one_group_alone_expects_nothing() -> None:
    given = answers(n=40, images_a_group=40)
    assert describe(given, fit_decisions(given), "validation").expected == {}
