"""Made-up skeletons: an arm, a leg and a foot, with their flesh and the places a radiograph may look at."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from fracture.data.phantom.bone import Bone, Point


@dataclass(frozen=True)
class Flesh:
    """A rounded, tapering stretch of soft tissue around a segment; radii in world units."""

    start: Point
    end: Point
    radii: tuple[float, float]
    belly: float = 0.0  # how much thicker in the middle than a plain taper, world units
    follows: str | None = None


@dataclass(frozen=True)
class Skeleton:
    """Bones and flesh in world units (about 400 for a shin), before any view is taken."""

    bones: tuple[Bone, ...]
    flesh: tuple[Flesh, ...]


@dataclass(frozen=True)
class Region:
    """What is examined: the bones that may break, how much of the limb is in the picture and how it may be turned."""

    name: str
    build: Callable[[np.random.Generator], Skeleton]
    targets: tuple[str, ...]
    span: tuple[float, float]  # long side of the image in world units
    turns: tuple[float, float, float]  # the views' rotation about the limb, radian
    share: float  # of the patients
    sites: tuple[float, float] = (0.15, 0.85)  # where on the bone, share of its length


REACH = 760.0  # upper arm and thigh start this far from the joint, outside every picture
DIGITS = ("thumb", "index", "middle", "ring", "little")
TOES = ("first", "second", "third", "fourth", "fifth")


def _spread(rng: np.random.Generator, share: float) -> float:
    """A factor around 1 that differs from patient to patient."""
    return float(np.clip(rng.normal(1.0, share), 1.0 - 2.2 * share, 1.0 + 2.2 * share))


def _along(start: Point, angle: float, length: float) -> Point:
    """The point `length` away from `start`, `angle` radian off the limb's direction."""
    return (start[0] + length * float(np.sin(angle)), start[1] + length * float(np.cos(angle)), start[2])


def arm(rng: np.random.Generator) -> Skeleton:
    """Upper arm, forearm and hand."""
    reach = 250.0 * _spread(rng, 0.06)
    thick = _spread(rng, 0.10)
    bones = [
        Bone("humerus", (0, -REACH, 0), (0, -6, 0), 12.5 * thick, (25, 30), ("round", "condyles"), (0.06, 0.05), 0.5),
        Bone("radius", (14, 2, 0), (15, reach, 0), 7.6 * thick, (10.5, 18), ("cup", "flat"), (0.09, 0.16), bow=0.035),
        Bone("ulna", (-12, -20, 0), (-14, reach - 4, 2), 7.2 * thick, (14, 8.5), ("round", "round"), (0.17, 0.06)),
    ]
    flesh = [
        Flesh((0, -REACH, 0), (0, -10, 0), (66, 38), 4),
        Flesh((0, -10, 0), (0, reach * 0.55, 0), (39, 33), 7),
        Flesh((0, reach * 0.55, 0), (0, reach + 10, 0), (33, 25)),
        Flesh((-6, reach + 10, 0), (-8, reach + 95, 0), (27, 30)),
        Flesh((4, reach + 10, 0), (13, reach + 90, 0), (26, 30)),
    ]
    bones = [bones[0], *(replace(bone, follows="humerus") for bone in bones[1:])]
    flesh = [flesh[0], *(replace(part, follows="radius") for part in flesh[1:])]
    bones += [replace(bone, follows="radius") for bone in _carpals(reach, rng)]
    for ray in range(5):
        _add_ray(ray, reach, bones, flesh, rng)
    return Skeleton(tuple(bones), tuple(flesh))


def _carpals(reach: float, rng: np.random.Generator) -> list[Bone]:
    """Eight small wrist bones in two rows."""
    bones = []
    for row, (top, xs) in enumerate(((reach + 4, (20, 6, -7, -17)), (reach + 21, (22, 9, -4, -15)))):
        for x in xs:
            size = rng.uniform(6.2, 7.8)
            at = (x + rng.uniform(-1, 1), top + rng.uniform(-1.5, 1.5), rng.uniform(-5, 5))
            bones.append(_lump(f"carpal {row}{x}", at, 2.3 * size, size, rng))
    return bones


def _lump(name: str, start: Point, length: float, half: float, rng: np.random.Generator) -> Bone:
    """A short bone without a shaft: thin wall, spongy all through, no two alike."""
    end = _along(start, rng.uniform(-0.4, 0.4), length * rng.uniform(0.9, 1.1))
    heads = (half * rng.uniform(0.8, 1.1), half * rng.uniform(0.8, 1.1))
    ends = (str(rng.choice(["flat", "round", "cup"])), str(rng.choice(["flat", "round", "condyles"])))
    return Bone(
        name, start, end, half * 0.95, heads, ends, (0.3, 0.3), 0.85, cortex=0.13, spongy=0.38, uneven=0.06
    )  # fmt: skip


def _add_ray(ray: int, reach: float, bones: list[Bone], flesh: list[Flesh], rng: np.random.Generator) -> None:
    """One finger from its metacarpal to its tip, with the flesh around it."""
    angle = (0.62, 0.14, 0.01, -0.12, -0.25)[ray] + rng.uniform(-0.05, 0.05)
    start: Point = ((27, 15, 2, -9, -19)[ray], reach + (30, 42, 43, 41, 38)[ray], (-12, 0, 0, 0, 0)[ray])
    lengths = ((46, 33, 25), (69, 42, 25, 19), (66, 47, 30, 20), (60, 43, 28, 20), (55, 35, 20, 18))[ray]
    names = ("metacarpal", "proximal phalanx", "middle phalanx", "distal phalanx")
    parts = names if ray else (names[0], names[1], names[3])
    stout = (1.15, 1.0, 1.0, 0.95, 0.9)[ray] * _spread(rng, 0.06)
    previous = "radius"
    for part, base in zip(parts, lengths, strict=True):
        length = base * _spread(rng, 0.03)
        end = _along(start, angle, length)
        name = f"{part} of the {DIGITS[ray]}" + ("" if ray == 0 else " finger")
        bones.append(_tube(name, part, start, end, stout, previous))
        wide = (13.5 if part == "metacarpal" else 10.5 if part != "distal phalanx" else 9.0) * stout
        flesh.append(Flesh(start, _along(end, angle, 3.0), (wide, wide * 0.94), follows=previous))
        start = _along(end, angle, 2.6)
        angle += rng.uniform(-0.07, 0.07)
        previous = name


def _tube(name: str, part: str, start: Point, end: Point, stout: float, follows: str | None) -> Bone:
    """A short tubular bone of hand or foot."""
    shaft, heads = {
        "metacarpal": (4.3, (8.0, 8.4)),
        "metatarsal": (4.2, (8.8, 7.6)),
        "proximal phalanx": (4.2, (7.4, 6.0)),
        "middle phalanx": (3.5, (6.2, 5.0)),
        "distal phalanx": (2.6, (5.4, 3.8)),
    }[part]
    wide = (heads[0] * stout, heads[1] * stout)
    ends = (
        ("flat", "round") if part.startswith("meta") else ("cup", "condyles" if part != "distal phalanx" else "round")
    )
    return Bone(name, start, end, shaft * stout, wide, ends, (0.24, 0.20), spongy=0.36, follows=follows)


def leg(rng: np.random.Generator) -> Skeleton:
    """Thigh, shin and ankle; the foot points at the tube and so is seen from its side when the leg is turned."""
    shin = 360.0 * _spread(rng, 0.06)
    thick = _spread(rng, 0.09)
    knee = ("round", "condyles")
    bones = [
        Bone("femur", (-24, -REACH, 0), (0, -7, 0), 17 * thick, (28, 43), knee, (0.05, 0.09), 0.85, 0.01),
        Bone("tibia", (0, 3, 0), (4, shin, 0), 15.5 * thick, (41, 26), ("flat", "flat"), (0.16, 0.11), 0.8, -0.01),
        Bone("fibula", (37, 20, -32), (31, shin + 18, -22), 6.8 * thick, (11, 12), flare=(0.07, 0.09), cortex=0.5),
        replace(_lump("patella", (2, -62, 34), 42.0, 20.0, rng), spongy=0.22),
        _lump("talus", (4, shin + 5, 6), 38.0, 24.0, rng),
        _lump("calcaneus", (3, shin + 30, -26), 52.0, 20.0, rng),
        _lump("navicular", (2, shin + 30, 40), 34.0, 17.0, rng),
    ]
    for side in (-18, -6, 6, 20):
        start, end = (side, shin + 52, 66), (1.4 * side, shin + 84, 136)
        bones.append(_tube(f"metatarsal at {side}", "metatarsal", start, end, 1.1, None))
    flesh = (
        Flesh((-8, -REACH, 0), (0, -20, 0), (104, 60), 4),
        Flesh((4, -20, -6), (8, shin * 0.5, -8), (60, 52), 9),
        Flesh((8, shin * 0.5, -6), (8, shin + 8, 0), (52, 37)),
        Flesh((5, shin + 20, -6), (4, shin + 60, -24), (37, 30)),
        Flesh((4, shin + 30, 10), (2, shin + 82, 150), (36, 26)),
    )
    below_femur = tuple(replace(bone, follows="femur") for bone in bones[1:])
    below_knee = tuple(replace(part, follows="tibia") for part in flesh[1:])
    return Skeleton((bones[0], *below_femur), (flesh[0], *below_knee))


def foot(rng: np.random.Generator) -> Skeleton:
    """Midfoot, metatarsals and toes."""
    bones: list[Bone] = []
    flesh = [Flesh((0, -60, 0), (4, 20, 0), (34, 40)), Flesh((4, 20, 0), (0, 72, 0), (41, 44))]
    for name, x, y, half in (
        ("cuboid", -19, 0, 12.0), ("navicular", 14, -16, 15.0), ("calcaneus", -12, -52, 18.0), ("talus", 10, -56, 18.0),
        ("cuneiform 1", 22, 14, 9.5), ("cuneiform 2", 8, 12, 8.5), ("cuneiform 3", -5, 14, 8.5),
    ):  # fmt: skip
        bones.append(_lump(name, (x, y, rng.uniform(-5, 5)), 2.2 * half, half, rng))
    for ray in range(5):
        angle = (0.10, 0.03, -0.03, -0.10, -0.17)[ray] + rng.uniform(-0.03, 0.03)
        start: Point = ((25, 9, -4, -16, -28)[ray], (36, 33, 35, 31, 26)[ray], 0)
        previous: str | None = None
        stout = (1.55, 0.95, 0.95, 0.95, 1.0)[ray] * _spread(rng, 0.06)
        parts = ("metatarsal", "proximal phalanx", "distal phalanx")
        for part, base in zip(
            parts, ((58, 30, 22), (66, 24, 15), (63, 22, 14), (60, 20, 13), (58, 18, 12))[ray], strict=True
        ):
            end = _along(start, angle, base * _spread(rng, 0.04))
            slim = stout if part == "metatarsal" else 0.85 * stout
            name = f"{TOES[ray]} metatarsal" if part == "metatarsal" else f"{part} of the {TOES[ray]} toe"
            bones.append(_tube(name, part, start, end, slim, previous))
            wide = 14.0 if part == "metatarsal" else 10.0 * (1.3 if ray == 0 else 0.95)
            flesh.append(Flesh(start, _along(end, angle, 4.0), (wide, wide * 0.9), follows=previous))
            start, previous = _along(end, angle, 2.4), name
    return Skeleton(tuple(bones), tuple(flesh))


_HAND = tuple(f"metacarpal of the {d}{' finger' if d != 'thumb' else ''}" for d in DIGITS)
_FINGER = tuple(f"proximal phalanx of the {d} finger" for d in DIGITS[1:])
_FOOT = tuple(f"{t} metatarsal" for t in TOES)

REGIONS = (
    Region("upper arm", arm, ("humerus",), (190, 330), (0.0, 1.35, 0.7), 0.14, (0.68, 0.95)),
    Region("forearm", arm, ("radius", "ulna"), (140, 260), (0.0, 1.45, 0.7), 0.26),
    Region("hand", arm, _HAND, (80, 130), (0.0, 0.65, -0.45), 0.13),
    Region("finger", arm, _FINGER, (60, 95), (0.0, 0.7, 1.1), 0.10),
    Region("thigh", leg, ("femur",), (240, 380), (0.0, 1.45, 0.6), 0.11, (0.62, 0.93)),
    Region("lower leg", leg, ("tibia", "fibula", "tibia"), (210, 350), (0.0, 1.45, 0.6), 0.18),
    Region("foot", foot, _FOOT, (80, 130), (0.0, 0.6, -0.4), 0.08),
)
