"""GPUs: each worker takes one that no other holds; whose numbers they are does not matter here."""

import os
from contextlib import ExitStack, nullcontext
from pathlib import Path

import pytest

from fracture.errors import ConfigError
from fracture.runs import gpus


@pytest.fixture
def two_gpus(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(gpus, "_ORIGINAL", "4,GPU-a1")
    monkeypatch.setenv(gpus.VARIABLE, "4,GPU-a1")
    monkeypatch.setattr(gpus.tempfile, "gettempdir", lambda: str(tmp_path))


def test_each_worker_takes_its_own(two_gpus: None) -> None:
    with ExitStack() as held:
        assert held.enter_context(gpus.claim("auto")) == "4"
        assert os.environ[gpus.VARIABLE] == "4"
        assert held.enter_context(gpus.claim("cuda")) == "GPU-a1"
        with pytest.raises(ConfigError, match="all 2 visible GPUs have a worker already"):
            held.enter_context(gpus.claim("auto"))
        assert gpus.original_variable() == {gpus.VARIABLE: "4,GPU-a1"}  # what further workers choose from
    with gpus.claim("auto") as again:
        assert again == "4"


def test_a_processor_takes_none(two_gpus: None) -> None:
    with gpus.claim("cpu") as name:
        assert name == ""
        assert os.environ[gpus.VARIABLE] == "4,GPU-a1"


@pytest.mark.parametrize("given", ["", "-1"])
def test_hidden_gpus_are_none(monkeypatch: pytest.MonkeyPatch, given: str) -> None:
    monkeypatch.setattr(gpus, "_ORIGINAL", given)
    assert gpus.visible() == []


@pytest.mark.parametrize(("workers", "device", "fits"), [(2, "auto", True), (3, "auto", False), (3, "cpu", True)])
def test_each_worker_needs_a_gpu_of_its_own(
    workers: int, device: str, fits: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gpus, "_ORIGINAL", "0,1")
    with nullcontext() if fits else pytest.raises(ConfigError, match="workers=3: 2 GPUs are visible"):
        gpus.check_enough(workers, device)
