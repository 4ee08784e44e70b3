"""Boxes of tables and annotation files on the image as it is shown."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import ExifTags, Image, ImageOps

from fracture.data.annotations.shares import Unusable, from_pixels
from fracture.data.boxes import Box, from_text, turned
from fracture.data.prepare.config import PrepareConfig
from fracture.data.prepare.drawn_boxes import DrawnBoxes
from fracture.data.prepare.prepare import Prepared, prepare
from fracture.data.prepare.table_boxes import find_boxes
from fracture.errors import DataError

N, WIDTH, HEIGHT = 24, 40, 20
EDGES = (4, 2, 10, 12)  # left, top, right, bottom of what is drawn, in stored pixels


def _image(path: Path, seed: int, orientation: int = 1) -> None:
    """Noise, one white rectangle in it, and the orientation."""
    pixels = np.random.default_rng(seed).integers(0, 100, (HEIGHT, WIDTH), np.uint8)
    left, top, right, bottom = EDGES
    pixels[top:bottom, left:right] = 255
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, quality=95, exif=exif)


def _is_on_the_white(path: Path, box: Box) -> None:
    """The box is where the rectangle is on the upright image, up to what JPEG blurs."""
    pixels = np.asarray(ImageOps.exif_transpose(Image.open(path)).convert("L"))
    height, width = pixels.shape
    left, right = round(box.left * width), round(box.right * width)
    top, bottom = round(box.top * height), round(box.bottom * height)
    assert (right - left) * (bottom - top) == (EDGES[2] - EDGES[0]) * (EDGES[3] - EDGES[1])
    assert pixels[top:bottom, left:right].min() > 150


def _prepare(source: Path, **options: object) -> Prepared:
    return prepare([source], PrepareConfig(near_duplicates=False, **options), source.parent / "out" / "m.csv")  # type: ignore[arg-type]


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_box_turns_with_its_image(orientation: int, tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    _image(path, 0, orientation)
    width, height = ImageOps.exif_transpose(Image.open(path)).size
    (box,) = from_text(DrawnBoxes(pixels=(("x", EDGES),)).text(path, width, height))
    _is_on_the_white(path, box)
    stored = Box("x", EDGES[0] / WIDTH, EDGES[1] / HEIGHT, EDGES[2] / WIDTH, EDGES[3] / HEIGHT)
    assert turned(stored, orientation) == box
    assert from_text(DrawnBoxes((stored,), size=(WIDTH, HEIGHT)).text(path, width, height)) == (box,)
    assert from_text(DrawnBoxes((box,), upright=True).text(path, width, height)) == (box,), "viewers have turned it"


def test_a_box_drawn_on_the_turned_image_stays(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    _image(path, 0, 6)
    box = Box("x", 0.1, 0.2, 0.3, 0.4)
    assert from_text(DrawnBoxes((box,), size=(HEIGHT, WIDTH)).text(path, HEIGHT, WIDTH)) == (box,)


def test_a_box_outside_is_refused(tmp_path: Path) -> None:
    _image(tmp_path / "a.jpg", 0)
    with pytest.raises(Unusable, match="outside the image"):
        DrawnBoxes(pixels=(("x", (4, 2, 400, 12)),)).text(tmp_path / "a.jpg", WIDTH, HEIGHT)


left, top, right, bottom = EDGES
COLUMNS = {
    "corners": (("xmin", "ymin", "xmax", "ymax"), EDGES),
    "VinDr-CXR": (("x_min", "y_min", "x_max", "y_max"), EDGES),
    "RSNA": (("x", "y", "width", "height"), (left, top, right - left, bottom - top)),
    "sides, other order": (("h", "w", "y", "x"), (bottom - top, right - left, top, left)),
    "shares": (("XMin", "XMax", "YMin", "YMax"), (left / WIDTH, right / WIDTH, top / HEIGHT, bottom / HEIGHT)),
}


@pytest.mark.parametrize(("names", "cells"), COLUMNS.values(), ids=COLUMNS)
def test_columns_of_a_table_draw_boxes(names: tuple[str, ...], cells: tuple[float, ...], tmp_path: Path) -> None:
    rows: list[list[object]] = [["path", "label", *names]]
    for i in range(N):
        _image(tmp_path / "set" / f"{i}.jpg", i, i % 8 + 1)
        rows.append([f"{i}.jpg", "fracture" if i % 2 else "none", *(cells if i % 2 else [""] * 4)])
    with (tmp_path / "set" / "t.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    found = _prepare(tmp_path / "set" / "t.csv").manifest.rows
    assert len(found) == N
    for row in found:
        boxes = from_text(row.extra["boxes"])
        assert [box.label for box in boxes] == (["fracture"] if int(row.path.stem) % 2 else [])
        for box in boxes:
            _is_on_the_white(row.path, box)


@pytest.mark.parametrize("cells", [("",) * 4, ("nan",) * 4, ("0",) * 4, ("-1",) * 4])
def test_cells_that_draw_nothing(cells: tuple[str, ...]) -> None:
    columns = find_boxes(["x1", "y1", "x2", "y2"], [{"x1": "3", "y1": "3", "x2": "9", "y2": "9"}])
    assert columns is not None
    assert columns.read(dict(zip(columns.names, cells, strict=True)), "x") == DrawnBoxes()
    for wrong in (("1", "", "3", "4"), ("5", "1", "2", "3"), ("a", "1", "2", "3")):
        with pytest.raises(Unusable):
            columns.read(dict(zip(columns.names, wrong, strict=True)), "x")


def test_readers_decide_where_a_table_draws_boxes(tmp_path: Path) -> None:
    rows: list[list[object]] = [["path", "label", "reader", "xmin", "ymin", "xmax", "ymax"]]
    for i in range(N):
        _image(tmp_path / "set" / f"{i}.jpg", i)
        for reader in range(3):
            sees = i % 2 == (reader < 2)
            rows.append([f"{i}.jpg", "fx" if sees else "none", reader, *(EDGES if sees else [""] * 4)])
    with (tmp_path / "set" / "t.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    found = {int(row.path.stem): row for row in _prepare(tmp_path / "set" / "t.csv", readers="majority").manifest.rows}
    assert {i: row.label for i, row in found.items()} == {i: ("none", "fx")[i % 2] for i in range(N)}
    assert all(len(from_text(row.extra["boxes"])) == i % 2 for i, row in found.items()), "of those who were believed"


def test_boxes_of_coco_turn_too(tmp_path: Path) -> None:
    root = tmp_path / "set"
    images = [{"id": i, "file_name": f"{i}.jpg", "width": WIDTH, "height": HEIGHT} for i in range(N)]
    for i in range(N):
        _image(root / f"{i}.jpg", i, i % 8 + 1)
    box = [left, top, right - left, bottom - top]
    annotations = [{"id": i, "image_id": i, "category_id": i % 3 % 2, "bbox": box} for i in range(N)]
    categories = [{"id": i, "name": "AB"[i]} for i in range(2)]
    text = json.dumps({"images": images, "annotations": annotations, "categories": categories})
    (root / "coco.json").write_text(text)
    for row in _prepare(root).manifest.rows:
        _is_on_the_white(row.path, from_text(row.extra["boxes"])[0])


def test_boxes_of_via_are_on_the_image_as_it_is_shown(tmp_path: Path) -> None:
    root = tmp_path / "set"
    entries = {}
    for i in range(N):
        _image(root / f"{i}.jpg", i)
        shape = {"name": "rect", "x": left, "y": top, "width": right - left, "height": bottom - top}
        regions = [{"shape_attributes": shape, "region_attributes": {"label": "fx"}}] if i % 2 else []
        entries[str(i)] = {"filename": f"{i}.jpg", "size": 1, "regions": regions, "file_attributes": {}}
    (root / "via.json").write_text(json.dumps(entries))
    found = _prepare(root, background="none").manifest.rows
    assert {int(row.path.stem): row.label for row in found} == {i: ("none", "fx")[i % 2] for i in range(N)}
    for row in found:
        for box in from_text(row.extra["boxes"]):
            _is_on_the_white(row.path, box)


@pytest.mark.parametrize("names", [("x", "y"), ("width", "height"), ("left", "right"), ("xmin", "ymin", "xmax")])
def test_other_columns_draw_none(names: tuple[str, ...]) -> None:
    assert find_boxes(["path", "label", *names], []) is None


def test_boxes_of_images_that_were_scaled_or_turned_since(tmp_path: Path) -> None:
    names = [f"{i}.jpg" for i in range(N)]
    for i, name in enumerate(names):
        _image(tmp_path / name, i)
    edges = [10 * edge for edge in EDGES]
    header = ["path", "label", "xmin", "ymin", "xmax", "ymax"]
    for size, of_image in (((10 * WIDTH, 10 * HEIGHT), True), ((edges[2] - edges[0], edges[3] - edges[1]), False)):
        with (tmp_path / "t.csv").open("w", newline="") as file:
            csv.writer(file).writerows(
                [[*header, "width", "height"], *([name, "ab"[i % 2], *edges, *size] for i, name in enumerate(names))]
            )
        if of_image:
            for row in _prepare(tmp_path / "t.csv").manifest.rows:
                _is_on_the_white(row.path, from_text(row.extra["boxes"])[0])
        else:
            with pytest.raises(DataError, match="its box lies outside the image"):
                _prepare(tmp_path / "t.csv")
    box = Box("x", 0.1, 0.1, 0.3, 0.3)
    with pytest.raises(Unusable, match=r"drawn on 20 x 40 pixels .*, the image has 40 x 20"):
        DrawnBoxes((box,), size=(HEIGHT, WIDTH)).text(tmp_path / "0.jpg", WIDTH, HEIGHT)


def test_a_box_smaller_than_a_pixel_is_probably_one_in_shares() -> None:
    with pytest.raises(Unusable, match="smaller than a pixel"):
        from_pixels("x", (0.1, 0.1, 0.4, 0.4), WIDTH, HEIGHT)
    assert from_pixels("x", (4.2, 0, 4.8, 9), WIDTH, HEIGHT)
