"""Fractures as surfaces around a bone's axis: what is cut from what, and how far the pieces have moved."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from fracture.data.phantom.bone import Plane, Texture

Table = npt.NDArray[np.float64]  # a value for each of STEPS angles around the bone

STEPS = 96
ANGLES: Table = np.linspace(0.0, 2.0 * np.pi, STEPS, endpoint=False)


@dataclass(frozen=True)
class Fragment:
    """What lies between two surfaces (None: the bone's own end), over the whole way round or one arc of it."""

    lower: Table | None  # distance from the site along the bone, world units
    upper: Table | None
    arc: tuple[float, float] | None = None  # middle and half-width, radian
    shift: tuple[float, float, float] = (0.0, 0.0, 0.0)  # along, across, towards the tube, world units
    tilt: tuple[float, float] = (0.0, 0.0)  # rotation in and out of the plane at turn 0, radian
    carries: bool = False  # the bones beyond this one move with the fragment

    def mask(self, texture: Texture, site: float, turn: float) -> Plane:
        """The share of every pixel's density that belongs to this fragment, 0 to 1, [rows, columns]."""
        front = self._half(texture, site, texture.angle + np.float32(turn))
        back = self._half(texture, site, np.float32(np.pi + turn) - texture.angle)
        return 0.5 * (front + back)

    def _half(self, texture: Texture, site: float, angle: Plane) -> Plane:
        share: Plane = np.ones_like(texture.density)
        along = texture.along - np.float32(site)
        if self.lower is not None:
            share *= _beyond(self.lower, along, angle, texture.scale)
        if self.upper is not None:
            share *= 1.0 - _beyond(self.upper, along, angle, texture.scale)
        if self.arc is not None:
            middle, half = self.arc
            off = np.abs(np.mod(angle - np.float32(middle - np.pi), np.float32(2.0 * np.pi)) - np.float32(np.pi))
            share *= _ramp((np.float32(half) - off) * texture.half_width, texture.scale)
        return share


@dataclass(frozen=True)
class Break:
    """One bone's fracture: its words for the description, where it sits and the pieces it leaves."""

    words: str
    site: float  # share of the bone's length
    fragments: tuple[Fragment, ...]


def _beyond(table: Table, along: Plane, angle: Plane, scale: float) -> Plane:
    """1 on the far side of the surface, 0 on the near side; only the rows that it crosses are computed in full."""
    share = np.broadcast_to((along > 0.5 * (table.min() + table.max())).astype(np.float32), angle.shape).copy()
    rows = np.flatnonzero((along[:, 0] > table.min() - 2.0 / scale) & (along[:, 0] < table.max() + 2.0 / scale))
    if rows.size:
        near = slice(int(rows[0]), int(rows[-1]) + 1)
        share[near] = _ramp(along[near] - _look_up(table, angle[near]), scale)
    return share


def _look_up(table: Table, angle: Plane) -> Plane:
    """The table's value at every angle, linear between its entries and periodic."""
    place = np.mod(angle * np.float32(STEPS / (2.0 * np.pi)), np.float32(STEPS))
    low = np.minimum(place.astype(np.intp), STEPS - 1)
    values = table.astype(np.float32)
    rise = np.roll(values, -1) - values
    found: Plane = values[low] + (place - low.astype(np.float32)) * rise[low]
    return found


def _ramp(distance: Plane, scale: float) -> Plane:
    """1 inside, 0 outside, and a ramp one texture pixel wide between them."""
    ramp: Plane = np.clip(distance * np.float32(scale) + np.float32(0.5), 0.0, 1.0)
    return ramp


def _ragged(rng: np.random.Generator, size: float) -> Table:
    """A periodic rough edge of about `size` world units."""
    edge = np.zeros(STEPS)
    for wave in (3, 5, 8, 13, 21):
        edge += np.sin(wave * ANGLES + rng.uniform(0.0, 2.0 * np.pi)) * rng.uniform(0.4, 1.0) / wave**0.6
    return size * edge


def _line(kind: str, shaft: float, rng: np.random.Generator) -> Table:
    """The surface of one fracture line around the bone, in world units from its site."""
    start = rng.uniform(0.0, 2.0 * np.pi)
    rough = _ragged(rng, shaft * rng.uniform(0.04, 0.10))
    if kind == "oblique":
        return shaft * rng.uniform(0.7, 1.6) * np.sin(ANGLES + start) + rough
    if kind == "spiral":
        climb = np.mod(ANGLES + start, 2.0 * np.pi) / (2.0 * np.pi) - 0.5
        return float(rng.choice([-1.0, 1.0])) * shaft * rng.uniform(3.0, 5.0) * climb + 0.5 * rough
    lean = rng.uniform(0.0, 0.25) * shaft
    return lean * np.sin(ANGLES + start) + rough


def _gap(kind: str, shaft: float, rng: np.random.Generator) -> Table:
    """Width of the line around the bone; a hairline fades out on its way round."""
    if kind != "hairline":
        return np.full(STEPS, shaft * rng.uniform(0.09, 0.22))
    reach = np.cos(ANGLES - rng.uniform(0.0, 2.0 * np.pi)) + rng.uniform(0.1, 0.9)
    return shaft * rng.uniform(0.10, 0.16) * np.clip(2.0 * reach, 0.0, 1.0)


def _moved(shaft: float, lever: float, free: bool, rng: np.random.Generator) -> Fragment:
    """The outer part of a displaced bone. Where a second bone splints it (`free` is false) its far end stays put."""
    way = rng.uniform(0.0, 2.0 * np.pi)
    slip = shaft * rng.uniform(0.25, 1.1)
    most = 0.25 if free else min(0.2, 0.8 * shaft / max(lever, 1.0))
    tilt = rng.uniform(-most, most, 2)
    shift = (shaft * rng.uniform(-0.6, 0.25), slip * np.cos(way), slip * np.sin(way))
    return Fragment(None, None, None, shift, (float(tilt[0]), float(tilt[1])), free)


def simple_break(shaft: float, length: float, site: float, free: bool, rng: np.random.Generator) -> Break:
    """Two fragments along one line: transverse, oblique, spiral or hairline; displaced about every other time."""
    kind = str(rng.choice(["transverse", "oblique", "spiral", "hairline"], p=[0.3, 0.3, 0.2, 0.2]))
    line, half = _line(kind, shaft, rng), 0.5 * _gap(kind, shaft, rng)
    moves = kind != "hairline" and rng.random() < 0.6
    outer = _moved(shaft, length * (1.0 - site), free, rng) if moves else Fragment(None, None)
    fragments = (
        Fragment(None, line - half),
        Fragment(line + half, None, None, outer.shift, outer.tilt, outer.carries),
    )
    return Break(f"{kind} fracture of the {{}}, {'displaced' if moves else 'undisplaced'}", site, fragments)


def comminuted_break(shaft: float, length: float, site: float, free: bool, rng: np.random.Generator) -> Break:
    """Three to eight fragments: a wedge out of one side, or one or two zones of several pieces between the ends."""
    half = 0.5 * float(_gap("transverse", shaft, rng)[0])
    outer = _moved(shaft, length * (1.0 - site), free, rng)
    if rng.random() < 0.3:
        words, levels, pieces = "wedge", *_wedge(shaft, half, rng)
    else:
        words, levels, pieces = "multifragmentary", *_zones(shaft, half, rng)
    last = Fragment(levels[-1] + half, None, None, outer.shift, outer.tilt, outer.carries)
    fragments = (Fragment(None, levels[0] - half), *pieces, last)
    return Break(f"{words} fracture of the {{}}, {len(fragments)} fragments", site, fragments)


def _wedge(shaft: float, half: float, rng: np.random.Generator) -> tuple[list[Table], list[Fragment]]:
    """Two surfaces that part on one side of the bone and meet on the other, and the piece between them."""
    middle = rng.uniform(0.0, 2.0 * np.pi)
    side = np.maximum(np.cos(ANGLES - middle), 0.0)
    base = 0.4 * _line("oblique", shaft, rng)
    low, high = base - shaft * rng.uniform(0.8, 1.6) * side, base + shaft * rng.uniform(0.8, 1.6) * side
    return [low, high], [_sprung(low + half, high - half, (middle, 0.5 * np.pi), shaft * rng.uniform(0.2, 0.8), rng)]


def _zones(shaft: float, half: float, rng: np.random.Generator) -> tuple[list[Table], list[Fragment]]:
    """Two or three rough surfaces, one beyond the other, and two or three pieces in each zone between them."""
    levels = _levels(shaft, rng)
    spread = shaft * rng.uniform(0.2, 0.8)
    pieces = []
    for low, high in pairwise(levels):
        widths = rng.uniform(0.6, 1.4, int(rng.integers(2, 4)))
        widths *= np.pi / widths.sum()
        edges = rng.uniform(0.0, 2.0 * np.pi) + 2.0 * np.cumsum(widths)
        arcs = [(float(edge - width), float(width) - 0.04) for edge, width in zip(edges, widths, strict=True)]
        pieces += [_sprung(low + half, high - half, arc, spread, rng) for arc in arcs]
    return levels, pieces


def _sprung(low: Table, high: Table, arc: tuple[float, float], spread: float, rng: np.random.Generator) -> Fragment:
    """A piece of the wall that has moved outwards by about `spread` world units and tilted."""
    out = spread * rng.uniform(0.4, 1.2)
    shift = (0.3 * spread * rng.uniform(-1.0, 1.0), out * float(np.sin(arc[0])), out * float(np.cos(arc[0])))
    return Fragment(low, high, arc, shift, (rng.uniform(-0.3, 0.3), rng.uniform(-0.3, 0.3)))


def _levels(shaft: float, rng: np.random.Generator) -> list[Table]:
    """Two or three rough surfaces, one above the other."""
    count = int(rng.integers(2, 4))
    levels = [0.6 * _line("oblique", shaft, rng)]
    for _ in range(count - 1):
        step = shaft * rng.uniform(0.9, 1.9)
        rough = _ragged(rng, 0.12 * shaft) + 0.5 * _line("oblique", shaft, rng)
        levels.append(levels[-1] + np.maximum(step + rough, 0.25 * shaft))
    middle = 0.5 * (levels[0].mean() + levels[-1].mean())
    return [level - middle for level in levels]
