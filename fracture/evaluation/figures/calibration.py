"""Whether probabilities are honest, and what referring the unsure images to a person gains."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from fracture.evaluation.figures.style import COLOURS, GREY, colour, figure, plain, styled
from fracture.evaluation.metrics import Floats, Integers
from fracture.evaluation.operating import rejection_curve
from fracture.evidence import Bin, Referral, SplitResults


def reliability_figure(results: SplitResults, temperature: float) -> Figure:
    """Accuracy against the probability of the predicted class, before and after the temperature; areas are counts."""
    with styled():
        made, axes = figure(2, 1, 4.2, 3.8)
        for axis, bins, title in zip(
            axes,
            (results.reliability_before, results.reliability),
            ("as the model answers", f"with temperature {temperature:.2f}"),
            strict=True,
        ):
            _draw(axis, bins, title)
        return made


def _draw(axis: Axes, bins: Sequence[Bin], title: str) -> None:
    axis.plot([0, 1], [0, 1], color=GREY, linestyle=":", linewidth=1)
    most = max((one.n for one in bins), default=1)
    confidence, accuracy = [one.confidence for one in bins], [one.accuracy for one in bins]
    axis.plot(confidence, accuracy, color=COLOURS[0], linewidth=0.8)
    axis.scatter(confidence, accuracy, [12 + 150 * one.n / most for one in bins], color=COLOURS[0], alpha=0.8)
    error = sum(one.n * abs(one.accuracy - one.confidence) for one in bins) / max(1, sum(one.n for one in bins))
    axis.set(xlim=(0, 1.02), ylim=(-0.02, 1.05), xlabel="probability of the predicted class", ylabel="share right")
    axis.set_title(f"{title}: ECE {error:.3f}")


def rejection_figure(confidence: Floats, correct: np.ndarray, referral: Referral) -> Figure:
    """Accuracy among the answered images against the share that is answered; a dot where the threshold lies."""
    share, accuracy = rejection_curve(confidence, correct)
    with styled():
        made, (axis,) = figure(1, 1, 5.2, 3.6)
        axis.plot(share, accuracy, color=COLOURS[0])
        if referral.wanted_error is not None:
            axis.axhline(1 - referral.wanted_error, color=GREY, linestyle=":", linewidth=1)
        if referral.refer_below and (answered := confidence >= referral.refer_below).any():
            axis.plot([answered.mean()], [correct[answered].mean()], "o", color=COLOURS[1], label="threshold")
            axis.legend()
        axis.set(
            xlim=(0, 1.02), xlabel="share of images answered, highest confidence first", ylabel="share right among them"
        )
        return made


def score_figure(probabilities: Floats, labels: Integers, classes: tuple[str, ...]) -> Figure:
    """The probability of each class, for the images of each true class."""
    bins = np.linspace(0, 1, 21)
    with styled():
        made, axes = figure(len(classes), 1, 3.5, 2.9)
        for k, axis in enumerate(axes):
            for true, name in enumerate(classes):
                values = probabilities[labels == true, k]
                axis.hist(
                    values, bins=bins.tolist(), histtype="step", linewidth=1.4, color=colour(true), label=plain(name)
                )
            axis.set(title=f"probability of {plain(classes[k])}", xlabel="probability", ylabel="images", xlim=(0, 1))
        axes[0].legend(title="true class", title_fontsize=8)
        return made
