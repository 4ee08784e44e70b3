"""Gates, one by one, on made-up evidence."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fracture.evaluation.judge import judge
from fracture.evaluation.sample import Decisions
from fracture.evidence import Estimate, Results
from registry import card, gates, promote, thresholds
from registry.evidence import Evidence
from tests.registry.made_up import CLASSES, DISTURBED, GOOD, results, two_classes


def tiny() -> Results:
    """A perfect model judged on two comminuted and four simple fractures."""
    labels = np.repeat([0, 1, 2], [2, 60, 4])
    logits = 5 * np.eye(3)[labels]
    split = judge(
        logits,
        labels,
        [str(i) for i in range(len(labels))],
        CLASSES,
        Decisions(fracture_threshold=0.5, healthy="no_fracture"),
    )
    return results(2.5, splits={"val": split, "test": split})


def rare() -> Results:
    """A good model judged on nine comminuted fractures, all of them found, and many others."""
    labels = np.repeat([0, 1, 2], [9, 300, 300])
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(609, 3)) + np.array([6, 3, 3])[labels][:, None] * np.eye(3)[labels]
    split = judge(logits, labels, [str(i) for i in range(609)], CLASSES, Decisions(0.9, 0.5, 0.5, "no_fracture"))
    return results(2.5, splits={"val": split, "test": split})


PAIR = ("fractured", "normal")
LIMITS = thresholds.read(thresholds.DEFAULT)

REFUSED: dict[str, tuple[Evidence, str]] = {
    "a run that failed": (replace(GOOD, status="FAILED"), "finished"),
    "a missing artifact": (replace(GOOD, missing=("probe.npz",)), "whole"),
    "other weights": (replace(GOOD, broken=("best.pth holds others",)), "whole"),
    "leaking data": (replace(GOOD, audit="leaking"), "audit"),
    "nobody has looked": (replace(GOOD, audit="off"), "audit"),
    "class equals source": (replace(GOOD, audit="confounded", confounded=True), "confounded"),
    "nobody has looked at the source": (replace(GOOD, audit="off", confounded=None), "confounded"),
    "two images all right": (replace(GOOD, results=tiny()), "recall"),
    "nine of a class, an interval that is not to be believed": (replace(GOOD, results=rare()), "balanced_accuracy"),
    "the recall of nine": (replace(GOOD, results=rare()), "recall"),
    "six fractures all found": (replace(GOOD, results=tiny()), "sensitivity"),
    "fractures that are missed": (replace(GOOD, results=two_classes(PAIR, "normal", 0.3)), "sensitivity"),
    "nobody has named the healthy class": (replace(GOOD, results=two_classes(PAIR, None)), "sensitivity"),
    "one of two is healthy": (replace(GOOD, results=two_classes(("bruch", "heil"), None)), "sensitivity"),
    "chosen by the test": (replace(GOOD, selected_on="test_macro_f1"), "selection"),
    "another answer": (replace(GOOD, package_difference=0.1), "packaged"),
    "it does not load": (replace(GOOD, package_problem="ModuleNotFoundError"), "packaged"),
    "not packaged": (replace(GOOD, package_difference=None), "packaged"),
    "a weak model": (replace(GOOD, results=results(0.3)), "balanced_accuracy"),
    "a class that is missed": (replace(GOOD, results=results(0.3)), "recall"),
    "too good to be true": (replace(GOOD, results=results(9.0)), "believable"),
    "a rotation too much": (replace(GOOD, robustness=DISTURBED | {"rotation -10": 0.5}), "robustness"),
    "robustness unknown": (replace(GOOD, robustness={}), "robustness"),
    "results of other data": (replace(GOOD, disagreements=("the test split is another",)), "digests"),
    "too slow": (replace(GOOD, latency_ms=5000.0), "budgets"),
    "latency unknown": (replace(GOOD, latency_ms=None), "budgets"),
    "too large": (replace(GOOD, memory_mib=50_000.0), "budgets"),
    "nobody knows the licence": (replace(GOOD, licence=""), "card"),
    "a worn test": (replace(GOOD, test_uses=21), "test_uses"),
    "no results": (replace(GOOD, results=None), "balanced_accuracy"),
    "nothing to agree": (replace(GOOD, results=None), "digests"),
}


def test_good_evidence_passes_every_gate_in_order() -> None:
    found = gates.judge(GOOD, LIMITS, "commercial")
    assert [gate.name for gate in found] == list(gates.GATES)
    assert {gate.name: gate.sentence for gate in found if gate.refuses} == {}
    assert all(gate.figure and gate.threshold and gate.sentence for gate in found)


@pytest.mark.parametrize("case", REFUSED)
def test_what_each_gate_refuses(case: str) -> None:
    evidence, name = REFUSED[case]
    found = {gate.name: gate for gate in gates.judge(evidence, LIMITS, "research")}
    assert found[name].refuses, found[name]
    passed = {gate.name: gate.sentence for gate in gates.judge(GOOD, LIMITS, "research")}
    if name in ("finished", "whole", "digests", "audit", "confounded", "selection", "packaged", "card"):
        assert found[name].sentence != passed[name], "it does not say what would be so if it had passed"


@pytest.mark.parametrize(
    ("licence", "use", "allowed"),
    [
        ("cc-by-nc-4.0", "research", True),
        ("cc-by-nc-4.0", "commercial", False),
        ("MIT", "commercial", True),
        ("", "commercial", False),
    ],
)
def test_licences_against_the_use(licence: str, use: str, allowed: bool) -> None:
    found = {gate.name: gate for gate in gates.judge(replace(GOOD, licence=licence), LIMITS, use)}
    assert found["licence"].passed is allowed


def test_what_few_images_do_not_show_passes_where_nothing_is_asked() -> None:
    evidence, asked = replace(GOOD, results=tiny()), thresholds.read(thresholds.DEMO)
    found = {gate.name: gate for gate in gates.judge(evidence, asked, "research")}
    assert found["recall"].passed
    assert found["sensitivity"].passed
    assert found["recall"].sentence.endswith("(n = 2, 2 groups)")
    one = Estimate(value=0.5, low=0.5, high=0.5, n=3, groups=1)
    assert gates._floor("recall", one, 0.0, "recall").sentence.endswith("(n = 3, 1 group)")


def test_an_interval_that_is_not_to_be_believed_says_so() -> None:
    found = {gate.name: gate for gate in gates.judge(replace(GOOD, results=rare()), LIMITS, "research")}
    assert float(found["balanced_accuracy"].figure) >= LIMITS.floors.balanced_accuracy, "it is not for its lower end"
    assert "does not count: only 9 groups of comminuted_fracture" in found["balanced_accuracy"].sentence


def said(found: Results, limits: thresholds.Thresholds = LIMITS) -> gates.Gate:
    """What the gate on sensitivity says."""
    return gates.judge(replace(GOOD, results=found), limits, "research")[list(gates.GATES).index("sensitivity")]


def test_sensitivity_is_held_whatever_the_healthy_class_is_called() -> None:
    gate = said(two_classes(PAIR, "normal"))
    assert gate.passed
    assert gate.sentence.startswith("sensitivity for any fracture: 0.")
    assert float(gate.figure) >= 0.8


def test_without_a_healthy_class_the_gate_says_what_was_never_measured() -> None:
    gate = said(two_classes(PAIR, None))
    assert (gate.passed, gate.figure, gate.threshold) == (False, "absent", ">= 0.8")
    for words in ("was not measured", "normal is a name for the healthy class", "healthy=CLASS", "waive this gate"):
        assert words in gate.sentence
    assert said(two_classes(PAIR, None), thresholds.read(thresholds.DEMO)).passed, "nothing is asked there"


def test_kinds_of_fracture_alone_pass_and_the_gate_says_what_is_missing() -> None:
    kinds = two_classes(("comminuted_fracture", "simple_fracture"), None)
    gate = said(kinds)
    assert gate.passed
    for words in ("was not measured", "is unknown", "If one of comminuted_fracture, simple_fracture is healthy"):
        assert words in gate.sentence
    evidence = replace(GOOD, results=kinds)
    text = card.render(evidence, gates.judge(evidence, LIMITS, "research"), "research")
    assert "How many fractures it misses is not known, because no class is known to be healthy." in text
    assert gate.sentence in text


def test_the_card_and_the_version_name_the_healthy_class() -> None:
    evidence = replace(GOOD, results=two_classes(PAIR, "normal"))
    judged = gates.judge(evidence, LIMITS, "research")
    assert "\u201cnormal\u201d is the healthy class" in card.render(evidence, judged, "research")
    assert promote.tags(evidence, judged, "research")["fracture.healthy"] == "normal"


def test_the_card_says_that_nobody_has_looked() -> None:
    unseen = replace(GOOD, audit="off", confounded=None)
    assert "The data was not checked for leakage" in card.render(
        unseen, gates.judge(unseen, LIMITS, "research"), "research"
    )


def test_a_waived_gate_is_told_and_does_not_refuse() -> None:
    evidence = replace(GOOD, test_uses=99)
    found = {gate.name: gate for gate in gates.judge(evidence, LIMITS, "research", {"test_uses": "Ada: known"})}
    assert (found["test_uses"].state, found["test_uses"].waived) == ("waived", "Ada: known")
    assert not found["test_uses"].refuses
    assert found["finished"].state == "passed"


def test_worse_evidence_never_passes_more_gates() -> None:
    passed = [
        sum(g.passed for g in gates.judge(replace(GOOD, results=results(s)), LIMITS, "research"))
        for s in (0.2, 1.0, 2.5)
    ]
    assert passed == sorted(passed)


def test_the_card_says_what_the_gates_said_and_has_no_holes() -> None:
    judged = gates.judge(GOOD, LIMITS, "research", {"confounded": "Ada: because"})
    text = card.render(GOOD, judged, "research")
    for words in ("not a medical device", "balanced accuracy", "robustness", "apache-2.0", "macro F1", GOOD.run_id):
        assert words in text
    with pytest.raises(gates_error(), match="licence of the initial weights, audit"):
        card.render(replace(GOOD, licence="", audit=""), judged, "research")


def gates_error() -> type[Exception]:
    from fracture.errors import GateError

    return GateError


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "floors: Field required"),
        ("[floors]\nbalanced_accuracy = 2", "floors.balanced_accuracy"),
        ("floors = [", "cannot be read"),
        ("[magic]\nx = 1", "magic"),
    ],
)
def test_wrong_thresholds_are_explained(text: str, words: str, tmp_path: Any) -> None:
    from fracture.errors import ConfigError

    path = tmp_path / "own.toml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=words):
        thresholds.read(path)
    with pytest.raises(ConfigError, match=r"--thresholds low: cannot be read: No such file or dir.*Allowed: def"):
        thresholds.read(Path("low"))
