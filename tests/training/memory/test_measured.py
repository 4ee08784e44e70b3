"""Predictions against real steps: on the CPU always, on a GPU where there is one."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from fracture.training.memory.card import card_here
from fracture.training.memory.limit import find_limit, hold
from fracture.training.memory.predict import predict
from fracture.training.memory.spec import GIB, StepSpec
from tests.benchmarks.memory import allocated_here, make_learner, take_steps

needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no GPU here")


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize(("model", "batch"), [("test_efficientnet", 8), ("test_vit", 32)])
def test_a_real_step_on_the_cpu_takes_what_was_predicted(
    model: str, batch: int, precision: str, tmp_path: Path
) -> None:
    spec = StepSpec(model=model, image_size=160, batch_size=batch, precision=precision, device="cpu")
    assert predict(spec, tmp_path).allocated_gib * GIB == pytest.approx(allocated_here(spec), rel=0.05)


def test_a_real_step_that_reads_two_sizes_takes_what_was_predicted(tmp_path: Path) -> None:
    spec = StepSpec(model="test_efficientnet", image_size=160, scales=(1.0, 0.6), batch_size=8, device="cpu")
    assert predict(spec, tmp_path).allocated_gib * GIB == pytest.approx(allocated_here(spec), rel=0.05)


@pytest.fixture
def on_cuda() -> Iterator[Callable[..., StepSpec]]:
    """Specs on a GPU whose allocator starts empty and unlimited, and ends so."""
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    yield lambda **changes: StepSpec.model_validate(
        {"model": "resnet50", "device": "cuda", "card": card_here()} | changes
    )
    torch.cuda.set_per_process_memory_fraction(1.0)
    torch.cuda.empty_cache()


@needs_cuda
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("model", ["resnet50", "convnextv2_atto", "swin_tiny_patch4_window7_224"])
def test_a_real_step_on_a_gpu_takes_what_was_predicted(
    model: str, precision: str, on_cuda: Callable[..., StepSpec], tmp_path: Path
) -> None:
    spec = on_cuda(model=model, precision=precision)
    take_steps(spec)
    found = predict(spec, tmp_path)
    assert found.allocated_gib * GIB == pytest.approx(torch.cuda.max_memory_allocated(), rel=0.1)
    assert found.reserved_gib * GIB == pytest.approx(
        torch.cuda.max_memory_reserved(), rel=0.15, abs=0.3 * GIB
    )  # cuDNN's


@needs_cuda
def test_a_gpu_holds_the_limit(on_cuda: Callable[..., StepSpec]) -> None:
    assert torch.cuda.mem_get_info()[0] < find_limit("auto", "cuda").gib * GIB <= torch.cuda.mem_get_info()[1]
    card = card_here()
    assert card is not None
    hold(1.5, card)
    learner = make_learner(on_cuda(batch_size=64))
    with pytest.raises(torch.OutOfMemoryError):
        take_steps(on_cuda(batch_size=64), learner)
    assert torch.cuda.max_memory_reserved() <= (1.5 - card.context_gib) * GIB
