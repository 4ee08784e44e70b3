"""Grids of radiographs: augmented samples, mistakes, and where the answers come from."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from fracture.evaluation.figures.style import drawable, figure, styled

Pixels = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Tile:
    """One radiograph of a grid.

    Attributes:
        pixels: uint8 or float [size, size].
        title: lines above it.
        heat: float [size, size] in 0 to 1, laid over it, None for none.
    """

    pixels: npt.NDArray[np.generic]
    title: str
    heat: npt.NDArray[np.floating] | None = None


def grid_figure(tiles: Sequence[Tile], columns: int = 4) -> Figure:
    """Radiographs in rows, with a heat map over those that have one."""
    columns = min(columns, max(1, len(tiles)))
    rows = max(1, -(-len(tiles) // columns))
    with styled():
        lines = max((tile.title.count("\n") + 1 for tile in tiles if tile.title), default=0)
        made, axes = figure(columns, rows, 2.3, 2.35 + 0.15 * lines)
        made.set_layout_engine("constrained", h_pad=0.1)  # else the first row of titles is cut off
        for axis in axes:
            axis.axis("off")
        for axis, tile in zip(axes, tiles, strict=False):
            _draw(axis, tile)
        return made


def _draw(axis: Axes, tile: Tile) -> None:
    axis.imshow(tile.pixels, cmap="gray", vmin=0, vmax=255 if tile.pixels.dtype == np.uint8 else 1)
    if tile.heat is not None:
        axis.imshow(tile.heat, cmap="inferno", alpha=0.65 * tile.heat, vmin=0, vmax=1)
    axis.set_title(drawable(tile.title), fontsize=7, loc="left")


def short(name: str, length: int = 30) -> str:
    """The end of a file's name, which tells images apart."""
    return name if len(name) <= length else "…" + name[-length + 1 :]
