"""How every figure looks: colours that colour-blind people tell apart (Okabe and Ito 2008), readable in print."""

import functools
import io
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib import font_manager
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.image import imsave

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#F0E442")
_WIDE_FONTS = (
    "Noto Sans CJK SC", "Noto Sans CJK JP", "Noto Sans CJK KR", "Noto Sans SC", "WenQuanYi Zen Hei",
    "Droid Sans Fallback", "PingFang SC", "Hiragino Sans", "Microsoft YaHei", "Malgun Gothic", "Arial Unicode MS",
    "Noto Sans Devanagari", "Noto Sans Thai", "Noto Sans Arabic",
)  # fmt: skip
GREY = "#888888"
_STYLE: dict[Any, Any] = {
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#e5e5e5",
    "grid.linewidth": 0.6,
    "axes.axisbelow": True,
    "legend.frameon": False,
    "legend.fontsize": 8,
    "figure.constrained_layout.use": True,
    "savefig.dpi": 110,
}


@contextmanager
def styled() -> Iterator[None]:
    """Figures drawn inside look alike, whatever the user's own settings."""
    with mpl.rc_context(_STYLE | {"font.family": list(_fonts())}):
        yield


def figure(columns: int = 1, rows: int = 1, width: float = 4.6, height: float = 3.6) -> tuple[Figure, list[Axes]]:
    """A figure and its axes, row by row; ``width`` and ``height`` in inches are those of one of them."""
    made = Figure(figsize=(columns * width, rows * height), layout="constrained")
    axes = made.subplots(rows, columns, squeeze=False)
    return made, list(axes.flat)


def png(figure: Figure) -> bytes:
    """A figure as PNG, the same as that of `savefig`, which draws twice: once more to lay it out before."""
    canvas, buffer = FigureCanvasAgg(figure), io.BytesIO()
    canvas.draw()  # type: ignore[no-untyped-call]
    imsave(buffer, np.asarray(canvas.buffer_rgba()), format="png", dpi=figure.dpi)  # type: ignore[no-untyped-call]
    return buffer.getvalue()


def colour(number: int) -> str:
    """The colour of the class or model of that number."""
    return COLOURS[number % len(COLOURS)]


def plain(name: str) -> str:
    """A class or metric name as a person writes it."""
    return drawable(name.replace("_", " "))


def drawable(text: str) -> str:
    """A text with an escape for each character that no font here can draw, and for what would begin a formula."""
    known = _glyphs() | {ord("\n")}
    drawn = (one if ord(one) in known else one.encode("unicode_escape").decode() for one in text)
    return "".join(drawn).replace("$", r"\$")


@functools.cache
def _fonts() -> tuple[str, ...]:
    """Matplotlib's own font, then what is installed of those that have the characters of most languages."""
    installed = {font.name for font in font_manager.fontManager.ttflist}
    return ("DejaVu Sans", *(name for name in _WIDE_FONTS if name in installed))


@functools.cache
def _glyphs() -> frozenset[int]:
    """Code points that the fonts can draw."""
    paths = [font_manager.findfont(name, fallback_to_default=False) for name in _fonts()]
    return frozenset(code for path in paths for code in font_manager.get_font(path).get_charmap())
