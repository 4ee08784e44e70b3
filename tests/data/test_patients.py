"""Identifiers that are a patient's, and those that are nobody's."""

import pytest

from fracture.data.groups import merge
from fracture.data.inspection.identity import Identity, is_placeholder
from fracture.data.patients import patients_of

NONE = [Identity()] * 40


def groups(named: list[str], found: list[Identity], rule: str = "auto") -> int:
    known = patients_of(named, found, rule)  # type: ignore[arg-type]
    return len(
        set(merge([[*own, *filter(None, [study])] for own, study in zip(known.keys, known.studies, strict=True)]))
    )


@pytest.mark.parametrize(
    "value",
    [
        "",
        " ",
        "ANONYMOUS",
        "anonymized",
        "Anon",
        "0",
        "00000",
        "XXXX",
        "N/A",
        "-",
        "unknown",
        "<none>",
        "TEST",
        "unbekannt",
        "k.A.",
        "#NV",
        "Anonymous^",
        "anonymized^^^^",
        "UNKNOWN PATIENT",
        "ANON_ID",
        "not given",
        "#N/A",
        "9999999",
    ],
)
def test_placeholders(value: str) -> None:
    assert is_placeholder(value)


@pytest.mark.parametrize("value", ["P1", "123", "10", "Smith^Anna", "MRN-0", "anonymous17", "A", "patient 3"])
def test_identifiers(value: str) -> None:
    assert not is_placeholder(value)


def test_the_institutions_name_is_no_patient() -> None:
    assert is_placeholder("General Hospital", "GENERAL HOSPITAL")
    assert is_placeholder("Klinikum Graz", "KLINIKUM GRAZ, Radiologie")
    assert not is_placeholder("7654321", "Hospital 7654321")
    assert not is_placeholder("Graz1", "KLINIKUM GRAZ")


def test_a_placeholder_is_said_and_not_used() -> None:
    found = patients_of(["t/ANONYMOUS"] * 30 + ["t/P1", "t/P1"], [Identity()] * 32)
    assert found.keys[0] == []
    assert found.keys[30] == found.keys[31] == ["t/P1"]
    assert "in 30 of 32 images, so it is not used" in found.notes[0]


def test_files_without_a_patient_whom_a_table_names_are_not_said_to_be_grouped_by_study() -> None:
    assert not patients_of(["t/P1", "t/P2"], [Identity(study="1.2"), Identity(study="1.3")]).notes
    (note,) = patients_of(["t/P1", ""], [Identity(study="1.2"), Identity(study="1.3")]).notes
    assert "in 1 of 2 images, so it is not used: they are grouped by study" in note


def test_one_identifier_for_most_images_is_nobodys() -> None:
    named = ["t/CLINIC"] * 25 + [f"t/P{i}" for i in range(15)]
    found = patients_of(named, NONE)
    assert groups(named, NONE) == 40
    assert "is that of 25 of 40 images: not used as a patient" in found.notes[0]
    assert groups(named, NONE, "required") == 16, "who requires patients has them"


def test_one_patient_id_over_many_studies_is_nobodys_and_studies_stay() -> None:
    found = [Identity("p", "", f"s{i // 2}") for i in range(40)]
    assert groups([""] * 40, found) == 20
    assert groups([""] * 40, [Identity("p", "", f"s{i % 3}") for i in range(40)]) == 1, (
        "three studies may be a patient's"
    )


def test_a_slash_in_an_identifier_is_no_source() -> None:
    assert patients_of(["t/N/A"] * 3 + ["t/A"], [Identity()] * 4).keys == [[], [], [], ["t/A"]]


def test_few_real_patients_stay() -> None:
    named = [f"t/P{i % 3}" for i in range(30)]
    assert groups(named, [Identity()] * 30) == 3


@pytest.mark.parametrize(
    ("issued", "count"), [(["", "a", "a"], 1), (["a", "b", "a"], 2), (["a", "b", ""], 1), (["", "", ""], 1)]
)
def test_an_issuer_in_some_files_makes_no_second_patient(issued: list[str], count: int) -> None:
    assert groups([""] * 3, [Identity("p", issuer, f"s{i}") for i, issuer in enumerate(issued)]) == count


def test_ignore_uses_none() -> None:
    assert groups(["t/P1"] * 40, NONE, "ignore") == 40


@pytest.mark.parametrize("form", ["{}", "{:03d}"])
def test_the_first_of_patients_that_are_counted_from_zero_is_one(form: str) -> None:
    named = [f"t/{form.format(i // 4)}" for i in range(40)]
    found = patients_of(named, NONE)
    assert groups(named, NONE) == 10
    assert not found.notes


@pytest.mark.parametrize(
    "named",
    [
        ["t/0"] * 4 + [f"t/{1000 + i // 4}" for i in range(36)],  # nothing counts on from it
        ["t/0"] * 12 + [f"t/{1 + i // 4}" for i in range(28)],  # more images than anybody else has
        ["t/0"] * 4 + [f"u/{1 + i // 4}" for i in range(36)],  # those that count on are another source's
    ],
)
def test_a_zero_of_its_own_is_nobodys(named: list[str]) -> None:
    assert patients_of(named, NONE).keys[:4] == [[]] * 4


def test_numbers_with_and_without_zeros_in_front_are_one_patient() -> None:
    named = [f"t/{i // 4:03d}" if i < 20 else f"t/{(i - 16) // 4}" for i in range(4, 36)]
    assert groups(named, NONE[4:36]) == 4
    assert "as 001 and 1: taken for one each" in patients_of(named, NONE[4:36]).notes[0]
    assert groups(["t/01", "u/1", "t/A1", "t/A01"], NONE[:4]) == 4, "other sources, and what is no number, stay apart"


def test_other_capitals_and_blanks_are_one_patient() -> None:
    named = ["t/Meier 1", "t/MEIER  1", "t/p2", "t/P2", "t/Mu\u0308ller", "t/M\u00fcller", "u/p2"]
    assert groups(named, NONE[:7]) == 4, "other sources stay apart"
    assert "3 patients are spelt in several ways, as Meier 1 and MEIER  1" in (patients_of(named, NONE[:7]).notes[0])
