"""Two models on the same images, and mixtures of models."""

import numpy as np
import pytest
from scipy.special import softmax
from scipy.stats import binom

from fracture.evaluation.ensemble import fit_weights, mix
from fracture.evaluation.metrics import log_loss
from fracture.evaluation.paired import compare
from fracture.evaluation.sample import Decisions, Sample

NAMES = ("comminuted_fracture", "no_fracture", "simple_fracture")


def sample(predicted: list[int], labels: list[int]) -> Sample:
    return Sample(np.eye(3)[predicted] * 3, np.array(labels), NAMES, Decisions())


def noisy(n: int, skill: float, seed: int, labels: np.ndarray) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, 3)) + skill * np.eye(3)[labels]


def test_mcnemar_by_hand() -> None:
    labels = [0] * 20
    found = compare(sample([0] * 20, labels), sample([0] * 12 + [1] * 8, labels), range(20), rounds=50)
    assert (found.only_first, found.only_second) == (8, 0)
    assert found.mcnemar == pytest.approx(2 * binom.pmf(0, 8, 0.5))
    assert found.differences["accuracy"].value == pytest.approx(0.4)


def test_a_model_does_not_differ_from_itself() -> None:
    labels = np.random.default_rng(0).integers(0, 3, 60)
    one = Sample(noisy(60, 1, 1, labels), labels, NAMES, Decisions())
    found = compare(one, one, range(60), rounds=100)
    assert found.mcnemar == 1.0
    for difference in found.differences.values():
        assert (difference.value, difference.low, difference.high) == (0, 0, 0)
        assert not difference.clear


def test_a_clear_difference_is_clear() -> None:
    labels = np.random.default_rng(0).integers(0, 3, 400)
    good = noisy(400, 2.5, 1, labels)
    worse = good + np.random.default_rng(2).normal(size=good.shape) * 1.5
    first, second = (Sample(logits, labels, NAMES, Decisions()) for logits in (good, worse))
    found = compare(first, second, range(400)).differences["accuracy"]
    assert found.clear
    assert found.low <= found.value <= found.high


def test_fractures_are_compared_only_where_they_mean_the_same() -> None:
    labels = np.random.default_rng(0).integers(0, 3, 60)
    logits = noisy(60, 1, 1, labels)
    known, other, none = (
        Sample(logits, labels, NAMES, Decisions(healthy=healthy)) for healthy in ("no_fracture", NAMES[0], None)
    )
    assert "any_fracture_auroc" in compare(known, known, range(60), rounds=20).differences
    for unlike in (other, none):
        found = compare(known, unlike, range(60), rounds=20).differences
        assert "any_fracture_auroc" not in found
        assert "accuracy" in found


def test_other_images_are_refused() -> None:
    with pytest.raises(ValueError, match="same images"):
        compare(sample([0, 1], [0, 1]), sample([0, 1], [1, 0]), range(2))


def test_weights_are_those_of_the_least_loss() -> None:
    labels = np.random.default_rng(0).integers(0, 3, 300)
    shares = softmax(np.stack([noisy(300, skill, seed, labels) for seed, skill in ((1, 0.3), (2, 2.0), (3, 1.0))]), -1)
    weights = fit_weights(shares, labels)
    assert weights.sum() == pytest.approx(1)
    assert (weights >= 0).all()
    least = log_loss(mix(shares, weights), labels)
    rng = np.random.default_rng(4)
    assert all(log_loss(mix(shares, other), labels) >= least - 1e-6 for other in rng.dirichlet(np.ones(3), 200))
    np.testing.assert_allclose(softmax(mix(shares, weights), -1), np.tensordot(weights, shares, 1), atol=1e-9)


def test_a_useless_member_gets_hardly_any_weight() -> None:
    labels = np.arange(90) % 3
    shares = np.stack([softmax(noisy(90, 4, 0, labels), -1), softmax(-noisy(90, 4, 1, labels), -1)])
    assert fit_weights(shares, labels)[1] < 0.01
