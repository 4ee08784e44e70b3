"""The budget: a batch is in the space exactly when it fits as it is."""

from pathlib import Path

import pytest

from fracture.errors import MemoryLimitError
from fracture.training.memory.predict import predict
from fracture.training.memory.spec import StepSpec
from tuning.budget import AT_ONCE, judge_batches

SIZES = (4, 8, 16, 32, 64)


def step(model: str) -> StepSpec:
    return StepSpec(model=model, image_size=96, device="cuda")


def limit_between(model: str, low: int, high: int, cache: Path) -> float:
    """A limit that lies between the peaks of two batches."""
    peaks = [predict(step(model).model_copy(update={"batch_size": size}), cache).process_gib for size in (low, high)]
    assert peaks[0] < peaks[1]
    return sum(peaks) / 2


def test_what_does_not_fit_is_ruled_out_with_its_peak(tmp_path: Path) -> None:
    limit = limit_between("test_convnext", 16, 32, tmp_path)
    found = judge_batches(step("test_convnext"), limit, SIZES, 1000, False, tmp_path)
    assert [one.batch_size for one in found if one.plan] == [4, 8, 16]
    assert all(one.reason == AT_ONCE and one.plan and one.plan.accumulation == 1 for one in found[:3])
    for one in found[3:]:
        assert one.process_gib > limit
        assert f"{one.process_gib:.2f} GiB predicted, over the limit" in one.reason


def test_parts_let_larger_batches_in_when_wanted(tmp_path: Path) -> None:
    limit = limit_between("test_convnext", 16, 32, tmp_path)
    found = judge_batches(step("test_convnext"), limit, SIZES, 1000, True, tmp_path)
    assert all(one.plan for one in found)
    assert [one.plan.accumulation for one in found[:4] if one.plan] == [1, 1, 1, 2]
    assert all(one.plan.prediction.process_gib <= limit for one in found if one.plan)
    assert found[3].reason == "in 2 micro-batches of 16"


def test_parts_never_where_they_are_another_training(tmp_path: Path) -> None:
    limit = limit_between("test_resnet", 16, 32, tmp_path)
    found = judge_batches(step("test_resnet"), limit, SIZES, 1000, True, tmp_path)
    assert [one.batch_size for one in found if one.plan] == [4, 8, 16]
    assert "batch normalisation forbids micro-batches" in found[-1].reason


def test_no_batch_larger_than_the_training_split(tmp_path: Path) -> None:
    found = judge_batches(step("test_convnext"), 8, SIZES, 20, False, tmp_path)
    assert [one.batch_size for one in found] == [4, 8, 16]


def test_nothing_fits(tmp_path: Path) -> None:
    with pytest.raises(MemoryLimitError, match=r"the limit is 0\.50 GiB(.|\n)*memory_limit_gib="):
        judge_batches(step("test_convnext"), 0.5, SIZES, 1000, True, tmp_path)
