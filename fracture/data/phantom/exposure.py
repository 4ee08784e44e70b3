"""From attenuation to grey values: scatter, quantum noise, tone, collimation, side marker and movement."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from fracture.data.phantom.bone import Plane


@dataclass(frozen=True)
class Style:
    """How one patient's images are exposed and developed; nothing in it depends on the label."""

    noise: float  # standard deviation in the unattenuated beam
    scatter: float  # scattered over direct radiation
    gamma: float
    sharpen: float  # strength of the usual edge enhancement
    floor: float  # grey value of the empty detector, 0 to 1
    ceiling: float  # grey value of the densest bone, 0 to 1
    slope: tuple[float, float]  # heel effect over the width and the height
    blades: tuple[float, float, float, float]  # collimator edges, share of the side, 0 for none
    blade_turn: float  # radian
    blade_grey: float
    marker: str  # letters of the side marker, empty for none
    marker_size: float


def draw_style(rng: np.random.Generator) -> Style:
    """One patient's exposure."""
    blades = rng.uniform(0.01, 0.07, 4) * (rng.random(4) < 0.7) * (rng.random() < 0.6)
    marker = str(rng.choice(["R", "L", "R", "L", "R AP", "L LAT", "DX", "SIN"])) if rng.random() < 0.65 else ""
    return Style(
        noise=float(rng.uniform(0.004, 0.014)),
        scatter=float(rng.uniform(0.05, 0.3)),
        gamma=float(rng.uniform(0.75, 1.35)),
        sharpen=float(rng.uniform(0.1, 0.7)),
        floor=float(rng.uniform(0.01, 0.13)),
        ceiling=float(rng.uniform(0.80, 1.04)),
        slope=(float(rng.normal(0.0, 0.03)), float(rng.normal(0.0, 0.03))),
        blades=(float(blades[0]), float(blades[1]), float(blades[2]), float(blades[3])),
        blade_turn=float(rng.normal(0.0, 0.012)),
        blade_grey=float(rng.uniform(0.0, 0.05) if rng.random() < 0.85 else rng.uniform(0.85, 1.0)),
        marker=marker,
        marker_size=float(rng.uniform(0.5, 0.95)),
    )


def expose(attenuation: Plane, style: Style, rng: np.random.Generator) -> npt.NDArray[np.uint8]:
    """Develop one image, grey uint8 of the attenuation's shape [height, width]."""
    beam = _shaken(np.exp(-attenuation), rng)
    seen = (beam + style.scatter * _blurred(beam, 8, 4.0)) / (1.0 + style.scatter)
    grain = rng.standard_normal(seen.shape, dtype=np.float32)
    grain = 0.55 * grain + 1.1 * cv2.GaussianBlur(grain, (0, 0), 0.9)
    seen = seen + np.float32(style.noise * rng.uniform(0.8, 1.25)) * np.sqrt(seen) * grain
    grey = _tone(-np.log(np.maximum(seen, 1e-4)), style, rng)
    _mark(grey, style, rng)
    grey = _collimate(grey, style)
    return np.asarray(np.clip(grey * 255.0, 0.0, 255.0), np.uint8)


def _blurred(plane: Plane, step: int, sigma: float) -> Plane:
    """A wide Gaussian blur, done on a plane `step` times smaller; sigma in its pixels."""
    small = cv2.resize(plane, None, fx=1.0 / step, fy=1.0 / step, interpolation=cv2.INTER_AREA)
    wide = cv2.resize(cv2.GaussianBlur(small, (0, 0), sigma), plane.shape[::-1], interpolation=cv2.INTER_LINEAR)
    return np.asarray(wide, np.float32)


def _shaken(beam: Plane, rng: np.random.Generator) -> Plane:
    """Detector blur for all, a little movement for one in six."""
    beam = np.asarray(cv2.GaussianBlur(beam, (0, 0), float(rng.uniform(0.45, 0.75))), np.float32)
    if rng.random() > 0.16:
        return beam
    angle, reach = rng.uniform(0.0, np.pi), rng.uniform(1.0, 2.0)
    dx, dy = reach * np.cos(angle), reach * np.sin(angle)
    total = np.zeros_like(beam)
    for step in (-0.5, -0.25, 0.0, 0.25, 0.5):
        move = np.array([[1, 0, step * dx], [0, 1, step * dy]], np.float64)
        total += cv2.warpAffine(beam, move, beam.shape[::-1], borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(total / 5.0, np.float32)


def _tone(density: Plane, style: Style, rng: np.random.Generator) -> Plane:
    """Density to grey: a window from the empty detector to the densest bone, gamma, edge enhancement, heel effect."""
    height, width = density.shape
    low, high = (float(value) for value in np.percentile(density[::4, ::4], [1.0, 99.6]))
    low = min(low, 0.1)
    grey = np.clip((density - low) / (high - low), 0.0, 1.15)
    grey = cv2.pow(grey, style.gamma * rng.uniform(0.93, 1.07))
    grey += np.float32(style.sharpen) * (grey - _blurred(grey, 4, 1.25))
    down = np.linspace(-style.slope[1], style.slope[1], height, dtype=np.float32)[:, None]
    ramp = down + np.linspace(-style.slope[0], style.slope[0], width, dtype=np.float32)
    return np.asarray(style.floor + (style.ceiling - style.floor) * grey + ramp, np.float32)


def _mark(grey: Plane, style: Style, rng: np.random.Generator) -> None:
    """Lay a lead letter on the emptiest corner, in place."""
    if not style.marker:
        return
    font, thick = cv2.FONT_HERSHEY_SIMPLEX, 2 if style.marker_size > 0.7 else 1
    (wide, high), _ = cv2.getTextSize(style.marker, font, style.marker_size, thick)
    height, width = grey.shape
    inset = [int(v) for v in (0.08 * np.array([width, height]) + rng.uniform(0, 0.04, 2) * np.array([width, height]))]
    corners = [(x, y) for x in (inset[0], width - inset[0] - wide) for y in (inset[1] + high, height - inset[1])]
    left, base = min(corners, key=lambda c: float(grey[c[1] - high : c[1], max(c[0], 0) : c[0] + wide].mean()))
    plate = np.zeros(grey.shape, np.uint8)
    cv2.putText(plate, style.marker, (left, base), font, style.marker_size, 255, thick, cv2.LINE_AA)
    letters = cv2.GaussianBlur(plate.astype(np.float32) / 255.0, (0, 0), 0.6)
    grey += letters * np.maximum(np.float32(rng.uniform(0.75, 1.0)) - grey, 0.0)


def _collimate(grey: Plane, style: Style) -> Plane:
    """Cover what lies outside the collimator's slightly turned rectangle."""
    if not any(style.blades):
        return grey
    height, width = grey.shape
    rows, columns = np.arange(height, dtype=np.float32)[:, None], np.arange(width, dtype=np.float32)[None, :]
    turn = np.float32(style.blade_turn)
    left, right, top, bottom = style.blades
    inside = np.ones_like(grey)
    if left:
        inside *= np.clip(columns - left * width + turn * (rows - height / 2), 0.0, 1.5) / 1.5
    if right:
        inside *= np.clip((1 - right) * width - columns - turn * (rows - height / 2), 0.0, 1.5) / 1.5
    if top:
        inside *= np.clip(rows - top * height - turn * (columns - width / 2), 0.0, 1.5) / 1.5
    if bottom:
        inside *= np.clip((1 - bottom) * height - rows + turn * (columns - width / 2), 0.0, 1.5) / 1.5
    return grey * inside + np.float32(style.blade_grey) * (1.0 - inside)
