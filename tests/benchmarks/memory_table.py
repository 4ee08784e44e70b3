"""Predicted peaks on CUDA beside an independent prediction, and what a prediction costs.

    python -m tests.benchmarks.memory_table

The other prediction was made before this project began, with another program: a dispatch-mode hook with its own small
model of the caching allocator, on CPU's autocast. It and this one agree in fp32; in bf16 CUDA's autocast keeps layer
norms in fp32, which that program did not know.
"""

import tempfile
import time
from pathlib import Path

from fracture.models.backbones import NICKNAMES
from fracture.training.memory.dry_run import record
from fracture.training.memory.predict import allocator_of, predict
from fracture.training.memory.replay import play_steps
from fracture.training.memory.spec import GIB, StepSpec
from tests.benchmarks.machine import machine

OTHER = {  # allocated / reserved GiB of one step with Adam at 224 px, batches of 8, 16 and 32, by precision
    "convnextv2": {"fp32": "3.76/4.14 6.46/6.88 12.0/12.1", "bf16": "2.58/2.63 3.94/4.16 6.71/6.78"},
    "efficientnetv2": {"fp32": "1.40/1.48 2.56/2.92 4.88/5.19", "bf16": "0.86/0.88 1.44/1.49 2.61/2.92"},
    "swin": {"fp32": "1.14/1.28 1.93/2.14 3.53/3.89", "bf16": "0.86/0.91 1.32/1.41 2.26/2.42"},
    "maxvit": {"fp32": "2.70/3.01 5.05/5.59 9.71/10.7", "bf16": "1.71/1.75 3.00/3.28 5.60/6.12"},
}


def main() -> None:
    """Predict and print."""
    print(machine())
    print(
        "| model | precision | batch | predicted | seconds | a dry run of that batch | the other | allocated, ratio |"
    )
    print("|---|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        for model in NICKNAMES:
            for precision in ("fp32", "bf16"):
                for batch, other in zip((8, 16, 32), OTHER[model][precision].split(), strict=True):
                    print(_line(StepSpec(model=model, precision=precision, batch_size=batch), other, Path(folder)))


def _line(spec: StepSpec, other: str, folder: Path) -> str:
    start = time.perf_counter()
    found = predict(spec, folder)
    seconds = time.perf_counter() - start
    itself = play_steps(record(spec), allocator_of(spec), accumulation=False)
    same = f"{itself.peak / GIB / found.allocated_gib - 1:+.3%}/{itself.reserved / GIB / found.reserved_gib - 1:+.3%}"
    ratio = found.allocated_gib / float(other.split("/")[0])
    cells = [spec.model, spec.precision, spec.batch_size, f"{found.allocated_gib:.2f}/{found.reserved_gib:.2f}"]
    return "| " + " | ".join(map(str, [*cells, f"{seconds:.2f}", same, other, f"{ratio:.2f}"])) + " |"


if __name__ == "__main__":
    main()
