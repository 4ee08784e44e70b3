"""The source probe: finds planted sources, finds nothing in shuffled labels, and its areas are right."""

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from fracture.data.audit.confound import Probe, probe, weighted_auc

RNG = np.random.default_rng(0)


def _traits(labels: list[str], shift: float) -> npt.NDArray[np.float32]:
    values = np.random.default_rng(1).normal(size=(len(labels), 6))
    values[:, 2] += shift * np.array([label == "b" for label in labels])
    return values.astype(np.float32)


def _probe(labels: list[str], shift: float, groups: list[int] | None = None) -> Probe:
    families = {"size": [0, 1], "border": [2, 3], "histogram": [4, 5]}
    return probe(_traits(labels, shift), families, labels, groups or list(range(len(labels))))


def test_a_planted_source_is_found_and_its_family_named() -> None:
    found = _probe(["a", "b"] * 60, shift=4.0)
    pair = found.pairs[0]
    assert found.confounded
    assert pair.low > 0.9
    assert pair.low < pair.auc < pair.high <= 1
    assert max(pair.families, key=lambda f: pair.families[f]) == "border"
    assert (pair.n_first, pair.n_second) == (60, 60)


def test_classes_of_one_source_are_not_confounded() -> None:
    found = _probe(["a", "b", "c"] * 50, shift=0.0)
    assert len(found.pairs) == 3
    assert not found.confounded
    assert all(pair.low < 0.5 for pair in found.pairs)


def test_copies_of_a_few_images_are_no_evidence() -> None:
    """Twelve originals a class, ten copies each: a probe that let copies into two folds would tell them all apart."""
    labels = [("a", "b")[g % 2] for g in range(24) for _ in range(10)]
    groups = [g for g in range(24) for _ in range(10)]
    originals = np.random.default_rng(2).normal(size=(24, 6))
    values = (originals[groups] + np.random.default_rng(3).normal(0, 0.01, (240, 6))).astype(np.float32)
    found = probe(values, {"all": list(range(6))}, labels, groups)
    assert not found.confounded
    assert found.pairs[0].high - found.pairs[0].low > 0.2


def test_small_classes_are_left_out_by_name() -> None:
    found = _probe(["a"] * 30 + ["b"] * 30 + ["c"] * 4, shift=0.0)
    assert found.left_out == {"c": "4 groups, 10 are needed"}
    assert [(pair.first, pair.second) for pair in found.pairs] == [("a", "b")]
    assert not _probe(["a"] * 30 + ["c"] * 4, shift=0.0).pairs


def test_the_same_data_give_the_same_answer() -> None:
    assert _probe(["a", "b"] * 20, 1.0) == _probe(["a", "b"] * 20, 1.0)


@given(
    st.lists(st.tuples(st.integers(0, 5), st.booleans(), st.integers(0, 3)), min_size=4, max_size=40).filter(
        lambda rows: any(p and w for _, p, w in rows) and any(not p and w for _, p, w in rows)
    )
)
def test_weighted_auc_is_that_of_repeated_images(rows: list[tuple[int, bool, int]]) -> None:
    scores = np.array([s for s, _, _ in rows], float)
    positive = np.array([p for _, p, _ in rows])
    weights = np.array([w for _, _, w in rows], float)
    repeats = weights.astype(int)
    expected = roc_auc_score(np.repeat(positive, repeats), np.repeat(scores, repeats))
    assert weighted_auc(scores, positive, weights[None])[0] == pytest.approx(expected)
