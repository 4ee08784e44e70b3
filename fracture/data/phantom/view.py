"""One view of one patient: the skeleton is turned, broken, placed under the camera and exposed."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from fracture.data.phantom.bone import Bone, Plane, Point, lay_out
from fracture.data.phantom.breaks import Break, Fragment
from fracture.data.phantom.exposure import Style, expose
from fracture.data.phantom.skeleton import Flesh, Skeleton

Matrix = npt.NDArray[np.float64]  # 3 x 3, acts on (x, y, 1)

DETAIL = 1.1  # texture pixels per image pixel
FAT, MUSCLE = 0.0052, 0.0048  # attenuation per world unit; muscle comes on top of fat


@dataclass(frozen=True)
class Patient:
    """Everything that stays the same from view to view."""

    skeleton: Skeleton
    target: str  # the bone that is examined and, unless `injury` is None, broken
    site: float  # where on it, share of its length
    injury: Break | None
    style: Style
    size: tuple[int, int]  # height and width of the images in pixels
    span: float  # long side of the image in world units
    heading: float  # rotation of the limb in the image, radian
    lean: float  # fat over muscle, 0.1 to 0.35


def draw_view(patient: Patient, turn: float, rng: np.random.Generator) -> npt.NDArray[np.uint8]:
    """The radiograph with the limb turned by `turn` radian about its axis: grey uint8, [height, width]."""
    zoom = max(patient.size) / (patient.span * rng.uniform(0.9, 1.12))
    bones = {bone.name: bone for bone in patient.skeleton.bones}
    camera = _camera(patient, bones[patient.target], turn, zoom, rng)
    moved = _carried(patient, bones, turn)
    attenuation = _flesh(patient, turn, camera, zoom, moved, rng)
    for bone in patient.skeleton.bones:
        _add_bone(attenuation, patient, bone, turn, camera, zoom, moved.get(bone.name, np.eye(3)), rng)
    return expose(attenuation, patient.style, rng)


def _turned(point: Point, turn: float) -> Matrix:
    """The point's (x, y) after a rotation about the limb's axis."""
    return np.array([point[0] * np.cos(turn) + point[2] * np.sin(turn), point[1]])


def _rotation(angle: float) -> Matrix:
    cosine, sine = np.cos(angle), np.sin(angle)
    return np.array([[cosine, -sine, 0.0], [sine, cosine, 0.0], [0.0, 0.0, 1.0]])


def _shift(x: float, y: float) -> Matrix:
    return np.array([[1.0, 0.0, x], [0.0, 1.0, y], [0.0, 0.0, 1.0]])


def _camera(patient: Patient, bone: Bone, turn: float, zoom: float, rng: np.random.Generator) -> Matrix:
    """World to image: the examined place lies anywhere in the middle of the picture."""
    start, end = _turned(bone.start, turn), _turned(bone.end, turn)
    at = start + patient.site * (end - start)
    height, width = patient.size
    angle = patient.heading + rng.normal(0.0, 0.10)
    along, across = rng.uniform(-0.24, 0.24) * max(height, width), rng.uniform(-0.10, 0.10) * min(height, width)
    landscape = width > height
    dx, dy = (along, across) if landscape else (across, along)
    turned = _rotation(angle + (np.pi / 2 if landscape else 0.0))
    scaled = np.diag([zoom, zoom, 1.0])
    return _shift(width / 2 + dx, height / 2 + dy) @ turned @ scaled @ _shift(-at[0], -at[1])


def _frame(bone: Bone, turn: float) -> tuple[Matrix, float]:
    """From the bone's (across, along) to the world, and the bone's length as seen."""
    start, end = _turned(bone.start, turn), _turned(bone.end, turn)
    dx, dy = end - start
    length = float(np.hypot(dx, dy))
    axis = np.array([[dy / length, dx / length, start[0]], [-dx / length, dy / length, start[1]], [0, 0, 1]])
    return axis, length


def _motion(fragment: Fragment, site: float, turn: float) -> Matrix:
    """The fragment's displacement in the bone's frame, as seen from this side."""
    cosine, sine = np.cos(turn), np.sin(turn)
    along, across, depth = fragment.shift
    tilt = fragment.tilt[0] * cosine + fragment.tilt[1] * sine
    moved = _shift(across * cosine + depth * sine, along)
    return moved @ _shift(0.0, site) @ _rotation(tilt) @ _shift(0.0, -site)


def _carried(patient: Patient, bones: dict[str, Bone], turn: float) -> dict[str, Matrix]:
    """The world motion of each bone that hangs on a displaced fragment, by the bone's name."""
    carrier = next((f for f in patient.injury.fragments if f.carries), None) if patient.injury else None
    if carrier is None:
        return {}
    frame, length = _frame(bones[patient.target], turn)
    motion = frame @ _motion(carrier, patient.site * length, turn) @ np.linalg.inv(frame)
    moved: dict[str, Matrix] = {}
    for bone in patient.skeleton.bones:
        if bone.follows is not None and (bone.follows == patient.target or bone.follows in moved):
            moved[bone.name] = motion
    return moved


def _add_bone(
    attenuation: Plane,
    patient: Patient,
    bone: Bone,
    turn: float,
    camera: Matrix,
    zoom: float,
    motion: Matrix,
    rng: np.random.Generator,
) -> None:
    """Add one bone, whole or in pieces, to the attenuation in place."""
    frame, length = _frame(bone, turn)
    placed = camera @ motion @ frame
    seen = _in_sight(placed, length, max(*bone.heads, bone.shaft), attenuation.shape)
    if seen is None:
        return
    texture = lay_out(bone, length, seen, turn, DETAIL * zoom, rng)
    pixels = texture.to_bone()
    if patient.injury is None or bone.name != patient.target:
        _paste(attenuation, texture.density, placed @ pixels)
        return
    site = patient.site * length
    for fragment in patient.injury.fragments:
        part = texture.density * fragment.mask(texture, site, turn)
        _paste(attenuation, part, placed @ _motion(fragment, site, turn) @ pixels)


def _in_sight(placed: Matrix, length: float, half: float, shape: tuple[int, ...]) -> tuple[float, float] | None:
    """The stretch of the bone (world units from its start) that can fall into the image, or None."""
    height, width = shape
    corners = np.array([[0.0, 0.0, 1.0], [width, 0.0, 1.0], [0.0, height, 1.0], [width, height, 1.0]]).T
    across, along, _ = np.linalg.inv(placed) @ corners
    reach = 1.3 * half
    low, high = float(along.min()) - reach, float(along.max()) + reach  # a displaced fragment may come from outside
    if across.min() > reach or across.max() < -reach or low > length or high < 0.0:
        return None
    return low, high


def _paste(attenuation: Plane, part: Plane, matrix: Matrix) -> None:
    """Warp one texture into the image and add it there, in place."""
    attenuation += cv2.warpAffine(part, matrix[:2], attenuation.shape[::-1], flags=cv2.INTER_LINEAR)


def _flesh(
    patient: Patient, turn: float, camera: Matrix, zoom: float, moved: dict[str, Matrix], rng: np.random.Generator
) -> Plane:
    """Attenuation of skin, fat and muscle, drawn at half size since all of it is smooth; [height, width]."""
    height, width = patient.size
    small = ((height + 1) // 2, (width + 1) // 2)
    rows = (np.arange(small[0], dtype=np.float32) * 2.0 + 0.5)[:, None]
    columns = (np.arange(small[1], dtype=np.float32) * 2.0 + 0.5)[None, :]
    skin, muscle = np.zeros(small, np.float32), np.zeros(small, np.float32)
    for part in patient.skeleton.flesh:
        view = camera @ moved.get(part.follows or "", np.eye(3))
        around = _around(part, turn, view, zoom, rows, columns)
        if around is None:
            continue
        square, radius = around
        skin = np.maximum(skin, 2.0 * np.sqrt(np.maximum(radius**2 - square, 0.0)) / zoom)
        core = radius * (1.0 - patient.lean)
        muscle = np.maximum(muscle, 2.0 * np.sqrt(np.maximum(core**2 - square, 0.0)) / zoom)
    muscle = cv2.GaussianBlur(muscle, (0, 0), 1.5) * _fibres(small, rng)
    total = FAT * cv2.GaussianBlur(skin, (0, 0), 0.7) + MUSCLE * muscle
    total = total + _folds(camera, small, rng) * (skin > 0)
    return np.asarray(cv2.resize(total, (width, height), interpolation=cv2.INTER_LINEAR), np.float32)


def _around(
    part: Flesh, turn: float, view: Matrix, zoom: float, rows: Plane, columns: Plane
) -> tuple[Plane, Plane] | None:
    """Squared distance to the part's axis and the part's radius there, in image pixels; None if out of sight."""
    start = view @ np.append(_turned(part.start, turn), 1.0)
    end = view @ np.append(_turned(part.end, turn), 1.0)
    left, top = float(start[0]), float(start[1])
    dx, dy = float(end[0]) - left, float(end[1]) - top
    most = zoom * (max(part.radii) + part.belly)
    if max(left, left + dx) + most < 0 or min(left, left + dx) - most > columns[0, -1]:
        return None
    if max(top, top + dy) + most < 0 or min(top, top + dy) - most > rows[-1, 0]:
        return None
    place = np.clip((columns - left) * (dx / (dx * dx + dy * dy)) + (rows - top) * (dy / (dx * dx + dy * dy)), 0.0, 1.0)
    square = (columns - left - place * dx) ** 2 + (rows - top - place * dy) ** 2
    radius = part.radii[0] + (part.radii[1] - part.radii[0] + part.belly * 4.0 * (1.0 - place)) * place
    return np.asarray(square, np.float32), np.asarray(radius * zoom, np.float32)


def _fibres(shape: tuple[int, int], rng: np.random.Generator) -> Plane:
    """Uneven muscle around 1."""
    coarse = rng.standard_normal((shape[0] // 8 + 2, shape[1] // 8 + 2), dtype=np.float32)
    smooth = cv2.resize(cv2.GaussianBlur(coarse, (0, 0), 1.2), shape[::-1], interpolation=cv2.INTER_CUBIC)
    return np.asarray(1.0 + 0.16 * smooth, np.float32)


def _folds(camera: Matrix, shape: tuple[int, int], rng: np.random.Generator) -> Plane:
    """Up to three skin folds: soft curved lines across the limb, brighter or darker than what is around them."""
    lines = np.zeros(shape, np.float32)
    for _ in range(int(rng.integers(0, 4))):
        middle = rng.uniform(0.1, 0.9, 2) * (shape[1], shape[0])
        angle = np.arctan2(camera[1, 0], camera[0, 0]) + rng.normal(0.0, 0.35)
        reach = rng.uniform(0.15, 0.4) * min(shape)
        bend = rng.uniform(-0.25, 0.25) * reach
        step = np.linspace(-1.0, 1.0, 15)
        x = middle[0] + reach * step * np.cos(angle) - bend * step**2 * np.sin(angle)
        y = middle[1] + reach * step * np.sin(angle) + bend * step**2 * np.cos(angle)
        points = np.stack([x, y], 1).round().astype(np.int32)
        depth = float(rng.choice([-1.0, 1.0]) * rng.uniform(0.03, 0.11))
        cv2.polylines(lines, [points], isClosed=False, color=depth, thickness=1, lineType=cv2.LINE_8)
    return np.asarray(cv2.GaussianBlur(lines, (0, 0), 0.9), np.float32)
