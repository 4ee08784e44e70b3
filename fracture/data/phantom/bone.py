"""One bone as a tube with a bright wall and a spongy core, laid out straight before it is placed in the image."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

Plane = npt.NDArray[np.float32]
Point = tuple[float, float, float]

MARGIN = 6  # texture pixels left free around a bone, so that warping never cuts its edge
WALL_DENSITY = 0.050  # attenuation of cortex per world unit of path; everything else is relative to it
# How each kind of joint surface ends: roundness and depth of the notch, both in half-widths of the head.
ENDS: dict[str, tuple[float, float]] = {
    "round": (0.90, 0.0),
    "flat": (0.22, 0.03),
    "condyles": (0.55, 0.28),
    "cup": (0.10, 0.10),
}


@dataclass(frozen=True)
class Bone:
    """A long bone from `start` to `end` (world units, y runs from the trunk outwards, z towards the tube)."""

    name: str
    start: Point
    end: Point
    shaft: float  # half-width in the middle
    heads: tuple[float, float]  # half-widths at start and end
    ends: tuple[str, str] = ("round", "round")
    flare: tuple[float, float] = (0.16, 0.16)  # share of the length over which a head narrows to the shaft
    flat: float = 0.8  # depth of the heads over their width
    bow: float = 0.0  # sideways bend in the middle, share of the length
    cortex: float = 0.34  # wall thickness over half-width in the middle
    spongy: float = 0.40  # density of the core in the heads over that of the wall
    plate: float = 0.0  # 0 a grown-up, 1 a wide open growth plate at the wider head
    uneven: float = 0.02  # how far the outline strays from the ideal, share of the half-width
    canal: bool = False  # a nutrient canal: a thin dark oblique line that is no fracture
    follows: str | None = None  # the bone that carries this one along when it breaks


@dataclass(frozen=True)
class Texture:
    """A bone in its own frame, rows along it and columns across; every plane is [rows, columns]."""

    density: Plane  # attenuation
    along: Plane  # world units from the bone's start, [rows, 1]
    angle: Plane  # angle around the axis of the front wall seen at this pixel, -pi/2 to pi/2
    half_width: Plane  # world units, [rows, 1]
    centre: Plane  # sideways offset of the axis in world units, [rows, 1]
    scale: float  # texture pixels per world unit
    origin: float  # distance of the first row from the bone's start, world units

    def to_bone(self) -> npt.NDArray[np.float64]:
        """The 3 x 3 matrix from (column, row) to (across, along) in world units."""
        columns = self.density.shape[1]
        step = 1.0 / self.scale
        return np.array([[step, 0, -0.5 * (columns - 1) * step], [0, step, self.origin], [0, 0, 1]])


def _chord(x: Plane) -> Plane:
    """Half the path through a unit circle at distance x from its centre."""
    path: Plane = np.sqrt(np.maximum(np.float32(1.0) - x * x, np.float32(0.0)))
    return path


def _surface(kind: str, x: Plane, head: float) -> Plane:
    """How far the joint surface lies inside the bone's full length, over x from -1 to 1, in world units."""
    roundness, notch = ENDS[kind]
    depth: Plane = np.float32(head * roundness) * (1.0 - _chord(x * 0.98))
    return depth + np.float32(head * notch) * np.exp(-((x / 0.4) ** 2)) if notch else depth


def _profile(bone: Bone, length: float, along: Plane, turn: float) -> tuple[Plane, Plane, Plane, Plane]:
    """Half-width, half-depth, nearness to either head (0 to 1) and axis offset along the bone."""
    u = np.clip(along / length, 0.0, 1.0)
    near = [np.exp(-((u / bone.flare[0]) ** 2)), np.exp(-(((1.0 - u) / bone.flare[1]) ** 2))]
    seen = float(np.hypot(np.cos(turn), bone.flat * np.sin(turn)))
    deep = float(np.hypot(np.sin(turn), bone.flat * np.cos(turn)))
    width = bone.shaft + sum((head * seen - bone.shaft) * k for head, k in zip(bone.heads, near, strict=True))
    depth = bone.shaft + sum((head * deep - bone.shaft) * k for head, k in zip(bone.heads, near, strict=True))
    wobble = sum(
        np.sin(along * np.float32(k / bone.shaft) + np.float32(2.0 * k * bone.shaft)) for k in (0.45, 0.8, 1.3)
    )
    width = width * (1.0 + np.float32(0.7 * bone.uneven) * wobble)
    centre = float(bone.bow * np.cos(turn) * length * 4.0) * u * (1.0 - u)
    return width, depth, np.maximum(near[0], near[1]), centre


def _solid(x: Plane, depth: Plane, ends: tuple[Plane, Plane], caps: tuple[float, float]) -> Plane:
    """Path length through a tube whose ends are rounded over `caps` world units."""
    path = 2.0 * depth * _chord(x)
    for distance, cap in zip(ends, caps, strict=True):
        if float(distance.min()) < cap:
            path = path * _chord(1.0 - np.clip(distance / cap, 0.0, 1.0))
    return path


def _sponge(shape: tuple[int, int], scale: float, rng: np.random.Generator) -> Plane:
    """Trabecular texture around 1: noise drawn out along the bone."""
    fine = cv2.GaussianBlur(rng.standard_normal(shape, dtype=np.float32), (0, 0), sigmaX=0.7, sigmaY=1.8)
    small = (int(shape[0] / (8.0 + 1.5 * scale)) + 2, int(shape[1] / (4.0 + 0.6 * scale)) + 2)
    coarse = cv2.resize(rng.standard_normal(small, dtype=np.float32), shape[::-1], interpolation=cv2.INTER_CUBIC)
    return np.asarray(np.maximum(1.0 + 0.36 * fine + 0.08 * coarse, 0.2), np.float32)


def _growth_plate(bone: Bone, along: Plane, x: Plane, length: float, scale: float) -> Plane:
    """Factor on the density: a wavy dark line with bright lips across the wider head of a child's bone."""
    head = max(bone.heads)
    at_start = bone.heads[0] >= bone.heads[1]
    distance = along if at_start else length - along
    offset = distance - 0.62 * head - 0.06 * head * np.cos(3.0 * x)
    width = np.float32(max(0.045 * head * bone.plate, 0.8 / scale))
    dark = np.exp(-((offset / width) ** 2))
    lips = np.exp(-(((np.abs(offset) - 2.2 * width) / width) ** 2))
    factor: Plane = 1.0 - 0.6 * min(1.0, 0.4 + bone.plate) * dark + 0.16 * lips
    return factor


def _canal(along: Plane, across: Plane, bone: Bone, length: float, scale: float, rng: np.random.Generator) -> Plane:
    """Factor on the density: a short smooth dark line that runs obliquely through one side of the shaft."""
    middle = length * rng.uniform(0.3, 0.65)
    half = bone.shaft * rng.uniform(0.6, 1.2)
    slope = float(rng.choice([-1.0, 1.0])) * rng.uniform(0.2, 0.5)
    offset = (across - bone.shaft * rng.uniform(-0.6, 0.6)) - slope * (along - middle)
    width = max(0.05 * bone.shaft, 0.7 / scale)
    fade = np.clip((half - np.abs(along - middle)) / (0.4 * half), 0.0, 1.0)
    factor: Plane = 1.0 - rng.uniform(0.15, 0.32) * np.exp(-((offset / width) ** 2)) * fade
    return factor


def lay_out(
    bone: Bone, length: float, seen: tuple[float, float], turn: float, scale: float, rng: np.random.Generator
) -> Texture:
    """The attenuation of the stretch `seen` of `bone`, which is `length` long and turned by `turn` radian."""
    reach = max(bone.shaft, *bone.heads) + abs(bone.bow) * length
    origin = max(seen[0], 0.0) - MARGIN / scale
    rows = int((min(seen[1], length) - origin) * scale) + MARGIN
    columns = int(2 * reach * scale) + 2 * MARGIN
    along = (np.arange(rows, dtype=np.float32) / np.float32(scale) + np.float32(origin))[:, None]
    across = ((np.arange(columns, dtype=np.float32) - 0.5 * (columns - 1)) / np.float32(scale))[None, :]
    width, depth, near, centre = _profile(bone, length, along, turn)
    x = (across - centre) / width
    ends = (along - _surface(bone.ends[0], x, bone.heads[0]), length - along - _surface(bone.ends[1], x, bone.heads[1]))
    caps = tuple(max(0.3, ENDS[kind][0]) * head for kind, head in zip(bone.ends, bone.heads, strict=True))
    wall = np.maximum(bone.cortex * bone.shaft * (1.0 - 0.86 * near), 0.6 / scale)
    outer = _solid(x, depth, ends, (caps[0], caps[1]))
    inner_x = (across - centre) / np.maximum(width - wall, 0.1)
    shell = max(0.09 * bone.shaft, 0.8 / scale)
    inner = _solid(inner_x, np.maximum(depth - wall, 0.1), (ends[0] - shell, ends[1] - shell), (caps[0], caps[1]))
    core = (0.10 + (bone.spongy - 0.10) * near) * _sponge((rows, columns), scale, rng)
    density = np.maximum(outer - inner, 0.0) + core * inner
    if bone.plate > 0.0:
        density = density * _growth_plate(bone, along, x, length, scale)
    if bone.canal:
        density = density * _canal(along, across - centre, bone, length, scale, rng)
    angle = np.arcsin(np.clip(x, -1.0, 1.0)).astype(np.float32)
    density = (WALL_DENSITY * density).astype(np.float32)
    return Texture(density, along, angle, width.astype(np.float32), centre.astype(np.float32), scale, origin)
