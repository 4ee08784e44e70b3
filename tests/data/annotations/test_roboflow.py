"""Roboflow's two CSV files."""

from pathlib import Path

import pytest

from tests.data.annotations.made_up import HEX, edges, labels, lay, only, reasons

A, B = (f"{i}_jpeg.rf.{HEX[i:]}.jpg" for i in (1, 2))
HEADER = "filename,width,height,class,xmin,ymin,xmax,ymax\n"


def test_boxes(tmp_path: Path) -> None:
    rows = f"{A},400,200,fracture,40,20,120,80\n{A},400,200,metal,0,0,400,200\n"
    files = {
        f"train/{A}": "", f"train/{B}": "", "train/_annotations.csv": HEADER + rows,
        f"valid/{B}": "", "valid/_annotations.csv": f"{HEADER}{B},400,200,,,,,\n",
    }  # fmt: skip
    found = only(tmp_path, files)
    assert (found.kind, found.has_boxes, found.problems) == ("Roboflow CSV", True, ())
    assert labels(found) == {f"train/{A}": ("fracture", "metal"), f"valid/{B}": ()}  # no row says nothing of an image
    assert edges(found.findings[f"train/{A}"].boxes[0]) == (0.1, 0.1, 0.3, 0.4)


@pytest.mark.parametrize(
    "text",
    [HEADER.replace(",", ";").upper() + f"{A};400;200;x;0;0;9;9\n", "\ufeff" + HEADER + f"{A},400,200,x,0,0,9,9\n"],
)
@pytest.mark.parametrize("name", ["_annotations.csv", "train_labels.csv"])
def test_boxes_however_they_are_saved(tmp_path: Path, text: str, name: str) -> None:
    assert labels(only(tmp_path, {A: "", name: text})) == {A: ("x",)}


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (f"{A},400,200,,0,0,9,9", "its class has no name"),
        (f"{A},400,200,x,0,0,9,", "ymax is no finite number: nothing"),
        (f"{A},400,200,x,9,0,9,9", "its box has no area"),
        (f"{A},400,200,x,0,0,900,9", "its box lies outside the image"),
        (f"{A},0,0,x,0,0,9,9", "the image's size is not given: 0 x 0"),
        (f"{A},400,200,x,0,0,nan,9", "xmax is no finite number: nan"),
        (f"{A}", "its class has no name"),
    ],
)
def test_a_row_that_cannot_be_used_leaves_its_image_out(tmp_path: Path, row: str, reason: str) -> None:
    row = row if "," in row else f"{row},400,200,,1"
    found = only(
        tmp_path, {A: "", B: "", "_annotations.csv": f"{HEADER}{B},400,200,x,0,0,9,9\n{row}\n,1,1,x,0,0,1,1\n"}
    )
    assert f"_annotations.csv:3 {reason}" in reasons(found)
    assert "_annotations.csv:4 the row names no file" in reasons(found)
    assert labels(found) == {B: ("x",)}


@pytest.mark.parametrize(
    "text",
    [
        f"filename, fractured, not fractured\n{A}, 1, 0\n{B}, 0, 1\n",
        f"filename,fractured,not fractured\n{A},1,0\n{B},0,1",
        f"filename, fractured, not fractured\r\n{A}, 1.0, 0.0\r\n{B}, 0.0, 1.0\r\n",
    ],
)
def test_classes(tmp_path: Path, text: str) -> None:
    found = only(tmp_path, {f"train/{A}": "", f"train/{B}": "", "train/_classes.csv": text})
    assert (found.kind, found.has_boxes, found.problems) == ("Roboflow _classes.csv", False, ())
    assert labels(found) == {f"train/{A}": ("fractured",), f"train/{B}": ("not fractured",)}
    assert not found.findings[f"train/{A}"].boxes


def test_several_classes_and_none(tmp_path: Path) -> None:
    found = only(tmp_path, {A: "", B: "", "_classes.csv": f"filename, a, b\n{A}, 1, 1\n{B}, 0, 0\ngone.jpg, 1, 0\n"})
    assert labels(found) == {A: ("a", "b"), B: ()}
    assert "_classes.csv no image of that name is there: 1, e.g. gone.jpg" in reasons(found)


@pytest.mark.parametrize("row", [f"{A}, 2, 0", f"{A}, 1", f"{A}, 1, 0, 1", f"{A}, yes, no", f"{A}, , "])
def test_cells_that_are_not_1_or_0(tmp_path: Path, row: str) -> None:
    found = only(tmp_path, {A: "", B: "", "_classes.csv": f"filename, a, b\n{B}, 1, 0\n{row}\n"})
    assert "_classes.csv:3 its cells are not 1 or 0" in reasons(found)
    assert labels(found) == {B: ("a",)}


def test_masks_are_no_classes_of_images(tmp_path: Path) -> None:
    files = {
        A: "",
        A.replace(".jpg", "_mask.png"): "",
        "_classes.csv": "Pixel Value, Class\n0, background\n1, fracture\n",
    }
    found = only(tmp_path, files)
    assert not found.findings
    assert "_classes.csv has other columns than filename and one for each class: Pixel Value, Class" in reasons(found)


def test_boxes_for_retinanet_lack_the_image_s_size(tmp_path: Path) -> None:
    found = only(tmp_path, {A: "", "_annotations.csv": f"\n{A},0,0,414,414,fracture\n\n"})
    assert not found.findings
    assert "_annotations.csv has other columns than filename, width, height, class" in reasons(found)


@pytest.mark.parametrize("content", [b"\x80\x81", b"", b"filename,a,a\n1.jpg,1,0\n"])
@pytest.mark.parametrize("name", ["_classes.csv", "_annotations.csv"])
def test_broken_files(tmp_path: Path, name: str, content: bytes) -> None:
    found = lay(tmp_path, {A: "", name: content})
    assert all(not one.findings for one in found)
    assert [one.problems[0][0] for one in found] == [name]


def test_a_column_that_is_no_class(tmp_path: Path) -> None:
    found = only(tmp_path, {A: "", "_classes.csv": f"filename,{'x' * 300}\n{A},1\n"})
    assert "_classes.csv:1 its class name is longer than 200 characters" in reasons(found)
    assert not found.findings


def test_other_tables_are_passed_over(tmp_path: Path) -> None:
    files = {
        A: "",
        "dataset.csv": "image_id,hand,fractured\n1.jpg,0,1\n",
        "classes.csv": f"filename,a\n{A},1\n",
        "x.csv": b"\x80",
    }
    assert lay(tmp_path, files) == []
