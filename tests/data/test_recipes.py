"""The recipes of docs/your-data.md, each on a small made-up tree with the public set's own folders and CSV header."""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fracture.data.exclusions import reasons
from fracture.data.prepare.config import PrepareConfig
from fracture.data.prepare.prepare import prepare

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Recipe:
    """What is made up, how it is read, and what must come of it.

    Attributes:
        source: the CSV, below the folder of the test.
        images: files to make.
        table: lines of the CSV.
        options: of ``fracture prepare``; ``root`` starts from the folder of the test.
        counts: number of images by class.
        labels: class of some images by the end of their path.
        groups: number of groups, which is that of patients where the set names them.
        excluded: how many rows are left out by reason.
    """

    source: str
    images: tuple[str, ...]
    table: tuple[str, ...]
    options: dict[str, str]
    counts: dict[str, int]
    labels: dict[str, str]
    groups: int
    excluded: dict[str, int]


def _nih() -> Recipe:
    findings = {i: ("No Finding", "Infiltration", "Pneumothorax")[i % 3] for i in range(12)}
    said = {(i, k): findings[i] for i in findings for k in range(3)}
    said |= {(1, 1): "Hernia|Infiltration", (2, 1): "Infiltration|Pneumothorax", (3, 1): "Hernia"}
    rows = [f"{i + 1:08d}_{k:03d}.png,{one},{k},{i + 1},58,M,PA,2682,2749,0.143,0.143," for (i, k), one in said.items()]
    return Recipe(
        "Data_Entry_2017.csv",
        tuple(f"images_{1 + i // 6:03d}/images/{i + 1:08d}_{k:03d}.png" for i, k in said),
        (
            "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,View Position,"
            "OriginalImage[Width,Height],OriginalImagePixelSpacing[x,y],",
            *rows,
        ),
        {"columns": "label=Finding Labels", "label_map": "No Finding=no_finding,Hernia="},
        {"no_finding": 11, "Infiltration": 12, "Pneumothorax": 11},
        {
            "images_001/images/00000001_000.png": "no_finding",
            "00000002_001.png": "Infiltration",
            "images_002/images/00000012_002.png": "Pneumothorax",
        },
        12,
        {"it has findings of several classes": 1, "its class is left out by label_map": 1},
    )


def _chexpert() -> Recipe:
    said = {i: ("1.0", "0.0")[i % 2] for i in range(12)} | {12: "-1.0", 13: ""}
    paths = {(i, k): f"train/patient{i + 1:05d}/study1/view{k}_frontal.jpg" for i in said for k in (1, 2)}
    return Recipe(
        "CheXpert-v1.0-small/train.csv",
        tuple(f"CheXpert-v1.0-small/{path}" for path in paths.values()),
        (
            "Path,Sex,Age,Frontal/Lateral,AP/PA,No Finding,Enlarged Cardiomediastinum,Cardiomegaly,Lung Opacity,"
            "Lung Lesion,Edema,Consolidation,Pneumonia,Atelectasis,Pneumothorax,Pleural Effusion,Pleural Other,"
            "Fracture,Support Devices",
            *(
                f"CheXpert-v1.0-small/{path},Female,68,Frontal,AP,,,,,-1.0,,,,,,,,{said[i]},1.0"
                for (i, _), path in paths.items()
            ),
        ),
        {
            "columns": "label=Fracture",
            "label_map": "1.0=fracture,0.0=no_fracture,-1.0=",
            "group_pattern": r"(patient\d+)",
        },
        {"fracture": 12, "no_fracture": 12},
        {"patient00001/study1/view1_frontal.jpg": "fracture", "patient00002/study1/view2_frontal.jpg": "no_fracture"},
        12,
        {"its class is left out by label_map": 2, "its label is empty": 2},
    )


def _mura() -> Recipe:
    studies = [(f"XR_WRIST/patient{i:05d}/study1", i % 2) for i in range(1, 13)] + [("XR_ELBOW/patient00001/study2", 0)]
    named = [(f"MURA-v1.1/train/{study}_{('negative', 'positive')[label]}/", label) for study, label in studies]
    return Recipe(
        "MURA-v1.1/train_labeled_studies.csv",
        tuple(f"{folder}image{k}.png" for folder, _ in named for k in (1, 2)),
        (*(f"{folder},{label}" for folder, label in named), "MURA-v1.1/train/XR_HAND/patient09999/study1_positive/,1"),
        {"label_map": "1=abnormal,0=normal", "group_pattern": r"(patient\d+)"},
        {"abnormal": 12, "normal": 14},
        {
            "XR_WRIST/patient00001/study1_positive/image2.png": "abnormal",
            "XR_ELBOW/patient00001/study2_negative/image1.png": "normal",
        },
        12,
        {"the file does not exist": 1},
    )


_VINDR = [
    "Aortic enlargement",
    "Atelectasis",
    "Calcification",
    "Cardiomegaly",
    "Clavicle fracture",
    "Consolidation",
    "Edema",
    "Emphysema",
    "Enlarged PA",
    "ILD",
    "Infiltration",
    "Lung Opacity",
    "Lung cavity",
    "Lung cyst",
    "Mediastinal shift",
    "Nodule/Mass",
    "Pleural effusion",
    "Pleural thickening",
    "Pneumothorax",
    "Pulmonary fibrosis",
    "Rib fracture",
    "Other lesion",
    "COPD",
    "Lung tumor",
    "Pneumonia",
    "Tuberculosis",
    "Other diseases",
    "No finding",
]


def _vindr() -> Recipe:
    names = [f"{i:032x}" for i in range(0xA0, 0xA0 + 26)]
    said = [["Rib fracture"] * 3 if i % 2 else ["No finding"] * 3 for i in range(26)]
    said[0] = ["Rib fracture", "Clavicle fracture", "No finding"]  # two of three say that a bone is broken
    said[2] = ["Rib fracture", "Cardiomegaly", "No finding"]  # one of three
    said[4] = ["Rib fracture", "No finding"]
    rows = [
        f"{name},R{9 + reader},{','.join('1' if finding == one else '0' for one in _VINDR)}"
        for name, findings in zip(names, said, strict=True)
        for reader, finding in enumerate(findings)
    ]
    return Recipe(
        "vindr-cxr/annotations/image_labels_train.csv",
        tuple(f"vindr-cxr/train/{name}.dicom" for name in names),
        (f"image_id,rad_id,{','.join(_VINDR)}", *rows),
        {
            "root": "vindr-cxr",
            "columns": "labels=Clavicle fracture,Rib fracture",
            "label_map": "Clavicle fracture=fracture,Rib fracture=fracture",
            "background": "no_fracture",
            "readers": "majority",
        },
        {"fracture": 14, "no_fracture": 11},
        {
            f"{names[0]}.dicom": "fracture",
            f"{names[1]}.dicom": "fracture",
            f"{names[2]}.dicom": "no_fracture",
            f"{names[6]}.dicom": "no_fracture",
        },
        25,
        {"its rows give it 2 labels": 1},
    )


def _bone_age() -> Recipe:
    said = {1377 + i: "True" if i % 2 else "False" for i in range(24)}
    return Recipe(
        "boneage-training-dataset.csv",
        tuple(f"boneage-training-dataset/{i}.png" for i in said),
        ("id,boneage,male", *(f"{i},{12 * (i % 17)},{male}" for i, male in said.items()), "99999,120,True"),
        {"columns": "path=id,label=male", "label_map": "True=male,False=female"},
        {"female": 12, "male": 12},
        {"boneage-training-dataset/1377.png": "female", "boneage-training-dataset/1378.png": "male"},
        24,
        {"the file does not exist": 1},
    )


def _grazpedwri() -> Recipe:
    said = {
        (i, k): f"{i:04d}_{1297860395 + 86400 * i}_01_WRI-{'LR'[i % 2]}{k}_M{10 + i % 8:03d}"
        for i in range(1, 13)
        for k in (1, 2)
    }
    rows = [
        f"{stem},{i},1,{i}000,M,9.5,{'LR'[i % 2]},{k},1,{'23-M/2.1' if i % 2 else ''},,,,{'1' if i % 2 else ''}"
        ',,0.144,"Siemens"'
        for (i, k), stem in said.items()
    ]
    return Recipe(
        "dataset.csv",
        tuple(f"images_part{1 + i // 7}/{stem}.png" for (i, _), stem in said.items()),
        (
            "filestem,patient_id,study_number,timehash,gender,age,laterality,projection,initial_exam,"
            "ao_classification,cast,diagnosis_uncertain,osteopenia,fracture_visible,metal,pixel_spacing,"
            "device_manufacturer",
            *rows,
        ),
        {"columns": "label=fracture_visible,study=study_number", "label_map": "1=fracture,''=no_fracture"},
        {"fracture": 12, "no_fracture": 12},
        {f"images_part1/{said[1, 1]}.png": "fracture", f"images_part2/{said[12, 2]}.png": "no_fracture"},
        12,
        {},
    )


def _fracatlas() -> Recipe:
    said = {f"IMG{i:07d}.jpg": i % 2 for i in range(24)}
    return Recipe(
        "dataset.csv",
        tuple(f"images/{('Non_fractured', 'Fractured')[broken]}/{name}" for name, broken in said.items()),
        (
            "image_id,hand,leg,hip,shoulder,mixed,hardware,multiscan,fractured,fracture_count,frontal,lateral,oblique",
            *(f"{name},1,0,0,0,0,0,0,{broken},{broken},1,0,0" for name, broken in said.items()),
            "IMG0009999.jpg,0,1,0,0,0,0,0,1,1,1,0,0",
        ),
        {"columns": "label=fractured", "label_map": "1=fracture,0=no_fracture"},
        {"fracture": 12, "no_fracture": 12},
        {"images/Fractured/IMG0000001.jpg": "fracture", "images/Non_fractured/IMG0000002.jpg": "no_fracture"},
        24,
        {"the file does not exist": 1},
    )


RECIPES = {
    "NIH ChestX-ray14": _nih,
    "CheXpert": _chexpert,
    "MURA": _mura,
    "VinDr-CXR": _vindr,
    "RSNA bone age": _bone_age,
    "GRAZPEDWRI-DX": _grazpedwri,
    "FracAtlas": _fracatlas,
}


@pytest.mark.parametrize("make", RECIPES.values(), ids=RECIPES)
def test_a_recipe_reads_the_public_set_as_the_page_says(tmp_path: Path, make: Callable[[], Recipe]) -> None:
    recipe = make()
    _write(tmp_path, recipe.images)
    source = tmp_path / recipe.source
    source.parent.mkdir(parents=True, exist_ok=True)
    source.write_text("\n".join(recipe.table) + "\n", encoding="utf-8")
    options = recipe.options | ({"root": str(tmp_path / recipe.options["root"])} if "root" in recipe.options else {})

    prepared = prepare([source], PrepareConfig(near_duplicates=False, **options), tmp_path / "out" / "m.csv")  # type: ignore[arg-type]

    rows = prepared.manifest.rows
    assert Counter(row.label for row in rows) == recipe.counts
    for name, label in recipe.labels.items():
        assert [row.label for row in rows if str(row.path).endswith(f"/{name}")] == [label], name
    assert len({row.group for row in rows}) == recipe.groups
    assert len({(row.group, row.split) for row in rows}) == recipe.groups
    assert {row.split for row in rows} == {"train", "val", "test"}
    assert dict(reasons(prepared.excluded)) == recipe.excluded


def test_a_row_that_names_a_folder_names_a_study(tmp_path: Path) -> None:
    _write(tmp_path, _mura().images)
    source = tmp_path / _mura().source
    source.write_text("\n".join(_mura().table) + "\n", encoding="utf-8")
    options = PrepareConfig(near_duplicates=False, **_mura().options)  # type: ignore[arg-type]
    rows = prepare([source], options, tmp_path / "out" / "m.csv").manifest.rows
    studies = Counter(row.study for row in rows)
    assert set(studies.values()) == {2}
    assert "train/XR_ELBOW/patient00001/study2_negative" in studies


@pytest.mark.parametrize("name", RECIPES)
def test_the_page_gives_the_recipe_as_it_is_tested(name: str) -> None:
    recipe = RECIPES[name]()
    lines = (ROOT / "docs" / "your-data.md").read_text().splitlines()
    (row,) = [line for line in lines if line.startswith(f"| {name} |")]
    for option, value in recipe.options.items():
        quoted = f'"{value}"' if "'" in value else f"'{value}'"
        assert any(f"--{option.replace('_', '-')} {text}" in row for text in (value, quoted)), option
    assert recipe.source in row


def _write(root: Path, images: Iterable[str]) -> None:
    """Random texture, another for each image."""
    for number, name in enumerate(images):
        pixels = np.random.default_rng(number).integers(0, 255, (40, 32), np.uint8)
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".dicom":
            _write_dicom(path, pixels)
        else:
            Image.fromarray(pixels).save(path)


def _write_dicom(path: Path, pixels: np.ndarray) -> None:
    """Without patient and study, as a set without identifiers is."""
    pytest.importorskip("pydicom", reason="the extra [dicom] is not installed")
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian, generate_uid

    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID = "1.2.840.10008.5.1.4.1.1.1.1"
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID = generate_uid()
    dataset.Rows, dataset.Columns = pixels.shape
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated = dataset.BitsStored = 8
    dataset.HighBit, dataset.PixelRepresentation = 7, 0
    dataset.PixelData = pixels.tobytes()
    dataset.save_as(path, enforce_file_format=True)
