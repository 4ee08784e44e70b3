"""COCO JSON, as Roboflow, CVAT and FracAtlas leave it."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.data.annotations.made_up import HEX, edges, labels, lay, only, reasons

A, B, C = (f"{i}_wrist_png.rf.{HEX[i:]}.jpg" for i in (1, 2, 3))


def roboflow(*names: str, annotations: list[dict[str, Any]] | None = None) -> str:
    """Roboflow's file for these images, with its root category."""
    return json.dumps({
        "info": {"year": "2021", "version": "1", "description": "Exported from roboflow.ai"},
        "licenses": [{"id": 1, "url": "", "name": "Unknown"}],
        "categories": [
            {"id": 0, "name": "wrist-fractures", "supercategory": "none"},
            {"id": 1, "name": "Radius", "supercategory": "wrist-fractures"},
            {"id": 2, "name": "Ulna", "supercategory": "wrist-fractures"},
        ],
        "images": [
            {"id": i, "license": 1, "file_name": name, "height": 200, "width": 400, "date_captured": "2021-03-16"}
            for i, name in enumerate(names)
        ],
        "annotations": TWO if annotations is None else annotations,
    })  # fmt: skip


def one(image: object, category: object, bbox: object = None, **more: object) -> dict[str, Any]:
    found = {"id": 7, "image_id": image, "category_id": category, "area": 1, "segmentation": [], "iscrowd": 0, **more}
    return found if bbox is None else {**found, "bbox": bbox}


TWO = [one(0, 1, [40, 20, 80, 60]), one(0, 2, [0, 0, 400, 200])]


def test_a_roboflow_export(tmp_path: Path) -> None:
    files = {
        f"train/{A}": "", f"train/{B}": "", "train/_annotations.coco.json": roboflow(A, B),
        f"valid/{C}": "", "valid/_annotations.coco.json": roboflow(C, annotations=[]),
        "README.roboflow.txt": "exported via roboflow.com", "package.json": '{"images": 1}',
    }  # fmt: skip
    found = only(tmp_path, files)
    assert (found.kind, found.problems, found.notes, found.has_boxes) == ("COCO", (), (), True)
    assert found.files == ("train/_annotations.coco.json", "valid/_annotations.coco.json")
    assert labels(found) == {f"train/{A}": ("Radius", "Ulna"), f"train/{B}": (), f"valid/{C}": ()}
    assert edges(found.findings[f"train/{A}"].boxes[0]) == (0.1, 0.1, 0.3, 0.4)


@pytest.mark.parametrize(
    "named", ["images/train/1.jpg", "train/1.jpg", "C:\\data\\train\\1.jpg", "/content/train/1.JPG"]
)
def test_folders_of_the_name_tell_images_apart(tmp_path: Path, named: str) -> None:
    files = {"images/train/1.jpg": "", "images/val/1.jpg": "", "annotations/bones.json": roboflow(named)}
    assert labels(only(tmp_path, files)) == {"images/train/1.jpg": ("Radius", "Ulna")}


def test_the_file_s_own_name_tells_the_split(tmp_path: Path) -> None:
    files = {
        "images/train2017/1.jpg": "", "images/val2017/1.jpg": "",
        "annotations/instances_train2017.json": roboflow("1.jpg"),
        "annotations/instances_val2017.json": roboflow("1.jpg", annotations=[]),
    }  # fmt: skip
    found = only(tmp_path, files)
    assert labels(found) == {"images/train2017/1.jpg": ("Radius", "Ulna"), "images/val2017/1.jpg": ()}


def test_a_name_of_two_images_is_of_none(tmp_path: Path) -> None:
    files = {"a/1.jpg": "", "b/1.jpg": "", "bones.json": roboflow("1.jpg", "2.jpg", "3.jpg")}
    found = only(tmp_path, files)
    assert not found.findings
    assert found.problems == (
        ("bones.json", "several images have that name, so none is taken: 1, e.g. 1.jpg"),
        ("bones.json", "no image of that name is there: 2, e.g. 2.jpg, 3.jpg"),
    )


def test_the_image_beside_the_file_comes_first(tmp_path: Path) -> None:
    files = {"a/1.jpg": "", "b/1.jpg": "", "a/bones.json": roboflow("1.jpg")}
    assert labels(only(tmp_path, files)) == {"a/1.jpg": ("Radius", "Ulna")}


def test_the_image_of_another_split_is_not_taken(tmp_path: Path) -> None:
    found = only(tmp_path, {"test/1.jpg": "", "train/_annotations.coco.json": roboflow("1.jpg")})
    assert not found.findings
    assert "only an image of another split has that name: 1, e.g. 1.jpg" in reasons(found)


def test_the_box_around_polygons(tmp_path: Path) -> None:
    polygons = [[40, 20, 80, 20, 80, 60], [100, 100, 120, 100, 120, 120.0, 100, 120]]
    annotations = [one(0, 1, segmentation=polygons), one(0, 1, [0, 0, 0, 0], segmentation=polygons[:1])]
    found = only(tmp_path, {A: "", "x.json": roboflow(A, annotations=annotations)})
    assert [edges(box) for box in found.findings[A].boxes] == [(0.1, 0.1, 0.3, 0.6), (0.1, 0.1, 0.2, 0.3)]


def test_a_crowd_counts(tmp_path: Path) -> None:
    crowd = one(0, 1, [0, 0, 40, 20], iscrowd=1, segmentation={"counts": "abc", "size": [200, 400]})
    assert labels(only(tmp_path, {A: "", "x.json": roboflow(A, annotations=[crowd])})) == {A: ("Radius",)}


def test_ids_may_be_text(tmp_path: Path) -> None:
    content = json.loads(roboflow(A, annotations=[one("0", "2", ["0", "0", "40", "20"])]))
    content["images"][0]["id"] = 0.0
    assert labels(only(tmp_path, {A: "", "x.json": json.dumps(content)})) == {A: ("Ulna",)}


@pytest.mark.parametrize(
    ("annotation", "reason"),
    [
        (one(0, 9, [0, 0, 40, 20]), "its category has no name: 9"),
        (one(0, None, [0, 0, 40, 20]), "its category has no name: None"),
        (one(0, True, [0, 0, 40, 20]), "its category has no name: True"),
        (one(0, 1, [0, 0, 40]), "its bbox has 3 numbers"),
        (one(0, 1, [0, 0, -40, 20]), "its box has no area"),
        (one(0, 1, [0, 0, 0, 0]), "its box has no area: all its numbers are 0"),
        (one(0, 1, [0, 0, 1e308, 1e308]), "its box lies outside the image"),
        (one(0, 1, [-500, 0, 600, 20]), "its box lies outside the image"),
        (one(0, 1, [0, 0, float("nan"), 20]), "a coordinate is no finite number: nan"),
        (one(0, 1, [0, 0, [], 20]), "a coordinate is no finite number: list"),
        (one(0, 1), "it has neither a bbox nor polygons"),
        (one(0, 1, segmentation={"counts": [1, 2], "size": [1, 2]}), "it has neither a bbox nor polygons"),
        (one(0, 1, segmentation=[[1, 2, 3, 4]]), "its polygon has 4 numbers"),
    ],
)
def test_an_annotation_that_cannot_be_used_leaves_its_image_out(
    tmp_path: Path, annotation: dict[str, Any], reason: str
) -> None:
    found = only(
        tmp_path, {A: "", B: "", "x.json": roboflow(A, B, annotations=[one(0, 1, [0, 0, 40, 20]), annotation])}
    )
    assert f"x.json {reason}" in reasons(found)
    assert "(annotation 7 of " in reasons(found)
    assert labels(found) == {B: ()}


@pytest.mark.parametrize("annotation", [None, 1, [], {}, one(9, 1, [0, 0, 1, 1]), one([], 1, [0, 0, 1, 1])])
def test_an_annotation_of_no_image(tmp_path: Path, annotation: object) -> None:
    found = only(tmp_path, {A: "", "x.json": roboflow(A, annotations=[annotation])})  # type: ignore[list-item]
    assert "an annotation refers to an image that the file does not list" in reasons(found)
    assert labels(found) == {A: ()}


def test_many_problems_of_one_sort_are_counted(tmp_path: Path) -> None:
    names = [f"{i}.jpg" for i in range(300)]
    annotations = [one(i, 9, [0, 0, 40, 20]) for i in range(300)]
    found = only(tmp_path, {**dict.fromkeys(names, ""), "x.json": roboflow(*names, annotations=annotations)})
    assert len(found.problems) == 21
    assert found.problems[-1] == ("x.json", "its category has no name: 280 more like it")
    assert not found.findings


def test_categories_and_images_that_stand_twice(tmp_path: Path) -> None:
    content = json.loads(roboflow(A, B, C))
    content["categories"].append({"id": 1, "name": "Scaphoid"})
    content["images"][1]["id"] = 2
    found = only(tmp_path, {A: "", B: "", C: "", "x.json": json.dumps(content)})
    assert "a category id is that of several classes: 1" in reasons(found)
    assert "an image id occurs twice: 2" in reasons(found)
    assert not found.findings


def test_size_not_given(tmp_path: Path) -> None:
    content = json.loads(roboflow(A))
    del content["images"][0]["width"]
    found = only(tmp_path, {A: "", "x.json": json.dumps(content)})
    assert "the image's width is no finite number: None" in reasons(found)
    assert not found.findings


def test_files_that_agree_and_files_that_do_not(tmp_path: Path) -> None:
    files = {
        A: "",
        B: "",
        "all.json": roboflow(A, B),
        "some.json": roboflow(A),
        "none.json": roboflow(B, annotations=[]),
    }
    found = only(tmp_path, files)
    assert labels(found) == {A: ("Radius", "Ulna"), B: ()}
    found = only(tmp_path, {**files, "other.json": roboflow(A, annotations=[])})
    assert f"{A} annotation files disagree on it: all.json and other.json" in reasons(found)
    assert labels(found) == {B: ()}


@pytest.mark.parametrize(
    "text",
    [
        "", "[]", "{}", "null", '{"images": 3, "annotations": []}', '{"images": ["a"], "annotations": []}',
        '["images", "annotations"]',
        '{"objects": [], "size": {"width": 1}, "tags": []}', "no JSON",
    ],
)  # fmt: skip
def test_other_json_is_passed_over(tmp_path: Path, text: str) -> None:
    assert lay(tmp_path, {A: "", "x.json": text}) == []


def test_ids_that_are_none(tmp_path: Path) -> None:
    content = json.loads(roboflow(A, B, C, annotations=[]))
    for image, key in zip(content["images"], (float("inf"), None, 0.5), strict=True):
        image["id"] = key
    found = only(tmp_path, {A: "", "x.json": json.dumps(content)})
    assert len(found.problems) == 3
    assert not found.findings


@pytest.mark.parametrize("cut", [0.3, 0.6, 0.99])
def test_a_truncated_file_is_said(tmp_path: Path, cut: float) -> None:
    text = json.dumps({"annotations": [], "images": [{"id": 0, "file_name": A}] * 9})
    found = only(tmp_path, {A: "", "x.json": text[: int(len(text) * cut)]})
    assert "x.json is broken JSON" in reasons(found)
    assert (found.files, found.findings) == ((), {})


def test_bombs_and_odd_encodings(tmp_path: Path) -> None:
    deep = '{"images": [], "annotations": ' + "[" * 200_000
    files = {
        A: "",
        "deep.json": deep,
        "latin.json": roboflow(A).encode() + b"\xe9",
        "wide.json": roboflow(A).encode("utf-16"),
    }
    found = only(tmp_path, files)
    assert "deep.json is broken JSON" in reasons(found)
    assert "latin.json is not UTF-8 text" in reasons(found)
    assert labels(found) == {A: ("Radius", "Ulna")}


def test_class_names_that_no_file_can_hold(tmp_path: Path) -> None:
    content = json.loads(roboflow(A))
    content["categories"][1]["name"] = "\ud800"
    found = only(tmp_path, {A: "", "x.json": json.dumps(content)})
    assert "a category has no id or no name: 1" in reasons(found)
    reasons(found).encode()


def test_twenty_thousand_images_take_seconds(tmp_path: Path) -> None:
    names = [f"images_part{i % 4}/{i:06}.png" for i in range(20_000)]
    annotations = [one(i % 20_000, 1, [1, 1, 40, 20]) for i in range(60_000)]
    (tmp_path / "x.json").write_text(roboflow(*(name.split("/")[1] for name in names), annotations=annotations))
    from fracture.data.annotations import find

    found = find(tmp_path, names, ["x.json"])
    assert len(found[0].findings) == 20_000
    assert not found[0].problems
