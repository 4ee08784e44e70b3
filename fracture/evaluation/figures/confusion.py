"""The confusion matrix, in counts and in rates."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from fracture.evaluation.figures.style import figure, plain, styled


def confusion_figure(matrix: tuple[tuple[int, ...], ...], classes: tuple[str, ...]) -> Figure:
    """Counts on the left, shares of each true class on the right; rows are true classes."""
    counts = np.array(matrix)
    rates = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    with styled():
        made, axes = figure(2, 1, 4.4, 3.9)
        _draw(axes[0], rates, [[str(value) for value in row] for row in counts], classes, "images")
        _draw(axes[1], rates, [[f"{value:.0%}" for value in row] for row in rates], classes, "share of the true class")
        return made


def _draw(axis: Axes, shade: np.ndarray, texts: list[list[str]], classes: tuple[str, ...], title: str) -> None:
    axis.imshow(shade, cmap="Blues", vmin=0, vmax=1)
    axis.grid(visible=False)
    names = [plain(name) for name in classes]
    axis.set_xticks(range(len(names)), names, rotation=20, ha="right")
    axis.set_yticks(range(len(names)), names)
    axis.set(title=title, xlabel="predicted", ylabel="true")
    for i, row in enumerate(texts):
        for j, text in enumerate(row):
            axis.text(j, i, text, ha="center", va="center", color="white" if shade[i, j] > 0.55 else "black")
