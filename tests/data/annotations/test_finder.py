"""Data sets that come with several kinds of annotations, and which of them comes first."""

import json
import os
from pathlib import Path

import pytest

from fracture.data.annotations import Annotated, find
from tests.data.annotations.made_up import edges, labels, lay, reasons
from tests.data.annotations.test_voc import thing, voc

FRACTURED, OTHERS = ["IMG0000019", "IMG0000025"], ["IMG0000000", "IMG0000001", "IMG0000002"]


def fracatlas() -> dict[str, str]:
    """FracAtlas as figshare has it: COCO and VGG of the 717 fractured images, VOC and YOLO of all 4,083."""
    root, size = "FracAtlas", "<width>2304</width><height>2880</height><depth>3</depth>"
    box = "<xmin>1242</xmin><ymin>929</ymin><xmax>1515</xmax><ymax>1076</ymax>"
    coco = {
        "info": {"description": "my-project-name"},
        "images": [
            {"id": i, "width": 2304, "height": 2880, "file_name": f"{name}.jpg"} for i, name in enumerate(FRACTURED, 1)
        ],
        "annotations": [
            {"id": i, "iscrowd": 0, "image_id": i + 1, "category_id": 0,
             "segmentation": [[1242, 929, 1515, 929, 1515, 1076]], "bbox": [1242, 929, 273, 147], "area": 1.5}
            for i in range(len(FRACTURED))
        ],
        "categories": [{"id": 0, "name": "fractured"}],
    }  # fmt: skip
    vgg = {f"{name}.jpg": {"filename": f"{name}.jpg", "size": 1, "regions": {"0": {}}} for name in FRACTURED}
    return {
        **{f"{root}/images/Fractured/{name}.jpg": "" for name in FRACTURED},
        **{f"{root}/images/Non_fractured/{name}.jpg": "" for name in OTHERS},
        f"{root}/dataset.csv": "image_id,hand,leg,hip,shoulder,mixed,hardware,multiscan,fractured,fracture_count\n",
        f"{root}/Utilities/Fracture Split/train.csv": "image_id\nIMG0000019.jpg\n",
        f"{root}/Annotations/COCO JSON/COCO_fracture_masks.json": json.dumps(coco),
        f"{root}/Annotations/VGG JSON/VGG_fracture_masks.json": json.dumps(vgg),
        **{f"{root}/Annotations/PASCAL VOC/{n}.xml": voc(f"{n}.jpg", thing(box=box), size=size) for n in FRACTURED},
        **{f"{root}/Annotations/PASCAL VOC/{n}.xml": voc(f"{n}.jpg", size=size) for n in OTHERS},
        **{f"{root}/Annotations/YOLO/{n}.txt": "0 0.5985 0.3482 0.1186 0.0512\n" for n in FRACTURED},
        **{f"{root}/Annotations/YOLO/{n}.txt": "" for n in OTHERS},
    }


def test_fracatlas(tmp_path: Path) -> None:
    found = lay(tmp_path, fracatlas())
    assert [one.kind for one in found] == ["Pascal VOC", "YOLO", "COCO", "VIA"]  # VOC and YOLO speak of all images
    assert not found.pop().findings, "the regions of its VGG file have no class"
    image = "FracAtlas/images/Fractured/IMG0000019.jpg"
    boxes = [edges(one.findings[image].boxes[0]) for one in found]
    assert all(box == pytest.approx(boxes[0], abs=1e-3) for box in boxes)
    assert [len(one.findings) for one in found] == [5, 5, 2]
    assert labels(found[0])["FracAtlas/images/Non_fractured/IMG0000000.jpg"] == ()
    assert labels(found[1])[image] == ("class 0",)  # no file of FracAtlas names YOLO's classes
    assert [one.problems for one in found] == [(), (), ()]


def graz() -> dict[str, str]:
    """GRAZPEDWRI-DX as figshare has it: images in four parts, annotations in folder_structure."""
    names = ["0001_1297860395_01_WRI-L1_M014", "0001_1297860435_01_WRI-L2_M014", "0503_1018511008_01_WRI-L1_M012"]
    classes = "boneanomaly bonelesion foreignbody fracture metal periostealreaction pronatorsign softtissue text"
    lines = "".join(f"- {name}\n" for name in classes.split())
    meta = f"names:\n{lines}nc: 9\npath: data/images\ntrain: data/images/train\nval: data/images/valid\n"
    return {
        f"images_part1/{names[0]}.png": "", f"images_part1/{names[1]}.png": "", f"images_part2/{names[2]}.png": "",
        "dataset.csv": "filestem,patient_id,fracture_visible\n",
        "folder_structure/yolov5/meta.yaml": meta,
        f"folder_structure/yolov5/labels/{names[0]}.txt": "8 0.734848 0.092105 0.095960 0.039474\n",
        f"folder_structure/yolov5/labels/{names[1]}.txt": "3 0.5 0.5 0.1 0.1\n8 0.1 0.1 0.05 0.05\n",
        f"folder_structure/yolov5/labels/{names[2]}.txt": "3 0.5 0.5 0.1 0.1\n",
        "folder_structure/supervisely/meta.json": '{"classes": [], "tags": []}',
        f"folder_structure/supervisely/wrist/ann/{names[0]}.png.json": '{"description": "", "objects": [], "size": {}}',
        **{f"folder_structure/pascalvoc/{n}.xml": voc(f"{n}.png", thing("fracture")) for n in names[1:]},
        f"folder_structure/pascalvoc/{names[0]}.xml": voc(f"{names[0]}.png", thing("text")),
    }  # fmt: skip


def test_grazpedwri(tmp_path: Path) -> None:
    voc_set, yolo = lay(tmp_path, graz())
    assert (voc_set.kind, yolo.kind, voc_set.problems, yolo.problems) == ("Pascal VOC", "YOLO", (), ())
    assert labels(yolo) == {
        "images_part1/0001_1297860395_01_WRI-L1_M014.png": ("text",),
        "images_part1/0001_1297860435_01_WRI-L2_M014.png": ("fracture", "text"),
        "images_part2/0503_1018511008_01_WRI-L1_M012.png": ("fracture",),
    }


def test_what_is_assumed_does_not_count_for_the_order(tmp_path: Path) -> None:
    files = {f"images/{i}.jpg": "" for i in range(9)}
    coco = {
        "images": [{"id": i, "width": 9, "height": 9, "file_name": f"{i}.jpg"} for i in range(3)],
        "annotations": [],
    }
    found = lay(tmp_path, {**files, "x.json": json.dumps(coco), "labels/0.txt": "0 .5 .5 .1 .1", "labels/1.txt": ""})
    assert [(one.kind, len(one.findings)) for one in found] == [("COCO", 3), ("YOLO", 9)]


def test_as_many_images_go_by_the_kind(tmp_path: Path) -> None:
    coco = {"images": [{"id": 1, "width": 9, "height": 9, "file_name": "1.jpg"}], "annotations": []}
    files = {
        "1.jpg": "", "1.txt": "0 .5 .5 .1 .1", "1.xml": voc("1.jpg"), "x.json": json.dumps(coco),
        "_classes.csv": "filename, a\n1.jpg, 1\n",
        "_annotations.csv": "filename,width,height,class,xmin,ymin,xmax,ymax\n1.jpg,9,9,a,0,0,1,1",
    }  # fmt: skip
    kinds = ["Roboflow _classes.csv", "COCO", "Pascal VOC", "Roboflow CSV", "YOLO"]
    assert [one.kind for one in lay(tmp_path, files)] == kinds


def test_nothing_there(tmp_path: Path) -> None:
    assert find(tmp_path, [], []) == []
    assert lay(tmp_path, {"a/1.jpg": "", "b/2.jpg": "", "x.xlsx": "", "notes.txt": ""}) == []


def test_files_that_are_gone_or_none(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "1.xml")
    (tmp_path / "data.yaml").mkdir()
    (tmp_path / "_classes.csv").mkdir()
    found = find(
        tmp_path, ["1.jpg", "2.jpg"], ["1.xml", "2.json", "2.txt", "data.yaml", "_classes.csv", "_annotations.csv"]
    )
    text = "\n".join(reasons(one) for one in found)
    assert "1.xml is no regular file" in text
    assert "2.json cannot be read: No such file or directory" in text
    assert all(not one.findings for one in found)


def test_a_set_without_boxes_says_so() -> None:
    assert not Annotated("Roboflow _classes.csv", (), {}).has_boxes
    assert Annotated("COCO", (), {}).has_boxes
