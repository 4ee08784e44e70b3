"""YOLO label files, as Roboflow, Kaggle, LabelImg, Darknet and CVAT leave them."""

from pathlib import Path

import pytest

from tests.data.annotations.made_up import HEX, edges, labels, lay, only, reasons

NAMES = (
    "names: ['elbow positive', 'fingers positive', 'forearm fracture', 'humerus fracture', 'humerus', "
    "'shoulder fracture', 'wrist positive']\n"
)
DATA_YAML = (
    f"train: ../train/images\nval: ../valid/images\ntest: ../test/images\n\nnc: 7\n{NAMES}\n"
    "roboflow:\n  workspace: veda\n  project: bone-fracture-detection-daoon\n  version: 4\n  license: CC BY 4.0\n"
    "  url: https://universe.roboflow.com/veda/bone-fracture-detection-daoon/dataset/4\n"
)
README = (
    "\nbone fracture detection - v4 v4\n==============================\n\nThis dataset was exported via roboflow.com\n"
)
A, B, C = (f"image{i}_{i * 5}_png.rf.{HEX[i:]}" for i in (1, 2, 3))
ROBOFLOW = {
    "data.yaml": DATA_YAML,
    "README.dataset.txt": README,
    "README.roboflow.txt": README,
    f"train/images/{A}.jpg": "",
    f"train/labels/{A}.txt": "2 0.5 0.5 0.2 0.4\n",
    f"train/images/{B}.jpg": "",
    f"train/labels/{B}.txt": "",
    f"valid/images/{C}.jpg": "",
    f"valid/labels/{C}.txt": "6 0.1 0.2 0.3 0.2 0.3 0.5 0.1 0.4\n3 0.7 0.7 0.1 0.1\n",
}


def test_a_roboflow_export(tmp_path: Path) -> None:
    found = only(tmp_path, ROBOFLOW)
    assert (found.kind, found.has_boxes, found.problems, found.notes) == ("YOLO", True, (), ())
    assert labels(found) == {
        f"train/images/{A}.jpg": ("forearm fracture",),
        f"train/images/{B}.jpg": (),
        f"valid/images/{C}.jpg": ("wrist positive", "humerus fracture"),
    }
    assert found.files[0] == "data.yaml"
    assert not any("README" in file for file in found.files)
    assert edges(found.findings[f"train/images/{A}.jpg"].boxes[0]) == (0.4, 0.3, 0.6, 0.7)
    assert edges(found.findings[f"valid/images/{C}.jpg"].boxes[0]) == (0.1, 0.2, 0.3, 0.5)  # around the polygon


def test_a_missing_file_beside_others_means_nothing_found_and_is_said(tmp_path: Path) -> None:
    files = {path: text for path, text in ROBOFLOW.items() if path != f"train/labels/{B}.txt"}
    found = only(tmp_path, files)
    assert labels(found)[f"train/images/{B}.jpg"] == ()
    assert found.assumed == {f"train/images/{B}.jpg"}
    assert found.notes == ("1 of 3 images have no label file and count as without finding, as YOLO has it",)


def test_a_folder_without_any_label_file_was_not_looked_at(tmp_path: Path) -> None:
    found = only(tmp_path, {**ROBOFLOW, "test/images/x.jpg": "", "other/y.jpg": ""})
    assert {"test/images/x.jpg", "other/y.jpg"} & found.findings.keys() == set()


@pytest.mark.parametrize(
    "train",
    ["images", "./images/", "../data/images", "/content/bones/images", "[images/a, images/b]", "lists/train.txt"],
)
def test_what_the_yaml_calls_training_images_belongs_together(tmp_path: Path, train: str) -> None:
    files = {
        "data.yaml": f"train: {train}\nnames: {{0: fracture}}\n",
        "images/a/1.jpg": "", "labels/a/1.txt": "0 .5 .5 .1 .1", "images/b/2.jpg": "",
        "lists/train.txt": "./images/a/1.jpg\n/home/x/images/b/2.jpg\nimages/c/gone.jpg\n",
    }  # fmt: skip
    found = only(tmp_path, files)
    assert ("images/b/2.jpg" in found.findings) == ("[" not in train)  # a folder of the list without labels stays out


@pytest.mark.parametrize(
    "text",
    [
        "names: [fracture, no]\nnc: 2\n",
        "nc: 2\nnames:\n  0: fracture\n  1: no\n",
        "\ufeffpath: ../datasets/bones\ntrain: images\nnames:\n- fracture\n- no\n",
        '{"names": ["fracture", "no"], "nc": 2}',
    ],
)
@pytest.mark.parametrize("name", ["data.yaml", "bones.yml"])
def test_names_as_list_or_dictionary(tmp_path: Path, text: str, name: str) -> None:
    files = {name: text, "images/1.jpg": "", "labels/1.txt": "0 .5 .5 .1 .1\n1.0 .5 .5 .1 .1 0.9\n"}
    assert labels(only(tmp_path, files)) == {"images/1.jpg": ("fracture", "no")}


@pytest.mark.parametrize("name", ["classes.txt", "obj.names", "_darknet.labels", "../classes.txt"])
def test_names_as_list_of_lines(tmp_path: Path, name: str) -> None:
    files = {
        f"train/{name}".replace("train/../", ""): "fracture\nmetal\n\n",
        "train/1.jpg": "",
        "train/1.txt": "1 .5 .5 .1 .1",
    }
    found = only(tmp_path, files)
    assert labels(found) == {"train/1.jpg": ("metal",)}


def test_without_names_classes_are_numbers_and_that_is_said(tmp_path: Path) -> None:
    found = only(tmp_path, {"1.jpg": "", "1.txt": "0 .5 .5 .1 .1"})
    assert labels(found) == {"1.jpg": ("class 0",)}
    assert "no file (data.yaml" in found.notes[0]


def test_each_data_set_has_its_own_names(tmp_path: Path) -> None:
    files = {
        "one/data.yaml": "nc: 1\nnames: [fracture]", "one/images/1.jpg": "", "one/labels/1.txt": "0 .5 .5 .1 .1",
        "two/data.yaml": "nc: 1\nnames: [metal]", "two/images/1.jpg": "", "two/labels/1.txt": "0 .5 .5 .1 .1",
        "three/images/1.jpg": "", "three/labels/1.txt": "0 .5 .5 .1 .1",
    }  # fmt: skip
    found = only(tmp_path, files)
    assert labels(found) == {"one/images/1.jpg": ("fracture",), "two/images/1.jpg": ("metal",)}
    assert "three/labels several files name its classes differently: one/data.yaml, two/data.yaml" in reasons(found)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("7 .5 .5 .1 .1", "its class id has no name in data.yaml: 7"),
        ("-1 .5 .5 .1 .1", "its class id is no whole number from 0: -1"),
        ("0.5 .5 .5 .1 .1", "its class id is no whole number"),
        ("fracture .5 .5 .1 .1", "its class id is no finite number: fracture"),
        ("0", "it has too few numbers: 0"),
        ("0 .5 .5 .1", "it has too few numbers: 3"),
        ("0 .5 .5 .1 x", "a coordinate is no finite number: x"),
        ("0 .5 .5 nan .1", "a coordinate is no finite number: nan"),
        ("0 .5 .5 1e999 .1", "a coordinate is no finite number: 1e999"),
        ("0 .5 .5 0 .1", "its box has no area"),
        ("0 .5 .5 -.1 .1", "its box has no area"),
        ("0 320 320 64 64", "its box lies outside the image"),
        ("0 1.05 .5 .02 .1", "its box has no area inside the image"),
        ("0 .1 .1 .2 .2 .3 .3 .4", "its polygon has 7 numbers"),
    ],
)
def test_a_line_that_cannot_be_used_leaves_its_image_out(tmp_path: Path, line: str, reason: str) -> None:
    files = {**ROBOFLOW, f"train/labels/{A}.txt": f"2 .5 .5 .1 .1\n\n{line}\n"}
    found = only(tmp_path, files)
    assert f"train/labels/{A}.txt:3 {reason}" in reasons(found)
    assert f"train/images/{A}.jpg" not in found.findings
    assert len(found.findings) == 2


def test_a_box_slightly_outside_is_cut_off(tmp_path: Path) -> None:
    found = only(tmp_path, {**ROBOFLOW, f"train/labels/{A}.txt": "2 .99 .5 .1 1.02"})
    assert edges(found.findings[f"train/images/{A}.jpg"].boxes[0]) == (0.94, 0, 1, 1)
    assert not found.problems


@pytest.mark.parametrize("content", [b"\xff\xfe0\x00 \x00", b"\x80abc", b"caption of this image\n"])
def test_a_label_file_that_is_none_leaves_its_image_out(tmp_path: Path, content: bytes) -> None:
    found = only(tmp_path, {**ROBOFLOW, f"train/labels/{A}.txt": content})
    assert f"train/labels/{A}.txt" in reasons(found)
    assert f"train/images/{A}.jpg" not in found.findings


def test_marks_of_encodings_are_no_matter(tmp_path: Path) -> None:
    line = "2 .5 .5 .1 .1\r\n"
    files = {
        **ROBOFLOW,
        f"train/labels/{A}.txt": line.encode("utf-16"),
        f"train/labels/{B}.txt": line.encode("utf-8-sig"),
    }
    found = only(tmp_path, files)
    assert labels(found)[f"train/images/{A}.jpg"] == labels(found)[f"train/images/{B}.jpg"] == ("forearm fracture",)


def test_key_points_are_no_polygon(tmp_path: Path) -> None:
    files = {
        "data.yaml": "kpt_shape: [2, 3]\nnames: [fracture]\n", "images/1.jpg": "",
        "labels/1.txt": "0 .5 .5 .2 .2 .9 .9 1 .1 .1 1",
    }  # fmt: skip
    assert edges(only(tmp_path, files).findings["images/1.jpg"].boxes[0]) == (0.4, 0.4, 0.6, 0.6)


def test_text_files_that_are_no_labels(tmp_path: Path) -> None:
    files = {
        "1.jpg": "", "1.txt": "Distal radius fracture, dorsal tilt.", "2.jpg": "", "2.txt": "12 years, fell off a tree",
        "README.txt": "0 1 2 3 4", "train.txt": "1.jpg\n2.jpg\n", "requirements.txt": "numpy", "empty.txt": "",
    }  # fmt: skip
    assert lay(tmp_path, files) == []


def test_labels_of_images_that_are_not_there_are_counted(tmp_path: Path) -> None:
    lost = {f"test/labels/{i}.txt": "0 .5 .5 .1 .1" for i in range(5)}
    found = only(tmp_path, {**ROBOFLOW, **lost, "notes.txt": "remember"})
    assert found.problems == (("test/labels", "no image of that name is there: 5, e.g. 0.txt, 1.txt, 2.txt"),)


def test_text_that_belongs_to_no_image_and_cannot_be_read_is_passed_over(tmp_path: Path) -> None:
    assert not only(tmp_path, {**ROBOFLOW, "train/labels/notes.txt": b"\x80"}).problems


@pytest.mark.parametrize("text", ["names: [a]\n", "names: 3\nnc: 1\n", "names:\n", "- names\n", "{names}"])
def test_yaml_that_is_no_data_set(tmp_path: Path, text: str) -> None:
    found = only(tmp_path, {"config.yaml": text, "images/1.jpg": "", "labels/1.txt": "0 .5 .5 .1 .1"})
    assert labels(found) == {"images/1.jpg": ("class 0",)}
    assert not found.problems


def test_a_list_of_images_that_cannot_be_read(tmp_path: Path) -> None:
    files = {
        "data.yaml": "names: [a]\ntrain: train.txt\n",
        "train.txt": b"\x80",
        "images/1.jpg": "",
        "labels/1.txt": "",
    }
    assert labels(only(tmp_path, files)) == {"images/1.jpg": ()}


def test_where_labels_found_no_image_nothing_is_taken_for_granted(tmp_path: Path) -> None:
    files = {**ROBOFLOW, "train/images/renamed.jpg": "", "train/labels/original.txt": "0 .5 .5 .1 .1"}
    found = only(tmp_path, files)
    assert "train/images/renamed.jpg" not in found.findings
    assert f"train/images/{B}.jpg" in found.findings
    assert not found.assumed


def test_nor_in_what_the_yaml_puts_together_with_it(tmp_path: Path) -> None:
    files = {
        "data.yaml": "names: [fracture]\ntrain: images\n", "images/a/1.jpg": "", "labels/a/1.txt": "0 .5 .5 .1 .1",
        "images/b/2.jpg": "", "labels/b/2.txt": "", "images/b/3.jpg": "", "labels/b/original.txt": "0 .5 .5 .1 .1",
    }  # fmt: skip
    assert labels(only(tmp_path, files)) == {"images/a/1.jpg": ("fracture",), "images/b/2.jpg": ()}


def test_labels_beside_a_folder_of_images_are_for_no_other(tmp_path: Path) -> None:
    files = {
        "data.yaml": "names: [fracture]\nnc: 1\n", "one/images/1.jpg": "", "one/labels/1.txt": "",
        "one/labels/2.txt": "0 .5 .5 .1 .1", "two/images/2.jpg": "",
    }  # fmt: skip
    found = only(tmp_path, files)
    assert labels(found) == {"one/images/1.jpg": ()}
    assert "one/labels no image of that name is there: 1, e.g. 2.txt" in reasons(found)


def test_a_label_of_another_split_is_not_the_image_s(tmp_path: Path) -> None:
    found = only(tmp_path, {**ROBOFLOW, f"test/labels/{A}.txt": "0 .5 .5 .1 .1"})
    assert labels(found)[f"train/images/{A}.jpg"] == ("forearm fracture",)
    assert f"only an image of another split has that name: 1, e.g. {A}.txt" in reasons(found)


def test_a_label_for_two_images_is_for_none(tmp_path: Path) -> None:
    files = {**ROBOFLOW, "train/images/x.jpg": "", "train/images/x.png": "", "train/labels/x.txt": "0 .5 .5 .1 .1"}
    found = only(tmp_path, files)
    assert "train/labels/x.txt several images have that name, so none is taken: " in reasons(found)
    assert {"train/images/x.jpg", "train/images/x.png"} & found.findings.keys() == set()


def test_two_label_files_that_differ_leave_the_image_out(tmp_path: Path) -> None:
    found = only(tmp_path, {**ROBOFLOW, f"train/images/{A}.txt": "3 .5 .5 .1 .1"})
    assert f"train/images/{A}.jpg annotation files disagree on it" in reasons(found)
    assert f"train/images/{A}.jpg" not in found.findings


@pytest.mark.parametrize(
    "text", ["names: [a\n", "names: [a]\nnc: 2\n", "nc: 1\nnames: {x: a}\n", "nc: 1\nnames: ['']\n"]
)
def test_names_that_cannot_be_used_are_said(tmp_path: Path, text: str) -> None:
    found = only(tmp_path, {"data.yaml": text, "images/1.jpg": "", "labels/1.txt": "0 .5 .5 .1 .1"})
    assert found.problems[0][0] == "data.yaml"
    assert labels(found) == {"images/1.jpg": ("class 0",)}


def test_cvat_s_darknet_export(tmp_path: Path) -> None:
    files = {
        "obj.data": "classes = 1\ntrain = data/train.txt\nnames = data/obj.names\n", "obj.names": "fracture\n",
        "train.txt": "data/obj_train_data/1.png\n", "obj_train_data/1.png": "", "obj_train_data/1.txt": "0 .5 .5 .1 .1",
        "obj_train_data/2.png": "", "obj_train_data/2.txt": "",
    }  # fmt: skip
    assert labels(only(tmp_path, files)) == {"obj_train_data/1.png": ("fracture",), "obj_train_data/2.png": ()}
