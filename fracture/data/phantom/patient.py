"""One made-up patient: which limb, how exposed, and the break that makes the label true."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from fracture.data.phantom.breaks import Break, comminuted_break, simple_break
from fracture.data.phantom.exposure import draw_style
from fracture.data.phantom.skeleton import REGIONS, Region, Skeleton
from fracture.data.phantom.view import Patient


def draw_patient(label: str, body: np.random.Generator, injury: np.random.Generator) -> tuple[Region, Patient]:
    """Everything the patient's views share; `body` never meets the label, so the label shows in the break alone."""
    region = REGIONS[int(body.choice(len(REGIONS), p=[r.share for r in REGIONS]))]
    skeleton = _distract(region.build(body), body)
    target = str(body.choice(region.targets))
    site = float(body.uniform(*region.sites))
    long, short = int(body.integers(320, 385)), int(body.integers(256, 321))
    size = (short, long) if body.random() < 0.25 else (long, short)
    person = Patient(
        skeleton, target, site, None, draw_style(body), size,
        span=float(body.uniform(*region.span)),
        heading=float(body.normal(0.0, 0.15) + (np.pi if body.random() < 0.15 else 0.0)),
        lean=float(body.uniform(0.08, 0.35)),
    )  # fmt: skip
    return region, replace(person, injury=_injure(label, person, injury))


def _distract(skeleton: Skeleton, rng: np.random.Generator) -> Skeleton:
    """Growth plates for the young and nutrient canals for some bones, in all classes alike."""
    plate = float(rng.uniform(0.2, 1.0)) if rng.random() < 0.3 else 0.0
    size = float(rng.normal(1.0, 0.04))
    bones = tuple(
        replace(bone, shaft=bone.shaft * size, plate=plate, canal=bool(rng.random() < 0.4)) for bone in skeleton.bones
    )
    return replace(skeleton, bones=bones)


def _injure(label: str, patient: Patient, rng: np.random.Generator) -> Break | None:
    """The break that makes the label true."""
    if label == "no_fracture":
        return None
    bone = next(b for b in patient.skeleton.bones if b.name == patient.target)
    length = float(np.linalg.norm(np.subtract(bone.end, bone.start)))
    splinted = bone.name in ("radius", "ulna", "tibia", "fibula")
    draw = comminuted_break if label == "comminuted_fracture" else simple_break
    return draw(bone.shaft, length, patient.site, not splinted, rng)
