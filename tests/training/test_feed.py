"""The feed: every way gives the same batches in the same order."""

from pathlib import Path

import numpy as np
import pytest
import torch

from fracture.config import TrainConfig
from fracture.data.dataset import Source, open_dataset
from fracture.models import backbones, weights
from fracture.training.engine import order
from fracture.training.execution import Plan
from fracture.training.feed import Feed, Way, way_of
from fracture.training.job import Job


@pytest.fixture
def job(images: Path, tmp_path: Path, plan: Plan) -> Job:
    """Thirty or so small images."""
    config, backbone = TrainConfig(model="test_efficientnet", image_size=64), backbones.find("test_efficientnet")
    dataset = open_dataset(Source(str(images)), 64, tmp_path / "cache")
    return Job(config, plan, backbone, weights.find("none", backbone), dataset, tmp_path)


@pytest.mark.parametrize("way", ["ahead", "resident"])
@pytest.mark.parametrize("size", [2, 7, 1000])
def test_every_way_gives_the_same_batches(job: Job, way: Way, size: int) -> None:
    train = job.indices("train")
    batches = order(train, size, 0, 0)
    direct, other = Feed(job.dataset, train, job.plan), Feed(job.dataset, train, job.plan, way)
    assert direct.way == "direct"
    pairs = list(zip(direct.read(batches), other.read(batches), strict=True))
    assert len(pairs) == len(batches)
    for (pixels, labels), (others, their_labels) in pairs:
        assert torch.equal(pixels, others)
        assert torch.equal(labels, their_labels)


def test_reading_ahead_can_be_left_off(job: Job) -> None:
    batches = order(job.indices("train"), 2, 0, 0)
    reading = Feed(job.dataset, job.indices("train"), job.plan, "ahead").read(batches)
    next(reading)
    reading.close()


def test_what_cannot_be_read_ahead_is_told_at_its_turn(job: Job) -> None:
    broken = np.array([10**9])
    reading = Feed(job.dataset, job.indices("train"), job.plan, "ahead").read([job.indices("train")[:2], broken])
    next(reading)
    with pytest.raises(IndexError):
        next(reading)


@pytest.mark.parametrize(
    ("changes", "way"),
    [({}, "direct"), ({"device": "cuda"}, "ahead"), ({"device": "cuda", "resident_gib": 0.2}, "resident")],
)
def test_the_plan_says_how(job: Job, changes: dict[str, object], way: Way) -> None:
    assert way_of(job.plan.model_copy(update=changes)) == way
