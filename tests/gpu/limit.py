"""Runs under a limit of 7.6 GiB: as planned, planned down, and corrected once after an injected shortage."""

import argparse
from pathlib import Path
from typing import Any

import mlflow
import torch

from fracture.commands.train import command
from fracture.progress import Terminal
from fracture.training.learner import Learner
from tests.gpu.card import LIMIT_GIB, emit, watched

CASES: tuple[dict[str, Any], ...] = (
    {"precision": "fp32", "batch_size": 16},
    {"precision": "bf16", "batch_size": 16},
    {"precision": "fp32", "batch_size": 128},
    {"precision": "bf16", "batch_size": 16, "injected": True},
)
SLACK = 0.05  # GiB; `nvidia-smi` counts in MiB and the driver's own part moves


def main() -> None:
    """Train each and look at the card meanwhile."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tiny", action="store_true")
    options = parser.parse_args()
    model = ["--model", "convnextv2", "--image-size", "224"]
    if options.tiny:
        model = ["--model", "test_vit", "--demo-images", "60"]
    for case in CASES:
        injected = case.get("injected", False)
        with watched() as card:
            train([*model, "--precision", case["precision"], "--batch-size", str(case["batch_size"])], injected)
        run = mlflow.search_runs(
            search_all_experiments=True, output_format="list", order_by=["attributes.start_time DESC"], max_results=1
        )[0]
        params, metrics = run.data.params, run.data.metrics
        holds = run.info.status == "FINISHED" and (card.peak <= LIMIT_GIB + SLACK or not torch.cuda.is_available())
        holds = holds and injected == ("fracture.memory_corrected" in run.data.tags)
        emit(
            precision=case["precision"], batch=case["batch_size"], injected=injected, status=run.info.status,
            parts=params.get("plan.accumulation"), checkpointing=params.get("plan.checkpointing"),
            predicted=metrics.get("cost/memory_gib", 0.0), process=card.peak,
            allocated=metrics.get("cost/peak_allocated_gib"),
            **{"images/s": metrics.get("cost/images_per_second")}, holds=holds,
        )  # fmt: skip


def train(words: list[str], injected: bool) -> None:
    """One epoch on demo images; an injected shortage hits the second step."""
    cache = str(Path("cache").absolute())
    given = ["--demo-images", "400", "--weights", "none", "--recipe", "seed", "--epochs", "1", "--audit", "off",
             "--memory-limit-gib", str(LIMIT_GIB), "--cache-dir", cache]  # fmt: skip
    backward, calls = Learner.backward, []

    def short_of_memory(self: Learner, *inputs: torch.Tensor) -> Any:
        calls.append(1)
        if injected and len(calls) == 2:
            raise torch.OutOfMemoryError("CUDA out of memory. Injected.")
        return backward(self, *inputs)

    Learner.backward = short_of_memory  # type: ignore[method-assign]
    try:
        command.main([*given, *words], standalone_mode=False)
    except Exception as error:  # noqa: BLE001 - the row says it
        Terminal().say(f"{type(error).__name__}: {error}")
    finally:
        Learner.backward = backward  # type: ignore[method-assign]


if __name__ == "__main__":
    main()
