"""Data sets known by name, on made-up trees with their real paths and file names."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fracture.data.exclusions import Exclusion
from fracture.data.prepare.config import PrepareConfig
from fracture.data.prepare.gather import gather
from fracture.data.prepare.labelling import label_tree
from fracture.data.prepare.layouts import LAYOUTS, recognise
from fracture.data.prepare.records import Record
from fracture.data.trees import walk
from fracture.errors import DataError

HEX = "c3e00ebc2db78bc94e644c3f6605dad0"
TREES: dict[str, list[str]] = {
    "three-classes": [
        "train/simple_fracture/764_Simple Bone Fracture_flip_vertical.jpg",
        "test/simple_fracture/764_Simple Bone Fracture_rotate.jpg",
        "train/comminuted_fracture/12_Comminuted Bone Fracture_bright.jpg",
        "val/no_fracture/image1_11.png",
        "test/no_fracture/image1_12.png",
    ],
    "simple-vs-comminuted": [
        "Bone Fracture/Bone Fracture/Orginal/Simple Bone Fracture/764_Simple Bone Fracture.jpg",
        "Bone Fracture/Bone Fracture/Augmented/Simple Bone Fracture/764_Simple Bone Fracture_rotate.jpg",
        "Bone Fracture/Bone Fracture/Augmented/Simple Bone Fracture/764_Simple Bone Fracture_high_contrast.jpg",
        "Bone Fracture/Bone Fracture/Orginal/Comminuted Bone Fracture/3_Comminuted Bone Fracture.png",
        "Bone Fracture/Bone Fracture/Augmented/Comminuted Bone Fracture/3_Comminuted Bone Fracture_low_brightness.png",
    ],
    "mura": [
        "MURA-v1.1/train/XR_ELBOW/patient00011/study1_negative/image1.png",
        "MURA-v1.1/train/XR_ELBOW/patient00011/study1_negative/image2.png",
        "MURA-v1.1/train/XR_WRIST/patient00011/study2_negative/image1.png",
        "MURA-v1.1/train/XR_SHOULDER/patient00001/study1_positive/image1.png",
        "MURA-v1.1/valid/XR_WRIST/patient11185/study1_negative/image1.png",
    ],
    "fracatlas": [
        "FracAtlas/images/Fractured/IMG0000019.jpg",
        "FracAtlas/images/Fractured/IMG0000025.jpg",
        "FracAtlas/images/Non_fractured/IMG0000000.jpg",
        "FracAtlas/images/Non_fractured/IMG0000001.jpg",
    ],
    "bone-break": [
        f"Bone Break Classification/Avulsion fracture/Train/000002_png.rf.{HEX}.jpg",
        f"Bone Break Classification/Comminuted fracture/Test/images94_jpg.rf.{HEX}.jpg",
        f"Bone Break Classification/Greenstick fracture/Train/0-_jumbo_jpeg.rf.{HEX}.jpg",
        f"Bone Break Classification/Greenstick fracture/Train/0-_jumbo_jpeg.rf.{HEX[::-1]}.jpg",
        f"Bone Break Classification/Fracture Dislocation/Train/a_jpg.rf.{HEX}.jpg",
        f"Bone Break Classification/Hairline Fracture/Train/b_jpg.rf.{HEX}.jpg",
        f"Bone Break Classification/Spiral Fracture/Test/c_jpg.rf.{HEX}.jpg",
        f"Bone Break Classification/Pathological fracture/Test/d_jpg.rf.{HEX}.jpg",
    ],
    "grazpedwri-dx": [
        "GRAZPEDWRI-DX/images_part1/0001_1297860395_01_WRI-L1_M014.png",
        "GRAZPEDWRI-DX/images_part1/0001_1297860435_01_WRI-L2_M014.png",
        "GRAZPEDWRI-DX/images_part1/0001_1297900000_02_WRI-L2_M014.png",
        "GRAZPEDWRI-DX/images_part1/0002_0354485735_01_WRI-R1_F012.png",
        "GRAZPEDWRI-DX/images_part2/0503_1018511008_01_WRI-L1_M012.png",
    ],
}
TABLES = {
    "fracatlas": (
        "FracAtlas/dataset.csv",
        "image_id,hand,leg,hip,shoulder,mixed,hardware,multiscan,fractured,fracture_count,frontal,lateral,oblique\n"
        "IMG0000019.jpg,0,1,0,0,0,0,1,1,1,1,1,0\nIMG0000025.jpg,0,1,0,0,0,0,0,1,1,0,0,1\n"
        "IMG0000000.jpg,0,1,0,0,0,0,0,0,0,1,0,0\nIMG0000001.jpg,0,1,0,0,0,0,0,0,0,1,0,0\n",
    ),
    "grazpedwri-dx": (
        "GRAZPEDWRI-DX/dataset.csv",
        "filestem,patient_id,study_number,timehash,gender,age,laterality,projection,initial_exam,ao_classification,cast,"
        "diagnosis_uncertain,osteopenia,fracture_visible,metal,pixel_spacing,device_manufacturer\n"
        "0001_1297860395_01_WRI-L1_M014,1,1,1,M,14.1,L,1,1,23r-M/2.1,,,,,,0.144,Siemens\n"
        "0001_1297860435_01_WRI-L2_M014,1,1,2,M,14.1,L,2,1,23r-M/2.1,,,,1,,0.144,Siemens\n"
        "0001_1297900000_02_WRI-L2_M014,1,2,5,M,14.3,L,2,,,,,,,,0.144,Siemens\n"
        "0002_0354485735_01_WRI-R1_F012,2,1,3,F,12,R,1,1,,,1,,1,,0.144,Siemens\n"
        "0503_1018511008_01_WRI-L1_M012,503,1,4,M,12,L,1,1,,,,,1.0,,0.144,Agfa\n",
    ),
}


def _plant(root: Path, name: str, table: bool = True) -> Path:
    for path in TREES[name]:
        place = root / path
        place.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((8, 8), len(path), np.uint8)).save(place)
    if table and name in TABLES:
        path, text = TABLES[name]
        (root / path).write_text(text)
    return root


def _read(root: Path, name: str) -> tuple[dict[str, Record], dict[str, Exclusion]]:
    one = gather([_plant(root / "set", name)], PrepareConfig(), root / "unpacked")[0]
    assert one.layout is not None
    assert one.layout.name == name
    base = root / "set"
    records = {record.path.relative_to(base).as_posix(): record for record in one.records}
    return records, {str(Path(e.path).relative_to(base)): e for e in one.excluded}


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: layout.name)
def test_every_layout_says_where_it_comes_from_and_is_recognised(layout: object, tmp_path: Path) -> None:
    assert all(getattr(layout, name) for name in ("title", "citation", "licence", "where"))
    assert recognise(TREES[layout.name]) is layout  # type: ignore[attr-defined]


def test_three_classes(tmp_path: Path) -> None:
    records, excluded = _read(tmp_path, "three-classes")
    flipped, rotated = (records[path] for path in TREES["three-classes"][:2])
    assert (flipped.label, flipped.split, rotated.split) == ("simple_fracture", "train", "test")
    assert flipped.original == rotated.original
    assert len({record.original for record in records.values()}) == 4
    assert not excluded


def test_simple_vs_comminuted(tmp_path: Path) -> None:
    records, _ = _read(tmp_path, "simple-vs-comminuted")
    assert Counter(r.label for r in records.values()) == {"simple_fracture": 3, "comminuted_fracture": 2}
    assert len({record.original for record in records.values()}) == 2, "copies belong to their originals"


def test_mura(tmp_path: Path) -> None:
    records, excluded = _read(tmp_path, "mura")
    assert {record.label for record in records.values()} == {"no_fracture"}
    assert len(excluded) == 1
    assert "not known to be fractured" in next(iter(excluded.values())).reason
    patients = [records[path].patient for path in TREES["mura"] if path in records]
    assert patients == ["mura/patient00011"] * 3 + ["mura/patient11185"]
    assert [records[p].split for p in TREES["mura"] if p in records] == ["train"] * 3 + ["val"]
    studies = [records[path].extra["study"] for path in TREES["mura"] if path in records]
    assert studies[0] == studies[1] == "XR_ELBOW/patient00011/study1"
    assert len(set(studies)) == 3


@pytest.mark.parametrize("table", [True, False])
def test_fracatlas(tmp_path: Path, table: bool) -> None:
    tree = walk(_plant(tmp_path, "fracatlas", table))
    said = label_tree(tree, PrepareConfig(), "")
    records, excluded = said.records, said.excluded
    assert [record.label for record in records] == ["fracture"] * 2 + ["no_fracture"] * 2
    assert not excluded


def test_bone_break(tmp_path: Path) -> None:
    records, excluded = _read(tmp_path, "bone-break")
    said = "5 folders are simple_fracture, 4 are left out; --layout folders takes each folder for a class"
    assert label_tree(walk(tmp_path / "set"), PrepareConfig()).notes == [said]
    assert Counter(r.label for r in records.values()) == {"simple_fracture": 4, "comminuted_fracture": 1}
    assert sorted(e.label for e in excluded.values()) == [
        "avulsion fracture",
        "fracture dislocation",
        "pathological fracture",
    ]
    assert all("neither simple nor comminuted" in e.reason for e in excluded.values())
    first, second = (records[path].original for path in TREES["bone-break"][2:4])
    assert first == second, "Roboflow copies of one upload"


def test_grazpedwri(tmp_path: Path) -> None:
    records, excluded = _read(tmp_path, "grazpedwri-dx")
    assert {Path(path).stem[:4]: record.label for path, record in records.items() if "L1" in path} == {
        "0001": "no_fracture",
        "0503": "fracture",
    }
    assert len({record.patient for record in records.values()}) == 2
    assert "uncertain" in next(iter(excluded.values())).reason
    assert [record.extra["study"] for record in records.values()] == ["0001/01/L"] * 2 + ["0001/02/L", "0503/01/L"]


def test_grazpedwri_without_its_table_is_refused_with_the_way_out(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"dataset\.csv, which is not there"):
        gather([_plant(tmp_path, "grazpedwri-dx", table=False)], PrepareConfig(), tmp_path)


@pytest.mark.parametrize(
    ("paths", "label", "split"),
    [
        (["train/A/1.png", "test/B/1.png"], "A", "train"),
        (["deep/er/A/train/1.png", "deep/er/B/validation/1.png"], "A", "train"),
        (["A/patient1/1.png", "B/patient2/1.png"], "A", ""),
        (["A/1.png"], "A", ""),
        (["1.png", "2.png"], "set", ""),
        (["Augmented/A/1_rot.png", "Original/A/1.png", "Original/B/2.png"], "A", ""),
    ],
)
def test_unknown_trees_are_read_by_their_folders(tmp_path: Path, paths: list[str], label: str, split: str) -> None:
    root = tmp_path / "set"
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).touch()
    found = label_tree(walk(root), PrepareConfig(), "")
    records = found.records
    assert found.layout is None
    first = next(record for record in records if record.path == root / paths[0])
    assert (first.label, first.split) == (label, split)


def test_patterns_map_and_source_of_the_user(tmp_path: Path) -> None:
    root = tmp_path / "set"
    for name in ("p1_frac_a.png", "p1_frac_b.png", "p2_ok_a.png", "p3_bad.png", "p3_odd.png"):
        root.mkdir(exist_ok=True)
        (root / name).touch()
    config = PrepareConfig(
        label_pattern=r"_(?P<label>frac|ok|bad)", group_pattern=r"^(p\d+)_", source="General", label_map="ok=none,bad="
    )
    one = gather([root], config, tmp_path)[0]
    assert [(r.label, r.patient, r.source) for r in one.records] == [
        ("frac", "General/p1", "General"),
        ("frac", "General/p1", "General"),
        ("none", "General/p2", "General"),
    ]
    assert {Path(e.path).name: e.reason for e in one.excluded} == {
        "p3_odd.png": "label_pattern finds no class in its path",
        "p3_bad.png": "its class is left out by label_map",
    }


def test_a_table_of_a_data_set_need_not_be_complete(tmp_path: Path) -> None:
    root = _plant(tmp_path, "grazpedwri-dx")
    table = root / "GRAZPEDWRI-DX" / "dataset.csv"
    table.write_text("".join(table.read_text().splitlines(keepends=True)[:-1]))
    excluded = label_tree(walk(root), PrepareConfig(), "").excluded
    assert "dataset.csv has no row for it" in {e.reason for e in excluded}
