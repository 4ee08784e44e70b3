"""What a card takes before the first tensor, by its size and generation; `test_measured` has that of a real one."""

from types import SimpleNamespace

import pytest
import torch

from fracture.training.memory.card import Card, card_here
from fracture.training.memory.limit import find_limit, hold
from fracture.training.memory.predict import predict
from fracture.training.memory.spec import GIB, StepSpec


def test_without_a_gpu_there_is_no_card(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert card_here() is None


@pytest.mark.parametrize(
    ("processors", "major", "context", "workspace"),
    [(24, 8, 0.5, 8.125), (72, 8, 0.5, 8.125), (132, 9, 0.78, 32.0)],
)
def test_a_larger_card_takes_more(
    processors: int, major: int, context: float, workspace: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    pretend(monkeypatch, processors=processors, major=major)
    assert card_here() == Card(context_gib=context, workspace_mib=workspace)


def test_the_card_is_part_of_the_prediction() -> None:
    small = StepSpec(model="test_efficientnet", image_size=64, batch_size=4)
    large = small.model_copy(update={"card": Card(context_gib=0.78, workspace_mib=32.0)})
    low, high = predict(small), predict(large)
    assert high.allocated_gib - low.allocated_gib == pytest.approx(2 * (32 - 8.125) / 1024)
    assert high.process_gib - low.process_gib > 0.28


def test_the_limit_is_what_is_free_of_the_card(monkeypatch: pytest.MonkeyPatch) -> None:
    pretend(monkeypatch, total=8.0, free=5.0, reserved=1.0)
    assert find_limit("auto", "cuda").gib == pytest.approx(6.5)  # with what this process has: its cache and its context
    assert find_limit(7.6, "cuda").gib == 7.6
    assert find_limit(24.0, "cuda").gib == 8.0


@pytest.mark.parametrize(("gib", "total", "share"), [(7.6, 8.0, 7.1 / 8), (1.5, 139.8, 1 / 139.8), (0.3, 8.0, 0.0)])
def test_the_limit_is_held_on_a_card_of_any_size(
    gib: float, total: float, share: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    pretend(monkeypatch, total=total)
    monkeypatch.setattr(torch.cuda, "set_per_process_memory_fraction", lambda _: None)
    assert hold(gib, Card()) == pytest.approx(share)


def pretend(
    monkeypatch: pytest.MonkeyPatch, processors: int = 24, major: int = 8, total: float = 8, free: float = 8,
    reserved: float = 0,
) -> None:  # fmt: skip
    """Have torch see a card; the memory in GiB."""
    found = SimpleNamespace(multi_processor_count=processors, major=major, total_memory=total * GIB)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: found)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda: (free * GIB, total * GIB))
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda: reserved * GIB)
