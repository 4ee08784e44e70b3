"""The built-in demo set: synthetic radiographs of made-up patients, drawn from a seed. No image shows a real person."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import numpy as np
import numpy.typing as npt
from filelock import FileLock
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from fracture.data.inspection.pool import workers_of
from fracture.data.phantom.patient import draw_patient
from fracture.data.phantom.view import draw_view
from fracture.errors import ConfigError, DataError
from fracture.failures import require_space
from fracture.files import located, replacing, write_json

VERSION: int = 1
CLASSES: tuple[str, ...] = ("comminuted_fracture", "no_fracture", "simple_fracture")
_BYTES = 60_000  # of an image, a little more than on average
MIN_IMAGES = 27  # three patients a class at up to three views each: one for every split
NOTICE = "synthetic radiograph, not a patient"
COLUMNS = ("path", "label", "group", "source", "description")
RECORD = "demo.json"

Record = dict[str, str | int]


@dataclass(frozen=True)
class DemoImage:
    """One rendered image and what was drawn."""

    pixels: npt.NDArray[np.uint8]  # grey, [height, width]
    label: str
    patient: str
    view: int
    description: str


def render_patient(seed: int, patient: int) -> list[DemoImage]:
    """All two or three views of made-up patient number `patient`; the same for a seed whatever else is rendered.

    Raises:
        ConfigError: a negative seed or patient.
    """
    return _render(seed, patient, _views(seed, patient))


def _views(seed: int, patient: int) -> int:
    """How many views; the three patients in a row that have the three classes get the same number."""
    if seed < 0 or patient < 0:
        raise ConfigError(f"seed={seed}, patient={patient}: both must be 0 or more.")
    return int(np.random.default_rng([seed, patient // len(CLASSES), 1]).integers(2, 4))


def _render(seed: int, patient: int, views: int) -> list[DemoImage]:
    """The first `views` views of a patient. What the label changes has its own generator, so nothing else can tell."""
    label = CLASSES[patient % len(CLASSES)]
    body, injury, *eyes = np.random.default_rng([seed, patient]).spawn(2 + views)
    region, person = draw_patient(label, body, injury)
    words = "no fracture" if person.injury is None else person.injury.words.format(person.target)
    images = []
    for view, rng in enumerate(eyes):
        turn = region.turns[view] + float(rng.normal(0.0, 0.12))
        pixels = draw_view(person, turn, rng)
        images.append(DemoImage(pixels, label, f"demo-{patient:05d}", view, f"{region.name}, {words}"))
    return images


def write_demo(folder: Path, images: int, seed: int, progress: Callable[[int], None] | None = None) -> Path:
    """Render exactly `images` images to `folder`/<label>/<patient>_view<k>.png and list them in its manifest.csv.

    The set is built in a temporary folder beside and renamed when complete, so a reader sees all of it or nothing, and
    of two processes the second waits for the first. A complete folder is returned as it is, a damaged one built again.

    Args:
        folder: where the set goes; only this function should write there.
        images: how many; patients are rendered whole, in order, and the last one is cut short.
        seed: 0 or more; the same seed gives the same images whatever their number.
        progress: called in this thread with the number of images written so far.

    Returns:
        The path of manifest.csv (columns path, label, group, source, description).

    Raises:
        ConfigError: too few images, or a negative seed.
        DataError: `folder` holds something else.
    """
    if images < MIN_IMAGES:
        raise ConfigError(
            f"demo_images={images}: at least {MIN_IMAGES} are needed, three patients a class, one for each split."
        )
    if seed < 0:
        raise ConfigError(f"seed={seed}: must be 0 or more.")
    record: Record = {"notice": NOTICE, "version": VERSION, "seed": seed, "images": images}
    folder = folder.absolute()
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(folder.with_name(f".{folder.name}.lock")):
        if not _is_complete(folder, record):
            _build(folder, record, progress)
    return folder / "manifest.csv"


def _is_complete(folder: Path, record: Record) -> bool:
    """Whether `folder` holds just this set with all its files; an absent, empty or damaged one is False."""
    if not folder.is_dir() or not any(folder.iterdir()):
        return False
    if _read_record(folder) != record:
        wanted = f"demo set of {record['images']} images with seed {record['seed']}, version {record['version']}"
        raise DataError(f"{folder} holds something else than the {wanted}.", "Choose another folder or remove it.")
    try:
        with (folder / "manifest.csv").open(newline="", encoding="utf-8") as file:
            paths = [folder / row["path"] for row in csv.DictReader(file)]
    except (OSError, KeyError, UnicodeDecodeError, csv.Error):
        return False
    return len(paths) == record["images"] and all(path.is_file() and path.stat().st_size > 0 for path in paths)


def _read_record(folder: Path) -> object:
    """What the folder's record says it holds, None without a readable one."""
    try:
        return json.loads((folder / RECORD).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def _build(folder: Path, record: Record, progress: Callable[[int], None] | None) -> None:
    """Render to a temporary sibling and rename it to `folder`; what is damaged or left by a killed process goes."""
    work, damaged = folder.with_name(f".{folder.name}.part"), folder.with_name(f".{folder.name}.damaged")
    for leftover in (work, damaged):
        if leftover.exists():
            shutil.rmtree(leftover)
    require_space(folder.parent, int(record["images"]) * _BYTES, "demo images")
    work.mkdir()
    try:
        with located(folder):
            rows = _write_images(work, int(record["seed"]), int(record["images"]), progress)
            _write_manifest(work / "manifest.csv", rows)
            write_json(work / RECORD, record)
        if folder.exists():
            folder.rename(damaged)
        work.rename(folder)
    finally:
        for leftover in (work, damaged):
            shutil.rmtree(leftover, ignore_errors=True)


def _plan(seed: int, images: int) -> Iterator[tuple[int, int]]:
    """Each patient's number and how many of the views to draw, until there are `images`."""
    for patient in count():
        views = min(_views(seed, patient), images)
        yield patient, views
        images -= views
        if images == 0:
            return


def _write_images(folder: Path, seed: int, images: int, progress: Callable[[int], None] | None) -> list[list[str]]:
    """Render and save in threads (numpy and OpenCV free the interpreter); the manifest's rows, in patient order."""
    for label in CLASSES:
        (folder / label).mkdir()
    rows: dict[int, list[list[str]]] = {}
    done = 0
    with ThreadPoolExecutor(workers_of("auto")) as pool:  # beyond eight the interpreter is the limit
        jobs = {pool.submit(_write_patient, folder, seed, *task): task[0] for task in _plan(seed, images)}
        try:
            for job in as_completed(jobs):
                rows[jobs[job]] = job.result()
                done += len(rows[jobs[job]])
                if progress is not None:
                    progress(done)
        except BaseException:
            pool.shutdown(wait=True, cancel_futures=True)
            raise
    return [row for patient in sorted(rows) for row in rows[patient]]


def _write_patient(folder: Path, seed: int, patient: int, views: int) -> list[list[str]]:
    """Save one patient's images; a manifest row for each."""
    note = PngInfo()
    note.add_text("Description", NOTICE)
    rows = []
    for image in _render(seed, patient, views):
        path = f"{image.label}/{image.patient}_view{image.view}.png"
        Image.fromarray(image.pixels).save(folder / path, compress_level=1, pnginfo=note)
        rows.append([path, image.label, image.patient, "synthetic", image.description])
    return rows


def _write_manifest(path: Path, rows: list[list[str]]) -> None:
    """The manifest as UTF-8 CSV, on disk when this returns."""
    with replacing(path) as part, part.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerows([COLUMNS, *rows])
