"""LabelMe, VIA and CreateML: classes and boxes by image, in pixels where the file does not say the image's size."""

import json
from pathlib import Path
from typing import Any

import pytest

from fracture.data.annotations import Annotated
from tests.data.annotations.made_up import edges, labels, lay, only, reasons

A, B = "d/a.jpg", "d/b.jpg"
RECTANGLE = {"label": "fracture", "points": [[30, 10], [10, 50]], "shape_type": "rectangle"}
EDGES = (10.0, 10.0, 30.0, 50.0)


def labelme(tmp_path: Path, shapes: list[Any], named: str = "a.jpg", **more: Any) -> Annotated:
    """The file of one image, and another image's without shapes."""
    one = {"version": "5.4", "flags": {}, "shapes": shapes, "imagePath": named, "imageData": None, **more}
    other = {"version": "5.4", "flags": {}, "shapes": [], "imagePath": "b.jpg"}
    return only(tmp_path, {A: "", B: "", "d/a.json": json.dumps(one), "d/b.json": json.dumps(other)})


def via(tmp_path: Path, regions: Any, project: bool = False, **of_file: Any) -> Annotated:
    """A file of two images, the second of which has no regions."""
    entries = {
        "a.jpg12": {"filename": "a.jpg", "size": 12, "regions": regions, "file_attributes": of_file},
        "b.jpg13": {"filename": "b.jpg", "size": 13, "regions": [], "file_attributes": {}},
    }
    content = {"_via_settings": {}, "_via_img_metadata": entries} if project else entries
    return only(tmp_path, {A: "", B: "", "d/via.json": json.dumps(content)})


def createml(tmp_path: Path, annotations: list[Any]) -> Annotated:
    """A file of two images, the second of which has no annotations."""
    content = [{"image": "a.jpg", "annotations": annotations}, {"image": "b.jpg", "annotations": []}]
    return only(tmp_path, {A: "", B: "", "d/_annotations.createml.json": json.dumps(content)})


SHAPES = {
    "rectangle": RECTANGLE,
    "polygon": {"label": "fracture", "points": [[10, 10], [30, 20], [20, 50]], "shape_type": "polygon"},
    "circle": {"label": "fracture", "points": [[20, 30], [20, 50]], "shape_type": "circle"},
}


@pytest.mark.parametrize("kind", SHAPES)
def test_labelme(kind: str, tmp_path: Path) -> None:
    found = labelme(tmp_path, [SHAPES[kind]])
    assert labels(found) == {A: ("fracture",), B: ()}
    expected = (0, 10, 40, 50) if kind == "circle" else EDGES
    assert found.findings[A].pixels == (("fracture", expected),)
    assert found.findings[A].upright
    sized = labelme(tmp_path, [SHAPES[kind]], imageWidth=100, imageHeight=200).findings[A]
    assert edges(sized.boxes[0]) == tuple(edge / side for edge, side in zip(expected, (100, 200) * 2, strict=True))
    assert sized.size == (100, 200)


LABELMES: dict[str, tuple[list[Any], dict[str, Any], str]] = {
    "a point": ([{"label": "x", "points": [[1, 1]], "shape_type": "point"}], {}, "it is a point"),
    "no label": ([{**RECTANGLE, "label": ""}], {}, "its class has no name"),
    "no points": ([{"label": "x"}], {}, "its points are no list"),
    "no area": ([{**RECTANGLE, "points": [[1, 1], [1, 5]]}], {}, "no area"),
    "no shape": (["x"], {}, "its class has no name"),
    "outside": ([RECTANGLE], {"imageWidth": 5, "imageHeight": 5}, "outside the image"),
    "flags of the image": ([], {"flags": {"fracture": True}}, "flags of the whole image"),
    "another image": ([RECTANGLE], {"named": "b.jpg"}, "mean different images"),
}


@pytest.mark.parametrize(("shapes", "more", "reason"), LABELMES.values(), ids=LABELMES)
def test_labelme_that_cannot_be_used(shapes: list[Any], more: dict[str, Any], reason: str, tmp_path: Path) -> None:
    found = labelme(tmp_path, shapes, **more)
    assert reason in reasons(found)
    assert A not in found.findings, "it is never one without a fracture"


def region(shape: dict[str, Any], **attributes: Any) -> dict[str, Any]:
    return {"shape_attributes": shape, "region_attributes": attributes}


RECT = {"name": "rect", "x": 10, "y": 10, "width": 20, "height": 40}
REGIONS = {
    "rect": region(RECT, type="fracture"),
    "polygon": region({"name": "polygon", "all_points_x": [10, 30, 20], "all_points_y": [10, 20, 50]}, fx="fracture"),
    "circle": region({"name": "circle", "cx": 20, "cy": 30, "r": 20}, label="fracture", note="old"),
    "ellipse": region({"name": "ellipse", "cx": 20, "cy": 30, "rx": 10, "ry": 20}, label={"fracture": True, "b": 0}),
}


@pytest.mark.parametrize("kind", REGIONS)
def test_via(kind: str, tmp_path: Path) -> None:
    expected = (0, 10, 40, 50) if kind == "circle" else EDGES
    for regions, project in (([REGIONS[kind]], False), ({"0": REGIONS[kind]}, False), ([REGIONS[kind]], True)):
        found = via(tmp_path, regions, project, caption="", public_domain="no", image_url="")
        assert labels(found) == {A: ("fracture",), B: ()}
        assert found.findings[A].pixels == (("fracture", expected),)


VIAS: dict[str, tuple[list[Any], dict[str, Any], str]] = {
    "no class": ([region(RECT)], {}, "its class has no name"),
    "two attributes": ([region(RECT, one="a", two="b")], {}, "its attributes could all be its class: one, two"),
    "two options": ([region(RECT, label={"a": True, "b": True})], {}, "its class has no name"),
    "a point": ([region({"name": "point", "cx": 1, "cy": 1}, label="x")], {}, "its shape has no box: point"),
    "no area": ([region({**RECT, "width": 0}, label="x")], {}, "no area"),
    "no region": (["x"], {}, "it is no region"),
    "classes of the file": ([], {"fracture": "yes"}, "attributes of the whole file"),
}


@pytest.mark.parametrize(("regions", "of_file", "reason"), VIAS.values(), ids=VIAS)
def test_via_that_cannot_be_used(regions: list[Any], of_file: dict[str, Any], reason: str, tmp_path: Path) -> None:
    found = via(tmp_path, regions, **of_file)
    assert reason in reasons(found)
    assert A not in found.findings


def test_createml(tmp_path: Path) -> None:
    place = {"x": 20, "y": 30, "width": 20, "height": 40}
    found = createml(tmp_path, [{"label": "fracture", "coordinates": place}])
    assert labels(found) == {A: ("fracture",), B: ()}
    assert found.findings[A].pixels == (("fracture", EDGES),)


CREATEMLS = {
    "no coordinates": ({"label": "x"}, "it has no coordinates"),
    "no label": ({"coordinates": {"x": 1, "y": 1, "width": 1, "height": 1}}, "its class has no name"),
    "no number": ({"label": "x", "coordinates": {"x": "a", "y": 1, "width": 1, "height": 1}}, "no finite number"),
    "no area": ({"label": "x", "coordinates": {"x": 1, "y": 1, "width": 0, "height": 1}}, "no area"),
}


@pytest.mark.parametrize(("annotation", "reason"), CREATEMLS.values(), ids=CREATEMLS)
def test_createml_that_cannot_be_used(annotation: dict[str, Any], reason: str, tmp_path: Path) -> None:
    found = createml(tmp_path, [annotation])
    assert reason in reasons(found)
    assert A not in found.findings


OTHERS = ['{"shapes": 1, "imagePath": 2}', '{"a": {"regions": 1, "filename": "x"}}', '["image", "annotations"]']


@pytest.mark.parametrize("text", OTHERS)
def test_other_json_is_passed_over(text: str, tmp_path: Path) -> None:
    assert lay(tmp_path, {A: "", "x.json": text}) == []


BROKEN = ['{"shapes": [, "imagePath"', '{"a": {"regions": [], "filename": ', '[{"image": "annotations"']


@pytest.mark.parametrize("text", BROKEN)
def test_broken_json_is_told_where_the_file_is_one(text: str, tmp_path: Path) -> None:
    found = lay(tmp_path, {A: "", "d/a.json": text})
    assert all("is broken JSON" in reasons(one) for one in found)
    assert not any(one.findings for one in found)
