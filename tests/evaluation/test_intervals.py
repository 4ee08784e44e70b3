"""Intervals that cover what they should, and a reason or a caution where they cannot."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest
import sklearn.metrics
from hypothesis import given, settings
from hypothesis import strategies as st

from fracture.evaluation.intervals import believable, estimate, share, wilson_low
from fracture.evaluation.metrics import log_loss, scores, softmax
from fracture.evaluation.sample import Decisions
from fracture.evidence import wilson

NAMES = ("comminuted", "none", "simple")
REAL = ("comminuted_fracture", "no_fracture", "simple_fracture")
Ints = npt.NDArray[np.int64]


def logits_of(predicted: Sequence[int], classes: int = 3) -> npt.NDArray[np.float64]:
    """Logits whose largest is that of the predicted class."""
    return np.eye(classes)[list(predicted)] * 3


def ints(*values: int) -> Ints:
    return np.array(values, np.int64)


def test_what_is_not_defined_has_a_reason_and_no_interval() -> None:
    found = estimate(logits_of([0, 0, 1]), ints(0, 1, 1), "abc", NAMES, rounds=50)
    for name, reason in (
        ("recall_simple", "no image of this class"),
        ("precision_simple", "nothing was predicted to be of this class"),
    ):
        assert (found[name].value, found[name].low, found[name].high) == (None, None, None)
        assert found[name].reason == reason
    assert found["accuracy"].reason == ""


def noisy(n: int, accuracy: float, seed: int) -> tuple[npt.NDArray[np.float64], Ints]:
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 3, n)
    predicted = np.where(rng.random(n) < accuracy, labels, (labels + rng.integers(1, 3, n)) % 3)
    return logits_of(list(predicted)) + rng.normal(0, 0.1, (n, 3)), labels


def test_every_metric_has_its_n_and_an_interval_around_it() -> None:
    logits, labels = noisy(80, 0.7, 0)
    groups = [i // 2 for i in range(80)]
    found = estimate(logits, labels, groups, NAMES)
    assert found.keys() >= scores(np.eye(3, dtype=np.int64), NAMES).keys() | {"log_loss", "brier", "ece", "auroc_none"}
    assert (found["accuracy"].n, found["accuracy"].groups) == (80, 40)
    assert found["recall_none"].n == (labels == 1).sum()
    assert found["precision_none"].n == (logits.argmax(1) == 1).sum()
    for value in found.values():
        assert value.value is not None
        assert value.low is not None
        assert value.high is not None
        assert value.low <= value.value <= value.high
        assert value.low < value.high
    assert found["log_loss"].value == pytest.approx(log_loss(logits, labels))
    assert found["accuracy"].value == pytest.approx((logits.argmax(1) == labels).mean())


def width(logits: npt.NDArray[np.float64], labels: Ints, groups: Sequence[object], name: str = "accuracy") -> float:
    found = estimate(logits, labels, groups, NAMES)[name]  # type: ignore[arg-type]
    assert found.low is not None
    assert found.high is not None
    return found.high - found.low


@pytest.mark.parametrize("name", ["accuracy", "macro_f1", "log_loss"])
def test_copies_of_one_original_are_no_more_evidence(name: str) -> None:
    logits, labels = noisy(60, 0.7, 1)
    copies, copied, originals = np.repeat(logits, 6, 0), np.repeat(labels, 6), [i // 6 for i in range(360)]
    by_group, by_image = width(copies, copied, originals, name), width(copies, copied, range(360), name)
    assert by_group == pytest.approx(width(logits, labels, range(60), name))
    assert by_group == pytest.approx(by_image * 6**0.5, rel=0.25)


def test_more_images_give_narrower_intervals() -> None:
    assert width(*noisy(1600, 0.7, 2), range(1600)) < 0.6 * width(*noisy(400, 0.7, 2), range(400))


def test_the_interval_of_accuracy_is_about_the_binomial_one() -> None:
    logits, labels = noisy(400, 0.8, 3)
    accuracy = float((logits.argmax(1) == labels).mean())
    expected = 2 * 1.96 * (accuracy * (1 - accuracy) / 400) ** 0.5
    assert width(logits, labels, range(400)) == pytest.approx(expected, rel=0.1)


def test_intervals_cover_the_truth_about_as_often_as_they_say() -> None:
    """95% nominal; 200 repetitions with 100 groups of two images that agree, so plus or minus 3%."""
    hits = 0
    for seed in range(200):
        logits, labels = noisy(100, 0.75, 1000 + seed)
        found = estimate(
            np.repeat(logits, 2, 0), np.repeat(labels, 2), [i // 2 for i in range(200)], NAMES, rounds=400
        )["accuracy"]
        assert found.low is not None
        assert found.high is not None
        hits += found.low <= 0.75 <= found.high
    assert 0.90 <= hits / 200 <= 0.99


def test_one_group_shows_that_nothing_is_known_of_others() -> None:
    found = estimate(*noisy(10, 0.5, 4), ["same patient"] * 10, NAMES)["accuracy"]
    assert found.groups == 1
    assert found.low == found.value == found.high
    assert found.caution == "only 1 group: the interval is too narrow to be believed"


def test_without_errors_the_interval_says_what_remains_plausible() -> None:
    found = estimate(logits_of([0, 1, 2] * 20), ints(*[0, 1, 2] * 20), range(60), NAMES)
    assert found["accuracy"].caution == "all alike in 60 groups: values down to 0.95 remain plausible"
    assert found["recall_none"].caution == "all alike in 20 groups: values down to 0.85 remain plausible"
    assert found["macro_f1"].caution == "all alike in 60 groups: no draw of them gives another value"


def test_one_answer_to_all_images_makes_no_sure_interval() -> None:
    found = estimate(logits_of([0] * 60), ints(*[0, 1, 2] * 20), range(60), NAMES)
    for name, value, groups in (("balanced_accuracy", 1 / 3, 60), ("f1_none", 0.0, 20)):
        assert (found[name].low, found[name].high) == pytest.approx((value, value))
        assert found[name].caution == f"all alike in {groups} groups: no draw of them gives another value"


@pytest.mark.parametrize(
    ("counts", "name", "caution"),
    [
        ((1, 30, 30), "auroc_comminuted_fracture", "only 1 group of comminuted_fracture: the interval is too narrow"),
        ((1, 30, 30), "average_precision_comminuted_fracture", "only 1 group of comminuted_fracture"),
        ((9, 30, 30), "balanced_accuracy", "only 9 groups of comminuted_fracture"),
        ((10, 30, 30), "balanced_accuracy", ""),
        ((9, 30, 30), "macro_f1", "only 9 groups of comminuted_fracture"),
        ((9, 30, 30), "accuracy", ""),
        ((9, 30, 30), "auroc_simple_fracture", ""),
        ((9, 30, 30), "comminuted_fracture_vs_simple_fracture_auroc", "only 9 groups of comminuted_fracture"),
        ((20, 3, 20), "any_fracture_auroc", "only 3 groups of no_fracture"),
        ((20, 3, 20), "auroc_no_fracture", "only 3 groups of no_fracture"),
        ((20, 3, 4), "auroc_comminuted_fracture", "only 7 groups of classes other than comminuted_fracture"),
        ((0, 30, 30), "balanced_accuracy", "no image of comminuted_fracture, of which it says nothing"),
        ((0, 30, 0), "macro_f1", "no image of comminuted_fracture, simple_fracture, of which it says nothing"),
        ((0, 30, 0), "balanced_accuracy", "no image of comminuted_fracture, simple_fracture"),
    ],
)
def test_a_metric_is_as_sure_as_its_rarest_class(counts: tuple[int, ...], name: str, caution: str) -> None:
    labels = np.repeat([0, 1, 2], counts)
    logits = np.random.default_rng(0).normal(size=(len(labels), 3)) + np.eye(3)[labels]
    found = estimate(logits, labels, range(len(labels)), REAL, Decisions(healthy="no_fracture"), rounds=50)[name]
    assert found.caution.startswith(caution)
    assert bool(found.caution) == bool(caution)
    assert believable(found) == (not caution)


def test_all_alike_is_believed_of_ten_groups_and_more() -> None:
    for n, believed in ((9, False), (12, True)):
        found = estimate(logits_of([0, 1, 2] * n), ints(*[0, 1, 2] * n), range(3 * n), NAMES, rounds=50)["recall_none"]
        assert found.caution.startswith("all alike in")
        assert believable(found) is believed


def test_a_share_has_the_wider_of_two_intervals() -> None:
    hits, among = np.arange(60) % 4 > 0, np.arange(60) < 40
    found = share(hits, among, [str(i // 2) for i in range(60)])
    assert (found.value, found.n, found.groups) == (0.75, 40, 20)
    assert (found.low, found.high) == (pytest.approx(wilson(0.75, 20)[0]), pytest.approx(wilson(0.75, 20)[1]))
    alike = share(np.ones(60, np.bool_), among, range(60))
    assert alike.low == pytest.approx(wilson_low(1.0, 40))
    assert (alike.value, alike.high) == (1.0, 1.0)
    assert share(hits, np.zeros(60, np.bool_), range(60)).reason == "there are no such images"
    assert share(hits, among, [0] * 60).caution == "only 1 group"
    clustered = share(np.repeat([True, False], 30), np.ones(60, np.bool_), np.repeat(range(20), 3).tolist())
    assert clustered.low is not None
    assert clustered.low < wilson_low(0.5, 60), "images of one patient are no independent evidence"


def test_a_seed_gives_the_same_interval() -> None:
    logits, labels = noisy(50, 0.6, 5)
    first, again, other = (estimate(logits, labels, range(50), NAMES, seed=seed) for seed in (0, 0, 1))
    assert first == again != other
    assert first["accuracy"].value == other["accuracy"].value


@settings(deadline=None, max_examples=20)
@given(st.permutations(range(30)))
def test_the_order_of_images_does_not_matter_to_values(order: list[int]) -> None:
    logits, labels = noisy(30, 0.6, 6)
    found = estimate(logits, labels, range(30), NAMES, rounds=20)
    moved = estimate(logits[order], labels[order], order, NAMES, rounds=20)
    for name, value in found.items():
        assert moved[name].value == (None if value.value is None else pytest.approx(value.value))
        assert moved[name].low == (None if value.low is None else pytest.approx(value.low))


def random_case(n: int, seed: int) -> tuple[npt.NDArray[np.float64], Ints]:
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 3, n)
    return rng.normal(size=(n, 3)) + np.eye(3)[labels], labels


def test_probabilities_are_judged_as_scikit_learn_does() -> None:
    logits, labels = random_case(90, 0)
    decisions = Decisions(temperature=1.7, fracture_threshold=0.6, refer_below=0.5, healthy="no_fracture")
    found = {name: e.value for name, e in estimate(logits, labels, range(90), REAL, decisions, rounds=20).items()}
    shares = softmax(logits / 1.7)
    for k, name in enumerate(REAL):
        assert found[f"auroc_{name}"] == pytest.approx(sklearn.metrics.roc_auc_score(labels == k, shares[:, k]))
        average = sklearn.metrics.average_precision_score(labels == k, shares[:, k])
        assert found[f"average_precision_{name}"] == pytest.approx(average)
    assert found["log_loss"] == pytest.approx(sklearn.metrics.log_loss(labels, shares))
    brier = sklearn.metrics.brier_score_loss(labels, shares, scale_by_half=False)
    assert found["brier"] == pytest.approx(brier)
    fractured, alarm = labels != 1, 1 - shares[:, 1] >= 0.6
    assert found["any_fracture_sensitivity"] == pytest.approx(sklearn.metrics.recall_score(fractured, alarm))
    assert found["any_fracture_specificity"] == pytest.approx(sklearn.metrics.recall_score(~fractured, ~alarm))
    assert found["any_fracture_auroc"] == pytest.approx(sklearn.metrics.roc_auc_score(fractured, 1 - shares[:, 1]))
    among = labels != 1
    expected = sklearn.metrics.roc_auc_score(labels[among] == 0, (logits[:, 0] - logits[:, 2])[among])
    assert found["comminuted_fracture_vs_simple_fracture_auroc"] == pytest.approx(expected)
    sure = shares.max(1) >= 0.5
    assert found["answered_share"] == pytest.approx(sure.mean())
    assert found["answered_accuracy"] == pytest.approx((shares.argmax(1) == labels)[sure].mean())


def test_fractures_are_all_classes_but_the_healthy_one_whatever_it_is_called() -> None:
    logits, labels = random_case(90, 0)
    fitted = Decisions(1.7, 0.6, 0.5, "no_fracture")
    known = estimate(logits, labels, range(90), REAL, fitted, rounds=20)
    names = ("spiral", "normal", "transverse")
    renamed = estimate(logits, labels, range(90), names, replace(fitted, healthy="normal"), rounds=20)
    among_all = [name for name in known if name.startswith("any_fracture")]
    assert len(among_all) == 3
    assert {name: renamed[name] for name in among_all} == {name: known[name] for name in among_all}
    assert renamed["spiral_vs_transverse_auroc"] == known["comminuted_fracture_vs_simple_fracture_auroc"]
    without = estimate(logits, labels, range(90), REAL, replace(fitted, healthy=None), rounds=20)
    assert not [name for name in without if name.startswith("any_fracture") or "_vs_" in name]


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 10_000), st.integers(2, 40), st.booleans())
def test_each_draw_is_measured_as_if_images_were_repeated(seed: int, n: int, ties: bool) -> None:
    """The bootstrap's arithmetic on weights, against the same metrics of really repeated images."""
    from fracture.evaluation.sample import Sample

    logits, labels = random_case(n, seed)
    logits = np.round(logits) if ties else logits
    decisions = Decisions(1.3, 0.5, 0.4, "no_fracture")
    weights = np.random.default_rng(seed).integers(0, 4, n)
    weights[0] += 1
    sample = Sample(logits, labels, REAL, decisions)
    repeated = np.repeat(np.arange(n), weights)
    other = Sample(logits[repeated], labels[repeated], REAL, decisions)
    other._bias = sample._bias  # the expected error is that of the sample, not of a draw
    drawn = sample.measure((weights @ sample.table)[None], weights[None].astype(float))
    whole = other.measure(other.table.sum(0)[None], np.ones((1, len(repeated))))
    for name, value in whole.items():
        np.testing.assert_allclose(drawn[name], value, atol=1e-9, err_msg=name)


def test_slices_of_one_class_lack_metrics_with_their_reason() -> None:
    logits, labels = random_case(30, 1)
    decisions = Decisions(healthy="no_fracture")
    found = estimate(logits[labels == 1], labels[labels == 1], range((labels == 1).sum()), REAL, decisions, rounds=20)
    reasons = {name: e.reason for name, e in found.items() if e.value is None}
    assert reasons["auroc_no_fracture"] == "needs images of this class and of others"
    assert reasons["any_fracture_auroc"] == "needs images of both"
    assert reasons["recall_simple_fracture"] == "no image of this class"
    assert reasons["specificity_no_fracture"] == "no image of another class"
    assert found["accuracy"].value is not None
    assert not any(np.isnan(e.value) for e in found.values() if e.value is not None)
