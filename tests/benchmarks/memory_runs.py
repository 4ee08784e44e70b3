"""Predicted against measured peak of whole training runs on this processor, each in a process of its own.

    python -m tests.benchmarks.memory_runs                             # four backbones x two precisions, batch 16
    python -m tests.benchmarks.memory_runs --models swin --batches 8,16 --times 3

A run takes more than its steps (`tests.benchmarks.memory`): between them it reads, augments and evaluates batches of
other sizes, and the C library's heap does not get back into the same order. Three epochs of 30 images: the last batch
of an epoch is a smaller one. The last column is the share of the heap that would have been the right allowance.
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from fracture.training.memory.plan import MemoryPlan
from fracture.training.memory.predict import CPU_GIB
from tests.benchmarks.machine import machine
from tests.benchmarks.memory import kinds, parser_of

ROOT = Path(__file__).parents[2]


def main() -> None:
    """Measure and print."""
    parser = parser_of(__doc__, batches="16")
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--times", type=int, default=1)
    options = parser.parse_args()
    print(machine())
    print("| model | precision | batch | predicted GiB | measured at the end of each epoch | ratio | share needed |")
    print("|---|---|---|---|---|---|---|")
    for kind in kinds(options):
        for _ in range(options.times):
            print(line(*kind, options.epochs), flush=True)


def line(model: str, precision: str, batch: int, epochs: int) -> str:
    """One row of the table."""
    plan, peaks = run(model, precision, batch, epochs)
    predicted, most = plan.prediction, max(peaks)
    needed = (most - CPU_GIB) / predicted.reserved_gib - 1
    seen = ", ".join(f"{peak:.2f}" for peak in peaks)
    cells = [model, precision, batch, f"{predicted.process_gib:.2f}", seen]
    return "| " + " | ".join(map(str, [*cells, f"{predicted.process_gib / most:.2f}", f"{needed:.2f}"])) + " |"


def run(model: str, precision: str, batch: int, epochs: int) -> tuple[MemoryPlan, list[float]]:
    """A run as a user starts it: its plan, and the peak in GiB until the end of each epoch."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "fracture", "train", "--model", model, "--precision", precision]
        command += ["--batch-size", str(batch), "--epochs", str(epochs), "--compile", "false", "--recipe", "seed"]
        command += ["--memory-limit-gib", "64", "--checkpointing", "false", "--accumulation", "1"]
        environment = os.environ | {"MLFLOW_TRACKING_URI": f"sqlite:///{folder}/mlflow.db", "PYTHONPATH": str(ROOT)}
        done = subprocess.run(command, capture_output=True, text=True, cwd=folder, env=environment, check=False)
        if done.returncode:
            raise RuntimeError(done.stderr)
        plan = MemoryPlan.model_validate_json(next(Path(folder).rglob("memory.json")).read_bytes())
        results = json.loads(next(Path(folder).rglob("results.json")).read_bytes())
        return plan, [epoch["peak_memory_gib"] for epoch in results["history"]]


if __name__ == "__main__":
    main()
