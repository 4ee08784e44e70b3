"""Metrics against scikit-learn and by hand, and intervals that cover what they should."""

import warnings
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pytest
import sklearn.metrics
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.special import softmax as reference_softmax

from fracture.evaluation.metrics import confusion, estimate, log_loss, scores, softmax

NAMES = ("comminuted", "none", "simple")
Ints = npt.NDArray[np.int64]


def logits_of(predicted: Sequence[int], classes: int = 3) -> npt.NDArray[np.float64]:
    """Logits whose largest is that of the predicted class."""
    return np.eye(classes)[list(predicted)] * 3


def ints(*values: int) -> Ints:
    return np.array(values, np.int64)


LABELLED = st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2)), min_size=1, max_size=60)


@settings(deadline=None, max_examples=60)
@given(LABELLED)
def test_scores_are_those_of_scikit_learn(pairs: list[tuple[int, int]]) -> None:
    true, predicted = (ints(*column) for column in zip(*pairs, strict=True))
    found = scores(confusion(true, predicted, 3), NAMES)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # scikit-learn warns of absent classes
        each = sklearn.metrics.precision_recall_fscore_support(true, predicted, labels=[0, 1, 2], zero_division=np.nan)
        assert found["accuracy"] == pytest.approx(sklearn.metrics.accuracy_score(true, predicted))
        assert found["balanced_accuracy"] == pytest.approx(sklearn.metrics.balanced_accuracy_score(true, predicted))
        assert found["macro_f1"] == pytest.approx(sklearn.metrics.f1_score(true, predicted, average="macro"))
    for k, name in enumerate(NAMES):
        for metric, values in zip(("precision", "recall", "f1"), each, strict=False):
            np.testing.assert_allclose(found[f"{metric}_{name}"], values[k], err_msg=f"{metric} {name}")


@settings(deadline=None, max_examples=60)
@given(LABELLED)
def test_confusion_is_that_of_scikit_learn(pairs: list[tuple[int, int]]) -> None:
    true, predicted = (ints(*column) for column in zip(*pairs, strict=True))
    expected = sklearn.metrics.confusion_matrix(true, predicted, labels=[0, 1, 2])
    np.testing.assert_array_equal(confusion(true, predicted, 3), expected)


FLOATS = hnp.arrays(
    st.sampled_from([np.float32, np.float64]), (7, 3), elements=st.floats(-50, 50, width=32), fill=st.nothing()
)


@settings(deadline=None, max_examples=60)
@given(FLOATS, st.lists(st.integers(0, 2), min_size=7, max_size=7))
def test_probabilities_and_log_loss(logits: npt.NDArray[np.float64], labels: list[int]) -> None:
    expected = reference_softmax(logits.astype(np.float64), axis=1)
    np.testing.assert_allclose(softmax(logits), expected, rtol=1e-6, atol=1e-12)
    losses = [
        np.log(np.exp(row - row.max()).sum()) + row.max() - row[k]
        for row, k in zip(logits.astype(np.float64), labels, strict=True)
    ]
    assert log_loss(logits, ints(*labels)) == pytest.approx(np.mean(losses), rel=1e-6, abs=1e-9)


def test_log_loss_is_that_of_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    logits, labels = rng.normal(size=(50, 3)), rng.integers(0, 3, 50)
    expected = sklearn.metrics.log_loss(labels, softmax(logits), labels=[0, 1, 2])
    assert log_loss(logits, labels) == pytest.approx(expected)


@pytest.mark.parametrize("scale", [1e3, 1e30])
def test_sure_and_wrong_is_a_large_number_not_an_overflow(scale: float) -> None:
    assert log_loss(np.array([[scale, 0.0, 0.0]], np.float32), ints(1)) == pytest.approx(scale)
    assert softmax(np.array([[scale, -scale, 0.0]])).tolist() == [[1.0, 0.0, 0.0]]


HAND = {
    "perfect": ([0, 1, 2], [0, 1, 2], {"accuracy": 1.0, "balanced_accuracy": 1.0, "macro_f1": 1.0, "f1_simple": 1.0}),
    "all wrong": ([0, 1, 2], [1, 2, 0], {"accuracy": 0.0, "balanced_accuracy": 0.0, "macro_f1": 0.0}),
    "always the largest class": (
        [0, 0, 0, 0, 1, 2],
        [0, 0, 0, 0, 0, 0],
        {
            "accuracy": 4 / 6,
            "balanced_accuracy": 1 / 3,
            "macro_f1": 0.8 / 3,
            "precision_comminuted": 4 / 6,
            "recall_comminuted": 1.0,
            "recall_none": 0.0,
            "precision_none": None,
            "f1_none": 0.0,
        },
    ),
    "a class that does not occur": (
        [0, 0, 1, 1],
        [0, 1, 1, 1],
        {
            "balanced_accuracy": 0.75,
            "macro_f1": (2 / 3 + 4 / 5) / 2,
            "recall_simple": None,
            "precision_simple": None,
            "f1_simple": None,
        },
    ),
    "a class that is only predicted": (
        [0, 0, 1, 1],
        [0, 2, 1, 1],
        {"balanced_accuracy": 0.75, "macro_f1": (2 / 3 + 1 + 0) / 3, "recall_simple": None, "precision_simple": 0.0},
    ),
}


@pytest.mark.parametrize(("true", "predicted", "expected"), HAND.values(), ids=HAND.keys())
def test_by_hand(true: list[int], predicted: list[int], expected: dict[str, float | None]) -> None:
    found = scores(confusion(ints(*true), ints(*predicted), 3), NAMES)
    estimates = estimate(logits_of(predicted), ints(*true), range(len(true)), NAMES, rounds=50)
    for name, value in expected.items():
        assert estimates[name].value == (None if value is None else pytest.approx(value)), name
        assert np.isnan(found[name]) if value is None else found[name] == pytest.approx(value)


def test_many_matrices_at_once() -> None:
    rng = np.random.default_rng(0)
    matrices = rng.integers(0, 5, (4, 6, 3, 3))
    together = scores(matrices, NAMES)
    for i in range(4):
        for j in range(6):
            for name, value in scores(matrices[i, j], NAMES).items():
                np.testing.assert_equal(together[name][i, j], value)


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
    assert found.keys() == scores(np.eye(3, dtype=np.int64), NAMES).keys() | {"log_loss"}
    for value in found.values():
        assert (value.n, value.groups) == (80, 40)
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
    """95 % nominal; 200 repetitions with 100 groups of two images that agree, so plus or minus 3 %."""
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
