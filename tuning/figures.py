"""Pictures of a study: history, importances, slices and parallel coordinates."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import optuna
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from optuna.trial import FrozenTrial, TrialState

from fracture.evaluation.figures.style import COLOURS, GREY, figure, plain, styled

_LOGARITHMIC = ("lr", "batch_size")
_MARKS = {TrialState.COMPLETE: ("o", 26), TrialState.PRUNED: ("x", 20)}


def draw(study: optuna.Study, metric: str, importances: Mapping[str, float]) -> dict[str, Figure]:
    """Every picture that the study has enough trials for, by the name of its file.

    Args:
        study: with its trials.
        metric: what they were judged by.
        importances: of each parameter, as far as they could be told.
    """
    shown = [one for one in study.get_trials(deepcopy=False) if one.state in _MARKS and one.value is not None]
    if not shown:
        return {}
    made = {"history": _history(shown, study, metric), "slice": _slices(shown, metric)}
    if importances:
        made["importances"] = _importances(importances)
    if len(shown) > 1:
        made["parallel"] = _parallel(shown, study, metric)
    return made


def _history(shown: Sequence[FrozenTrial], study: optuna.Study, metric: str) -> Figure:
    better = np.minimum if _less(study) else np.maximum
    with styled():
        made, (axis,) = figure(1, 1, 6.2, 3.4)
        _scatter(axis, shown, [one.number for one in shown])
        done = [one for one in shown if one.state is TrialState.COMPLETE]
        if done:
            so_far = better.accumulate([float(one.value or 0.0) for one in done])
            axis.step([one.number for one in done], so_far, where="post", color=COLOURS[1], label="best so far")
        axis.set(xlabel="trial", ylabel=plain(metric), title="History")
        axis.xaxis.set_major_locator(MaxNLocator(integer=True))
        axis.legend()
        return made


def _slices(shown: Sequence[FrozenTrial], metric: str) -> Figure:
    names = list(shown[0].params)
    with styled():
        made, axes = figure(len(names), 1, 3.4, 3.2)
        for axis, name in zip(axes, names, strict=True):
            _scatter(axis, shown, [one.params[name] for one in shown])
            _scale(axis, name, [one.params[name] for one in shown])
            axis.set(xlabel=plain(name), ylabel=plain(metric) if axis is axes[0] else "")
        axes[0].set_title("Slices")
        axes[0].legend()
        return made


def _importances(importances: Mapping[str, float]) -> Figure:
    names = sorted(importances, key=lambda name: importances[name])
    with styled():
        made, (axis,) = figure(1, 1, 4.8, 0.9 + 0.4 * len(names))
        bars = axis.barh([plain(name) for name in names], [importances[name] for name in names], color=COLOURS[0])
        axis.bar_label(bars, fmt="%.2f", padding=3)
        axis.set(title="Share of the variance (fANOVA)", xlim=(0, 1.1))
        axis.grid(visible=False, axis="y")
        return made


def _parallel(shown: Sequence[FrozenTrial], study: optuna.Study, metric: str) -> Figure:
    """Each trial a line over its parameters, coloured by its value: the darker the better."""
    names = list(shown[0].params)
    places: list[Callable[[FrozenTrial], float]] = [lambda one, n=name: _place(n, one.params[n]) for name in names]  # type: ignore[misc]
    places.append(lambda one: float(one.value or 0.0))
    heights = np.array([[place(one) for place in places] for one in shown])
    low, high = heights.min(axis=0), heights.max(axis=0)
    scaled = (heights - low) / np.where(high > low, high - low, 1.0)
    values = -heights[:, -1] if _less(study) else heights[:, -1]
    shade = Normalize(values.min(), values.max() if values.max() > values.min() else values.min() + 1)
    with styled():
        made, (axis,) = figure(1, 1, 1.6 * (len(names) + 2), 3.6)
        for row in np.argsort(values):  # the best are drawn last, above the others
            axis.plot(range(len(places)), scaled[row], color=colormaps["viridis_r"](shade(values[row])), linewidth=1.2)
        for at, (name, bottom, top) in enumerate(zip([*names, metric], low, high, strict=True)):
            axis.axvline(at, color=GREY, linewidth=0.8)
            for height, number, below in ((0.0, bottom, True), (1.0, top, False)):
                text = f"{_back(name, number):.3g}"
                axis.annotate(text, (at, height), (0, -5 if below else 5), textcoords="offset points", ha="center",
                              va="top" if below else "bottom", fontsize=8)  # fmt: skip
        axis.set_xticks(range(len(places)), [plain(name) for name in [*names, metric]])
        axis.tick_params(axis="x", length=0, pad=16)
        axis.set_yticks([])
        axis.set_ylim(-0.03, 1.03)
        axis.set_title("Parallel coordinates, the darker the better", pad=20)
        axis.spines[:].set_visible(False)
        axis.grid(visible=False)
        return made


def _scatter(axis: Axes, shown: Sequence[FrozenTrial], at: Sequence[float]) -> None:
    for number, (state, (mark, size)) in enumerate(_MARKS.items()):
        chosen = [i for i, one in enumerate(shown) if one.state is state]
        if chosen:
            values = [float(shown[i].value or 0.0) for i in chosen]
            colour = COLOURS[0] if number == 0 else GREY
            axis.scatter([at[i] for i in chosen], values, marker=mark, s=size, color=colour, label=state.name.lower())


def _scale(axis: Axes, name: str, values: Sequence[float]) -> None:
    if name == "batch_size":
        axis.set_xscale("log", base=2)
        sizes = sorted(set(values))
        axis.set_xticks(sizes, [f"{size:g}" for size in sizes])
        axis.minorticks_off()
    elif name in _LOGARITHMIC:
        axis.set_xscale("log")


def _place(name: str, value: float) -> float:
    return float(np.log10(value)) if name in _LOGARITHMIC else float(value)


def _back(name: str, place: float) -> float:
    return float(10**place) if name in _LOGARITHMIC else place


def _less(study: optuna.Study) -> bool:
    return study.direction is optuna.study.StudyDirection.MINIMIZE
