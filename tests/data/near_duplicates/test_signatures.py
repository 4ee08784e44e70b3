"""What is kept of an image is small, survives storage, and does not depend on how the image was turned over."""

import contextlib
import subprocess
import sys

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from fracture.data.demo import render_patient
from fracture.data.near_duplicates.signatures import ORDERS, Signature, signature
from tests.planted import planted_copy


@pytest.fixture(scope="module")
def picture() -> npt.NDArray[np.uint8]:
    return render_patient(seed=3, patient=1)[0].pixels


def made_up(keypoints: int, height: int, width: int, seed: int = 0) -> Signature:
    rng = np.random.default_rng(seed)
    return Signature(
        rng.integers(0, 256, (keypoints, 128), np.uint8),
        rng.normal(60, 20, (keypoints, 4)).astype(np.float32),
        rng.integers(0, 256, (height, width), np.uint8),
    )


@pytest.mark.parametrize(
    "pixels",
    [np.zeros((8, 8), np.float32), np.zeros((8, 8, 3), np.uint8), np.zeros((0, 8), np.uint8), np.zeros(8, np.uint8)],
    ids=["float", "colour", "empty", "a line"],
)
def test_what_is_no_grey_image_is_refused(pixels: npt.NDArray[np.uint8]) -> None:
    with pytest.raises(ValueError, match=r"expected uint8 \[height, width\]"):
        signature(pixels)


@pytest.mark.parametrize("shape", [(1, 1), (1, 5000), (5000, 1), (3, 200), (2, 2), (40, 2000)])
def test_any_size_works(shape: tuple[int, int]) -> None:
    made = signature(np.random.default_rng(0).integers(0, 256, shape, np.uint8))
    assert max(made.thumbnail.shape) == 128
    assert len(made.descriptors) == len(made.keypoints) <= 120


@pytest.mark.parametrize("level", [0, 127, 255])
def test_a_blank_image_has_no_keypoints(level: int) -> None:
    made = signature(np.full((300, 200), level, np.uint8))
    assert made.descriptors.shape == (0, 128)
    assert made.keypoints.shape == (0, 4)


def test_a_signature_is_small_and_the_same_each_time(picture: npt.NDArray[np.uint8]) -> None:
    packed = signature(picture).to_bytes()
    assert len(packed) < 25_000
    assert packed == signature(picture).to_bytes()


@given(st.integers(0, 120), st.integers(1, 128), st.integers(1, 128), st.integers(0, 9))
@settings(deadline=None, max_examples=30)
def test_storage_gives_back_what_it_got(keypoints: int, height: int, width: int, seed: int) -> None:
    before = made_up(keypoints, height, width, seed)
    after = Signature.from_bytes(before.to_bytes())
    for name in ("descriptors", "keypoints", "thumbnail"):
        np.testing.assert_array_equal(getattr(after, name), getattr(before, name))


@given(st.integers(0, 10_000), st.integers(1, 255))
@settings(deadline=None, max_examples=60)
@example(14, 8)  # a header of deflate that reads the same
def test_a_damaged_byte_is_noticed_or_harmless(place: int, change: int) -> None:
    whole = made_up(5, 30, 20).to_bytes()
    packed = bytearray(whole)
    packed[place % len(packed)] ^= change
    with contextlib.suppress(ValueError):
        assert Signature.from_bytes(bytes(packed)).to_bytes() == whole


@pytest.mark.parametrize("packed", [b"", b"FSIG", made_up(5, 30, 20).to_bytes()[:-9], b"x" * 500])
def test_what_is_no_signature_is_refused(packed: bytes) -> None:
    with pytest.raises(ValueError, match="damaged signature"):
        Signature.from_bytes(packed)


@pytest.mark.parametrize("name", ORDERS)
def test_reordering_twice_changes_nothing(name: str) -> None:
    np.testing.assert_array_equal(ORDERS[name][ORDERS[name]], np.arange(128))


@pytest.mark.parametrize(("name", "change"), [("mirror", "flip_horizontal"), ("invert", "invert")])
def test_reordered_descriptors_are_those_of_the_changed_image(
    picture: npt.NDArray[np.uint8], name: str, change: str
) -> None:
    before = signature(picture).descriptors.astype(float)[:, ORDERS[name]] / 512
    after = signature(planted_copy(picture, change, np.random.default_rng(0))).descriptors.astype(float) / 512
    assert np.median((after @ before.T).max(axis=1)) > 0.97


def test_a_burned_in_label_leaves_keypoints_to_the_bone(picture: npt.NDArray[np.uint8]) -> None:
    marked = picture.copy()
    rng = np.random.default_rng(0)
    marked[:60, :90] = rng.choice(np.array([0, 255], np.uint8), (60, 90))
    made = signature(marked)
    scale = 128 / max(picture.shape)
    inside = (made.keypoints[:, 0] < 90 * scale) & (made.keypoints[:, 1] < 60 * scale)
    assert (~inside).sum() > 0.4 * len(signature(picture).keypoints)


def test_the_search_needs_no_torch() -> None:
    code = "import sys; from fracture.data.near_duplicates import duplicates, store; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
