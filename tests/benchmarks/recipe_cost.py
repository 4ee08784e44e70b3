"""What the recipe costs beside the backbone alone, in one process and in turn, since timings drift.

    python -m tests.benchmarks.recipe_cost --model tf_efficientnet_lite0

An answer of the recipe's head (384 px, two sizes, the mirror image) over one of the backbone at 224 px, and a training
step of the gentle fine-tune over the same step with every layer learning. Weights are random: they cost the same.
"""

import argparse
import statistics
import time
from collections.abc import Callable

import numpy as np
import torch

from fracture.config import TrainConfig
from fracture.data.batches import Normalize
from fracture.models import backbones
from fracture.training import execution
from fracture.training.learner import Learner, prepare
from fracture.training.recipe import GENTLE, LINEAR_PROBE
from tests.benchmarks.machine import machine

CLASSES = 3


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="tf_efficientnet_lite0")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    frozen = TrainConfig.model_validate({"model": options.model, "memory_format": "channels_last"} | LINEAR_PROBE)
    gentle = TrainConfig.model_validate(frozen.model_dump() | GENTLE)
    plain = TrainConfig(model=options.model, memory_format="channels_last", image_size="224")
    whole = gentle.model_copy(update={"layer_decay_cutoff": 0.0})
    print(f"{options.model}, batch {options.batch}, n = {options.rounds} rounds")
    work = {
        "an answer of the recipe / of the backbone, 224 px": (answer, frozen, plain),
        "a gentle step / the same with every layer learning": (step, gentle, whole),
    }
    for name, (kind, one, other) in work.items():
        print(f"{name}: {ratio(kind(one, options.batch), kind(other, options.batch), options.rounds)}", flush=True)
    print(machine())


def answer(config: TrainConfig, batch: int) -> Callable[[], object]:
    """Logits of a batch."""
    learner, pixels = _prepared(config, batch)
    images = prepare(pixels, learner.plan, learner.normalize)
    learner.model.eval()

    def run() -> None:
        with torch.inference_mode(), learner.plan.autocast():
            learner.model(images)

    return run


def step(config: TrainConfig, batch: int) -> Callable[[], object]:
    """A step as training makes it."""
    learner, pixels = _prepared(config, batch)
    labels = torch.arange(batch) % CLASSES
    return lambda: learner.step(pixels, labels, seed=0, number=0)


def ratio(one: Callable[[], object], other: Callable[[], object], rounds: int) -> str:
    """Seconds of the one over those of the other, in turn; the first round only warms up."""
    pairs = [(_seconds(one), _seconds(other)) for _ in range(rounds + 1)][1:]
    ratios = [first / second for first, second in pairs]
    middle = [statistics.median(column) for column in zip(*pairs, strict=True)]
    return (
        f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f}); "
        f"{middle[0]:.2f} s and {middle[1]:.2f} s"
    )


def _seconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def _prepared(config: TrainConfig, batch: int) -> tuple[Learner, torch.Tensor]:
    """A learner with random weights, and a batch of noise."""
    backbone = backbones.find(config.model)
    size = backbone.image_size(config.image_size)
    plan = execution.resolve(config, size, synthetic=False)
    execution.apply_threads(plan)
    model = backbones.build(backbone, CLASSES, scales=backbone.scales(config.features))
    learner = Learner(model, config, plan, Normalize(backbone.mean, backbone.std), np.ones(CLASSES, np.int64), 1)
    return learner, torch.randint(0, 256, (batch, size, size), dtype=torch.uint8)


if __name__ == "__main__":
    main()
