"""The linear probe of a job: which batch statistics it is fitted with, and that they come with it."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import nn

from fracture.config import TrainConfig
from fracture.data.dataset import Source, open_dataset
from fracture.models import backbones, checkpoint, weights
from fracture.models.backbones import last_layer
from fracture.training import conclude, execution, fit, probe
from fracture.training.head import fit_probe, read_heads, read_out_of_fold
from fracture.training.job import Job, build_model

TINY = {"image_size": 32, "batch_size": 8, "threads": 1, "memory_format": "contiguous", "precision": "fp32"}


@pytest.fixture
def job(images: Path, tmp_path: Path, request: pytest.FixtureRequest) -> Job:
    model, batch_norm = request.param
    config = TrainConfig.model_validate(TINY | {"model": model, "batch_norm": batch_norm, "head": "probe"})
    backbone = backbones.find(model)
    plan = execution.resolve(config, 32, synthetic=False)
    dataset = open_dataset(Source(str(images)), 32, tmp_path / "cache")
    return Job(config, plan, backbone, weights.find("none", backbone), dataset, tmp_path)


def statistics(model: nn.Module) -> torch.Tensor:
    return torch.cat([value for name, value in model.state_dict().items() if name.endswith("running_mean")])


CASES = {
    ("test_resnet", "pretrained"): ("pretrained",),
    ("test_resnet", "mixed"): ("mixed",),
    ("test_resnet", "auto"): ("pretrained", "mixed"),
    ("test_convnext2", "auto"): ("pretrained",),  # it has none
}


@pytest.mark.parametrize(("job", "tried"), CASES.items(), indirect=["job"])
def test_the_statistics_are_those_that_the_head_was_fitted_with(job: Job, tried: tuple[str, ...]) -> None:
    model = build_model(job)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    fitted = fit_probe(job, model, lambda *_: None)
    assert tuple(fitted.losses) == tried
    assert fitted.head.loss == min(fitted.losses.values()) == fitted.losses[fitted.batch_norm]
    changed = {name for name, value in model.state_dict().items() if not torch.equal(value, before[name])}
    assert any("running" in name for name in changed) == (fitted.batch_norm == "mixed")
    train = job.indices("train")
    found, _ = probe.features(model, job.plan, job.normalize, job.dataset.pixels, train, lambda: None)
    groups = [job.dataset.manifest.rows[i].group or f"alone {i}" for i in train]
    again = probe.fit(found, job.dataset.labels[train], groups, 3)
    assert again.loss == pytest.approx(fitted.head.loss, rel=1e-4), "what is kept reads as what was judged"
    assert fitted.described()["probe.batch_norm"] == fitted.batch_norm


@pytest.mark.parametrize("job", [("test_resnet", "auto")], indirect=True)
@pytest.mark.parametrize("better", ["pretrained", "mixed"])
def test_the_better_in_cross_validation_is_kept(job: Job, better: str, monkeypatch: pytest.MonkeyPatch) -> None:
    real, seen = probe.fit, []

    def judged(*arguments: object) -> probe.Head:
        seen.append(("pretrained", "mixed")[len(seen)])
        head = real(*arguments)  # type: ignore[arg-type]
        return probe.Head(head.weight, head.bias, head.strengths, 0.1 if seen[-1] == better else 0.2)

    monkeypatch.setattr(probe, "fit", judged)
    model = build_model(job)
    before = statistics(model)
    assert fit_probe(job, model, lambda *_: None).batch_norm == better
    assert torch.equal(statistics(model), before) == (better == "pretrained")


@pytest.mark.parametrize("job", [("test_resnet", "pretrained")], indirect=True)
def test_every_image_but_those_of_the_test_is_answered_by_a_head_that_has_not_seen_it(job: Job) -> None:
    model = build_model(job)
    fitted = fit_probe(job, model, lambda *_: None)
    kept = read_out_of_fold(job.folder)
    assert kept is not None
    indices, logits = kept
    train, val = job.indices("train"), job.indices("val")
    assert indices.tolist() == [*train, *val]
    assert logits.shape == (len(indices), 3)

    def mirrored(positions: npt.NDArray[np.int64]) -> npt.NDArray[np.uint8]:
        return job.dataset.pixels(positions)[..., ::-1].copy()

    looked = (job.plan, job.normalize)
    learned, alone = probe.features(model, *looked, job.dataset.pixels, indices, lambda: None)
    swapped, other = probe.features(model, *looked, mirrored, indices, lambda: None)
    np.testing.assert_allclose(learned, (alone + other) / 2, rtol=1e-6)
    np.testing.assert_allclose(swapped, learned, rtol=1e-6)
    assert np.abs(alone - other).max() > 1e-3, "an image is not its mirror image"
    groups = [job.dataset.manifest.rows[i].group or f"alone {i}" for i in indices]
    again = probe.out_of_fold(learned, alone, job.dataset.labels[indices], groups, 3, fitted.head.strengths)
    np.testing.assert_allclose(logits, again, atol=1e-4)  # type: ignore[arg-type]


@pytest.mark.parametrize("job", [("test_resnet", "pretrained")], indirect=True)
def test_a_head_that_was_fitted_again_can_be_told_from_the_selected_one_after_any_crash(job: Job) -> None:
    model = build_model(job)
    fitted = fit_probe(job, model, lambda *_: None)
    heads = read_heads(job.folder)
    assert heads is not None
    np.testing.assert_array_equal(heads.selected.weight, fitted.head.weight)
    assert np.abs(heads.refit.weight - heads.selected.weight).max() > 1e-6
    learner = fit._learner(job, model)
    fit._save_best(job, learner, 1, np.zeros((1, 3), np.float32))
    first, sidecar = conclude.selected(job.folder)
    digest = sidecar.weights_sha256
    for _ in range(2):  # the second time is that of a run that was cut short and concludes again
        assert conclude._refit(job, first, sidecar) == len(job.indices("train")) + len(job.indices("val"))
        again, now = checkpoint.load(job.folder / fit.BEST)
        assert now.weights_sha256 != digest
        np.testing.assert_allclose(last_layer(again).weight.detach(), heads.refit.weight, rtol=1e-6)  # type: ignore[union-attr]
        first, sidecar = conclude.selected(job.folder)
        assert sidecar.weights_sha256 == digest == checkpoint.weights_sha256(first.state_dict())
    assert conclude._refit(job, first, sidecar.model_copy(update={"epoch": 2})) == 0, "other weights were better"
    (job.folder / "out_of_fold.npz").rename(job.folder / "moved.npz")
    assert conclude._refit(job, first, sidecar) == 0, "nothing could be decided of it"
    (job.folder / "moved.npz").rename(job.folder / "out_of_fold.npz")
    (job.folder / fit.BEST).with_suffix(".json").unlink()  # killed between the weights and their sidecar
    assert checkpoint.weights_sha256(conclude.selected(job.folder)[0].state_dict()) == digest
    fit._save_best(job, learner, 5, np.zeros((1, 3), np.float32))
    assert conclude.selected(job.folder)[1].epoch == 5, "trained longer, another epoch was better"


@pytest.mark.parametrize("job", [("test_resnet", "pretrained")], indirect=True)
def test_refit_false_leaves_the_head_alone(job: Job) -> None:
    job = replace(job, config=job.config.model_copy(update={"refit": False}))
    fit_probe(job, build_model(job), lambda *_: None)
    assert read_heads(job.folder) is None
    assert read_out_of_fold(job.folder) is not None


def test_labels_without_a_pattern_are_known_to_those_who_learned_them_only() -> None:
    rng = np.random.default_rng(0)
    features, labels = rng.normal(size=(80, 300)), rng.integers(0, 2, 80)
    features[1::2] = features[::2] + 1e-3  # two images a group, as alike as can be
    labels[1::2] = labels[::2]
    groups = [f"p{i // 2}" for i in range(80)]
    head = probe.fit(features, labels, groups, 2)
    assert ((features @ head.weight.T + head.bias).argmax(1) == labels).mean() > 0.95
    found = probe.out_of_fold(features, features, labels, groups, 2, head.strengths)
    assert found is not None
    assert (found.argmax(1) == labels).mean() < 0.7
    assert probe.out_of_fold(features[:4], features[:4], labels[:4], ["a"] * 4, 2, (0.1,)) is None, "one group"


def test_the_mean_of_the_parts_answers_out_of_fold() -> None:
    rng = np.random.default_rng(0)
    labels, groups = np.arange(60) % 3, [str(i) for i in range(60)]
    features = rng.normal(size=(60, 8)) + np.eye(8)[labels]
    both = probe.out_of_fold(features, features, labels, groups, 3, (0.1, 0.001))
    halves = np.split(features, 2, axis=1)
    each = [probe.out_of_fold(h, h, labels, groups, 3, (c,)) for h, c in zip(halves, (0.1, 0.001), strict=True)]
    np.testing.assert_allclose(both, np.mean(each, axis=0))  # type: ignore[arg-type]
