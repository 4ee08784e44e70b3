"""Copies are found however they were changed; different images are not."""

from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fracture.data.demo import render_patient
from fracture.data.near_duplicates import duplicates
from fracture.data.near_duplicates.duplicates import Pair, duplicate_threshold, find_near_duplicates
from fracture.data.near_duplicates.signatures import Signature, signature
from tests.planted import CHANGES, planted_copy

POOL = 60


@pytest.fixture(scope="module")
def pictures() -> list[npt.NDArray[np.uint8]]:
    """One view of each of 60 made-up patients."""
    return [render_patient(seed=5, patient=number)[0].pixels for number in range(POOL)]


@pytest.fixture(scope="module")
def pool(pictures: list[npt.NDArray[np.uint8]]) -> list[Signature]:
    return [signature(picture) for picture in pictures]


@pytest.fixture(scope="module")
def planted(pictures: list[npt.NDArray[np.uint8]]) -> list[Signature]:
    """One copy for each change: of image number ``i`` for the change number ``i``."""
    rng = np.random.default_rng(1)
    return [signature(planted_copy(pictures[number], change, rng)) for number, change in enumerate(CHANGES)]


def linked(pairs: tuple[Pair, ...]) -> set[tuple[int, int]]:
    return {(pair.first, pair.second) for pair in pairs}


def test_copies_are_found_and_nothing_else(pool: list[Signature], planted: list[Signature]) -> None:
    found = find_near_duplicates(pool + planted)
    wanted = {(number, POOL + number) for number in range(len(planted))}
    assert len(linked(found.duplicates) & wanted) >= len(wanted) - 1
    assert not linked(found.duplicates) - wanted
    assert found.pool == POOL + len(planted)
    assert not found.featureless


@pytest.mark.parametrize(
    ("change", "transform"),
    [("flip_vertical", "mirror"), ("rotate_180", "identity"), ("invert", "invert"), ("crop_sides_10", "identity")],
)
def test_the_pair_says_what_was_done(
    pool: list[Signature], planted: list[Signature], change: str, transform: str
) -> None:
    number = list(CHANGES).index(change)
    found = find_near_duplicates([pool[number], planted[number]])
    (pair,) = found.duplicates
    assert (pair.first, pair.second, pair.transform) == (0, 1, transform)
    assert pair.score <= 1.0 + 1e-6
    assert pair.inliers >= 5


def test_two_changes_of_the_same_image_make_one_cluster(pictures: list[npt.NDArray[np.uint8]]) -> None:
    rng = np.random.default_rng(0)
    both = planted_copy(planted_copy(pictures[0], "flip_horizontal", rng), "invert", rng)
    family = [pictures[0], planted_copy(pictures[0], "half_size", rng), pictures[1], both]
    found = find_near_duplicates([signature(picture) for picture in family])
    assert {image for pair in linked(found.duplicates) for image in pair} == {0, 1, 3}
    assert "mirror+invert" in {pair.transform for pair in found.duplicates}


@pytest.mark.parametrize("count", [0, 1, 2, 33])
def test_blank_images_are_named_and_match_nothing(count: int) -> None:
    blank = [signature(np.full((200, 150 + n), n, np.uint8)) for n in range(count)]
    found = find_near_duplicates(blank)
    assert found.featureless == tuple(range(count))
    assert not found.duplicates + found.review


def test_noise_without_a_picture_matches_nothing() -> None:
    rng = np.random.default_rng(0)
    noise = [signature(np.clip(rng.normal(90, 6, (300, 240)), 0, 255).astype(np.uint8)) for _ in range(40)]
    found = find_near_duplicates(noise)
    assert not found.duplicates + found.review


@pytest.mark.parametrize("count", [2, 5, 32, 33, 40])
def test_small_pools_work(pool: list[Signature], count: int) -> None:
    found = find_near_duplicates([*pool[: count - 1], pool[0]])
    assert (0, count - 1) in linked(found.duplicates)
    assert found.duplicates[0].score == pytest.approx(1.0, abs=1e-3)


def test_positions_count_featureless_images(pool: list[Signature]) -> None:
    blank = signature(np.zeros((50, 50), np.uint8))
    found = find_near_duplicates([blank, pool[0], blank, pool[0]])
    assert linked(found.duplicates) == {(1, 3)}
    assert found.featureless == (0, 2)


def test_many_copies_of_one_image_are_one_cluster(pool: list[Signature]) -> None:
    found = find_near_duplicates([pool[0]] * 40 + pool[1:])
    assert {image for pair in linked(found.duplicates) for image in pair} >= set(range(40))


def test_other_processes_find_the_same(
    pool: list[Signature], planted: list[Signature], monkeypatch: pytest.MonkeyPatch
) -> None:
    alone = find_near_duplicates(pool + planted)
    monkeypatch.setattr(duplicates, "_SERIAL", 1)
    assert find_near_duplicates(pool + planted, workers=2) == alone


def test_the_thresholds_split_what_is_found(pool: list[Signature], planted: list[Signature]) -> None:
    found = find_near_duplicates(pool + planted, threshold=0.95)
    assert all(pair.score >= 0.95 for pair in found.duplicates)
    assert all(found.review_threshold <= pair.score < 0.95 for pair in found.review)
    assert found.review_threshold == pytest.approx(0.90)


def test_progress_grows_to_the_end(pool: list[Signature]) -> None:
    told: list[tuple[int, int]] = []
    find_near_duplicates(pool, progress=lambda done, total: told.append((done, total)))
    assert told == sorted(told)
    assert told[-1] == (2 * POOL, 2 * POOL)


@pytest.mark.parametrize(("workers", "threshold"), [(0, None), (1, -0.1), (1, 1.5)])
def test_impossible_arguments_are_refused(workers: int, threshold: float | None) -> None:
    with pytest.raises(ValueError, match="need at least 1"):
        find_near_duplicates([], workers=workers, threshold=threshold)


@given(st.integers(0, 10**7), st.integers(0, 10**7))
def test_a_larger_pool_is_never_judged_more_leniently(one: int, other: int) -> None:
    assert duplicate_threshold(min(one, other)) <= duplicate_threshold(max(one, other)) <= 0.88 + 1e-9


def test_real_radiographs_twice(real_data: Path) -> None:
    paths = sorted((real_data / "xray3" / "simple_fracture").glob("*.jpg"))[:80]
    pictures = [np.asarray(cv2.imread(str(path), cv2.IMREAD_GRAYSCALE), np.uint8) for path in paths]
    copies = [planted_copy(picture, "rotate_15", np.random.default_rng(0)) for picture in pictures[:20]]
    found = find_near_duplicates([signature(picture) for picture in pictures + copies])
    assert len(linked(found.duplicates) & {(n, len(paths) + n) for n in range(20)}) >= 17
