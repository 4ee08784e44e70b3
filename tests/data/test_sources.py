"""What several sources are to each other: parts of one data set, or of several hospitals."""

from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fracture.data.copy_marks import reduce
from fracture.data.prepare.config import PrepareConfig
from fracture.data.prepare.patient_names import patients_in_names, proposal
from fracture.data.prepare.prepare import Prepared, prepare

N = 32


def _write(path: Path, seed: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(seed).integers(0, 255, (40, 32), np.uint8)).save(path)


def _prepare(sources: list[Path], out: Path, **options: object) -> Prepared:
    return prepare(sources, PrepareConfig(near_duplicates=False, **options), out / "m.csv")  # type: ignore[arg-type]


def _said(prepared: Prepared) -> str:
    return "\n".join([*prepared.notes, *(note for one in prepared.sources for note in one.notes)])


def _tables(root: Path, names: list[str], patient: str, share: bool = True) -> list[Path]:
    """Tables that name images of the same patients, the first and the last two of each."""
    rows = defaultdict(lambda: ["path,label,patient_id"])
    for i in range(N):
        table = i % len(names)
        image = root / Path(names[table]).parent / f"{i}.png"
        _write(image, i)
        number = i // 4 if share else i // 4 * len(names) + table
        rows[names[table]].append(f"{i}.png,{'AB'[i // 2 % 2]},{patient.format(number)}")
    for name, lines in rows.items():
        (root / name).write_text("\n".join(lines))
    return [root / name for name in rows]


@pytest.mark.parametrize("names", [["train.csv", "valid.csv"], ["train/labels.csv", "test/labels.csv"]])
def test_patients_of_parts_of_one_data_set_are_the_same(names: list[str], tmp_path: Path) -> None:
    found = _prepare(_tables(tmp_path / "set", names, "7{}31"), tmp_path / "out")
    rows = found.manifest.rows
    assert {row.group for row in rows} == {f"set/7{i}31" for i in range(N // 4)}
    assert {row.source for row in rows} == {"set"}


def test_a_table_called_as_a_split_has_the_name_of_its_folder(tmp_path: Path) -> None:
    rows = _prepare(_tables(tmp_path / "set", ["train.csv"], "7{}31"), tmp_path / "out").manifest.rows
    assert {row.source for row in rows} == {"set"}


def test_splits_named_by_tables_count_unless_they_tear_patients_apart(tmp_path: Path) -> None:
    names = ["train.csv", "valid.csv", "test.csv"]
    apart = _prepare(_tables(tmp_path / "a", names, "{}", share=False), tmp_path / "out")
    assert "splits come from the names of the sources: train (11 images), val (11 images)" in _said(apart)
    assert {row.split: int(row.path.stem) % 3 for row in apart.manifest.rows} == {"train": 0, "val": 1, "test": 2}
    shared = _prepare(_tables(tmp_path / "b", names, "{}"), tmp_path / "out")
    assert "not used as such: 8 patients have images in two of them" in _said(shared)
    assert len({(row.group, row.split) for row in shared.manifest.rows}) == N // 4


@pytest.mark.parametrize("names", [["north.csv", "south.csv"], ["north/labels.csv", "south/labels.csv"]])
def test_running_numbers_of_two_sources_are_two_patients(names: list[str], tmp_path: Path) -> None:
    tables = _tables(tmp_path / "set", names, "P{:03d}")
    found = _prepare(tables, tmp_path / "out")
    assert len({row.group for row in found.manifest.rows}) == N // 2
    assert "running numbers, so taken for different persons; --source NAME" in _said(found)
    one = _prepare(tables, tmp_path / "out", source="clinic")
    assert len({row.group for row in one.manifest.rows}) == N // 4


def test_placeholders_are_no_shared_identifiers(tmp_path: Path) -> None:
    tables = _tables(tmp_path / "set", ["north.csv", "south.csv"], "P{}", share=False)
    for table in tables:
        lines = table.read_text().splitlines()
        table.write_text(
            "\n".join([*lines[:2], *(line.rpartition(",")[0] + ",unknown" for line in lines[2:4]), *lines[4:]])
        )
    assert "occur in north and in south" not in _said(_prepare(tables, tmp_path / "out"))


def test_several_rows_of_a_file_are_no_copies(tmp_path: Path) -> None:
    rows = ["path,label,reader"]
    for i in range(N):
        _write(tmp_path / "set" / f"{i}_crop_1.png", i)
        rows += [f"{i}_crop_1.png,{'AB'[i % 2]},{reader}" for reader in range(3)]
    (tmp_path / "set" / "reads.csv").write_text("\n".join(rows))
    found = _prepare([tmp_path / "set" / "reads.csv"], tmp_path / "out")
    assert len({row.group for row in found.manifest.rows}) == N
    assert "copies" not in _said(found)


def test_identifiers_that_are_no_running_numbers_are_one_person(tmp_path: Path) -> None:
    tables = _tables(tmp_path / "set", ["2021.csv", "2022.csv"], "48392{:04d}7")
    found = _prepare(tables, tmp_path / "out")
    assert len({row.group for row in found.manifest.rows}) == N // 4
    assert "8 patient identifiers occur in 2021 and in 2022" in _said(found)
    apart = _prepare(tables, tmp_path / "out", source="a,b")
    assert len({row.group for row in apart.manifest.rows}) == N // 2


def test_files_of_one_name_in_two_sources_are_two_originals(tmp_path: Path) -> None:
    for i in range(N):
        _write(tmp_path / ("a", "b")[i % 2] / f"{'AB'[i // 2 % 2]}" / f"wrist{i // 4}.png", i)
    for options in ({}, {"source": "clinic"}):
        found = _prepare([tmp_path / "a", tmp_path / "b"], tmp_path / "out", **options)
        assert len({row.group for row in found.manifest.rows}) == N


def test_copies_in_a_folder_beside_are_copies_also_as_two_sources(tmp_path: Path) -> None:
    for i in range(N):
        folder, mark = ("Original", "") if i % 2 else ("Augmented", "_flip")
        _write(tmp_path / folder / "AB"[i // 2 % 2] / f"{i // 2}{mark}.png", i)
    found = _prepare([tmp_path / "Original", tmp_path / "Augmented"], tmp_path / "out")
    assert len({row.group for row in found.manifest.rows}) == N // 2


@pytest.mark.parametrize(
    ("classes", "told"), [("01", "north has A, B and south has 0, 1, no class in common"), ("AC", "")]
)
def test_sources_without_a_common_class_are_said(classes: str, told: str, tmp_path: Path) -> None:
    for i in range(N):
        _write(tmp_path / "north" / "AB"[i % 2] / f"n{i}.png", i)
        _write(tmp_path / "south" / classes[i % 2] / f"s{i}.png", N + i)
    said = _said(_prepare([tmp_path / "north", tmp_path / "south"], tmp_path / "out"))
    assert ("no class in common" in said) == bool(told)
    assert told in said


NAMED = ["patient{:05d}_study1_{}.png", "p{:03d}-{}.png", "PAT_{:04d}_{}.png", "person{}_bacteria_{}.png",
         "sub-{:02d}_run-{}.png", "XR_mrn{}_{}.png"]  # fmt: skip


@pytest.mark.parametrize("name", NAMED)
def test_patients_in_names_with_a_word_for_one(name: str, tmp_path: Path) -> None:
    for i in range(N):
        _write(tmp_path / "set" / "AB"[i // 4 % 2] / name.format(i // 4, i % 4), i)
    found = _prepare([tmp_path / "set"], tmp_path / "out")
    assert len({row.group for row in found.manifest.rows}) == N // 4
    assert "patients come from file names" in _said(found)
    assert (
        len({row.group for row in _prepare([tmp_path / "set"], tmp_path / "out", patients="ignore").manifest.rows}) == N
    )


@pytest.mark.parametrize("name", ["person{0}_{1}.png", "scan{0}_{1}.png", "p{1}.png", "{1}_patient.png"])
def test_names_that_are_no_patients(name: str) -> None:
    paths = [name.format(i, i % 4) for i in range(N)]
    assert patients_in_names(paths) == ([""] * N, "")


@pytest.mark.parametrize("name", ["10{:04d}_{}.png", "{}_{}.png", "hand{} ({}).png"])
def test_what_may_be_patients_is_proposed(name: str, tmp_path: Path) -> None:
    for i in range(N):
        _write(tmp_path / "set" / "AB"[i // 4 % 2] / name.format(i // 4, i % 4), i)
    found = _prepare([tmp_path / "set"], tmp_path / "out")
    assert len({row.group for row in found.manifest.rows}) == N
    expression = _said(found).split("--group-pattern '")[1].split("'")[0]
    told = _prepare([tmp_path / "set"], tmp_path / "out", group_pattern=expression)
    assert len({row.group for row in told.manifest.rows}) == N // 4


@pytest.mark.parametrize(
    "name",
    [
        "{0}_{1}.png",
        "IMG{0:07d}.png",
        "2021080{1}_{0}.png",
        "7641_{0}.png",
        "9{1:03d}_rotate_{0}.png",
        "{1}f{0}.png",
        "{0}/{1}.png",
    ],
)
def test_what_is_no_patients_is_not_proposed(name: str) -> None:
    paths = [name.format(i, i % 4) for i in range(N)]
    assert not proposal(paths, [reduce(path.removesuffix(".png")).name for path in paths])


def test_tables_called_as_other_splits_than_their_folders_are_said(tmp_path: Path) -> None:
    for i in range(N):
        _write(tmp_path / "images" / ("test" if i % 3 == 2 else "train") / f"{i}.png", i)
    for number, name in enumerate(("train", "val", "test")):
        folder = "test" if name == "test" else "train"
        lines = [f"images/{folder}/{i}.png,{'AB'[i // 3 % 2]}" for i in range(number, N, 3)]
        (tmp_path / f"{name}.csv").write_text("\n".join(["path,label", *lines]))
    found = _prepare([tmp_path / f"{name}.csv" for name in ("train", "val", "test")], tmp_path / "out")
    (said,) = (one for one in _said(found).splitlines() if "the source called" in one)
    assert said.startswith(
        f"{len(range(1, N, 3))} images of the source called val are in train by their folders or a column"
    )
