"""Predictions: exact between batch sizes, and in the right order."""

import json
from pathlib import Path

import pytest
import torch

from fracture.errors import ConfigError
from fracture.training.memory import predict as module
from fracture.training.memory.dry_run import between, record
from fracture.training.memory.predict import predict
from fracture.training.memory.spec import PARTS, StepSpec

TINY = {"model": "test_convnext", "image_size": 64, "batch_size": 8}


@pytest.fixture(scope="module")
def tapes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One cache for the tests of this file."""
    return tmp_path_factory.mktemp("tapes")


def spec(**changes: object) -> StepSpec:
    return StepSpec.model_validate(TINY | changes)


@pytest.mark.parametrize("changes", [{}, {"precision": "bf16", "model": "test_efficientnet"}, {"device": "cpu"}])
def test_a_batch_between_two_dry_runs_is_exact(changes: dict[str, object]) -> None:
    small, large, real = (record(spec(batch_size=n, **changes)) for n in (2, 4, 7))
    assert small.events() == large.events() == real.events()
    assert between(small, large, 2.5).sizes == real.sizes


def test_parts_add_up_and_are_named(tapes: Path) -> None:
    found = predict(spec(ema=True), tapes)
    assert set(found.parts) == set(PARTS)
    assert sum(found.parts.values()) == pytest.approx(found.allocated_gib)
    assert min(found.parts.values()) >= 0
    weights = sum(p.numel() for p in _model().parameters()) * 4 / 2**30
    assert found.parts["weights"] == pytest.approx(weights, rel=0.01)
    assert found.parts["average"] == pytest.approx(weights, rel=0.01)
    assert found.parts["optimiser"] == pytest.approx(2 * weights, rel=0.01)
    assert found.process_gib == found.reserved_gib + found.context_gib


def _model() -> torch.nn.Module:
    from fracture.models import backbones

    return backbones.build(backbones.find("test_convnext"), 3)


@pytest.mark.parametrize(
    ("less", "more"),
    [
        ({"batch_size": 4}, {}),
        ({"precision": "bf16"}, {}),
        ({"checkpointing": True, "batch_size": 64}, {"batch_size": 64}),
        ({}, {"ema": True}),
        ({}, {"accumulation": True}),
        ({"evaluation": True}, {}),
        ({"image_size": 64}, {"image_size": 96}),
        ({}, {"scales": (1.0, 0.6)}),
        ({"trained": "head"}, {}),
        ({"trained": "backbone", "layer_decay": 0.5, "layer_decay_cutoff": 0.2}, {"trained": "backbone"}),
    ],
)
def test_what_takes_less(less: dict[str, object], more: dict[str, object], tapes: Path) -> None:
    assert predict(spec(**less), tapes).allocated_gib < predict(spec(**more), tapes).allocated_gib


def test_batch_norm_is_told(tapes: Path) -> None:
    assert not predict(spec(), tapes).batch_norm
    assert predict(spec(model="test_efficientnet"), tapes).batch_norm
    for trained in ("backbone", "head"):  # the statistics stay as they are
        assert not predict(spec(model="test_efficientnet", trained=trained), tapes).batch_norm


def test_the_second_time_comes_from_the_disk(tapes: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = predict(spec(), tapes)
    monkeypatch.setattr(module, "record", None)
    assert predict(spec(), tapes) == first
    assert predict(spec(batch_size=100), tapes).allocated_gib > first.allocated_gib


def test_a_damaged_tape_is_recorded_again(tmp_path: Path) -> None:
    first = predict(spec(), tmp_path)
    for path in (tmp_path / "memory").iterdir():
        path.write_text(json.dumps({"sizes": []}))
    assert predict(spec(), tmp_path) == first


def test_an_unknown_backbone_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such backbone"):
        predict(spec(model="convnextv3"), tmp_path)
