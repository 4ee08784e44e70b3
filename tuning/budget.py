"""The budget: which batches fit under the memory limit, known before anything is trained."""

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from fracture.errors import MemoryLimitError
from fracture.training.memory.alternatives import refusal
from fracture.training.memory.plan import MemoryPlan, MemoryRequest, find_plan
from fracture.training.memory.predict import predict
from fracture.training.memory.spec import StepSpec

AT_ONCE = "fits at once"


class Verdict(BaseModel):
    """What the memory limit says of one batch size."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    batch_size: int = Field(description="images an optimiser step")
    process_gib: float = Field(description="predicted peak of the process with the whole batch at once")
    plan: MemoryPlan | None = Field(description="how it is trained; None where it is ruled out")
    reason: str = Field(description="why it is in the space or not")


def judge_batches(
    spec: StepSpec, limit_gib: float, sizes: tuple[int, ...], images: int, accumulate: bool, cache_dir: Path
) -> list[Verdict]:
    """Judge each batch size.

    Args:
        spec: a step of the study; its batch size is not read, its checkpointing is kept.
        limit_gib: what a trial's process may take.
        sizes: to be judged.
        images: of the training split; larger batches are left out.
        accumulate: whether a batch may be computed in parts; never so with batch normalisation.
        cache_dir: where dry runs are kept.

    Raises:
        MemoryLimitError: none fits; names the cheapest ways out.
        UnpredictableError: nothing is known of the backbone's memory.
    """
    verdicts = [
        _judge(spec.model_copy(update={"batch_size": size}), limit_gib, accumulate, cache_dir)
        for size in sizes
        if size <= max(images, min(sizes))  # a larger one is the same as all images at once
    ]
    if not any(verdict.plan for verdict in verdicts):
        smallest = spec.model_copy(update={"batch_size": min(sizes)})
        raise MemoryLimitError(refusal(MemoryRequest(smallest, limit_gib, 1, spec.checkpointing, cache_dir)))
    return verdicts


def _judge(spec: StepSpec, limit_gib: float, accumulate: bool, cache_dir: Path) -> Verdict:
    whole = predict(spec, cache_dir)
    parts = accumulate and not whole.batch_norm
    plan = find_plan(MemoryRequest(spec, limit_gib, "auto" if parts else 1, spec.checkpointing, cache_dir))
    return Verdict(
        batch_size=spec.batch_size,
        process_gib=round(whole.process_gib, 3),
        plan=plan,
        reason=_reason(plan, round(whole.process_gib, 3), limit_gib, accumulate and whole.batch_norm),
    )


def _reason(plan: MemoryPlan | None, process_gib: float, limit_gib: float, norm: bool) -> str:
    if plan is None:
        kept = ", and batch normalisation forbids micro-batches" if norm else ""
        return f"{process_gib:.2f} GiB predicted, over the limit of {limit_gib:g} GiB{kept}"
    return f"in {plan.accumulation} micro-batches of {plan.micro_batch}" if plan.accumulation > 1 else AT_ONCE
