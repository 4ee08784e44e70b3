"""The memory plan of a job, and what the run keeps of it."""

from pathlib import Path

from fracture.files import replacing, write_json
from fracture.training.execution import Plan
from fracture.training.job import Job
from fracture.training.memory.alternatives import require_plan
from fracture.training.memory.card import Card
from fracture.training.memory.figure import draw
from fracture.training.memory.limit import find_limit
from fracture.training.memory.plan import MemoryPlan, MemoryRequest
from fracture.training.memory.predict import predict
from fracture.training.memory.spec import GIB, StepSpec, UnpredictableError
from fracture.training.state import Position

JSON, FIGURE = "memory.json", "memory.png"
_LARGER = (8, 4, 2)  # times the batch of learning that an evaluation may take at once
_MOST_AT_ONCE = 256  # images of an evaluation batch; more gain nothing
_LEFT_FREE_GIB = 0.5  # below the limit when images are put on the GPU, for what no prediction sees
_MEASURED = ("peak_memory_gib", "peak_allocated_gib")


def plan_memory(job: Job, cache_dir: Path) -> Plan:
    """The job's plan with what fits under the limit; its prediction is written into the job's folder.

    A backbone whose memory cannot be predicted trains as it was given, and says so, unless a limit was given.

    Raises:
        MemoryLimitError: nothing fits.
        UnpredictableError: a limit was given, and nothing is known of the backbone's memory.
    """
    try:
        return _planned(job, cache_dir)
    except UnpredictableError as error:
        if job.config.memory_limit_gib != "auto":
            raise
        return job.plan.model_copy(update={"reasons": job.plan.reasons | {"memory": f"not planned, since {error}"}})


def _planned(job: Job, cache_dir: Path) -> Plan:
    config, limit = job.config, find_limit(job.config.memory_limit_gib, job.plan.device)
    chosen = require_plan(MemoryRequest(spec_of(job), limit.gib, config.accumulation, config.checkpointing, cache_dir))
    write_json(job.folder / JSON, chosen.model_dump(mode="json"))
    reasons = {"memory_limit_gib": limit.reason, "memory": chosen.reason}
    resident = _resident_gib(chosen, len(job.indices("train")) * job.plan.image_size**2)
    return job.plan.model_copy(
        update={
            "micro_batch": chosen.micro_batch,
            "accumulation": chosen.accumulation,
            "checkpointing": chosen.checkpointing,
            "evaluation_batch": _evaluation_batch(chosen, cache_dir),
            "resident_gib": resident or None,
            "memory_limit_gib": round(chosen.limit_gib, 3),
            "memory_gib": round(chosen.prediction.process_gib + resident, 3),
            "memory_reserved_gib": round(chosen.prediction.reserved_gib + resident, 3),
            "memory_allocated_gib": round(chosen.prediction.allocated_gib + resident, 3),
            "reasons": job.plan.reasons | {name: reason for name, reason in reasons.items() if reason},
        }
    )


def _evaluation_batch(chosen: MemoryPlan, cache_dir: Path) -> int | None:
    """Images at once in evaluation on a GPU: as many as take no more than a step of learning; None as in learning.

    On a processor larger batches gain nothing, and answers would differ in their last bits from those of before.
    """
    step = chosen.prediction
    if step.spec.device == "cpu" or step.spec.evaluation:
        return None
    spec = step.spec.model_copy(update={"evaluation": True, "checkpointing": False, "accumulation": False})
    for times in _LARGER:
        larger = spec.model_copy(update={"batch_size": min(times * chosen.micro_batch, _MOST_AT_ONCE)})
        if predict(larger, cache_dir).process_gib <= step.process_gib:
            return larger.batch_size
    return None


def _resident_gib(chosen: MemoryPlan, size: int) -> float:
    """GiB of the training images where they may lie on the GPU beside all else, else 0; ``size`` in bytes."""
    gib = size / GIB
    room = chosen.limit_gib - chosen.prediction.process_gib - _LEFT_FREE_GIB
    return round(gib, 4) if chosen.prediction.spec.device == "cuda" and gib <= room else 0.0


def read_plan(folder: Path) -> MemoryPlan | None:
    """What `plan_memory` wrote; None where there was no plan, or another version began the run."""
    path = folder / JSON
    return MemoryPlan.model_validate_json(path.read_bytes()) if path.is_file() else None


def spec_of(job: Job) -> StepSpec:
    """A step of the job with its whole batch at once."""
    return StepSpec(
        model=job.backbone.name,
        classes=len(job.dataset.classes),
        image_size=job.plan.image_size,
        scales=job.scales,
        batch_size=job.config.batch_size,
        precision=job.plan.precision,
        optimizer=job.config.optimizer,
        trained=job.config.trained,
        layer_decay=job.config.layer_decay,
        layer_decay_cutoff=job.config.layer_decay_cutoff,
        ema=job.config.ema_decay > 0,
        device=job.plan.device,
        card=job.plan.card or Card(),
        evaluation=not job.learns,
    )


def write_measured(job: Job, position: Position, cache_dir: Path) -> None:
    """Put what was measured beside the prediction once training is over, and draw both."""
    chosen = read_plan(job.folder)
    if chosen is None:
        return
    last = position.history[-1]
    images = job.plan.resident_gib or 0.0  # which the prediction of a step does not know of
    measured = {name: max(epoch[name] for epoch in position.history) - images for name in _MEASURED if name in last}
    chosen = chosen.model_copy(update={"measured": measured})
    write_json(job.folder / JSON, chosen.model_dump(mode="json"))
    sizes = sorted({2**n for n in range(8)} | {chosen.micro_batch})
    around = [chosen.prediction.spec.model_copy(update={"batch_size": size}) for size in sizes]
    with replacing(job.folder / FIGURE) as part:
        draw([predict(spec, cache_dir) for spec in around], chosen, part)
