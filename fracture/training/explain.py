"""What torch raises, turned into errors that name the ways out."""

from collections.abc import Iterator
from contextlib import contextmanager

from fracture.errors import ConfigError, MemoryLimitError
from fracture.training.job import Job
from fracture.training.memory.shortage import is_out_of_memory


@contextmanager
def out_of_memory_explained(job: Job) -> Iterator[None]:
    """Turn a lack of memory, on the GPU or in main memory, into a MemoryLimitError that names the ways out."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        raise MemoryLimitError(no_memory(job, error)) from error


@contextmanager
def indeterminism_explained(job: Job) -> Iterator[None]:
    """Turn torch's refusal of an operation that may give other bits each time into a ConfigError."""
    try:
        yield
    except RuntimeError as error:
        if "deterministic" not in str(error) or not job.config.deterministic:
            raise
        first = str(error).splitlines()[0].partition(". ")[0]
        raise ConfigError(
            f"deterministic=true: {job.backbone.name} needs an operation that is not deterministic: {first}"
        ) from error


def no_memory(job: Job, error: BaseException) -> str:
    """What does not fit, in the first line, and the ways out."""
    c, plan = job.config, job.plan
    what = f"batch_size={c.batch_size}, accumulation={plan.accumulation}, {plan.precision}, {plan.image_size} px"
    return (
        f"{job.backbone.name} with {what} does not fit into the memory of {plan.device}: "
        f"{(str(error).splitlines() or ['out of memory'])[0]}\nTry: {'; '.join(_ways_out(job))}."
    )


def _ways_out(job: Job) -> list[str]:
    """What takes less memory than the job's settings and is allowed."""
    c, parts = job.config, job.plan.accumulation
    ways = [f"accumulation={2 * parts}"] if c.batch_size % (2 * parts) == 0 else []
    ways += [] if job.plan.checkpointing else ["checkpointing=true"]
    ways += [f"batch_size={c.batch_size // 2}"] if c.batch_size > 1 and c.batch_size // 2 % parts == 0 else []
    ways += ["precision=bf16"] if job.plan.precision == "fp32" else []
    return ways or ["a smaller model or image_size"]
