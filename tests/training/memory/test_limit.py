"""The limit in main memory; that of a GPU is tested beside its measurements."""

from pathlib import Path

import psutil
import pytest

from fracture.training.memory import limit
from fracture.training.memory.limit import find_limit
from fracture.training.memory.spec import GIB


def test_a_number_is_taken_as_it_is() -> None:
    assert find_limit(7.6, "cpu") == limit.Limit(7.6)


def test_auto_is_what_this_process_could_have(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(limit, "_CGROUP", tmp_path / "none")
    found = find_limit("auto", "cpu")
    assert psutil.Process().memory_info().rss / GIB < found.gib <= psutil.virtual_memory().total / GIB
    assert found.reason


@pytest.mark.parametrize(("text", "gib"), [("268435456\n", 0.25), ("max\n", None)])
def test_a_container_may_allow_less(
    text: str, gib: float | None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "memory.max").write_text(text)
    monkeypatch.setattr(limit, "_CGROUP", tmp_path / "memory.max")
    found = find_limit("auto", "cpu").gib
    assert found == gib if gib is not None else found > 0.25
