"""Boxes of the manifest against the maps of a run: which count, where they lie in the square, what the report says."""

import csv
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from fracture.data.boxes import Box, to_text
from fracture.data.dataset import Source, open_images
from fracture.evidence import Judged
from fracture.evidence.hits import Hits
from fracture.runs.map_hits import find_hits
from fracture.runs.subject import Subject
from fracture.tracking.artifacts import fetch
from tests.models.test_activation import Spotter
from tests.runs import small

SIZE, N = 64, 24


def planted(folder: Path, boxes: Callable[[int, Box], list[Box]], splits: bool = False) -> Path:
    """A manifest of wide images, black but for a bright place in each fractured one, and the boxes around it."""
    rng = np.random.default_rng(0)
    folder.mkdir()
    rows = []
    for i in range(N):
        pixels = np.zeros((60, 120), np.uint8)
        top, left = int(rng.integers(2, 40)), int(rng.integers(2, 100))
        if i % 2:
            pixels[top : top + 16, left : left + 16] = 255
        Image.fromarray(pixels).save(folder / f"{i}.png")
        around = Box("fracture", left / 120, top / 60, min(1, (left + 16) / 120), min(1, (top + 16) / 60))
        cell = to_text(boxes(i, around)) if i % 2 else ""
        split = ("train", "val", "test")[i // 2 % 3] if splits else ""
        rows.append([f"{i}.png", ("no_fracture", "simple_fracture")[i % 2], split, cell])
    with (folder / "manifest.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["path", "label", "split", "boxes"], *rows])
    return folder / "manifest.csv"


class Plan:
    """What `Subject.maps` needs of one."""

    image_size, micro_batch, memory_format, device = SIZE, 8, torch.contiguous_format, "cpu"

    def place(self, x: torch.Tensor) -> torch.Tensor:
        return x


class Mapper(Subject):
    """A subject whose model sees brightness, and one with random weights that sees the dark."""

    def maps(self, rows, classes, model=None):  # type: ignore[no-untyped-def]
        pixels = self.dataset.pixels(self.indices[list(rows)]).astype(float)
        return pixels if model is None else 255 - pixels


def subject(manifest: Path) -> Subject:
    dataset = open_images(Source(str(manifest)), SIZE, manifest.parent / "cache")
    results = Judged.model_construct(classes=("no_fracture", "simple_fracture"), healthy="no_fracture")
    indices = np.arange(N)
    return Mapper(
        "", Spotter(), None, Plan(), None, dataset, indices, dataset.labels, np.zeros((N, 2)), results,  # type: ignore[arg-type]
    )  # fmt: skip


def test_the_bright_place_is_where_its_box_is(tmp_path: Path) -> None:
    found = find_hits(subject(planted(tmp_path / "a", lambda _, around: [around])), Spotter())
    assert found is not None
    assert (found.n, found.labels) == (N // 2, ("fracture",))
    assert found.pointing["model"].value == 1
    assert found.energy["model"].value > 0.9  # letterbox smooths edges
    assert found.energy["random_weights"].value < 0.1


def test_text_and_metal_are_no_fractures(tmp_path: Path) -> None:
    def boxes(_: int, around: Box) -> list[Box]:
        return [replace(around, label="text"), Box("Fracture", 0.0, 0.0, 0.05, 0.05)]

    found = find_hits(subject(planted(tmp_path / "a", boxes)), Spotter())
    assert found is not None
    assert found.labels == ("Fracture",)
    assert found.energy["model"].value < 0.1


def test_boxes_without_a_telling_name_all_count(tmp_path: Path) -> None:
    found = find_hits(subject(planted(tmp_path / "a", lambda _, around: [replace(around, label="0")])), Spotter())
    assert found is not None
    assert found.labels == ("0",)


def test_no_boxes_no_figures(tmp_path: Path) -> None:
    assert find_hits(subject(planted(tmp_path / "a", lambda *_: [])), Spotter()) is None


def test_a_cell_that_cannot_be_read_names_the_image(tmp_path: Path) -> None:
    manifest = planted(tmp_path / "a", lambda _, around: [around])
    manifest.write_text(manifest.read_text().replace('""fracture"",', '""fracture"",7,', 1))
    with pytest.raises(ValueError, match=r"\d+\.png: boxes are lists of a label and four shares"):
        find_hits(subject(manifest), Spotter())


def test_a_run_shows_them_in_its_report(tmp_path: Path, store_root: Path) -> None:
    data = planted(tmp_path / "a", lambda _, around: [around], splits=True)
    run = small.train(data, epochs=1, recipe="seed")
    page, controls = fetch(run, ["report.html", "controls.json"], tmp_path)
    hits = Hits.model_validate(json.loads(controls.read_text())["boxes"])
    assert hits.n == hits.pointing["model"].n == 4
    assert "Do the maps hit the fracture?" in page.read_text()
    assert "model - centre" in page.read_text()
