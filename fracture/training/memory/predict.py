"""Predicting the peak of a training step, from a dry run and a model of the allocator; no GPU is used."""

import hashlib
import json
from functools import cache
from importlib.metadata import version
from pathlib import Path

from fracture.data.cache import default_folder
from fracture.files import write_json
from fracture.training.memory.allocators import MIB, Allocator, CachingAllocator, Heap
from fracture.training.memory.dry_run import Tape, between, record
from fracture.training.memory.replay import play_evaluation, play_steps
from fracture.training.memory.spec import GIB, Prediction, StepSpec

# docs/memory-measurements.md says where these allowances come from
CPU_GIB = 1.2  # of the interpreter and the libraries
_SHARE = {"cuda": 0.03, "cpu": 0.30}  # of what the allocator holds: cuDNN, oneDNN, what lies between

SAMPLES = (2, 4)  # batch sizes of the two dry runs that all others follow from


def predict(spec: StepSpec, cache_dir: Path | None = None) -> Prediction:
    """The peak memory of one step.

    Two dry runs, at batches of 2 and 4, give the size of every block as a straight line in the batch, which it is; the
    allocator's model then plays the blocks of the batch wanted. Where the two take different operations, the batch
    itself is run. About two seconds the first time, milliseconds afterwards: tapes are kept on disk.

    Args:
        spec: of the step.
        cache_dir: where tapes are kept; the user's cache folder by default.

    Raises:
        ConfigError: no such backbone, or it does not support what ``spec`` asks for.
        UnpredictableError: its operations depend on the contents of tensors.
    """
    tape = _tape(spec, (cache_dir or default_folder()) / "memory")
    allocator = allocator_of(spec)
    player = play_evaluation(tape, allocator) if spec.evaluation else play_steps(tape, allocator, spec.accumulation)
    rounding = player.peak - sum(player.parts.values())
    player.parts["temporaries"] += rounding  # what the allocator adds to every block
    return Prediction(
        spec=spec,
        allocated_gib=player.peak / GIB,
        reserved_gib=player.reserved / GIB,
        context_gib=beside(spec) + _SHARE[spec.device] * player.reserved / GIB,
        parts={name: size / GIB for name, size in player.parts.items()},
        phase=player.phase,
        batch_norm=tape.batch_norm,
    )


def beside(spec: StepSpec) -> float:
    """GiB that the process takes beside torch's allocator, whatever the step."""
    return spec.card.context_gib if spec.device == "cuda" else CPU_GIB


def allocator_of(spec: StepSpec) -> Allocator:
    """The device's, empty but for what is there in every step."""
    if spec.device == "cpu":
        return Heap()
    allocator = CachingAllocator()
    for _ in ("cuBLAS", "cuBLASLt"):
        allocator.take(int(spec.card.workspace_mib * MIB))
    return allocator


def _tape(spec: StepSpec, folder: Path) -> Tape:
    """What the step allocates, found or recorded."""
    small, large = (_recorded(spec.model_copy(update={"batch_size": size}), folder) for size in SAMPLES)
    if small.events() == large.events():
        return between(small, large, (spec.batch_size - SAMPLES[0]) / (SAMPLES[1] - SAMPLES[0]))
    return _recorded(spec, folder)


def _recorded(spec: StepSpec, folder: Path) -> Tape:
    step = spec.model_copy(update={"accumulation": False})  # which only plays a tape twice
    text = step.model_dump_json(exclude={"card"}) + _versions()
    place = folder / f"{hashlib.sha256(text.encode()).hexdigest()[:24]}.json"
    try:
        return Tape(**json.loads(place.read_text()))
    except (OSError, ValueError, TypeError):
        tape = record(spec)
        write_json(place, tape.__dict__)
        return tape


@cache
def _versions() -> str:
    """What a tape depends on beside its step: the libraries, and the code that makes it."""
    sources = [*Path(__file__).parent.glob("*.py"), *Path(__file__).parents[1].glob("*.py")]
    code = hashlib.sha256(b"".join(path.read_bytes() for path in sorted(sources))).hexdigest()
    return f"torch {version('torch')}, timm {version('timm')}, {code}"
