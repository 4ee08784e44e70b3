"""Whatever a file holds, nothing is raised, and what cannot be used never makes an image one without findings."""

import json
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fracture.data.annotations import Annotated, find
from fracture.data.boxes import from_text, to_text
from tests.data.annotations.test_coco import roboflow
from tests.data.annotations.test_voc import thing, voc

IMAGES = ["a.jpg", "train/images/a.jpg", "train/images/b.png"]
NAMES = [
    "x.json", "train/_annotations.coco.json", "a.xml", "train/images/a.xml", "_annotations.csv", "train/_classes.csv",
    "data.yaml",
    "train/labels/a.txt", "train/labels/b.txt", "a.txt", "classes.txt", "_darknet.labels",
]  # fmt: skip
SEEDS = [
    roboflow("a.jpg"), voc("a.jpg", thing()), "filename, a\na.jpg, 1\n", "nc: 1\nnames: [a]\ntrain: images\n",
    "0 .5 .5 .1 .1\n",
    "filename,width,height,class,xmin,ymin,xmax,ymax\na.jpg,9,9,a,0,0,1,1\n",
]  # fmt: skip
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=12,
)

ONE = st.just(1) | JSON
SIZE = {"width": st.just(9) | JSON, "height": st.just(9) | JSON}
SHAPE = {"bbox": st.just([0, 0, 1, 1]) | JSON, "segmentation": JSON, "id": JSON}


def search(contents: dict[str, bytes]) -> list[Annotated]:
    """Look into these files, and check what must hold of any result."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        for name, content in contents.items():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_bytes(content)
        found = find(root, IMAGES, list(contents))
    for one in found:
        assert set(one.findings) <= set(IMAGES)
        "\n".join((*one.files, *one.notes, *(f"{path} {reason}" for path, reason in one.problems))).encode()
        for finding in one.findings.values():
            assert len(finding.boxes) + len(finding.pixels) == (len(finding.labels) if one.has_boxes else 0)
            assert all(finding.labels)
            assert from_text(to_text(finding.boxes)) == finding.boxes
    return found


@settings(max_examples=150, deadline=None)
@given(st.dictionaries(st.sampled_from(NAMES), st.binary(max_size=60), max_size=5))
def test_random_bytes(contents: dict[str, bytes]) -> None:
    search(contents)


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(NAMES), st.sampled_from(SEEDS), st.data())
def test_damaged_files(name: str, seed: str, data: st.DataObject) -> None:
    raw = bytearray(seed.encode())
    for _ in range(data.draw(st.integers(0, 6))):
        at = data.draw(st.integers(0, len(raw) - 1))
        raw[at : at + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
        raw = raw or bytearray(b" ")
    search({name: bytes(raw), "train/labels/b.txt": b"0 .5 .5 .1 .1"})


@settings(max_examples=300, deadline=None)
@given(
    st.fixed_dictionaries({"images": JSON, "annotations": JSON}, optional={"categories": JSON})
    | st.fixed_dictionaries({
        "images": st.lists(st.fixed_dictionaries({"id": ONE, "file_name": st.just("a.jpg") | JSON}, optional=SIZE)),
        "annotations": st.lists(st.fixed_dictionaries({"image_id": ONE, "category_id": ONE}, optional=SHAPE) | JSON),
        "categories": st.lists(st.fixed_dictionaries({"id": ONE, "name": JSON}) | JSON, max_size=2),
    })
)  # fmt: skip
def test_random_coco(content: dict[str, Any]) -> None:
    search({"x.json": json.dumps(content).encode()})


@settings(max_examples=200, deadline=None)
@given(
    st.dictionaries(st.sampled_from(["names", "nc", "path", "train", "val", "test", "kpt_shape"]), JSON) | JSON,
    st.lists(st.lists(st.floats() | st.integers(-2, 3) | st.text(max_size=3), max_size=9), max_size=3),
)
def test_random_yaml_and_lines(content: object, lines: list[list[object]]) -> None:
    text = "\n".join(" ".join(str(token) for token in line) for line in lines)
    found = search({
        "data.yaml": json.dumps(content).encode(), "train/labels/a.txt": text.encode("utf-8", "replace"),
        "train/labels/b.txt": b"0 .5 .5 .1 .1",
    })  # fmt: skip
    for one in found:
        finding = one.findings.get("train/images/a.jpg")
        assert finding is None or bool(finding.labels) == bool(text.split())


@settings(max_examples=200, deadline=None)
@given(st.text(st.sampled_from("&<>![]{}:,-?*|'\"#%@`\n a0names"), max_size=40))
def test_odd_yaml(text: str) -> None:
    search({"data.yaml": f"names: {text}".encode(), "train/labels/b.txt": b"0 .5 .5 .1 .1"})


LAUGHS = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{new}: &{new} [{','.join([f'*{old}'] * 9)}]\n" for old, new in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize(
    "text",
    [
        "names: " + "[" * 50_000, "names: &a [*a]", f"{LAUGHS}names: *i\n",
        "names: !!python/object/apply:os.system ['false']", "? [names]\n: names", "names: [a]\n" + "# x\n" * 100_000,
    ],
)  # fmt: skip
def test_yaml_bombs(text: str) -> None:
    found = search({"data.yaml": text.encode(), "train/labels/b.txt": b"0 .5 .5 .1 .1"})
    assert [one.kind for one in found] == ["YOLO"]
