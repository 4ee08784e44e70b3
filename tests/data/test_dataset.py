"""A data set ready for training, or every reason why it is not, at once."""

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fracture.data.cache import open_cache
from fracture.data.dataset import Dataset, Source, open_dataset
from fracture.data.images import decode, letterbox
from fracture.data.manifest import Manifest, Row, read_csv, write_csv
from fracture.errors import DataError

SIZE = 32


def opened(data: Path | str, **more: object) -> Dataset:
    return open_dataset(replace(Source(str(data)), **more), SIZE, Path("kept"))  # type: ignore[arg-type]


def refused(data: Path | str, **more: object) -> tuple[str, ...]:
    """The problems; the hint names what helps."""
    with pytest.raises(DataError) as caught:
        opened(data, **more)
    assert ("`fracture prepare" if str(data).endswith(".csv") else "Allowed: ") in str(caught.value)
    return caught.value.problems


def splits(dataset: Dataset) -> dict[str, str]:
    return {dataset.manifest.relative(row): row.split for row in dataset.manifest.rows}


def test_a_folder_of_classes_is_split(images: Path) -> None:
    dataset = opened(images, val_fraction=0.2, test_fraction=0.2)
    assert dataset.classes == ("comminuted_fracture", "no_fracture", "simple_fracture")
    for split, n in (("train", 6), ("val", 2), ("test", 2)):
        assert dataset.manifest.counts()[split] == dict.fromkeys(dataset.classes, n)


def test_labels_pixels_and_digests_belong_together(images: Path) -> None:
    dataset = opened(images)
    indices = np.array([29, 0, 7], np.int64)
    for i, square in zip(indices, dataset.pixels(indices), strict=True):
        row = dataset.manifest.rows[i]
        np.testing.assert_array_equal(square, letterbox(decode(row.path.read_bytes()), SIZE))
        assert dataset.classes[dataset.labels[i]] == row.label == row.path.parent.name
        assert row.sha256 == dataset.cached.sha256[i] != ""
    assert dataset.labels.dtype == np.int64


def test_seeds_give_splits(images: Path) -> None:
    assert splits(opened(images, seed=1)) == splits(opened(images, seed=1)) != splits(opened(images, seed=2))


def test_named_splits_are_kept(tmp_path: Path, make_images: Callable[..., Path]) -> None:
    root = make_images(tmp_path / "data", 4, ("train", "valid", "test"), ("a", "b"))
    dataset = opened(root, seed=7)
    assert Counter(row.split for row in dataset.manifest.rows) == {"train": 8, "val": 8, "test": 8}
    assert all(name.split("/")[0][:3] == split[:3] for name, split in splits(dataset).items())


def test_groups_are_not_torn(images: Path) -> None:
    for path in list(images.rglob("*.png")):
        path.with_stem(f"{path.stem}_rotate").write_bytes(path.read_bytes())
    found = opened(images)
    parts = {(row.group, row.split) for row in found.manifest.rows}
    assert len(parts) == len({group for group, _ in parts}) == 30


def rows_of(images: Path, **more: str) -> list[Row]:
    return [Row(path, path.parent.name, **more) for path in sorted(images.rglob("*.png"))]  # type: ignore[arg-type]


def write(images: Path, rows: list[Row]) -> Path:
    path = images / "manifest.csv"
    write_csv(Manifest("m", images, tuple(rows)), path)
    return path


def test_a_manifest_is_split_by_its_groups(images: Path) -> None:
    rows = [replace(row, group=f"patient {i // 2}") for i, row in enumerate(rows_of(images))]
    found = opened(write(images, rows))
    parts = {(row.group, row.split) for row in found.manifest.rows}
    assert len(parts) == 15
    assert {split for _, split in parts} == {"train", "val", "test"}


def test_data_of_one_digest_comes_in_one_order(images: Path) -> None:
    rows = [replace(row, split=("train", "val", "test")[i % 3]) for i, row in enumerate(rows_of(images))]
    one, other = opened(write(images, rows)), opened(write(images, rows[::-1]))
    assert one.manifest.digest() == other.manifest.digest()
    everything = np.arange(len(rows))
    np.testing.assert_array_equal(one.pixels(everything), other.pixels(everything))
    np.testing.assert_array_equal(one.labels, other.labels)


def test_a_manifest_with_splits_is_kept(images: Path) -> None:
    rows = [replace(row, split=("train", "val", "test")[i % 3]) for i, row in enumerate(rows_of(images))]
    found = opened(write(images, rows))
    assert {row.path: row.split for row in found.manifest.rows} == {row.path.resolve(): row.split for row in rows}
    assert len(found.manifest.digest()) == 16


def test_images_without_group_stand_alone(images: Path) -> None:
    counts = opened(write(images, rows_of(images))).manifest.counts()
    assert all(1 <= n <= 2 for split in ("val", "test") for n in counts[split].values())


def test_splits_of_a_part_of_the_rows_are_refused(images: Path) -> None:
    rows = rows_of(images, split="train")
    rows[:4] = [replace(row, split="") for row in rows[:4]]
    problems = refused(write(images, rows))
    assert "4 of 30 rows have no split: fill or empty the whole column" in problems


def test_folds_test_every_image_once_and_tear_no_group(images: Path) -> None:
    rows = [replace(row, group=f"patient {i // 2}") for i, row in enumerate(rows_of(images))]
    path = write(images, rows)
    tested: list[str] = []
    for fold in range(4):
        found = opened(path, folds=4, fold=fold).manifest.rows
        tested += [row.sha256 for row in found if row.split == "test"]
        assert len({(row.group, row.split) for row in found}) == 15
        assert Counter(row.split for row in found)["val"] in range(3, 7), "15% of all, not of the rest"
    assert sorted(tested) == sorted(row.sha256 for row in found)


def test_folds_divide_anew_whatever_splits_the_data_names(images: Path) -> None:
    rows = rows_of(images)
    named = [replace(row, split="test" if i < 3 else "train" if i % 2 else "") for i, row in enumerate(rows)]
    found = [opened(write(images, some), folds=5, fold=2).manifest.rows for some in (rows, named)]
    assert [(row.sha256, row.split) for row in found[0]] == [(row.sha256, row.split) for row in found[1]]


def test_every_problem_is_shown_at_once(tmp_path: Path, make_images: Callable[..., Path]) -> None:
    root = make_images(tmp_path / "data", 3, ("train", "val", "test"), ("a", "b", "c"))
    for path in (root / "train" / "a").iterdir():
        path.unlink()
    for path in (root / "test" / "c").iterdir():
        path.unlink()
    (root / "test" / "c").rmdir()
    bad = sorted((root / "val" / "b").iterdir())[:2]
    bad[0].write_bytes(b"")
    bad[1].write_bytes(b"no image")
    problems = refused(root)
    assert f"{root / 'train' / 'a'}: no images in this class" in problems
    assert "train: no image of a (6 images in all)" in problems
    assert "test: no image of c (6 images in all)" in problems
    assert f"{bad[0]}: the file is empty" in problems
    assert any(problem.startswith(f"{bad[1]}: not a readable image") for problem in problems)
    assert len(problems) == 5


def test_many_unreadable_files_are_counted(images: Path) -> None:
    for i, path in enumerate(images.rglob("*.png")):
        path.write_bytes(b"bad %d" % i)
    problems = refused(images)
    assert len(problems) == 21
    assert problems[-1] == "... and 10 more"


def test_classes_too_small_for_three_splits(tmp_path: Path, make_images: Callable[..., Path]) -> None:
    root = make_images(tmp_path / "data", 10, (), ("a", "b"))
    (root / "c").mkdir()
    for i in range(2):
        Image.new("L", (9, 9), i).save(root / "c" / f"{i}.png")
    problems = refused(root)
    assert any("no image of c (2 images in all)" in problem for problem in problems)


@pytest.mark.parametrize("classes", [("only",), ()])
def test_fewer_than_two_classes(classes: tuple[str, ...], tmp_path: Path, make_images: Callable[..., Path]) -> None:
    (tmp_path / "data").mkdir()
    root = make_images(tmp_path / "data", 10, (), classes)
    assert f"{root}: images of {len(classes)} class(es), two are needed" in refused(root)


@pytest.mark.parametrize(
    ("name", "found"),
    [("missing", "does not exist"), ("a.txt", "neither a folder nor a .csv"), ("Demo", "does not exist")],
)
def test_nothing_to_read(name: str, found: str, tmp_path: Path) -> None:
    (tmp_path / "a.txt").touch()
    (problem,) = refused(name)
    assert problem.startswith(f"data={Path(name).absolute()}: ")
    assert found in problem


def test_a_manifest_that_names_missing_files(images: Path) -> None:
    rows = rows_of(images)
    rows[3].path.unlink()
    listed = write(images, rows)
    with pytest.raises(DataError, match=r"`fracture prepare .*manifest.csv --out new.csv` finds files that were moved"):
        opened(listed)
    (problem,) = refused(listed)
    assert problem == f"{rows[3].path}: No such file or directory"


def test_the_same_images_under_other_names_have_the_same_digest(
    images: Path, tmp_path: Path, make_images: Callable[..., Path]
) -> None:
    rows = [replace(row, split=("train", "val", "test")[i % 3]) for i, row in enumerate(rows_of(images))]
    first = opened(write(images, rows)).manifest
    moved = images.rename(tmp_path / "moved")
    assert opened(moved / "manifest.csv").manifest.digest() == first.digest()


def test_the_demo_set_says_that_it_is_synthetic() -> None:
    dataset = opened("demo", demo_images=30)
    assert dataset.manifest.synthetic
    assert "synthetic" in dataset.manifest.name
    assert {row.source for row in dataset.manifest.rows} == {"synthetic"}
    assert len(dataset.classes) == 3


def test_the_home_folder_is_understood(images: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(images.parent))
    monkeypatch.setenv("USERPROFILE", str(images.parent))
    assert len(opened("~/images").manifest.rows) == 30


def test_real_radiographs(real_data: Path, tmp_path: Path) -> None:
    manifest = read_csv(write_sample(real_data / "xray3", tmp_path))
    held = open_cache([row.path for row in manifest.rows], SIZE, tmp_path / "kept")
    assert held.pixels.shape == (len(manifest.rows), SIZE, SIZE)
    assert manifest.classes == ("comminuted_fracture", "no_fracture", "simple_fracture")


def write_sample(root: Path, folder: Path) -> Path:
    rows = [Row(path, path.parent.name) for path in sorted(root.glob("*/*.jpg"))[::25]]
    write_csv(Manifest("sample", root, tuple(rows)), folder / "sample.csv")
    return folder / "sample.csv"
