"""Near-duplicates among files: copies are found, the order does not matter, and nothing is searched twice."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fracture.data.inspection.inspect import inspect
from fracture.data.near_duplicates import duplicates, pairs
from fracture.data.near_duplicates.pairs import NearPairs, near_duplicates

Files = list[tuple[str, Path]]


def _texture(number: int) -> np.ndarray:
    """Blobs at several scales, as different from each other as radiographs are."""
    rng = np.random.default_rng(number)
    layers = [
        np.asarray(Image.fromarray(rng.integers(0, 255, (n, n), np.uint8)).resize((160, 200), Image.Resampling.BICUBIC))
        for n in (6, 14, 30)
    ]
    return np.mean(layers, axis=0).astype(np.uint8)


@pytest.fixture
def files(tmp_path: Path) -> Files:
    """Ten pictures, of which 0 is mirrored as 10, 1 brightened as 11, 2 copied as 12, and 13 is blank."""
    pictures = [_texture(i) for i in range(10)]
    pictures += [pictures[0][:, ::-1], np.clip(pictures[1] * 1.2, 0, 255).astype(np.uint8), pictures[2]]
    pictures.append(np.zeros((100, 100), np.uint8))
    paths = []
    for i, pixels in enumerate(pictures):
        paths.append(tmp_path / f"{i:02d}.png")
        Image.fromarray(pixels).save(paths[-1])
    found = inspect(paths, tmp_path / "cache", 1, sign=True)
    return [(one.sha256, path) for one, path in zip(found, paths, strict=True)]


def _named(found: NearPairs, files: Files) -> set[tuple[str, str, str]]:
    return {(*sorted((files[p.first][1].stem, files[p.second][1].stem)), p.transform) for p in found.duplicates}  # type: ignore[misc]


def test_copies_are_found_whatever_the_order(tmp_path: Path, files: Files) -> None:
    expected = {("00", "10", "mirrored"), ("01", "11", "not mirrored")}
    found = near_duplicates(files, tmp_path / "cache", 1)
    assert _named(found, files) == expected, "of the same bytes only the first is searched"
    assert found.featureless == (13,)
    turned = files[::-1]
    for cache in ("cache", "another cache"):
        assert _named(near_duplicates(turned, tmp_path / cache, 1), turned) == expected


def test_nothing_is_searched_twice(tmp_path: Path, files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    first = near_duplicates(files, tmp_path / "cache", 1)
    monkeypatch.setattr(duplicates, "find_near_duplicates", None)
    assert near_duplicates(files, tmp_path / "cache", 1) == first


def test_leaving_files_out_is_no_new_search(tmp_path: Path, files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    first = near_duplicates(files, tmp_path / "cache", 1)
    monkeypatch.setattr(pairs, "_MOST", 0.9)
    searched: list[int] = []
    search = duplicates.find_near_duplicates
    monkeypatch.setattr(
        duplicates,
        "find_near_duplicates",
        lambda some, **options: searched.append(len(some)) or search(some, **options),
    )
    fewer = [file for file in files if file[1].stem != "10"]
    again = near_duplicates(fewer, tmp_path / "cache", 1)
    assert _named(again, fewer) == _named(first, files) - {("00", "10", "mirrored")}
    assert [fewer[i][1].stem for i in again.featureless] == ["13"]
    assert searched == []
    near_duplicates(files[:5], tmp_path / "cache", 1)
    assert searched == [5], "half of the files are another pool"


@pytest.mark.parametrize("damage", ["", "{}", '{"duplicates": [[1]]}'])
def test_a_damaged_result_is_searched_again(tmp_path: Path, files: Files, damage: str) -> None:
    first = near_duplicates(files, tmp_path / "cache", 1)
    next((tmp_path / "cache" / "near").iterdir()).write_text(damage)
    assert near_duplicates(files, tmp_path / "cache", 1) == first


def test_another_version_of_the_search_searches_again(
    tmp_path: Path, files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    near_duplicates(files, tmp_path / "cache", 1)
    monkeypatch.setattr(pairs, "_version", lambda: "another")
    near_duplicates(files, tmp_path / "cache", 1)
    assert len(list((tmp_path / "cache" / "near").iterdir())) == 2


def test_fewer_than_two_files_have_no_pairs(tmp_path: Path, files: Files) -> None:
    assert near_duplicates(files[:1], tmp_path, 1) == NearPairs.none()
    assert near_duplicates([files[2], files[12]], tmp_path, 1) == NearPairs.none()


def test_pairs_are_renumbered() -> None:
    pair = pairs.NearPair(0, 2, 0.9, "mirrored")
    moved = NearPairs((pair,), (), 0.85, 0.8).renumbered([5, 6, 9])
    assert (moved.duplicates[0].first, moved.duplicates[0].second) == (5, 9)
