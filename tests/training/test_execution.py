"""The plan: what is chosen for a machine, that it is said, and that it is remembered."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import torch
from pydantic import ValidationError

from fracture.config import TrainConfig
from fracture.errors import ConfigError
from fracture.training import execution
from fracture.training.execution import Plan, resolve


@pytest.fixture(autouse=True)
def _threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def capable(monkeypatch: pytest.MonkeyPatch, **capabilities: bool) -> None:
    monkeypatch.setattr(execution, "_capabilities", lambda: capabilities)


@pytest.mark.parametrize(
    ("capabilities", "precision"),
    [
        ({"avx512_bf16": True}, "bf16"),
        ({"amx_bf16": True}, "bf16"),
        ({"bf16": True}, "bf16"),
        ({"avx512_bf16": False, "avx2": True}, "fp32"),
        ({}, "fp32"),
    ],
)
def test_precision_follows_the_hardware_and_is_explained(
    capabilities: dict[str, bool], precision: str, no_gpu: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    capable(monkeypatch, **capabilities)
    plan = resolve(TrainConfig(), 224, synthetic=False)
    assert (plan.device, plan.precision) == ("cpu", precision)
    assert "bf16 in hardware" in plan.reasons["precision"]


@pytest.mark.parametrize(("capability", "precision"), [((7, 5), "fp32"), ((8, 0), "bf16"), ((9, 0), "bf16")])
def test_precision_of_a_gpu(capability: tuple[int, int], precision: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: capability)
    monkeypatch.setattr(execution, "card_here", lambda: None)
    plan = resolve(TrainConfig(), 224, synthetic=False)
    assert (plan.device, plan.precision) == ("cuda", precision)
    assert resolve(TrainConfig(device="cpu", precision="fp32"), 224, synthetic=False).device == "cpu"


def test_what_is_given_is_taken_without_reasons(no_gpu: None) -> None:
    config = TrainConfig(device="cpu", precision="fp16", memory_format="channels_last", threads=3, epochs=7)
    plan = resolve(config, 96, synthetic=True)
    assert (plan.precision, plan.memory_format, plan.threads, plan.epochs) == ("fp16", "channels_last", 3, 7)
    assert (plan.image_size, plan.reasons) == (96, {})


def test_a_gpu_that_is_not_there(no_gpu: None) -> None:
    with pytest.raises(ConfigError, match="device=cuda: torch sees no GPU here") as caught:
        resolve(TrainConfig(device="cuda"), 224, synthetic=False)
    assert "device=cpu" in str(caught.value)


@pytest.mark.parametrize(("synthetic", "epochs"), [(True, 3), (False, 30)])
def test_epochs_are_explained(synthetic: bool, epochs: int, no_gpu: None) -> None:
    plan = resolve(TrainConfig(), 224, synthetic=synthetic)
    assert plan.epochs == epochs
    assert plan.reasons["epochs"]


@pytest.mark.parametrize(("batch", "accumulation", "micro"), [(16, 1, 16), (16, 4, 4), (6, 6, 1)])
def test_micro_batches(batch: int, accumulation: int, micro: int, no_gpu: None) -> None:
    config = TrainConfig(batch_size=batch, accumulation=accumulation)
    assert resolve(config, 224, synthetic=False).micro_batch == micro


@pytest.mark.parametrize(
    ("allowed", "physical", "threads"), [({0, 1, 2, 3}, 2, 2), ({0}, 8, 1), ({0, 1}, None, 2), (set(), 4, 1)]
)
def test_threads_are_the_physical_cores_that_are_allowed(
    allowed: set[int], physical: int | None, threads: int, no_gpu: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(execution.psutil.Process, "cpu_affinity", lambda _: sorted(allowed), raising=False)
    monkeypatch.setattr(execution, "_CGROUPS", Path("nowhere"))
    monkeypatch.setattr(execution.psutil, "cpu_count", lambda logical=True: physical)
    assert resolve(TrainConfig(), 224, synthetic=False).threads == threads


@pytest.mark.parametrize(
    ("files", "threads"),
    [
        ({"cpu.max": "150000 100000"}, 2),
        ({"cpu.max": "50000 100000"}, 1),
        ({"cpu.max": "max 100000"}, 8),
        ({"cpu/cpu.cfs_quota_us": "300000", "cpu/cpu.cfs_period_us": "100000"}, 3),
        ({"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, 8),
        ({"cpu.max": "nonsense"}, 8),
        ({}, 8),
    ],
)
def test_threads_keep_to_the_quota_of_a_container(
    files: dict[str, str], threads: int, no_gpu: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text + "\n")
    monkeypatch.setattr(execution, "_CGROUPS", tmp_path)
    monkeypatch.setattr(execution.psutil.Process, "cpu_affinity", lambda _: list(range(8)), raising=False)
    monkeypatch.setattr(execution.psutil, "cpu_count", lambda logical=True: 8)
    assert resolve(TrainConfig(), 224, synthetic=False).threads == threads


def test_threads_are_applied(plan: Plan) -> None:
    execution.apply_threads(plan.model_copy(update={"threads": 2}))
    assert torch.get_num_threads() == 2


def test_a_plan_survives_text_and_cannot_be_changed(plan: Plan) -> None:
    assert Plan.model_validate_json(plan.model_dump_json()) == plan
    with pytest.raises(ValidationError):
        plan.precision = "bf16"  # type: ignore[misc]
    with pytest.raises(ValidationError):
        Plan.model_validate(plan.model_dump() | {"surprise": 1})


@pytest.mark.parametrize(
    ("precision", "dtype"), [("fp32", torch.float32), ("bf16", torch.bfloat16), ("fp16", torch.float16)]
)
def test_autocast_computes_in_the_precision(precision: str, dtype: torch.dtype, plan: Plan) -> None:
    plan = plan.model_copy(update={"precision": precision})
    assert plan.dtype == dtype
    with plan.autocast():
        assert torch.nn.functional.linear(torch.ones(2, 3), torch.ones(4, 3)).dtype == dtype


@pytest.mark.parametrize("name", ["contiguous", "channels_last"])
def test_models_are_placed_in_the_memory_format(name: str, plan: Plan, model: torch.nn.Module) -> None:
    plan = plan.model_copy(update={"memory_format": name})
    placed = plan.place(model)
    weight = placed.get_parameter("conv_stem.weight")
    assert weight.is_contiguous(memory_format=plan.format)
    assert weight.is_contiguous() == (name == "contiguous")


def test_the_machine_is_named() -> None:
    assert execution.hardware("cpu")
    assert 0.05 < execution.peak_memory_gib("cpu") < 1000


def test_an_older_torch_knows_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(torch.cpu, "get_capabilities")
    assert execution.hardware("cpu") == "unknown processor"
    assert not execution.computes_bf16("cpu")


def test_determinism_is_asked_of_torch_and_given_up_again() -> None:
    try:
        execution.apply_determinism(wanted=True)
        assert torch.are_deterministic_algorithms_enabled()
        assert os.environ["CUBLAS_WORKSPACE_CONFIG"]
    finally:
        execution.apply_determinism(wanted=False)
    assert not torch.are_deterministic_algorithms_enabled()


def test_a_core_that_another_process_uses_is_not_idle() -> None:
    cores = psutil.cpu_count() or 1
    assert 0 <= execution.idle_cores(0.1) <= cores
    with subprocess.Popen([sys.executable, "-c", "while True: pass"]) as busy:
        time.sleep(0.1)
        assert execution.idle_cores(0.2) < cores - 0.4
        busy.kill()
