"""Predicted and measured peak of two training steps of one backbone, in each precision and batch.

context: of the card, once a first tensor is there; workspaces: what torch's allocator holds when all tensors are gone,
which is cuBLAS's.
"""

import argparse
import gc
from pathlib import Path

import torch

from fracture.training import execution
from fracture.training.memory.card import Card, card_here
from fracture.training.memory.predict import predict
from fracture.training.memory.spec import GIB, StepSpec
from tests.benchmarks.memory import take_steps
from tests.gpu.card import emit, used_gib

ALLOCATED, PROCESS = 0.05, 0.10  # largest error that is wanted


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="convnextv2")
    parser.add_argument("--tiny", action="store_true")
    options = parser.parse_args()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    context, card = _context(device), card_here() or Card()
    model, size, batches = ("test_efficientnet", 64, (2, 4)) if options.tiny else (options.model, 224, (8, 16, 32))
    specs = [
        StepSpec(model=model, image_size=size, batch_size=batch, precision=precision, device=device, card=card)
        for precision in ("fp32", "bf16")
        for batch in batches
    ]
    specs += [specs[1].model_copy(update=change) for change in ({"checkpointing": True}, {"accumulation": True})]
    for spec in specs:
        try:
            measure(spec, context)
        except Exception as error:  # noqa: BLE001 - one that fails must not hide the others
            emit(model=spec.model, precision=spec.precision, batch=spec.batch_size, holds=False, error=str(error)[:200])


def _context(device: str) -> float:
    """GiB that a process takes of the card for its first tensor, which is small."""
    torch.zeros(1, device=device)
    return used_gib()


def measure(spec: StepSpec, context: float) -> None:
    """One row."""
    found = predict(spec, Path("tapes"))
    execution.reset_peak_memory(spec.device)
    take_steps(spec)
    process = used_gib()
    cells = {"predicted": found.allocated_gib, "process predicted": found.process_gib, "process": process}
    holds = True
    if spec.device == "cuda":
        allocated, reserved = torch.cuda.max_memory_allocated() / GIB, torch.cuda.max_memory_reserved() / GIB
        holds = (
            abs(found.allocated_gib / allocated - 1) <= ALLOCATED and abs(found.process_gib / process - 1) <= PROCESS
        )
        cells |= {
            "allocated": allocated, "ratio": found.allocated_gib / allocated, "reserved predicted": found.reserved_gib,
            "reserved": reserved, "context": context, "beside the allocator": process - reserved,
            "workspaces": _left(), "process ratio": found.process_gib / process,
        }  # fmt: skip
    how = "checkpointing" if spec.checkpointing else "accumulation" if spec.accumulation else ""
    emit(model=spec.model, precision=spec.precision, batch=spec.batch_size, how=how, **cells, holds=holds)


def _left() -> float:
    """GiB that torch's allocator holds of a step that is over."""
    gc.collect()
    return torch.cuda.memory_allocated() / GIB


if __name__ == "__main__":
    main()
