"""Which image a name means, and when it means none."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fracture.data.annotations.matching import Images, splits_in

HEX = "c3e00ebc2db78bc94e644c3f6605dad0"


def match(images: Sequence[str], named: str, folder: str = "", splits: str = "") -> str:
    return Images(images).match(named, folder, splits_in(splits)).image


@pytest.mark.parametrize(
    ("images", "named", "folder", "expected"),
    [
        (["a/1.jpg", "b/1.jpg"], "1.jpg", "a", "a/1.jpg"),
        (["a/1.jpg", "a/c/1.jpg"], "1.jpg", "a", "a/1.jpg"),
        (["a/1.jpg", "b/1.jpg"], "b/1.jpg", "a", "b/1.jpg"),
        (["a/1.jpg", "b/1.jpg"], "../b/1.jpg", "a", "b/1.jpg"),
        (["a/images/1.jpg", "b/images/1.jpg"], "images/1.jpg", "a/annotations", "a/images/1.jpg"),
        (["a/images/1.jpg", "b/images/1.jpg"], "1.jpg", "a/annotations", "a/images/1.jpg"),
        (["a/pics/1.jpg", "b/images/1.jpg"], "/x/images/1.jpg", "a", ""),  # the folders say b, the place says a
        (["a/1.jpg", "b/1.jpg"], "1.jpg", "", ""),
        (["a/1.jpg", "b/1.jpg"], "c/1.jpg", "d", ""),
        (["1.JPG"], "1.jpg", "", "1.JPG"),
        (["u\u0308ber.png"], "\xfcber.png", "", "u\u0308ber.png"),
        (["x/1.jpg", "x/1.JPG"], "1.jpg", "y", "x/1.jpg"),
        (["1.jpg"], "1.png", "", "1.jpg"),
        (["1.jpg"], "1", "", "1.jpg"),
        (["1.jpg", "1.png"], "1", "", ""),
        ([f"a_jpg.rf.{HEX}.jpg"], f"a_jpg.rf.{HEX}", "", f"a_jpg.rf.{HEX}.jpg"),
        (["a.tif.jpg", "a.png"], "a.tif", "", "a.tif.jpg"),
        ([f"a_jpg.rf.{HEX}.jpg", f"b_jpg.rf.{HEX}.jpg"], "a.JPG", "labels", f"a_jpg.rf.{HEX}.jpg"),
        ([f"a_png.rf.{HEX}.jpg"], "a", "", f"a_png.rf.{HEX}.jpg"),
        ([f"a_jpg.rf.{HEX}.jpg", "a.png"], "a.jpg", "", "a.png"),
        ([f"a_jpg.rf.{HEX}.jpg", f"a_jpg.rf.{HEX[::-1]}.jpg"], "a.jpg", "", ""),
        ([f"a_jpg.rf.{HEX}.jpg"], f"a_jpg.rf.{HEX[::-1]}.jpg", "", ""),
        (["a.jpg"], f"a_jpg.rf.{HEX}.jpg", "", ""),  # of which it may be a mirrored copy
        (["1.2.840.10008"], "1.2.840.10008", "dicom", "1.2.840.10008"),
        (["1.jpg"], "11.jpg", "", ""),
        (["a/1.jpg"], "", "a", ""),
        (["a/1.jpg"], "a/", "", ""),
        (["a/1.jpg"], "..", "a", ""),
    ],
)
def test_names(images: list[str], named: str, folder: str, expected: str) -> None:
    assert match(images, named, folder) == expected


@pytest.mark.parametrize(
    ("image", "named", "splits", "expected"),
    [
        ("train/1.jpg", "1.jpg", "train", True),
        ("train/1.jpg", "1.jpg", "annotations/instances_train2017", True),
        ("valid/1.jpg", "1.jpg", "annotations/instances_val2017", True),
        ("images/1.jpg", "1.jpg", "train", True),
        ("test/1.jpg", "1.jpg", "train", False),
        ("test/1.jpg", "x/train/1.jpg", "", False),
        ("contest/1.jpg", "1.jpg", "train", True),
        ("my-test-project/train/1.jpg", "1.jpg", "my-test-project/train", True),
        ("my-test-project/valid/1.jpg", "1.jpg", "my-test-project/train", False),
    ],
)
def test_an_image_of_another_split_is_another_image(image: str, named: str, splits: str, expected: bool) -> None:
    assert bool(match([image], named, "elsewhere", splits)) == expected


def test_very_many_images_of_one_name() -> None:
    images = [f"patient{i}/image1.png" for i in range(5_000)]
    assert match(images, "image1.png") == match(images, "/x/patient7/image1.png") == ""
    assert match(images, "patient7/image1.png", "annotations") == "patient7/image1.png"


PATHS = st.lists(st.sampled_from(["a", "train", "test", "images", "b"]), max_size=3).map("/".join)


@given(st.lists(st.tuples(PATHS, st.sampled_from(["1.jpg", "2.jpg"])), max_size=6), PATHS, PATHS)
def test_a_match_has_the_name_and_does_not_hang_on_the_order(
    images: list[tuple[str, str]], given_: str, folder: str
) -> None:
    paths = [f"{place}/{name}".lstrip("/") for place, name in images]
    found = match(paths, f"{given_}/1.jpg".lstrip("/"), folder, folder)
    assert found == "" or found.endswith("1.jpg")
    assert found == match(paths[::-1], f"{given_}/1.jpg".lstrip("/"), folder, folder)


@pytest.mark.parametrize(
    ("images", "named", "reason"),
    [
        (
            [f"a_jpg.rf.{HEX}.jpg", f"a_jpg.rf.{HEX[::-1]}.jpg"],
            "a.jpg",
            "several images are copies of it that",
        ),
        (["a.png"], f"a_jpg.rf.{HEX}.jpg", "only the image that Roboflow made it of"),
        (["b.png"], f"a_jpg.rf.{HEX}.jpg", "no image of that name"),
        (["x/a.png", "y/a.png"], "a.png", "several images have that name"),
    ],
)
def test_why_there_is_none(images: list[str], named: str, reason: str) -> None:
    assert Images(images).match(named, "", frozenset()).reason.startswith(reason)
