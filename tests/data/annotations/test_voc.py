"""Pascal VOC's XML files, as LabelImg, Roboflow and FracAtlas leave them."""

from pathlib import Path

import pytest

from tests.data.annotations.made_up import HEX, edges, labels, lay, only, reasons

NAME = f"1_jpg.rf.{HEX}"
BOX = "<xmin>1</xmin><ymin>11</ymin><xmax>50</xmax><ymax>100</ymax>"


def thing(name: str = "fractured", box: str = BOX) -> str:
    return (
        f"\t<object>\n\t\t<name>{name}</name>\n\t\t<pose>Unspecified</pose>\n\t\t<truncated>0</truncated>\n"
        f"\t\t<difficult>0</difficult>\n\t\t<bndbox>{box}</bndbox>\n\t</object>\n"
    )


def voc(filename: str, *objects: str, size: str = "<width>100</width><height>200</height><depth>3</depth>") -> str:
    return (
        f"<annotation>\n\t<folder></folder>\n\t<filename>{filename}</filename>\n\t<path>{filename}</path>\n"
        f"\t<source><database>roboflow.com</database></source>\n\t<size>{size}</size>\n\t<segmented>0</segmented>\n"
        f"{''.join(objects)}</annotation>"
    )


def test_a_roboflow_export(tmp_path: Path) -> None:
    files = {
        f"train/{NAME}.jpg": "", f"train/{NAME}.xml": voc(f"{NAME}.jpg", thing(), thing("metal")),
        "valid/2.jpg": "", "valid/2.xml": voc("2.jpg"), "valid/3.jpg": "",
    }  # fmt: skip
    found = only(tmp_path, files)
    assert (found.kind, found.problems) == ("Pascal VOC", ())
    assert labels(found) == {f"train/{NAME}.jpg": ("fractured", "metal"), "valid/2.jpg": ()}
    assert edges(found.findings[f"train/{NAME}.jpg"].boxes[0]) == (0, 0.05, 0.5, 0.5)  # pixels 1 to 50 of 100


def test_the_xml_in_a_folder_of_its_own(tmp_path: Path) -> None:
    files = {
        "VOC2007/JPEGImages/1.jpg": "",
        "VOC2007/Annotations/1.xml": voc("1.jpg", thing()),
        "VOC2007/ImageSets/Main/train.txt": "1",
    }
    assert labels(only(tmp_path, files)) == {"VOC2007/JPEGImages/1.jpg": ("fractured",)}


@pytest.mark.parametrize("filename", ["1.png", "1", "", "somewhere/else.jpg", "C:\\x\\1.jpg"])
def test_the_xml_s_own_name_counts_first(tmp_path: Path, filename: str) -> None:
    assert labels(only(tmp_path, {"1.jpg": "", "1.xml": voc(filename, thing())})) == {"1.jpg": ("fractured",)}


def test_else_the_filename(tmp_path: Path) -> None:
    assert labels(only(tmp_path, {"1.jpg": "", "label_1.xml": voc("1.jpg", thing())})) == {"1.jpg": ("fractured",)}


def test_names_that_mean_two_images_mean_none(tmp_path: Path) -> None:
    found = only(tmp_path, {"1.jpg": "", "2.jpg": "", "1.xml": voc("2.jpg", thing())})
    assert "1.xml its name and its filename mean different images: 1.jpg, 2.jpg" in reasons(found)
    assert not found.findings


def test_no_image_or_several(tmp_path: Path) -> None:
    files = {
        "a/1.jpg": "",
        "b/1.jpg": "",
        "c/1.xml": voc("1.jpg", thing()),
        "c/2.xml": voc("2.jpg"),
        "c/3.xml": voc("3.jpg"),
    }
    found = only(tmp_path, files)
    assert "c/1.xml several images have that name, so none is taken: a/1.jpg, b/1.jpg" in reasons(found)
    assert "c no image of that name is there: 2, e.g. 2.xml, 3.xml" in reasons(found)


@pytest.mark.parametrize(
    ("part", "reason"),
    [
        (thing(box=""), "xmin is no finite number"),
        (thing(box=BOX.replace("50", "inf")), "xmax is no finite number: inf"),
        (thing(box=BOX.replace("50", "1.0").replace("<xmin>1<", "<xmin>9<")), "its box has no area"),
        (thing(box=BOX.replace("50", "500")), "its box lies outside the image"),
        (thing(name=" "), "its class has no name"),
        (thing(name="x" * 300), "its class name is longer than 200 characters"),
        ("<object><name>fractured</name></object>", "it has no bndbox"),
        ("<object><part><name>x</name></part></object>", "its class has no name"),
    ],
)
def test_an_object_that_cannot_be_used_leaves_its_image_out(tmp_path: Path, part: str, reason: str) -> None:
    found = only(tmp_path, {"1.jpg": "", "1.xml": voc("1.jpg", thing(), part), "2.jpg": "", "2.xml": voc("2.jpg")})
    assert f"1.xml {reason}" in reasons(found)
    assert "(object 2)" in reasons(found)
    assert labels(found) == {"2.jpg": ()}


@pytest.mark.parametrize("size", ["", "<width>0</width><height>0</height>", "<width>x</width><height>1</height>"])
def test_a_size_that_is_not_given(tmp_path: Path, size: str) -> None:
    found = only(tmp_path, {"1.jpg": "", "1.xml": voc("1.jpg", thing(), size=size)})
    assert "1.xml the image's" in reasons(found)
    assert not found.findings


def test_edges_may_be_floats_and_leave_the_image_by_a_pixel(tmp_path: Path) -> None:
    box = "<xmin>0</xmin><xmax>101</xmax><ymin>0.5</ymin><ymax>200.9</ymax>"
    found = only(tmp_path, {"1.jpg": "", "1.xml": voc("1.jpg", thing(box=box))})
    assert edges(found.findings["1.jpg"].boxes[0]) == (0, 0, 1, 1)


LAUGHS = (
    '<?xml version="1.0"?><!DOCTYPE lolz [<!ENTITY lol "lol"><!ENTITY lol2 "&lol;&lol;&lol;&lol;&lol;&lol;&lol;">]>'
    "<annotation><filename>&lol2;</filename></annotation>"
)
OUTSIDE = (
    '<!DOCTYPE annotation [<!ENTITY x SYSTEM "file:///etc/passwd">]><annotation><filename>&x;</filename></annotation>'
)


@pytest.mark.parametrize("text", [LAUGHS, OUTSIDE])
def test_entities_are_refused(tmp_path: Path, text: str) -> None:
    found = only(tmp_path, {"1.jpg": "", "1.xml": text})
    assert "1.xml has a document type or entities, which are refused" in reasons(found)
    assert not found.findings


@pytest.mark.parametrize("encoding", ["utf-16", "gb2312", "utf-8-sig"])
def test_declared_encodings(tmp_path: Path, encoding: str) -> None:
    text = '<?xml version="1.0" encoding="gb2312"?>\n' if encoding == "gb2312" else ""
    found = only(tmp_path, {"1.jpg": "", "1.xml": (text + voc("1.jpg", thing("骨折"))).encode(encoding)})
    assert labels(found) == {"1.jpg": ("骨折",)}


@pytest.mark.parametrize("declared", ["utf-16", "punycode", "nonsense"])
def test_declarations_that_are_wrong(tmp_path: Path, declared: str) -> None:
    found = only(
        tmp_path, {"1.jpg": "", "1.xml": f'<?xml version="1.0" encoding="{declared}"?>{voc("1.jpg", thing())}'}
    )
    assert labels(found) == ({"1.jpg": ("fractured",)} if declared == "utf-16" else {})
    assert bool(found.problems) == (declared != "utf-16")


@pytest.mark.parametrize(
    "text", [voc("1.jpg", thing())[:-20], "<annotation>" * 100_000, "<annotation>\x00</annotation>"]
)
def test_broken_xml_is_said(tmp_path: Path, text: str) -> None:
    found = only(tmp_path, {"1.jpg": "", "1.xml": text})
    assert "1.xml is broken XML" in reasons(found)
    assert not found.findings


@pytest.mark.parametrize(
    "text", ["", "<x/>", "<annotations><image id='0'/></annotations>", "<x><annotation/></x>", "\x80"]
)
def test_other_xml_is_passed_over(tmp_path: Path, text: str) -> None:
    assert lay(tmp_path, {"1.jpg": "", "1.xml": text}) == []


def test_a_file_that_is_too_large(tmp_path: Path) -> None:
    found = only(tmp_path, {"1.jpg": "", "1.xml": voc("1.jpg") + " " * (17 << 20)})
    assert "1.xml is larger than 16 MiB: 17 MiB" in reasons(found)
