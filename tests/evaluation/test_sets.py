"""Sets of classes: what each class is promised, what small numbers cannot promise, and what a set says."""

import numpy as np
import pytest

from fracture.evaluation.decide import Answers, describe, fit_decisions
from fracture.evaluation.judge import judge
from fracture.evaluation.metrics import softmax
from fracture.evaluation.sets import fit_sets, members
from fracture.evidence.decisions import Sets
from fracture.evidence.verdict import LOOK, Rule, coverage_explained, decide
from fracture.inference.openapi import _ANSWER
from fracture.inference.predictor import Answer
from fracture.inference.table import LAST
from fracture.rules import Wanted

CLASSES = ("comminuted", "none", "simple")


def drawn(seed: int, n: int = 300, skill: float = 1.5) -> Answers:
    """Answers of a model with some skill; comminuted fractures are rare, and taken for simple ones."""
    rng = np.random.default_rng(seed)
    labels = rng.choice(3, n, p=(0.1, 0.5, 0.4))
    logits = rng.normal(size=(n, 3)) + skill * np.eye(3)[labels] + np.where(labels[:, None] == 0, [0.0, 0.0, 1.5], 0.0)
    return Answers(logits, labels, [f"p{i}" for i in range(n)], CLASSES, "none")


def test_each_class_is_held_as_often_as_is_promised() -> None:
    """On average over fits, of new images; a single threshold for all classes would leave the rare one behind."""
    new, held, marginal = drawn(999, 20_000), [], []
    for seed in range(40):
        given = drawn(seed)
        fitted = fit_decisions(given, Wanted(set_coverage=0.9))
        shares = softmax(new.logits / fitted.calibration.temperature)
        held_by = members(shares, np.array([fitted.sets.thresholds[name] for name in CLASSES]))
        held.append([held_by[new.labels == k, k].mean() for k in range(3)])
        own = np.sort(softmax(given.logits / fitted.calibration.temperature)[np.arange(300), given.labels])
        marginal.append((shares[new.labels == 0, 0] >= own[int(0.1 * 301) - 1]).mean())
    assert np.mean(held, axis=0) == pytest.approx([0.9] * 3, abs=0.03)
    assert np.mean(marginal) < 0.8


@pytest.mark.parametrize(
    ("images", "coverage", "at"), [(9, 0.9, 0), (8, 0.9, None), (19, 0.9, 1), (19, 0.95, 0), (4, 0.8, 0)]
)
def test_the_threshold_is_that_of_an_own_image_or_none(images: int, coverage: float, at: int | None) -> None:
    rng = np.random.default_rng(0)
    shares = rng.dirichlet(np.ones(3), images)
    found = fit_sets(shares, np.zeros(images, np.int64), CLASSES, coverage)
    wanted = 0.0 if at is None else np.sort(shares[:, 0])[at]
    assert found.thresholds["comminuted"] == pytest.approx(wanted)
    assert found.n == {"comminuted": images, "none": 0, "simple": 0}
    assert found.thresholds["none"] == 0, "what was never seen cannot be ruled out"
    if at is None:
        assert (
            "the class comminuted is in every set: 0.9 of its images cannot be promised from 8; the most is "
            "set_coverage=0.888" in found.unmet
        )
    assert any(note.startswith("the class none is in every set: ") and note.endswith("from 0") for note in found.unmet)


def test_what_is_expected_and_what_the_test_shows() -> None:
    given, wanted = drawn(1), Wanted(set_coverage=0.8)
    fitted = fit_decisions(given, wanted)
    decided = describe(given, fitted, "out_of_fold", wanted)
    assert decided.wanted.set_coverage == 0.8
    for name in CLASSES:
        expected = decided.expected[f"set_coverage_{name}"]
        assert expected.low <= 0.8 <= expected.high + 0.03  # type: ignore[operator]
        assert decided.wanted_of(f"set_coverage_{name}") == "at least 80.0%"
    assert not any("set_coverage" in line for line in decided.promises())
    new = drawn(2)
    found = judge(new.logits, new.labels, new.groups, CLASSES, fitted.decisions).metrics
    held_by = members(softmax(new.logits / fitted.calibration.temperature), fitted.decisions.sets)  # type: ignore[arg-type]
    assert found["set_coverage_simple"].value == pytest.approx(held_by[new.labels == 2, 2].mean())
    assert found["set_coverage_simple"].n == (new.labels == 2).sum()
    assert found["set_size"].value == pytest.approx(held_by.sum(1).mean())
    assert found["set_single_share"].value == pytest.approx((held_by.sum(1) == 1).mean())
    assert found["set_fracture_share"].value == pytest.approx((~held_by[new.labels != 1, 1]).mean())


def sets(thresholds: dict[str, float], coverage: float = 0.9) -> Sets:
    """Of these thresholds."""
    return Sets(coverage=coverage, thresholds=thresholds, n={})


RULE = Rule(CLASSES, "none", 0.5, 0.4, sets({"comminuted": 0.2, "none": 0.3, "simple": 0.5}))


@pytest.mark.parametrize(
    ("shares", "possible", "words"),
    [
        (
            (0.40, 0.05, 0.55),
            ("comminuted", "simple"),
            "only kinds of fracture remain possible at 90% coverage: comminuted or simple",
        ),
        ((0.80, 0.10, 0.10), ("comminuted",), "the only class that remains possible at 90% coverage: comminuted"),
        ((0.05, 0.90, 0.05), ("none",), "the only class that remains possible at 90% coverage: none"),
        (
            (0.30, 0.50, 0.20),
            ("comminuted", "none"),
            "whether there is a fracture is open at 90% coverage: comminuted or none",
        ),
        (
            (0.19, 0.29, 0.49),
            ("simple",),
            "the only class that remains possible at 90% coverage: simple",
        ),  # the most probable does
        (
            (0.25, 0.28, 0.45),
            ("comminuted", "simple"),
            "only kinds of fracture remain possible at 90% coverage: comminuted or simple",
        ),
        ((0.02, 0.51, 0.47), ("none",), "the only class that remains possible at 90% coverage: none"),
    ],
)
def test_what_a_set_says_never_goes_beyond_the_decision(
    shares: tuple[float, ...], possible: tuple[str, ...], words: str
) -> None:
    found = decide(RULE, shares)
    assert (found.possible, found.possible_in_words) == (possible, words)
    contrary = decide(Rule(CLASSES, "none", 0.99, 0.4, RULE.sets), shares)
    assert contrary.fracture is False
    assert "fracture remain" not in contrary.possible_in_words, (
        "where none is reported, it is not said that only one is left"
    )
    referred = decide(Rule(CLASSES, "none", 0.5, 0.99, RULE.sets), shares)
    assert referred.possible == possible
    said = (f"possible at 90% coverage: {' or '.join(possible)}", "no class fits at 90% coverage")
    assert referred.possible_in_words in said, "where a person must look it is not said that only this is left"


def test_the_words_for_a_set_name_its_coverage_and_call_nothing_sure() -> None:
    rule = Rule(CLASSES, "none", 0.5, 0.0, sets(dict.fromkeys(CLASSES, 0.3), 0.975))
    found = decide(rule, (0.1, 0.1, 0.8))
    assert coverage_explained(rule).startswith("97.5% coverage: the true class is among these in 97.5 or more of")
    assert coverage_explained(Rule(CLASSES, "none", 0.5, 0.0)) == ""
    assert found.possible_in_words == "the only class that remains possible at 97.5% coverage: simple"
    assert "sure" not in {*Answer().said(), *_ANSWER, *LAST}


def test_without_a_healthy_class_without_sets_and_in_doubt() -> None:
    unknown = Rule(CLASSES, None, None, 0.4, RULE.sets)
    open_words = decide(unknown, (0.4, 0.05, 0.55)).possible_in_words
    assert open_words == "several classes remain possible at 90% coverage: comminuted or simple"
    assert (
        decide(unknown, (0.1, 0.1, 0.8)).possible_in_words
        == "the only class that remains possible at 90% coverage: simple"
    )
    before = decide(Rule(CLASSES, "none", 0.5, 0.4), (0.4, 0.05, 0.55))
    assert (before.possible, before.possible_in_words) == ((), "")
    doubted = decide(RULE, (0.05, 0.9, 0.05), "in colour")
    assert (doubted.decision, doubted.possible, doubted.possible_in_words) == (LOOK, (), "")


def test_where_no_class_fits_the_most_probable_remains_unless_a_person_must_look() -> None:
    strict = Rule(CLASSES, "none", 0.5, 0.9, sets(dict.fromkeys(CLASSES, 0.95)))
    assert (
        decide(strict, (0.0, 0.06, 0.94)).possible_in_words
        == "the only class that remains possible at 90% coverage: simple"
    )
    referred = decide(strict, (0.1, 0.2, 0.7))
    assert (referred.decision, referred.possible) == (LOOK, ("simple",))
    assert referred.possible_in_words == "no class fits at 90% coverage"
