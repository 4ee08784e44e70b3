"""The figure of a memory plan: what the peak is made of at each micro-batch, and the limit."""

from collections.abc import Sequence
from pathlib import Path

from matplotlib.figure import Figure

from fracture.evaluation.figures.style import png
from fracture.training.memory.plan import MemoryPlan
from fracture.training.memory.spec import PARTS, Prediction

_COLOURS = {  # Okabe and Ito's, which colour-blind readers can tell apart
    "weights": "#0072B2",
    "average": "#56B4E9",
    "gradients": "#D55E00",
    "optimiser": "#E69F00",
    "inputs": "#F0E442",
    "copies": "#882255",
    "activations": "#009E73",
    "temporaries": "#CC79A7",
    "held by the allocator": "#DDDDDD",
    "allowance": "#BBBBBB",
}


def draw(around: Sequence[Prediction], chosen: MemoryPlan, path: Path) -> None:
    """Draw stacked bars.

    Args:
        around: predictions of the same step at several batch sizes, in order.
        chosen: the plan; its bar has a mark.
        path: of the PNG.
    """
    figure = Figure(figsize=(8, 4.5), dpi=120, layout="constrained")
    axes = figure.subplots()
    places = range(len(around))
    bottom = [0.0] * len(around)
    for name in _COLOURS:
        heights = [_stack(prediction)[name] for prediction in around]
        if max(heights) > 0:
            axes.bar(places, heights, 0.75, bottom, label=name, color=_COLOURS[name])
        bottom = [low + height for low, height in zip(bottom, heights, strict=True)]
    axes.axhline(chosen.limit_gib, color="black", linestyle="--", linewidth=1.2)
    top = max(1.15 * chosen.limit_gib, 1.3 * chosen.prediction.process_gib)
    top = min(top, 1.15 * max(*bottom, chosen.prediction.process_gib))
    if chosen.limit_gib <= top:
        axes.annotate(f"limit {chosen.limit_gib:.1f} GiB", (0, chosen.limit_gib), (-14, 4), textcoords="offset points")
    axes.set_ylim(0, top)
    sizes = [prediction.spec.batch_size for prediction in around]
    place = sizes.index(chosen.micro_batch)
    axes.annotate("chosen", (place, bottom[place]), (0, 3), textcoords="offset points", ha="center", weight="bold")
    axes.set_xticks(list(places), [str(size) for size in sizes])
    axes.set_xlabel("images at once (micro-batch)")
    axes.set_ylabel("predicted peak of the process, GiB")
    axes.set_title(_title(chosen), loc="left", fontsize=10)
    axes.spines[["top", "right"]].set_visible(False)
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(handles[::-1], labels[::-1], loc="outside right center", frameon=False, fontsize=8)
    path.write_bytes(png(figure))


def _stack(prediction: Prediction) -> dict[str, float]:
    """GiB by name, which add up to the process."""
    held = prediction.reserved_gib - prediction.allocated_gib
    parts = {name: prediction.parts.get(name, 0.0) for name in PARTS}
    return parts | {"held by the allocator": max(0.0, held), "allowance": prediction.context_gib}


def _title(chosen: MemoryPlan) -> str:
    spec = chosen.prediction.spec
    again = ", checkpointing" if spec.checkpointing else ""
    split = f"{chosen.accumulation} micro-batches of at most " if chosen.accumulation > 1 else ""
    measured = chosen.measured.get("peak_memory_gib")
    seen = "" if measured is None else f"; {_measured(chosen, measured)}"
    return (
        f"{spec.model}, {spec.image_size} px, {spec.precision}, {spec.optimizer}{again}, {spec.device}\n"
        f"{split}{chosen.micro_batch} images at once: predicted {chosen.prediction.process_gib:.2f} GiB{seen}"
    )


def _measured(chosen: MemoryPlan, measured: float) -> str:
    """On CUDA only what the allocator held can be measured, so that is set against its own prediction."""
    if chosen.prediction.spec.device == "cuda":
        return f"of it reserved {chosen.prediction.reserved_gib:.2f}, measured {measured:.2f} GiB"
    return f"measured {measured:.2f} GiB"
