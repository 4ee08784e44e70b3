"""The memory plan: the micro-batch, the accumulation and the checkpointing that fit under a limit."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from fracture.errors import ConfigError, MemoryLimitError
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
class Wish:
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


def plan(wish: Wish) -> MemoryPlan:
    """Choose what fits under the limit and costs least.

    In this order: the whole batch at once; parts of it, which give the same gradient, down to `SMALL` images; the same
    with checkpointing, which computes the forward pass twice; smaller parts. A model with batch normalisation is never
    split by itself, since its statistics would be those of the parts: it goes to checkpointing at once.

    Raises:
        MemoryLimitError: nothing fits; names the cheapest ways out, each with its predicted peak.
        ConfigError: no such backbone, or it does not support the checkpointing that was asked for.
    """
    found = find_plan(wish)
    if found is None:
        from fracture.training.memory.ways import refusal  # it tries plans in its turn

        raise MemoryLimitError(refusal(wish))
    return found


def find_plan(wish: Wish) -> MemoryPlan | None:
    """As `plan`; None where nothing fits."""
    for smallest in (SMALL, 1):
        for checkpointing in options(wish):
            parts = _fewest_parts(wish, checkpointing, smallest)
            if parts is not None:
                return _chosen(wish, parts, checkpointing)
    return None


def options(wish: Wish) -> Iterator[bool]:
    """Without and with checkpointing, as far as it is allowed and the backbone supports it."""
    if wish.checkpointing != "auto":
        yield wish.checkpointing
        return
    yield False
    with contextlib.suppress(ConfigError):  # asked only where it is needed: it costs a dry run
        wish.step(1, checkpointing=True)
        yield True


def splits_freely(wish: Wish) -> bool:
    """Whether the plan may split the batch by itself."""
    return wish.accumulation == "auto" and not wish.step(1, checkpointing=False).batch_norm


def _fewest_parts(wish: Wish, checkpointing: bool, smallest: int) -> int | None:
    """The smallest number of parts that fits, none of them under ``smallest`` images; None where there is none."""
    batch = wish.spec.batch_size
    if not splits_freely(wish):
        fixed = 1 if wish.accumulation == "auto" else wish.accumulation
        return fixed if wish.fits(fixed, checkpointing=checkpointing) else None
    low, high = 1, -(-batch // min(smallest, batch))
    if not wish.fits(high, checkpointing=checkpointing):
        return None
    while low < high:  # the fewer the parts, the more memory
        middle = (low + high) // 2
        low, high = (low, middle) if wish.fits(middle, checkpointing=checkpointing) else (middle + 1, high)
    return low


def _chosen(wish: Wish, parts: int, checkpointing: bool) -> MemoryPlan:
    prediction = wish.step(parts, checkpointing=checkpointing)
    return MemoryPlan(
        micro_batch=prediction.spec.batch_size,
        accumulation=parts,
        checkpointing=checkpointing,
        limit_gib=wish.limit_gib,
        prediction=prediction,
        reason=_reason(wish, prediction, parts, checkpointing),
    )


def _reason(wish: Wish, found: Prediction, parts: int, checkpointing: bool) -> str:
    split = parts > 1 and wish.accumulation == "auto"
    again = checkpointing and wish.checkpointing == "auto"
    if not split and not again:
        return ""
    whole = wish.step(1, checkpointing=wish.checkpointing is True)
    what = [f"{parts} parts of {found.spec.batch_size} images"] if split else []
    what += ["activations computed twice"] if again else []
    kept = ", not split because of its batch normalisation" if again and found.batch_norm else ""
    return (
        f"{' and '.join(what)} ({found.process_gib:.1f} GiB), since the batch of {wish.spec.batch_size} at once would "
        f"take {whole.process_gib:.1f} of {wish.limit_gib:.1f} GiB{kept}"
    )
