"""What may say who somebody is does not come into manifests."""

import csv
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fracture.data.personal import is_name, names_persons, personal_columns
from fracture.data.prepare.config import PrepareConfig
from fracture.data.prepare.prepare import Prepared, prepare, write

N = 24
REPORT = "Wrist in two planes. Mr Smith fell from a ladder, no dislocation."
COLUMNS: dict[str, Callable[[int], object]] = {
    "file": lambda i: f"{i}.png",
    "label": lambda i: ("fracture", "no_fracture")[i // 4 % 2],
    "patient": lambda i: f"Smith, John {'ABCDEFGHIJKL'[i // 2]}",
    "name": lambda i: f"Smith{i // 2}",
    "Findings": lambda i: f"{REPORT} {i}",
    "accession": lambda i: 77000 + i,
    "age": lambda i: 30 + i % 5,
    "view": lambda i: ("AP", "lateral")[i % 2],
}


def _prepared(root: Path, **options: str) -> tuple[Prepared, str]:
    for i in range(N):
        Image.fromarray(np.random.default_rng(i).integers(0, 255, (40, 32), np.uint8)).save(root / f"{i}.png")
    with (root / "list.csv").open("w", newline="") as file:
        csv.writer(file).writerows([list(COLUMNS), *([cell(i) for cell in COLUMNS.values()] for i in range(N))])
    config = PrepareConfig(near_duplicates=False, cache_dir=str(root / "cache"), **options)  # type: ignore[arg-type]
    prepared = prepare([root / "list.csv"], config, root / "out.csv")
    return prepared, "".join(path.read_text() for path in write(prepared, root / "out.csv", config))


def test_reports_names_and_numbers_are_not_kept(tmp_path: Path) -> None:
    prepared, written = _prepared(tmp_path)
    assert not [one for one in ("Smith", "77000", "ladder") if one in written]
    assert {tuple(row.extra) for row in prepared.manifest.rows} == {("age", "view")}
    assert len({row.group for row in prepared.manifest.rows}) == N // 2
    told = "not kept, since they may identify a person or are free text: Findings, accession, name; "
    assert f"{told}--columns keep=Findings,accession,name keeps them" in prepared.sources[0].notes


def test_what_the_user_asks_for_is_kept(tmp_path: Path) -> None:
    prepared, _ = _prepared(tmp_path, columns="keep=Findings,name")
    assert {tuple(row.extra) for row in prepared.manifest.rows} == {("name", "Findings", "age", "view")}
    assert any("free text: accession; " in note for note in prepared.sources[0].notes)


@pytest.mark.parametrize(
    "name",
    [
        "PatientName", "last name", "Vorname", "DOB", "Geburtsdatum", "date_of_birth", "Patient Address", "Adresse",
        "PLZ", "phone", "Telefonnummer", "Tel.-Nr.", "email", "insurance_no", "Versichertennummer", "SSN", "NHS number",
        "AccessionNumber", "acc_no", "MRN", "SOPInstanceUID", "referring physician", "Hausarzt",
    ],
)  # fmt: skip
def test_names_of_columns_that_may_identify(name: str) -> None:
    assert personal_columns([name], [{name: "x"}]) == [name]


@pytest.mark.parametrize(
    "name",
    [
        "age", "sex", "side", "view", "BodyPart", "class_name", "insurance", "study", "StudyInstanceUID", "StudyDate",
        "note", "findings", "grade", "device_manufacturer", "mobile", "kvp", "joint_fluid", "female", "scanner_id",
    ],
)  # fmt: skip
def test_names_of_columns_that_may_not(name: str) -> None:
    assert personal_columns([name], [{name: "x"}]) == []


@pytest.mark.parametrize(
    ("name", "values", "free"),
    [
        ("x", ["no acute fracture", "distal radius fracture"], False),
        ("x", ["The wrist is swollen.", "ok"], True),
        ("x", ["Kein Nachweis einer frischen knöchernen Verletzung im Handgelenk"], True),
        ("x", ["左侧桡骨远端骨折伴轻度移位请结合临床"], True),
        ("comment", ["ok"] * 9 + [f"blurred {i}" for i in range(20)], False),
        ("comment", ["ok"] * 9 + [f"seen by Smith {i}" for i in range(20)], True),
        ("findings", ["no acute fracture", "distal radius fracture"], False),
        ("boxes", ['[["fracture of the left distal radius bone here", 0.1, 0.1, 0.2, 0.2]]'], False),
        ("bbox", ["10 20 30 40 50 60 70 80"], False),
        ("url", ["/data/north/train/patient 1/study 2/image 3.png"], False),
    ],
)
def test_free_text_is_told_by_its_words(name: str, values: list[str], free: bool) -> None:
    assert personal_columns([name], [{name: value} for value in values]) == [name] * free


@pytest.mark.parametrize(
    ("who", "named"),
    [("Smith, John", True), ("DOE^JANE^M.", True), ("Müller Hans-Peter", True), ("P 17", False), ("anna", False)],
)
def test_names_of_persons(who: str, named: bool) -> None:
    assert is_name(who) == named


@pytest.mark.parametrize(
    ("column", "values", "named"),
    [
        ("patient_id", ["17", "P0018"], False), ("patient", ["17"], False), ("group", ["anna"], False),
        ("patient_id", ["17", "DOE^JANE"], True), ("PatientName", ["anna"], True), ("MRN", ["48392017"], True),
        ("nhs_number", ["4839201712"], True),
    ],
)  # fmt: skip
def test_patients_called_as_others_know_them(column: str, values: list[str], named: bool) -> None:
    assert names_persons(column, values) == named
