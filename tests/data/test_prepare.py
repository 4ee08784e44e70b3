"""Preparation as a whole: sources become a manifest, grouped, split and free of leaks, and nothing is forgotten."""

import csv
import json
import os
import zipfile
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fracture.data.manifest import read_csv
from fracture.data.near_duplicates.pairs import NearPair, NearPairs
from fracture.data.prepare import prepare as preparing
from fracture.data.prepare.config import PrepareConfig
from fracture.data.prepare.prepare import Prepared, prepare, write
from fracture.errors import ConfigError, DataError

QUICK = {"near_duplicates": False}


@pytest.fixture
def textured(tmp_path: Path) -> Callable[..., Path]:
    """Write images whose content the number tells."""

    def make(path: str, number: int, size: tuple[int, int] = (40, 32)) -> Path:
        place = tmp_path / path
        place.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(number).integers(0, 255, size, np.uint8)
        Image.fromarray(pixels).save(place)
        return place

    return make


def _prepare(tmp_path: Path, *sources: Path, regroup: bool = False, **values: object) -> Prepared:
    return prepare(sources, PrepareConfig(**{**QUICK, **values}), tmp_path / "out" / "m.csv", regroup=regroup)  # type: ignore[arg-type]


def _split_by_group(prepared: Prepared) -> dict[str, set[str]]:
    held = defaultdict(set)
    for row in prepared.manifest.rows:
        held[row.group].add(row.split)
    return held


def test_folders_archives_and_tables_become_one_manifest(tmp_path: Path, textured: Callable[..., Path]) -> None:
    for i in range(20):
        textured(f"hospital.csv/A/p{i}_scan.png", i)  # a folder, whatever it is called
    with zipfile.ZipFile(tmp_path / "web.zip", "w") as archive:
        for i in range(20):
            archive.write(textured(f"zipped/B/{i:08d}.png", 100 + i), f"B/{i:08d}.png")
    rows = [
        (textured(f"listed/x{i:06d}.png", 200 + i).name, "A" if i % 2 else "B", f"patient {i // 4}") for i in range(20)
    ]
    with (tmp_path / "listed" / "list.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("file", "class", "patient_id"), *rows])
    prepared = _prepare(tmp_path, tmp_path / "hospital.csv", tmp_path / "web.zip", tmp_path / "listed" / "list.csv")
    assert len(prepared.manifest.rows) == 60
    assert prepared.manifest.classes == ("A", "B")
    assert {row.source for row in prepared.manifest.rows} == {"hospital.csv", "web", "list"}
    assert all(len(splits) == 1 for splits in _split_by_group(prepared).values())
    assert not prepared.excluded
    assert {row.split for row in prepared.manifest.rows} == {"train", "val", "test"}

    paths = write(prepared, tmp_path / "out" / "m.csv", PrepareConfig())
    again = read_csv(paths[0])
    assert [row.path for row in again.rows] == [row.path.resolve() for row in prepared.manifest.rows]
    assert again.digest() == prepared.manifest.digest() == json.loads(paths[2].read_text())["digest"]
    assert all(row.width and row.height and len(row.sha256) == 64 and len(row.phash) == 16 for row in again.rows)


def test_the_same_sources_give_the_same_manifest(tmp_path: Path, images: Path) -> None:
    first, second = (_prepare(tmp_path, images) for _ in range(2))
    assert first.manifest.rows == second.manifest.rows
    assert _prepare(tmp_path, images, seed=1).manifest.digest() != first.manifest.digest()


def test_augmented_copies_stay_with_their_original(tmp_path: Path, textured: Callable[..., Path]) -> None:
    for i in range(20):
        for k, suffix in enumerate(("", "_rotate", "_flip_vertical", "_bright")):
            label = "simple" if i % 2 else "none"
            textured(f"set/{label}/{i}_Fracture{suffix}.png", 10 * i + k)
    prepared = _prepare(tmp_path, tmp_path / "set")
    assert len(_split_by_group(prepared)) == 20
    assert all(len(splits) == 1 for splits in _split_by_group(prepared).values())
    assert prepared.linked["originals with copies"] == 20


def test_exact_copies_are_named_and_left_out(tmp_path: Path, images: Path) -> None:
    original = images / "no_fracture" / "000.png"
    (images / "no_fracture" / "copy of it.png").write_bytes(original.read_bytes())
    prepared = _prepare(tmp_path, images)
    assert len(prepared.manifest.rows) == 30
    assert [e.reason for e in prepared.excluded] == [f"the same bytes as another file: {original}"]


def test_the_same_bytes_under_two_labels_are_both_left_out(tmp_path: Path, images: Path) -> None:
    (images / "no_fracture" / "odd.png").write_bytes((images / "simple_fracture" / "000.png").read_bytes())
    prepared = _prepare(tmp_path, images)
    assert len(prepared.manifest.rows) == 29
    assert len(prepared.excluded) == 2
    assert {e.reason for e in prepared.excluded} == {"the same bytes under 2 labels: no_fracture, simple_fracture"}


def test_near_duplicates_link_and_contradictions_go(
    tmp_path: Path, images: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pairs = (NearPair(0, 5, 0.95, "rotated"), NearPair(5, 7, 0.9, "flipped"), NearPair(9, 10, 0.91, "none"))
    found = NearPairs(pairs, (NearPair(20, 21, 0.82, "none"),), 0.85, 0.8)
    monkeypatch.setattr(preparing, "near_duplicates", lambda *_: found)
    prepared = _prepare(tmp_path, images, near_duplicates=True)
    rows = {row.path: row for row in prepared.manifest.rows}
    listed = sorted((images / "comminuted_fracture").iterdir())
    assert rows[listed[0]].group == rows[listed[5]].group == rows[listed[7]].group
    assert rows[listed[0]].split == rows[listed[5]].split == rows[listed[7]].split
    assert listed[9] not in rows
    assert len(rows) == 28
    assert all("the same image under two labels" in e.reason for e in prepared.excluded)
    assert prepared.linked["pairs to review"] == 1


def test_patients_link_over_sources_of_one_name_only(tmp_path: Path, textured: Callable[..., Path]) -> None:
    for number, source in enumerate(("one", "two")):
        for i in range(8):
            textured(f"{source}/{'A' if i % 2 else 'B'}/patient{i // 2}_{i:06d}.png", 8 * number + i)
    options = {"group_pattern": r"(patient\d+)"}
    apart = _prepare(tmp_path, tmp_path / "one", tmp_path / "two", **options)
    together = _prepare(tmp_path, tmp_path / "one", tmp_path / "two", source="clinic", **options)
    assert len(_split_by_group(apart)) == 8
    assert len(_split_by_group(together)) == 4


def test_a_users_own_splits_are_kept_and_regrouping_mends_them(tmp_path: Path, textured: Callable[..., Path]) -> None:
    for i in range(30):
        label = "A" if i % 2 else "B"
        textured(f"set/train/{label}/{i}_Fracture.png", i)
        textured(f"set/{('val', 'test')[i % 3 == 0]}/{label}/{i}_Fracture_rotate.png", 1000 + i)
    prepared = _prepare(tmp_path, tmp_path / "set")
    assert all(row.split in str(row.path) for row in prepared.manifest.rows)
    assert any("tear 30 groups apart" in note for note in prepared.notes)
    leaky = write(prepared, tmp_path / "leaky.csv", PrepareConfig())[0]
    for source in (leaky, tmp_path / "set"):
        repaired = _prepare(tmp_path, source, regroup=True)
        assert len(repaired.manifest.rows) == 60
        assert len(_split_by_group(repaired)) == 30
        assert all(len(splits) == 1 for splits in _split_by_group(repaired).values())


def test_new_images_leave_the_test_split_as_it_is(tmp_path: Path, textured: Callable[..., Path]) -> None:
    for i in range(40):
        textured(f"{'new' if i < 16 else 'old'}/{'A' if i % 2 else 'B'}/p{i}.png", i)
    before = write(_prepare(tmp_path, tmp_path / "old"), tmp_path / "before.csv", PrepareConfig())[0]
    grown = _prepare(tmp_path, before, tmp_path / "new", test_fraction=0)
    assert len(grown.manifest.rows) == 40
    assert grown.manifest.digest("test") == read_csv(before).digest("test")
    fresh = [row.split for row in grown.manifest.rows if "/new/" in str(row.path)]
    assert fresh.count("train") > fresh.count("val") > 0
    with pytest.raises(ConfigError, match="test_fraction=0: no image is in a test split"):
        _prepare(tmp_path, tmp_path / "new", test_fraction=0)


def test_new_images_of_patients_of_the_test_split_are_told(tmp_path: Path, textured: Callable[..., Path]) -> None:
    for i in range(24):
        textured(f"old/{'A' if i % 2 else 'B'}/p{i}_1.png", i)
        textured(f"new/{'A' if i % 2 else 'B'}/p{i}_2.png", 100 + i)
    patients = {"group_pattern": r"(p\d+)", "source": "clinic"}
    before = _prepare(tmp_path, tmp_path / "old", **patients)
    count = sum(row.split == "test" for row in before.manifest.rows)
    listed = write(before, tmp_path / "before.csv", PrepareConfig())[0]
    grown = _prepare(tmp_path, listed, tmp_path / "new", test_fraction=0, **patients)
    assert all(len(splits) == 1 for splits in _split_by_group(grown).values())
    assert any(note.startswith(f"{count} images joined the test split that the data names") for note in grown.notes)


def test_folds_are_a_column_that_regrouping_drops(tmp_path: Path, images: Path) -> None:
    prepared = _prepare(tmp_path, images, folds=3)
    path = write(prepared, tmp_path / "m.csv", PrepareConfig())[0]
    folds = [row.extra["fold"] for row in read_csv(path).rows]
    assert {"0", "1", "2"} <= set(folds)
    assert [row.split for row in read_csv(path).rows] == [{"": "test", "0": "val"}.get(f, "train") for f in folds]
    assert not _prepare(tmp_path, path, regroup=True).manifest.rows[0].extra


def test_labels_are_stratified(tmp_path: Path, make_images: Callable[..., Path]) -> None:
    prepared = _prepare(tmp_path, make_images(tmp_path / "set", per_class=40))
    assert [list(counts.values()) for counts in prepared.manifest.counts().values()] == [[28] * 3, [6] * 3, [6] * 3]


def test_every_broken_file_is_named_in_the_second_file(tmp_path: Path, images: Path) -> None:
    (images / "no_fracture" / "empty.png").touch()
    (images / "no_fracture" / "text.jpg").write_text("no image")
    out, excluded, _ = write(_prepare(tmp_path, images), tmp_path / "m.csv", PrepareConfig())
    with excluded.open(newline="") as file:
        rows = {Path(row["path"]).name: row for row in csv.DictReader(file)}
    assert rows["empty.png"]["reason"] == "the file is empty"
    assert rows["text.jpg"]["reason"].startswith("not a readable image")
    assert rows["text.jpg"]["label"] == "no_fracture"
    assert len(read_csv(out).rows) == 30


def test_names_with_commas_and_quotes_come_back_and_line_breaks_are_told(
    tmp_path: Path, textured: Callable[..., Path]
) -> None:
    names = ["a,b.png", 'quo"te.png', "ünï – 骨.png", "n" * 240 + ".png"]
    for i, name in enumerate(names):
        textured(f"set/A/{name}", i)
        textured(f"set/B/{i}.png", 50 + i)
    textured("set/A/line\nbreak.png", 99)
    prepared = _prepare(tmp_path, tmp_path / "set")
    assert ["holds a line break" in one.reason for one in prepared.excluded] == [True]
    path = write(prepared, tmp_path / "m.csv", PrepareConfig())[0]
    assert {row.path.name for row in read_csv(path).rows} >= set(names)


def test_loops_of_links_end_and_names_that_are_no_text_are_told(tmp_path: Path, images: Path) -> None:
    (images / "no_fracture" / "loop").symlink_to(images, target_is_directory=True)
    (images / "gone.png").symlink_to(tmp_path / "nowhere.png")
    odd = os.fsencode(images / "no_fracture") + b"/caf\xe9.png"
    with open(odd, "wb") as file:  # noqa: PTH123
        file.write(b"x")
    prepared = _prepare(tmp_path, images)
    assert len(prepared.manifest.rows) == 30
    reasons = {e.path.rpartition("/")[2]: e.reason for e in prepared.excluded}
    assert reasons == {
        "caf\\xe9.png": "its name is not valid UTF-8, or holds a line break or another character that is not shown: "
        "rename it",
        "gone.png": "lies beside the class folders, so it has no class",
    }
    write(prepared, tmp_path / "m.csv", PrepareConfig())


def test_folders_that_cannot_be_read_are_named(tmp_path: Path, images: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scandir = os.scandir

    def refuse(path: str) -> object:
        if str(path).endswith("locked"):
            raise PermissionError(13, "Permission denied", path)
        return scandir(path)

    (images / "no_fracture" / "locked").mkdir()
    monkeypatch.setattr(os, "scandir", refuse)
    prepared = _prepare(tmp_path, images)
    assert [e.reason for e in prepared.excluded] == ["folder cannot be read: Permission denied"]


def test_a_layout_by_name_is_written_down_with_its_licence(tmp_path: Path, textured: Callable[..., Path]) -> None:
    for i in range(6):
        textured(f"FracAtlas/images/{'Fractured' if i % 2 else 'Non_fractured'}/IMG{i:07d}.jpg", i)
    prepared = _prepare(tmp_path, tmp_path / "FracAtlas")
    summary = json.loads(write(prepared, tmp_path / "m.csv", PrepareConfig())[2].read_text())
    assert summary["sources"][0]["data_set"]["licence"] == "CC BY 4.0"
    assert {row.source for row in prepared.manifest.rows} == {"fracatlas"}


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"source": "a,b,c"}, "3 names for 1 sources"),
        ({"columns": "patient=mrn", "root": "x"}, r"columns, root: no SOURCE is a table \(\.csv, \.tsv\)"),
        ({"label_map": "NoFracture=x"}, "label_map: no image of NoFracture; the classes are .* Nearest: no_fracture"),
    ],
)
def test_slips_of_the_pen(tmp_path: Path, images: Path, values: dict[str, object], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        _prepare(tmp_path, images, **values)


def test_one_class_is_not_enough(tmp_path: Path, images: Path) -> None:
    with pytest.raises(DataError, match=r"10 usable images of 1 class\(es\) \(no_fracture\)"):
        _prepare(tmp_path, images / "no_fracture")


def test_a_group_of_two_sources_stays_one_however_often_it_is_read(
    tmp_path: Path, textured: Callable[..., Path]
) -> None:
    for i in range(20):
        textured(f"site/{'A' if i % 2 else 'B'}/p{i}_1.png", i)
        textured(f"site/{'A' if i % 2 else 'B'}/p{i}_2.png", 100 + i)
    patients = {"group_pattern": r"(p\d+)"}
    listed = write(_prepare(tmp_path, tmp_path / "site", **patients), tmp_path / "one.csv", PrepareConfig())[0]
    for name in ("two.csv", "three.csv"):
        again = _prepare(tmp_path, listed, regroup=True)
        listed = write(again, tmp_path / name, PrepareConfig())[0]
    textured("site2/A/p1_3.png", 500)
    textured("site2/B/p2_3.png", 501)
    grown = _prepare(tmp_path, listed, tmp_path / "site2", source="site", test_fraction=0, **patients)
    held = _split_by_group(grown)
    assert set(held) == {f"site/p{i}" for i in range(20)}
    assert all(len(splits) == 1 for splits in held.values())


def test_a_patient_of_a_table_is_one_at_all_its_sites(tmp_path: Path, textured: Callable[..., Path]) -> None:
    with (tmp_path / "list.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["file", "label", "Patient ID", "site"])
        for i in range(40):
            table.writerow([textured(f"{i}.png", i).name, "AB"[i // 2 % 2], f"p{i // 2}", "xy"[i % 2]])
    prepared = _prepare(tmp_path, tmp_path / "list.csv")
    assert len(_split_by_group(prepared)) == 20
    assert {row.source for row in prepared.manifest.rows} == {"x", "y"}


def test_folders_of_one_name_are_two_sources(tmp_path: Path, textured: Callable[..., Path]) -> None:
    for number, place in enumerate("xy"):
        for i in range(12):
            textured(f"{place}/images/{'A' if i % 2 else 'B'}/k{i}.png", 12 * number + i)
    prepared = _prepare(tmp_path, tmp_path / "x" / "images", tmp_path / "y" / "images")
    assert {row.source for row in prepared.manifest.rows} == {"x-images", "y-images"}
    assert len(_split_by_group(prepared)) == 24


def test_our_manifest_names_images_wherever_they_lie(tmp_path: Path, textured: Callable[..., Path]) -> None:
    for i in range(20):
        textured(f"elsewhere/{'A' if i % 2 else 'B'}/{i}.png", i)
    (tmp_path / "project").mkdir()
    first = _prepare(tmp_path, tmp_path / "elsewhere")
    listed = write(first, tmp_path / "project" / "m.csv", PrepareConfig())[0]
    assert _prepare(tmp_path, listed).manifest.digest() == first.manifest.digest()


def test_of_copies_the_one_of_the_test_split_stays(tmp_path: Path, textured: Callable[..., Path]) -> None:
    for i in range(30):
        textured(f"old/{'A' if i % 2 else 'B'}/{i}.png", i)
    listed = write(_prepare(tmp_path, tmp_path / "old"), tmp_path / "m.csv", PrepareConfig())[0]
    for row in (row for row in read_csv(listed).rows if row.split == "test"):
        (tmp_path / "new" / row.label).mkdir(parents=True, exist_ok=True)
        (tmp_path / "new" / row.label / row.path.name).write_bytes(row.path.read_bytes())
    grown = _prepare(tmp_path, tmp_path / "new", listed, test_fraction=0)
    assert grown.manifest.digest("test") == read_csv(listed).digest("test")


def test_regrouping_reads_a_manifest_as_training_does(tmp_path: Path, images: Path) -> None:
    listed = write(_prepare(tmp_path, images), tmp_path / "m.csv", PrepareConfig())[0]
    header, *rows = listed.read_text().splitlines()
    listed.write_text("\n".join([f"{header},PatientName", *(f"{row},Doe^Jane" for row in rows)]))
    again = _prepare(tmp_path, listed, regroup=True)
    assert not again.manifest.rows[0].extra
    assert "may identify a person" in again.sources[0].notes[0]
    by_hand = tmp_path / "hand.csv"
    by_hand.write_text(
        "\n".join(["path,label,patient_id", *(f"{row.split(',')[0]},{i % 2},7" for i, row in enumerate(rows))])
    )
    with pytest.raises(DataError, match="the column patient_id names patients"):
        _prepare(tmp_path, by_hand, regroup=True)


def test_a_pattern_that_finds_no_patient_is_refused(tmp_path: Path, images: Path) -> None:
    with pytest.raises(ConfigError, match=r"group_pattern=\(Q\\d\+\): finds nothing in any path"):
        _prepare(tmp_path, images, group_pattern=r"(Q\d+)")
    listed = write(_prepare(tmp_path, images), tmp_path / "m.csv", PrepareConfig())[0]
    with pytest.raises(ConfigError, match="label_map: --regroup takes labels and groups of a manifest as they are"):
        _prepare(tmp_path, listed, regroup=True, label_map="a=b")
