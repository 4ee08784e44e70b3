"""What is said of one image: for any probabilities, thresholds and classes nothing contradicts anything."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fracture.evidence.verdict import CLASS_REPORTED, LOOK, NOT_REPORTED, REPORTED, Rule, decide, explained

THREE = ("comminuted_fracture", "no_fracture", "simple_fracture")
_SHARE = st.floats(0, 1)


@st.composite
def cases(draw: st.DrawFn) -> tuple[Rule, list[float]]:
    """Any rule, with probabilities that need not even add up to one."""
    classes = draw(st.lists(st.text(min_size=1, max_size=8), min_size=1, max_size=5, unique=True))
    healthy = draw(st.none() | st.sampled_from(classes))
    rule = Rule(tuple(classes), healthy, draw(st.none() | st.floats(0, 1.1)), draw(st.none() | _SHARE))
    return rule, draw(st.lists(_SHARE | st.just(math.nan), min_size=len(classes), max_size=len(classes)))


@given(cases(), st.sampled_from(["", "blank"]))
def test_nothing_that_is_said_contradicts(case: tuple[Rule, list[float]], doubt: str) -> None:
    rule, shares = case
    found = decide(rule, shares, doubt)
    assert (found.decision == LOOK) == bool(found.reason)
    if any(math.isnan(share) for share in shares):
        assert (found.label, found.fracture, found.decision) == ("", None, LOOK)
        return
    assert found.label in rule.classes
    if found.fracture is not None:
        assert found.fracture == (found.label != rule.healthy)
        assert found.fracture == (found.fracture_probability >= rule.fracture_threshold)  # type: ignore[operator]
    assert (
        found.decision
        in {True: (REPORTED, LOOK), False: (NOT_REPORTED, LOOK), None: (CLASS_REPORTED, LOOK)}[found.fracture]
    )
    assert (found.fracture_probability is None) == (rule.healthy is None)
    if found.decision == CLASS_REPORTED:
        assert rule.healthy is None, "with a healthy class and no threshold a person must look"
    among = [
        share for name, share in zip(rule.classes, shares, strict=True) if name != rule.healthy or not found.fracture
    ]
    if found.fracture is not False:
        assert shares[rule.classes.index(found.label)] == max(among), "the kind is the most probable one of those left"


@pytest.mark.parametrize(
    ("healthy", "threshold", "refer", "shares", "decision", "label", "fracture"),
    [
        ("no_fracture", 0.3, 0.0, (0.2, 0.6, 0.2), REPORTED, "comminuted_fracture", True),
        ("no_fracture", 0.5, 0.0, (0.2, 0.6, 0.2), NOT_REPORTED, "no_fracture", False),
        ("no_fracture", 0.9, 0.0, (0.1, 0.2, 0.7), NOT_REPORTED, "no_fracture", False),
        ("no_fracture", 0.3, 0.9, (0.2, 0.6, 0.2), LOOK, "comminuted_fracture", True),
        ("no_fracture", 0.3, None, (0.0, 0.0, 1.0), LOOK, "simple_fracture", True),
        ("no_fracture", None, 0.0, (0.2, 0.6, 0.2), LOOK, "no_fracture", None),
        (None, None, 0.0, (0.2, 0.6, 0.2), CLASS_REPORTED, "no_fracture", None),
        (None, 0.3, 0.7, (0.2, 0.6, 0.2), LOOK, "no_fracture", None),
    ],
)
def test_decisions_by_hand(
    healthy: str | None, threshold: float | None, refer: float | None, shares: tuple[float, ...], decision: str,
    label: str, fracture: bool | None,
) -> None:  # fmt: skip
    found = decide(Rule(THREE, healthy, threshold, refer), shares)
    assert (found.decision, found.label, found.fracture) == (decision, label, fracture)


def test_a_doubt_comes_first_and_hides_nothing() -> None:
    found = decide(Rule(THREE, "no_fracture", 0.3, 0.9), (0.2, 0.6, 0.2), "blank: hardly any contrast")
    assert (found.decision, found.reason, found.fracture) == (LOOK, "blank: hardly any contrast", True)


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        (Rule(THREE, "no_fracture", 0.312, 0.74), ("31.2% or more", "less than 74.0%")),
        (Rule(THREE, "no_fracture", None, 0.74), ("at every image", "no threshold for reporting")),
        (Rule(THREE, None, None, 0.74), ("most probable class is reported", "no class is known to be healthy")),
        (Rule(THREE, "no_fracture", 0.312, None), ("31.2% or more", "at every image")),
    ],
)
def test_the_rule_in_sentences(rule: Rule, words: tuple[str, ...]) -> None:
    said = " ".join(explained(rule))
    assert all(word in said for word in words)


def test_nobody_has_to_look_where_referral_is_not_judged() -> None:
    rule = Rule(("fractured", "normal"), "normal", 0.5, 0.0)
    assert decide(rule, [0.5, 0.5]).decision == REPORTED
    assert explained(rule) == ["A fracture is reported where the probability of any fracture is 50.0% or more."]
