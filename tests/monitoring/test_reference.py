"""What drift is measured against: pooled features, their distances, and the file that travels with the model."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from fracture.data.audit.traits import NAMES
from fracture.data.batches import to_float
from fracture.errors import ConfigError
from fracture.evidence.verdict import Rule
from fracture.inference import features
from fracture.inference.features import Features
from fracture.inference.predictor import Predictor
from fracture.models import backbones
from fracture.models.pooled import pooled
from fracture.models.pyramid import Pyramid
from fracture.monitoring import reference
from tests.small_model import CLASSES, png, small

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("scales", [(), (1.0, 0.5)], ids=["plain", "pyramid"])
def test_pooled_features_are_what_the_last_layer_is_given(scales: tuple[float, ...]) -> None:
    model = backbones.build(backbones.find("test_efficientnet"), 3, scales=scales).eval()
    images = torch.rand(2, 3, 64, 64)
    with torch.inference_mode(), pooled(model) as passes:
        logits = model(images)
        features = model.forward_features(images)
    expected = model.forward_head(features, pre_logits=True)
    torch.testing.assert_close(passes[0], expected)
    assert len(passes) == (2 if isinstance(model, Pyramid) else 1)  # an image and its mirror image
    layer = model.get_classifier()
    torch.testing.assert_close(torch.stack(passes).mean(0) @ layer.weight.T + layer.bias, logits)
    with pooled(nn.Flatten()) as none:
        nn.Flatten()(images)
    assert none == []


def test_the_distance_is_that_of_the_covariance() -> None:
    mixing = RNG.normal(size=(6, 6))
    seen = (RNG.normal(size=(4000, 6)) @ mixing).astype(np.float32)
    found = Features.fit(seen).distance(seen[:5])
    centred = seen[:5] - seen.mean(0)
    exact = np.sqrt(np.einsum("ij,jk,ik->i", centred, np.linalg.inv(np.cov(seen.T)), centred) / 6)
    np.testing.assert_allclose(found, exact, rtol=1e-3)


def test_few_images_of_many_features_tell_strangers_from_their_like() -> None:
    base = RNG.normal(size=(12, 300))

    def draw(n: int) -> features.Floats:
        return np.asarray(RNG.normal(size=(n, 12)) @ base + 0.3 * RNG.normal(size=(n, 300)), np.float32)

    own = draw(120)
    crossed = features.cross_fitted(own)
    fresh, strange = Features.fit(own).distance(draw(50)), Features.fit(own).distance(draw(50) + 2)
    assert 0.7 < np.median(crossed) < 1.4
    assert abs(np.median(fresh) - np.median(crossed)) < 0.3
    assert strange.min() > crossed.max()
    flat = np.ones((40, 8), np.float32)
    assert np.isfinite(Features.fit(flat).distance(flat)).all()


def test_answers_carry_distances_where_the_model_brought_its_features(tmp_path: Path) -> None:
    model = small()
    model.watched = True
    assert model.predict([png()])[0].seen.distance is None  # type: ignore[union-attr]
    squares = RNG.integers(0, 255, (60, 64, 64), np.uint8)
    with torch.inference_mode(), pooled(model.module) as passes:
        model.module(model._normalize(to_float(torch.from_numpy(squares))))
    Features.fit(passes[0].numpy()).save(tmp_path)
    model.save(tmp_path)
    loaded = Predictor.load(tmp_path)
    loaded.watched = True
    good, bad, other = loaded.predict([png(1), b"no image", png(2)])
    assert bad.seen is None
    assert good.seen is not None
    assert other.seen is not None
    (alone,) = loaded.predict(png(2))
    assert alone.seen is not None
    assert alone.seen.distance == pytest.approx(other.seen.distance, abs=2e-4)
    assert good.seen.distance != other.seen.distance
    assert [one.label for one in loaded.predict([png(1), png(2)])] == [good.label, other.label]
    (tmp_path / features.NAME).write_bytes(b"damaged")
    with pytest.raises(ConfigError, match="cannot be read"):
        Predictor.load(tmp_path)


def made(n: int = 60, measured: bool = True) -> reference.Reference:
    rule = Rule(CLASSES, "no_fracture", 0.5, 0.6)
    shares = np.random.default_rng(1).dirichlet(np.ones(3), n)
    known = [tuple(np.full(len(NAMES), float(i))) if measured else () for i in range(n)]
    return reference.build(rule, "w", "test answers", shares, [f"g{i // 2}" for i in range(n)], known, [1.0, 2.0])


def test_a_reference_comes_back_as_it_was_and_is_small(tmp_path: Path) -> None:
    found = made()
    reference.write(found, tmp_path)
    assert reference.read(tmp_path) == found
    assert (found.images, found.groups, found.matrix.shape) == (60, 30, (60, len(NAMES)))
    assert sum(found.confidence_histogram) == 60
    assert sum(one.value or 0 for one in found.labels.values()) == pytest.approx(1)
    assert found.referred.low < found.referred.value < found.referred.high  # type: ignore[operator]
    assert found.trait_quantiles[NAMES[0]][3] == pytest.approx(29.5)
    assert sorted(np.bincount(found.sample.groups).tolist()) == [2] * 30
    reference.write(made(1500), tmp_path)
    assert (tmp_path / reference.NAME).stat().st_size < 2**20


def test_a_reference_without_images_or_of_another_time(tmp_path: Path) -> None:
    assert made(measured=False).matrix.shape == (0, len(NAMES))
    assert reference.read(tmp_path) is None
    changed = made().model_copy(update={"trait_names": ("another",)})
    assert len(changed.matrix) == 0
    (tmp_path / reference.NAME).write_text('{"schema_version": 2}')
    with pytest.raises(ConfigError, match="no reference of this version"):
        reference.read(tmp_path)
