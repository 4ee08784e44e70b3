"""What file names tell of the original image, and the merging of links."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fracture.data.copy_marks import is_augmentation_word, reduce
from fracture.data.groups import merge
from fracture.data.originals import originals

HEX32 = "1be75680f0289a4d2bcc8d0c112a3453"
UUID = "3f2504e0-4f89-41d3-9a0c-0305e82c3301"


@pytest.mark.parametrize(
    ("stem", "original"),
    [
        # the seed's
        ("764_Simple Bone Fracture_flip_vertical", "764_Simple Bone Fracture"),
        ("764_Simple Bone Fracture_rotate", "764_Simple Bone Fracture"),
        # Roboflow
        (f"images94_jpg.rf.{HEX32}", "images94"),
        (f"0-_jumbo_jpeg.rf.{HEX32}", "0-_jumbo"),
        (f"IMG001_rotate_png.rf.{HEX32}", "IMG001"),
        # Augmentor
        (f"simple_original_img 1.png_{UUID}", "img 1"),
        # albumentations, imgaug, OpenCV and what people write
        ("IMG001_aug_7", "IMG001"),
        ("aug_3_IMG001", "IMG001"),
        ("IMG001_HorizontalFlip", "IMG001"),
        ("IMG001_RandomBrightnessContrast", "IMG001"),
        ("IMG001_ShiftScaleRotate_2", "IMG001"),
        ("hflip_77", "77"),
        ("10-rotated1-rotated1-rotated1", "10"),
        ("12_rotate_15_brightness", "12"),
        ("x_high_brightness", "x"),
        ("scan7 - Copy", "scan7"),
        ("a_gaussian_noise_10", "a"),
        ("IMG_shifted_0.1", "IMG"),
        # hash prefixes: Label Studio and unique ids
        ("1a2b3c4d-IMG0012345", "IMG0012345"),
        (f"{UUID}_hand of 12345678", "hand of 12345678"),
        # names that are no copies
        ("IMG0002603", "IMG0002603"),
        ("0001_1297860395_01_WRI-L1_M014", "0001_1297860395_01_WRI-L1_M014"),
        ("patient_12_3456", "patient_12_3456"),
        ("20230101-hand", "20230101-hand"),
        ("study1_negative", "study1_negative"),
        ("rotated", "rotated"),
        (f"{HEX32}_image1", f"{HEX32}_image1"),
        ("1.2.840.113619.2.5", "1.2.840.113619.2.5"),
    ],
)
def test_original_stem(stem: str, original: str) -> None:
    assert reduce(stem).name == original


def test_numbers_of_keras_are_taken_off_only_beside_the_original() -> None:
    assert reduce("IMG001_0_4821", frozenset({"IMG001"})).name == "IMG001"
    assert reduce("IMG001_0_4821").name == "IMG001_0_4821"


@given(
    st.text("abcdefgXYZ0123456789 _-.()", min_size=1),
    st.lists(
        st.sampled_from(["_rotate_15", "-flipped", "_aug_3", " (copy)", "_hflip", f"_png.rf.{HEX32}"]), max_size=4
    ),
)
def test_a_stem_is_never_emptied_and_copies_of_copies_meet(name: str, suffixes: list[str]) -> None:
    once = reduce(name).name
    assert once
    assert reduce(once).name == once
    marks = [s for s in suffixes if s != " (copy)"]
    assert reduce("IMG7777777" + "".join(marks)).name == "IMG7777777"


def test_numbers_that_start_anew_in_every_split_do_not_link() -> None:
    keys = originals([("A", "train", "1"), ("A", "test", "1"), ("A", "train", "2_rotate"), ("A", "test", "2")])
    assert keys[0].key != keys[1].key
    assert keys[2].key == keys[3].key


def test_telling_names_link_across_splits() -> None:
    first, second = originals([("A", "train", "IMG0002603"), ("A", "test", "IMG0002603")])
    assert first.key == second.key


COPIES = {  # beside the original 100
    "flips": ("100_hflip", "100_vflip", "100_hvflip", "100_flipx", "100_flip_y", "100-flipxy"),
    "copies of copies": ("Copy of 100", "Copy of Copy of 100", "Kopie von 100", "100 - Copie (2)", "100 - copia"),
    "file managers": ("100 (copy)", "100 (another copy)", "100 (3rd copy)", "100 (1)", "100 (2)"),
    "sizes": ("100_224x224", "100-512", "100_resized", "100 256x256px"),
    "editors and libraries": (
        "100_edited",
        "100_trans",
        "100_transformed",
        "100_variant_2",
        "100_clahe",
        "100_hist_eq",
    ),
    "imgaug": ("100_Fliplr", "100_Affine", "100_AdditiveGaussianNoise", "100_sheared_y_10", "100_translated_x"),
}


@pytest.mark.parametrize("names", COPIES.values(), ids=COPIES)
def test_copies_beside_their_original_are_joined(names: tuple[str, ...]) -> None:
    found = originals([("A", "", "100"), *(("A", "", name) for name in names), ("A", "", "101")])
    assert len({one.key for one in found[:-1]}) == 1
    assert found[-1].key != found[0].key


def test_a_way_of_naming_is_told_and_may_be_believed() -> None:
    files = [("A", "", f"elbow_crop_{i}") for i in range(4)]
    assert len({one.key for one in originals(files)}) == 4
    assert {one.doubted for one in originals(files)} == {"a word for a copy at the end"}
    assert len({one.key for one in originals(files, believe=True)}) == 1


@pytest.mark.parametrize("names", [("7_aug_1", "7_aug_2"), ("anna_flip", "anna_rotate"), ("elbow", "elbow_crop_1")])
def test_copies_without_original_stay_joined_where_the_name_is_one_of_an_image(names: tuple[str, ...]) -> None:
    assert len({one.key for one in originals([("A", "", name) for name in names])}) == 1


@pytest.mark.parametrize("name", ["xray_fracture_1", "t0", "wrist 12", "3"])
def test_names_that_could_begin_anew_in_every_split_do_not_link(name: str) -> None:
    first, second = originals([("A", "train", name), ("A", "test", name)])
    assert first.key != second.key


NO_COPIES = ["Rotation", "Translation", "rotated", "Shift", "Crop", "compressed", "Aug"]


@pytest.mark.parametrize("name", NO_COPIES)
def test_folders_that_may_be_classes_or_months_are_none_of_copies(name: str) -> None:
    assert not is_augmentation_word(name)


FOLDERS_OF_COPIES = [
    "Augmented", "Orginal", "original images", "augmented_data", "Flipped", "Augmented Dataset", "output", "CLAHE",
]  # fmt: skip


@pytest.mark.parametrize("name", FOLDERS_OF_COPIES)
def test_folders_of_copies(name: str) -> None:
    assert is_augmentation_word(name)


@pytest.mark.parametrize("name", ["Simple Bone Fracture", "train", "normal", "patient1"])
def test_folders_that_are_none(name: str) -> None:
    assert not is_augmentation_word(name)


def test_merge_links_through_others() -> None:
    assert merge([["a"], ["b"], ["a", "b"], [], ["c"], ["c"], []]) == [0, 0, 0, 1, 2, 2, 3]


@given(st.lists(st.lists(st.integers(0, 12), max_size=4), max_size=25))
def test_merge_is_the_finest_grouping_that_keeps_every_link(keys: list[list[int]]) -> None:
    groups = merge(keys)
    assert list(dict.fromkeys(groups)) == list(range(len(set(groups))))
    for a, own in enumerate(keys):
        for b, other in enumerate(keys):
            if set(own) & set(other):
                assert groups[a] == groups[b]
    reach = [set(own) or {("alone", i)} for i, own in enumerate(keys)]
    for number in set(groups):
        held = [set(reach[i]) for i, g in enumerate(groups) if g == number]
        joined = held.pop()
        while held:
            near = [h for h in held if h & joined]
            assert near, "a group holds images that nothing links"
            for h in near:
                joined |= h
                held.remove(h)
