"""What evaluation costs: beyond the bare forward pass, and for the intervals of every metric.

    python -m tests.benchmarks.evaluation --images 3082

Demo images, tf_efficientnet_lite0 with random weights: only the seconds mean anything. The bare forward is the model on
batches that lie in memory; the evaluation is everything that `fracture evaluate` does after the images are decoded:
reading them, the forward pass, metrics, intervals, pictures, controls and the page.
"""

import argparse
import io
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from rich.console import Console

from fracture.data import cache
from fracture.data.batches import Normalize
from fracture.data.dataset import Source, open_images
from fracture.evaluation.config import EvaluateConfig
from fracture.evaluation.intervals import ROUNDS, estimate
from fracture.evaluation.sample import Decisions
from fracture.models import backbones, checkpoint
from fracture.progress import Terminal
from fracture.runs import evaluate, target
from fracture.training import execution
from fracture.training.learner import prepare
from tests.benchmarks.machine import machine

MODEL = "tf_efficientnet_lite0"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=3082)
    options = parser.parse_args()
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, options.images)
    logits = rng.normal(size=(options.images, 3)) + np.eye(3)[labels]
    names = ("comminuted_fracture", "no_fracture", "simple_fracture")
    began = time.perf_counter()
    decisions = Decisions(1.2, 0.5, 0.6, "no_fracture")
    found = estimate(logits, labels, [i // 3 for i in range(options.images)], names, decisions)
    print(
        f"{len(found)} metrics, {ROUNDS} rounds, n = {options.images}: {time.perf_counter() - began:.1f} s (goal: 10)"
    )
    with tempfile.TemporaryDirectory() as folder:
        measure(options.images, Path(folder))
    print(machine())


def measure(images: int, folder: Path) -> None:
    """The evaluation against the bare forward, in turn, on the same images."""
    config = EvaluateConfig(demo_images=images, data_seed=5)
    backbone = backbones.find(MODEL)
    model = backbones.build(backbone, 3)
    state = model.state_dict()
    sidecar = checkpoint.Sidecar(
        model=backbone.name, classes=("comminuted_fracture", "no_fracture", "simple_fracture"), image_size=224,
        mean=backbone.mean, std=backbone.std, parameters=0, weights_sha256=checkpoint.weights_sha256(state), epoch=1,
        synthetic=True, license="none",
    )  # fmt: skip
    checkpoint.save(folder / "best.pth", state, sidecar)
    quiet = Terminal(Console(file=io.StringIO()))
    open_images(Source("demo", images, seed=5), 224, cache.default_folder())  # before anything is timed
    chosen = evaluate.choose(sidecar, "demo", config, quiet)
    plan = execution.resolve(execution.TrainConfig(), 224, synthetic=True)
    execution.apply_threads(plan)
    bare = forward(plan.place(model).eval(), plan, Normalize(backbone.mean, backbone.std), images)
    began = time.perf_counter()
    evaluate.judge_target(target.find(str(folder / "best.pth"), folder), chosen, config, folder / "out", quiet)
    whole = time.perf_counter() - began
    print(
        f"evaluation {whole:.1f} s, bare forward {bare:.1f} s: {whole / bare:.2f} times (goal: at most 3, twice more)"
    )


def forward(model: torch.nn.Module, plan: execution.Plan, normalize: Normalize, images: int) -> float:
    """Seconds of the model alone on as many images, batch by batch from memory, after one batch to warm up."""
    batch = prepare(torch.randint(0, 255, (plan.micro_batch, 224, 224), dtype=torch.uint8), plan, normalize)
    with torch.inference_mode(), plan.autocast():
        model(batch)
        began = time.perf_counter()
        for _ in range(-(-images // plan.micro_batch)):
            model(batch)
    return time.perf_counter() - began


if __name__ == "__main__":
    main()
