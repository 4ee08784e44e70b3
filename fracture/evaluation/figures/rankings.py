"""ROC and precision-recall curves, with bands from resampling groups."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from fracture.evaluation.figures.style import GREY, colour, figure, plain, styled
from fracture.evaluation.intervals import draws
from fracture.evaluation.metrics import Floats, Integers
from fracture.evaluation.ranking import Ranking
from fracture.evidence import Estimate

_ROUNDS = 256
_GRID = np.linspace(0, 1, 101)


def ranking_figure(
    probabilities: Floats, labels: Integers, groups: list[str], classes: tuple[str, ...], metrics: dict[str, Estimate]
) -> Figure:
    """Each class against the rest: ROC on the left, precision and recall on the right, 95% bands by group."""
    member = np.unique(np.array(groups), return_inverse=True)[1]
    with styled():
        made, (roc, precision) = figure(2, 1, 4.8, 4.2)
        roc.plot([0, 1], [0, 1], color=GREY, linestyle=":", linewidth=1)
        for k, name in enumerate(classes):
            if metrics[f"auroc_{name}"].value is None:
                continue
            ranking = Ranking(probabilities[:, k], labels == k)
            drawn = np.concatenate(list(draws(int(member.max()) + 1, _ROUNDS, 0)))[:, member]
            for axis, curves, metric in ((roc, _roc, "auroc"), (precision, _precision, "average_precision")):
                exact = curves(ranking, np.ones((1, len(labels))))[0]
                band = np.nanquantile(curves(ranking, drawn), [0.025, 0.975], axis=0)
                label = f"{plain(name)}: {_shown(metrics[f'{metric}_{name}'])}"
                _draw(axis, exact, band, k, label)
        roc.set(xlabel="1 - specificity", ylabel="sensitivity", title="ROC curve, with its area")
        precision.set(xlabel="recall (sensitivity)", ylabel="precision", title="Precision, average")
        for axis in (roc, precision):
            axis.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.02))
            if axis.get_legend_handles_labels()[0]:
                axis.legend(loc="lower right" if axis is roc else "lower left")
        return made


def _draw(axis: Axes, exact: Floats, band: Floats, number: int, label: str) -> None:
    axis.plot(_GRID, exact, color=colour(number), label=label)
    axis.fill_between(_GRID, band[0], band[1], color=colour(number), alpha=0.12, linewidth=0)


def _roc(ranking: Ranking, weights: Floats) -> Floats:
    """Sensitivity over the grid of false positive rates: [rounds, grid]."""
    hits, alarms = ranking.counts(weights)
    return np.stack([
        np.interp(_GRID, np.append(0, a / a[-1]), np.append(0, h / h[-1]))
        if h[-1] > 0 and a[-1] > 0 else np.full(len(_GRID), np.nan)
        for h, a in zip(hits, alarms, strict=True)
    ])  # fmt: skip


def _precision(ranking: Ranking, weights: Floats) -> Floats:
    """Precision at the least threshold that reaches each recall of the grid: [rounds, grid]."""
    hits, alarms = ranking.counts(weights)
    rows = []
    for h, a in zip(hits, alarms, strict=True):
        if h[-1] <= 0:
            rows.append(np.full(len(_GRID), np.nan))
            continue
        step = np.searchsorted(h / h[-1], _GRID, side="left").clip(0, len(h) - 1)
        rows.append(h[step] / np.maximum(h[step] + a[step], 1e-12))
    return np.stack(rows)


def _shown(found: Estimate) -> str:
    return f"{found.value:.2f} [{found.low:.2f}, {found.high:.2f}]"
