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

from fracture.evaluation.metrics import confusion, log_loss, scores, softmax

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
        rest = [sklearn.metrics.recall_score(true != k, predicted != k, zero_division=np.nan) for k in range(3)]
    np.testing.assert_allclose([found[f"specificity_{name}"] for name in NAMES], rest)
    if len(set(true)) > 1 and len(set(predicted)) > 1:
        assert found["mcc"] == pytest.approx(sklearn.metrics.matthews_corrcoef(true, predicted), abs=1e-9)
        assert found["cohen_kappa"] == pytest.approx(sklearn.metrics.cohen_kappa_score(true, predicted), abs=1e-9)
    else:
        assert np.isnan(found["mcc"])
        assert np.isnan(found["cohen_kappa"])
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
    for name, value in expected.items():
        assert np.isnan(found[name]) if value is None else found[name] == pytest.approx(value)


def test_many_matrices_at_once() -> None:
    rng = np.random.default_rng(0)
    matrices = rng.integers(0, 5, (4, 6, 3, 3))
    together = scores(matrices, NAMES)
    for i in range(4):
        for j in range(6):
            for name, value in scores(matrices[i, j], NAMES).items():
                np.testing.assert_equal(together[name][i, j], value)
