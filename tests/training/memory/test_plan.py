"""What is chosen under a limit, and what is said when nothing fits."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from fracture.errors import MemoryLimitError
from fracture.training.memory.alternatives import require_plan
from fracture.training.memory.plan import SMALL, MemoryRequest
from fracture.training.memory.spec import StepSpec


@pytest.fixture(scope="module")
def tapes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One cache for the tests of this file."""
    return tmp_path_factory.mktemp("tapes")


@pytest.fixture
def wanted(tapes: Path) -> Callable[..., MemoryRequest]:
    """A request for a step of a tiny model, under a limit between what two steps take."""

    def make(limit: float = 1e6, model: str = "test_convnext", **options: object) -> MemoryRequest:
        spec = StepSpec(model=model, image_size=160, batch_size=32, device="cuda")
        return MemoryRequest(spec, limit, cache_dir=tapes, **options)  # type: ignore[arg-type]

    return make


def peak(request: MemoryRequest, parts: int, *, checkpointing: bool = False) -> float:
    return request.step(parts, checkpointing=checkpointing).process_gib


def test_what_fits_is_left_as_it_is(wanted: Callable[..., MemoryRequest]) -> None:
    found = require_plan(wanted())
    assert (found.micro_batch, found.accumulation, found.checkpointing, found.reason) == (32, 1, False, "")


@pytest.mark.parametrize("parts", [2, 3, 5, 8])
def test_the_largest_part_that_fits_is_taken(parts: int, wanted: Callable[..., MemoryRequest]) -> None:
    limit = peak(wanted(), parts)
    found = require_plan(wanted(limit))
    assert found.accumulation == parts
    assert found.micro_batch == -(-32 // parts)
    assert found.prediction.process_gib <= limit < peak(wanted(), parts - 1)
    assert f"{parts} micro-batches of {found.micro_batch} images" in found.reason


def test_checkpointing_when_not_even_a_small_part_fits(wanted: Callable[..., MemoryRequest]) -> None:
    small = -(-32 // SMALL)
    limit = (peak(wanted(), small) + peak(wanted(), small, checkpointing=True)) / 2
    found = require_plan(wanted(limit))
    assert found.checkpointing
    assert found.micro_batch >= SMALL
    assert "computed twice" in found.reason


def test_batch_norm_is_not_split_by_itself(wanted: Callable[..., MemoryRequest]) -> None:
    model = "test_efficientnet"
    limit = peak(wanted(model=model), 1, checkpointing=True)
    assert peak(wanted(model=model), 8) < limit < peak(wanted(model=model), 1)  # parts would do as well
    found = require_plan(wanted(limit, model))
    assert (found.accumulation, found.checkpointing) == (1, True)
    assert "batch normalisation" in found.reason
    with pytest.raises(MemoryLimitError, match=r"accumulation=\d+ \(batch normalisation then sees \d+ images"):
        require_plan(wanted(limit - 0.001, model))
    assert require_plan(wanted(limit, model, accumulation=4)).accumulation == 4  # unless it is asked for


@pytest.mark.parametrize("options", [{"accumulation": 2}, {"checkpointing": False}, {"checkpointing": True}])
def test_what_was_asked_for_is_respected(options: dict[str, object], wanted: Callable[..., MemoryRequest]) -> None:
    found = require_plan(wanted(**options))
    assert found.accumulation == options.get("accumulation", 1)
    assert found.checkpointing == options.get("checkpointing", False)
    assert found.reason == ""


def test_a_refusal_names_three_ways_that_fit(wanted: Callable[..., MemoryRequest]) -> None:
    limit = peak(wanted(), 1, checkpointing=True)
    with pytest.raises(MemoryLimitError) as refused:
        require_plan(wanted(limit, accumulation=1, checkpointing=False))
    lines = str(refused.value).splitlines()
    assert f"the limit is {limit:.2f} GiB (memory_limit_gib)" in lines[0]
    ways = [re.match(r"- (\w+)=\S+: ([\d.]+) GiB, ", line) for line in lines[2:]]
    assert len(ways) == 3
    assert all(way is not None and float(way[2]) <= limit + 0.005 for way in ways)
    assert [way[1] for way in ways if way] == ["checkpointing", "accumulation", "precision"]
    assert refused.value.exit_code == 4


def test_when_no_change_is_enough_the_memory_needed_is_told(wanted: Callable[..., MemoryRequest]) -> None:
    with pytest.raises(MemoryLimitError, match=r"memory_limit_gib=0\.6, if this machine has it"):
        require_plan(wanted(0.25))


@pytest.mark.long
def test_ways_out_of_a_pyramid_are_looked_for_among_backbones_of_one_size(tapes: Path) -> None:
    step = {"model": "test_efficientnet", "scales": (1.0, 0.6), "image_size": 384, "precision": "bf16"}
    spec = StepSpec.model_validate(step | {"batch_size": 16, "trained": "head", "evaluation": True})
    with pytest.raises(MemoryLimitError) as refused:
        require_plan(MemoryRequest(spec, 0.51, cache_dir=tapes))
    assert refused.value.exit_code == 4


@pytest.mark.parametrize(
    ("model", "precision", "checkpointing"),
    [("test_convnext", "bf16", False), ("test_efficientnet", "fp32", False), ("test_convnext", "fp32", True)],
)
def test_an_evaluation_batch_takes_less_than_a_step(
    model: str, precision: str, checkpointing: bool, wanted: Callable[..., MemoryRequest]
) -> None:
    from fracture.training.memory.predict import predict

    made = wanted(model=model)
    changes = {"precision": precision, "checkpointing": checkpointing}
    step = made.spec.model_copy(update=changes)
    judged = step.model_copy(update={"evaluation": True})
    assert predict(judged, made.cache_dir).allocated_gib < predict(step, made.cache_dir).allocated_gib
