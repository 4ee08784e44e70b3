"""The linear probe: it is the logistic regression that it says, folded into the last layer."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from torch import nn

from fracture.training.probe import STRENGTHS, Head, fit, start_head


def case(classes: int, n: int = 90) -> tuple[np.ndarray, np.ndarray, list[str]]:
    rng = np.random.default_rng(0)
    labels = np.arange(n) % classes
    features = rng.normal(size=(n, 12)) * rng.uniform(0.1, 5, 12) + 3 + 1.2 * rng.normal(size=(classes, 12))[labels]
    return features, labels, [f"patient {i // 3}" for i in range(n)]


@pytest.mark.parametrize("classes", [2, 3])
def test_the_folded_head_answers_like_the_regression(classes: int) -> None:
    features, labels, groups = case(classes)
    head = fit(features, labels, groups, classes)
    scaled = (features - features.mean(0)) / (features.std(0) + 1e-6)
    expected = LogisticRegression(C=head.strengths[0], class_weight="balanced", max_iter=500).fit(scaled, labels)
    logits = features @ head.weight.T + head.bias
    shares = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    np.testing.assert_allclose(shares, expected.predict_proba(scaled), atol=1e-6)
    assert head.strengths[0] in STRENGTHS
    assert head.loss < np.log(classes)


def test_the_head_of_parts_answers_the_mean_of_theirs() -> None:
    features, labels, groups = case(3)
    parts = [fit(half, labels, groups, 3) for half in np.split(features, 2, axis=1)]
    head = fit(features, labels, groups, 3, parts=2)
    halves = [half @ part.weight.T + part.bias for half, part in zip(np.split(features, 2, axis=1), parts, strict=True)]
    np.testing.assert_allclose(features @ head.weight.T + head.bias, np.mean(halves, axis=0))
    assert head.strengths == (*parts[0].strengths, *parts[1].strengths)


def test_more_features_than_images_are_fitted_as_they_are() -> None:
    features, labels, groups = case(3, 9)
    head = fit(features, labels, groups, 3)
    scaled = (features - features.mean(0)) / (features.std(0) + 1e-6)
    expected = LogisticRegression(C=head.strengths[0], class_weight="balanced", max_iter=500).fit(scaled, labels)
    logits = features @ head.weight.T + head.bias
    np.testing.assert_allclose(
        np.exp(logits) / np.exp(logits).sum(1, keepdims=True), expected.predict_proba(scaled), atol=1e-3
    )


def test_every_regression_is_told() -> None:
    told: list[int] = []
    features, labels, groups = case(2)
    fit(features, labels, groups, 2, parts=2, tick=lambda: told.append(1))
    assert len(told) == 2 * len(STRENGTHS) * 5


def test_two_groups_a_class_are_too_few_to_choose_and_enough_to_solve() -> None:
    features, labels, _ = case(2, 8)
    head = fit(features, labels, [str(label) for label in labels], 2)
    assert head.strengths == (1e-3,)
    assert head.loss is None, "nothing was measured"
    assert fit(np.tile(features, 2), labels, [str(label) for label in labels], 2, parts=2).loss is None
    assert np.isfinite(head.weight).all()


def test_the_head_is_given_to_the_last_layer_only() -> None:
    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body, self.fc = nn.Linear(4, 6), nn.Linear(6, 3)

        def get_classifier(self) -> nn.Module:
            return self.fc

        def forward_head(self, x: torch.Tensor) -> torch.Tensor:
            return self.fc(x)

    model = Model()
    body = model.body.weight.clone()
    weight, bias = np.random.default_rng(0).normal(size=(3, 6)), np.zeros(3)
    start_head(model, Head(weight, bias, (0.1,), 0.5))
    np.testing.assert_allclose(model.fc.weight.detach(), weight, rtol=1e-6)
    assert torch.equal(model.body.weight, body)
    with pytest.raises(ValueError, match="not linear"):
        start_head(nn.Linear(2, 2), Head(weight, bias, (0.1,), 0.5))
