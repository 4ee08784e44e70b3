"""Seconds of a step of learning by precision, memory format and torch.compile, in turn, since timings drift.

    python -m tests.benchmarks.execution --model tf_efficientnet_lite0 --batch 8

The first round of each is given apart: it has the compiler's time in it. The loss is that of the first step, from the
same weights, seed and images.
"""

import argparse
import copy
import itertools
import statistics
from collections.abc import Callable

import torch

from fracture.config import TrainConfig
from fracture.models import backbones
from fracture.training import execution, timing
from fracture.training.compiled import Compiled
from tests.benchmarks.machine import machine


def main() -> None:
    """Measure in turn and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="tf_efficientnet_lite0")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--precision", nargs="+", choices=("fp32", "bf16"), default=("fp32", "bf16"))
    parser.add_argument("--memory-format", nargs="+", choices=list(execution.FORMATS), default=list(execution.FORMATS))
    parser.add_argument("--compile", action="store_true", help="compiled steps too, which takes minutes")
    options = parser.parse_args()
    backbone = backbones.find(options.model)
    config = TrainConfig(model=options.model, batch_size=options.batch)
    plan = execution.resolve(config, backbone.image_size("auto"), synthetic=True)
    execution.apply_threads(plan)
    torch.manual_seed(0)
    model = backbones.build(backbone, 3, size=plan.image_size)
    kinds = itertools.product(options.precision, options.memory_format, {False, options.compile})
    ways = {kind: step(model, plan, *kind) for kind in kinds}
    seconds: dict[tuple[str, str, bool], list[float]] = {kind: [] for kind in ways}
    losses: dict[tuple[str, str, bool], float] = {}
    for _ in range(options.rounds + 1):
        for kind, one in ways.items():
            took, loss = one()
            seconds[kind].append(took)
            losses.setdefault(kind, loss)
    heads = ("precision", "memory format", "compiled", "first step", "step, median", "speed over the first row", "loss")
    print("| " + " | ".join(heads) + " |\n" + "|---" * len(heads) + "|")
    base = next(iter(seconds.values()))[1:]
    for (precision, form, compiled), (first, *rest) in seconds.items():
        ratios = [one / own for one, own in zip(base, rest, strict=True)]
        print(
            f"| {precision} | {form} | {'yes' if compiled else 'no'} | {first:.2f} s | {statistics.median(rest):.2f} s "
            f"| {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f}) "
            f"| {losses[precision, form, compiled]:.4f} |"
        )
    print(f"\n{backbone.name}, batch {options.batch}, n = {options.rounds} rounds. {machine()}")


def step(
    model: torch.nn.Module, plan: execution.Plan, precision: str, form: str, compiled: bool
) -> Callable[[], tuple[float, float]]:
    """A step of a copy of the model, executed in one way: its seconds and its loss."""
    tried = plan.model_copy(update={"precision": precision, "memory_format": form})
    twin = tried.place(copy.deepcopy(model)).train()
    forward, pixels = Compiled(twin, plan.micro_batch) if compiled else twin, timing._pixels(tried, plan.micro_batch)

    def run() -> tuple[float, float]:
        torch.manual_seed(0)
        return timing._one_step(forward, tried, pixels)

    return run


if __name__ == "__main__":
    main()
