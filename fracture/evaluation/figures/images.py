"""Grids of radiographs: augmented samples, mistakes, and where the answers come from."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from fracture.evaluation.figures.style import drawable, styled

Pixels = npt.NDArray[np.uint8]
_GAP, _LINE = 0.08, 0.15  # inches between radiographs, and for a line of a title
_SIDE = 2.22  # inches of a radiograph
_WIDTH = _SIDE + _GAP


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
    """Radiographs in rows, with a heat map over those that have one; square by square.

    All lie in one plot, measured in inches: one for each, laid out by matplotlib, takes three times as long.
    """
    columns = min(columns, max(1, len(tiles)))
    rows = max(1, -(-len(tiles) // columns))
    lines = max((tile.title.count("\n") + 1 for tile in tiles if tile.title), default=0)
    width, height = columns * _WIDTH, rows * (row := _WIDTH + _GAP + _LINE * lines)
    with styled():
        made = Figure(figsize=(width, height), layout="none")  # type: ignore[arg-type]
        axis = made.add_axes((0, 0, 1, 1))
        axis.axis("off")
        for number, tile in enumerate(tiles):
            _draw(axis, tile, number % columns * _WIDTH + _GAP / 2, (number // columns + 1) * row - _GAP / 2)
        axis.set(xlim=(0, width), ylim=(height, 0))
        return made


def _draw(axis: Axes, tile: Tile, left: float, bottom: float) -> None:
    top = bottom - _SIDE
    place = (left, left + _SIDE, bottom, top)
    axis.imshow(tile.pixels, "gray", extent=place, vmin=0, vmax=255 if tile.pixels.dtype == np.uint8 else 1)
    if tile.heat is not None:
        axis.imshow(tile.heat, "inferno", extent=place, alpha=0.65 * tile.heat, vmin=0, vmax=1)
    if tile.title.strip():
        axis.text(left, top - _GAP / 2, drawable(tile.title), fontsize=7, va="bottom")


def short(name: str, length: int = 30) -> str:
    """The end of a file's name, which tells images apart."""
    return name if len(name) <= length else "…" + name[-length + 1 :]
