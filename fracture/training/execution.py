"""How training runs on this machine: device, precision, memory format and threads, resolved once and recorded."""

import contextlib
import math
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import nn

from fracture.config import TrainConfig
from fracture.errors import ConfigError
from fracture.training.memory.card import Card, card_here

_CGROUPS = Path("/sys/fs/cgroup")
_CPU_BF16 = ("avx512_bf16", "amx_bf16", "bf16")  # names of torch.cpu.get_capabilities()

_DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
FORMATS = {"contiguous": torch.contiguous_format, "channels_last": torch.channels_last}


class Plan(BaseModel):
    """What was resolved for one run. Under the same plan, the same seed gives the same weights on a CPU."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    device: str = Field(description="cpu or cuda")
    precision: str = Field(description="fp32, bf16 or fp16")
    memory_format: str = Field(description="contiguous or channels_last")
    threads: int = Field(description="CPU threads of torch")
    micro_batch: int = Field(description="images that go through the model at once")
    evaluation_batch: int | None = Field(None, description="images at once in evaluation; null: as in learning")
    compiled: bool = Field(False, description="whether steps of learning run through torch.compile")
    image_size: int = Field(description="side in pixels")
    epochs: int = Field(description="at most")
    accumulation: int = Field(1, description="micro-batches an optimiser step")
    checkpointing: bool = Field(False, description="whether activations are computed again in the backward pass")
    memory_limit_gib: float | None = Field(None, description="what the process may take")
    memory_gib: float | None = Field(None, description="predicted peak of the process, allowance included")
    memory_reserved_gib: float | None = Field(None, description="of it, what torch's allocator holds")
    memory_allocated_gib: float | None = Field(None, description="of it, what is in tensors")
    resident_gib: float | None = Field(None, description="of it, training images that lie on the GPU; null: none")
    memory_corrected: bool = Field(False, description="whether the prediction was too low and the plan changed once")
    card: Card | None = Field(None, description="what a process takes of the GPU beside its tensors")
    reasons: dict[str, str] = Field(description="why, for what was chosen automatically")
    recipe: dict[str, str] = Field({}, description="settings that the recipe has chosen")

    def params(self) -> dict[str, object]:
        """What is logged as parameters: what makes runs differ."""
        values = self.model_dump(exclude={"reasons", "recipe", "card"})
        return {f"plan.{name}": value for name, value in values.items() if not name.endswith("_gib")}

    def memory(self) -> dict[str, float]:
        """What is logged as metrics, in GiB: of this machine now, so that it would tell any two runs apart."""
        return {name: value for name, value in self if name.endswith("_gib") and value is not None}

    @property
    def dtype(self) -> torch.dtype:
        """What the model computes in."""
        return _DTYPES[self.precision]

    @property
    def format(self) -> torch.memory_format:
        """How activations and convolution weights lie in memory."""
        return FORMATS[self.memory_format]

    def place(self, model: nn.Module) -> nn.Module:
        """Move a model to the device, in the memory format."""
        return model.to(self.device).to(memory_format=self.format)

    def in_fp32(self) -> "Plan":
        """The same in fp32, as models are served; half as many images at once where each takes twice the memory."""
        if self.precision == "fp32":
            return self
        half = max(1, (self.evaluation_batch or self.micro_batch) // 2)
        return self.model_copy(update={"precision": "fp32", "evaluation_batch": half})

    def autocast(self) -> torch.autocast:
        """The context that a forward pass runs in."""
        return torch.autocast(self.device, dtype=self.dtype, enabled=self.precision != "fp32")


def resolve(config: TrainConfig, image_size: int, synthetic: bool) -> Plan:
    """Choose everything but what is timed (`timing`) and what fits (`fit.plan_memory`).

    Raises:
        ConfigError: the device wanted is not there, or the warm-up takes all epochs.
    """
    reasons: dict[str, str] = {}
    device = available_device(config.device)
    precision = config.precision
    if precision == "auto":
        precision = "bf16" if computes_bf16(device) else "fp32"
        reasons["precision"] = f"{'has' if precision == 'bf16' else 'no'} bf16 in hardware"
    threads = allowed_threads() if config.threads == "auto" else config.threads
    if config.epochs == "auto":
        reasons["epochs"] = "3 for the demo set, to see everything in minutes" if synthetic else "30, as in recipe=seed"
    epochs = (3 if synthetic else 30) if config.epochs == "auto" else config.epochs
    if config.warmed_up_throughout(epochs):
        raise ConfigError(f"warmup_epochs={config.warmup_epochs}: takes all of the {epochs} epochs; give epochs=N")
    parts = 1 if config.accumulation == "auto" else config.accumulation
    return Plan(
        device=device,
        precision=precision,
        memory_format="contiguous" if config.memory_format == "auto" else config.memory_format,
        threads=threads,
        micro_batch=config.batch_size // parts,
        image_size=image_size,
        epochs=epochs,
        accumulation=parts,
        checkpointing=config.checkpointing is True,
        card=card_here() if device == "cuda" else None,
        reasons=reasons,
    )


def apply_threads(plan: Plan) -> None:
    """Set torch's threads as the plan says."""
    torch.set_num_threads(plan.threads)


def apply_determinism(wanted: bool) -> None:
    """Have torch refuse operations that may give other bits each time, or allow them again."""
    if wanted:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # read when a GPU is first used
        torch.backends.cudnn.benchmark = False
    torch.use_deterministic_algorithms(wanted)


def computes_bf16(device: str) -> bool:
    """Whether the processor or the GPU has bf16 in hardware."""
    if device == "cuda":
        return torch.cuda.get_device_capability()[0] >= 8
    return any(_capabilities().get(name) for name in _CPU_BF16)


def allowed_threads() -> int:
    """Physical cores that this process may use, by its affinity and by the quota of its container."""
    process = psutil.Process()
    allowed = len(process.cpu_affinity()) if hasattr(process, "cpu_affinity") else psutil.cpu_count() or 1
    physical = psutil.cpu_count(logical=False) or allowed
    return max(1, min(allowed, physical, _quota() or allowed))


def idle_cores(seconds: float = 0.3) -> float:
    """Of the logical cores that this process may use, those that no other one uses, on average over some time."""
    process = psutil.Process()
    allowed = process.cpu_affinity() if hasattr(process, "cpu_affinity") else range(psutil.cpu_count() or 1)

    def used() -> float:
        times = psutil.cpu_times(percpu=True)
        busy = sum(sum(one) - one.idle - getattr(one, "iowait", 0.0) for one in (times[i] for i in allowed))
        return float(busy - sum(process.cpu_times()[:2]))

    before, began = used(), time.monotonic()
    time.sleep(seconds)
    return max(0.0, len(allowed) - max(0.0, used() - before) / (time.monotonic() - began))  # ticks are coarse


def _quota() -> int | None:
    """Cores that a Linux container may use at a time, rounded up; None where nothing limits them. See cgroups(7)."""
    with contextlib.suppress(OSError, ValueError):
        quota, period = (_CGROUPS / "cpu.max").read_text().split()
        return math.ceil(int(quota) / int(period))  # "max" is no number: no limit
    with contextlib.suppress(OSError, ValueError):  # the first version of cgroups, -1 for no limit
        quota, period = ((_CGROUPS / f"cpu/cpu.cfs_{name}_us").read_text() for name in ("quota", "period"))
        return math.ceil(int(quota) / int(period)) if int(quota) > 0 else None
    return None


def hardware(device: str) -> str:
    """Name of the processor or the GPU."""
    if device == "cuda":
        return torch.cuda.get_device_name()
    return str(_capabilities().get("cpu_name", "unknown processor"))


def peak_memory_gib(device: str) -> float:
    """Largest memory so far: reserved on the GPU, or resident in main memory of this process."""
    if device == "cuda":
        return torch.cuda.max_memory_reserved() / 2**30
    memory = psutil.Process().memory_info()
    if hasattr(memory, "peak_wset"):  # Windows
        return float(memory.peak_wset) / 2**30
    import resource  # not on Windows

    if psutil.LINUX:  # the only one that `reset_peak_memory` can set back
        status = Path("/proc/self/status").read_text()
        return int(status.split("VmHWM:")[1].split()[0]) / 2**20
    unit = 1 if psutil.MACOS else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**30


def peak_allocated_gib(device: str) -> dict[str, float]:
    """As a metric, the largest memory in tensors so far; only the GPU's allocator counts it."""
    return {"peak_allocated_gib": torch.cuda.max_memory_allocated() / 2**30} if device == "cuda" else {}


def reset_peak_memory(device: str) -> None:
    """Forget earlier peaks, as of an earlier model of a group; that of main memory can be forgotten on Linux only."""
    if device == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    elif psutil.LINUX:
        with contextlib.suppress(OSError):  # some containers forbid it
            Path("/proc/self/clear_refs").write_text("5")  # see proc(5)


def _capabilities() -> dict[str, Any]:
    """What torch knows of the processor; older versions know nothing."""
    ask: Callable[[], dict[str, Any]] = getattr(torch.cpu, "get_capabilities", dict)
    return ask()


def available_device(wanted: str) -> str:
    """``cpu`` or ``cuda``; ``auto`` is cuda where there is one.

    Raises:
        ConfigError: cuda is wanted and not there.
    """
    if wanted == "cuda" and not torch.cuda.is_available():
        raise ConfigError("device=cuda: torch sees no GPU here. Use device=cpu or device=auto, or install its driver.")
    return ("cuda" if torch.cuda.is_available() else "cpu") if wanted == "auto" else wanted
