"""The memory plan: the micro-batch, the accumulation and the checkpointing that fit under a limit."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from fracture.errors import ConfigError
from fracture.training.memory.predict import predict
from fracture.training.memory.spec import Prediction, StepSpec

SMALL = 4  # images; with fewer a step leaves a device idle, and computing activations twice costs less


class MemoryPlan(BaseModel):
    """What was chosen, and what it is predicted to take."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    micro_batch: int = Field(description="images that go through the model at once")
    accumulation: int = Field(description="micro-batches an optimiser step")
    checkpointing: bool = Field(description="whether activations are computed again in the backward pass")
    limit_gib: float = Field(description="what the process may take")
    prediction: Prediction = Field(description="of a step of learning; an evaluation batch takes less")
    reason: str = Field(description="why, where anything had to be chosen; else empty")
    measured: dict[str, float] = Field({}, description="peaks in GiB that the run itself saw, once it is over")


@dataclass(frozen=True)
class MemoryRequest:
    """What is to be fitted.

    Attributes:
        spec: the step with the whole batch at once; its checkpointing and accumulation are not read.
        limit_gib: what the process may take.
        accumulation: micro-batches a step, or ``auto``.
        checkpointing: whether, or ``auto``.
        cache_dir: as `predict` takes it.
    """

    spec: StepSpec
    limit_gib: float
    accumulation: int | Literal["auto"] = "auto"
    checkpointing: bool | Literal["auto"] = "auto"
    cache_dir: Path | None = None

    def step(self, parts: int, *, checkpointing: bool) -> Prediction:
        """The peak of a step in so many parts."""
        spec = self.spec.model_copy(
            update={
                "batch_size": -(-self.spec.batch_size // parts),
                "accumulation": parts > 1,
                "checkpointing": checkpointing,
            }
        )
        return predict(spec, self.cache_dir)

    def fits(self, parts: int, *, checkpointing: bool) -> bool:
        """Whether such a step is within the limit."""
        return self.step(parts, checkpointing=checkpointing).process_gib <= self.limit_gib


def find_plan(request: MemoryRequest) -> MemoryPlan | None:
    """Choose what fits under the limit and costs least; None where nothing fits.

    In this order: the whole batch at once; parts of it, which give the same gradient, down to `SMALL` images; the same
    with checkpointing, which computes the forward pass twice; smaller parts. A model with batch normalisation is never
    split by itself, since its statistics would be those of the parts: it goes to checkpointing at once.

    Raises:
        ConfigError: no such backbone, or it does not support the checkpointing that was wanted.
    """
    for smallest in (SMALL, 1):
        for checkpointing in options(request):
            parts = _fewest_parts(request, checkpointing, smallest)
            if parts is not None:
                return _chosen(request, parts, checkpointing)
    return None


def options(request: MemoryRequest) -> Iterator[bool]:
    """Without and with checkpointing, as far as it is allowed and the backbone supports it."""
    if request.checkpointing != "auto":
        yield request.checkpointing
        return
    yield False
    with contextlib.suppress(ConfigError):  # called only where it is needed: it costs a dry run
        request.step(1, checkpointing=True)
        yield True


def splits_freely(request: MemoryRequest) -> bool:
    """Whether the plan may split the batch by itself."""
    return request.accumulation == "auto" and not request.step(1, checkpointing=False).batch_norm


def _fewest_parts(request: MemoryRequest, checkpointing: bool, smallest: int) -> int | None:
    """The smallest number of parts that fits, none of them under ``smallest`` images; None where there is none."""
    batch = request.spec.batch_size
    if not splits_freely(request):
        fixed = 1 if request.accumulation == "auto" else request.accumulation
        return fixed if request.fits(fixed, checkpointing=checkpointing) else None
    low, high = 1, -(-batch // min(smallest, batch))
    if not request.fits(high, checkpointing=checkpointing):
        return None
    while low < high:  # the fewer the parts, the more memory
        middle = (low + high) // 2
        low, high = (low, middle) if request.fits(middle, checkpointing=checkpointing) else (middle + 1, high)
    return low


def _chosen(request: MemoryRequest, parts: int, checkpointing: bool) -> MemoryPlan:
    prediction = request.step(parts, checkpointing=checkpointing)
    return MemoryPlan(
        micro_batch=prediction.spec.batch_size,
        accumulation=parts,
        checkpointing=checkpointing,
        limit_gib=request.limit_gib,
        prediction=prediction,
        reason=_reason(request, prediction, parts, checkpointing),
    )


def _reason(request: MemoryRequest, found: Prediction, parts: int, checkpointing: bool) -> str:
    split = parts > 1 and request.accumulation == "auto"
    again = checkpointing and request.checkpointing == "auto"
    if not split and not again:
        return ""
    whole = request.step(1, checkpointing=request.checkpointing is True)
    what = [f"{parts} micro-batches of {found.spec.batch_size} images"] if split else []
    what += ["activations computed twice"] if again else []
    kept = ", not split because of its batch normalisation" if again and found.batch_norm else ""
    return (
        f"{' and '.join(what)} ({found.process_gib:.1f} GiB), since the batch of {request.spec.batch_size} at once "
        f"would take {whole.process_gib:.1f} of {request.limit_gib:.1f} GiB{kept}"
    )
