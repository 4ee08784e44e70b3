"""What accuracy costs: runs by latency and size."""

from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

from fracture.evaluation.figures.style import colour, figure, plain, styled
from fracture.evidence import Estimate


@dataclass(frozen=True)
class Point:
    """One run of the figure; ``estimate`` is of the metric shown."""

    name: str
    estimate: Estimate
    latency_ms: float | None
    checkpoint_mib: float | None


def cost_figure(points: Sequence[Point], metric: str) -> Figure:
    """The metric with its interval against latency and against size, one colour a run."""
    with styled():
        made, axes = figure(2, 1, 4.8, 3.8)
        for axis, label in zip(axes, ("latency of one image, ms", "checkpoint, MiB"), strict=True):
            for number, point in enumerate(points):
                cost = point.latency_ms if "latency" in label else point.checkpoint_mib
                _draw(axis, point, cost, number)
            axis.set(xscale="log", xlabel=label, ylabel=f"test {plain(metric)}, 95% interval")
            axis.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            axis.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
            axis.xaxis.set_minor_formatter(NullFormatter())
        axes[0].legend(loc="best")
        return made


def _draw(axis, point: Point, cost: float | None, number: int) -> None:  # type: ignore[no-untyped-def]
    found = point.estimate
    if cost is None or found.value is None or found.low is None or found.high is None:
        return
    apart = [[max(0.0, found.value - found.low)], [max(0.0, found.high - found.value)]]
    axis.errorbar([cost], [found.value], yerr=apart, fmt="o", capsize=3, color=colour(number), label=point.name)
