"""Names that are the structure of a data set and not its classes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fracture.data.class_names import are_patients, structure
from fracture.data.manifest import split_name
from fracture.data.prepare.levels import class_at, levels_of

STRUCTURE = {
    "splits": [["Training Set", "Test Set"], ["train_images", "val_images"], ["normal", "TEST"], ["01_train", "x"],
        ["test_v2", "train_v2"], ["test_fractured", "train_fractured"], ["entrenamiento", "prueba"], ["te", "tr"]],
    "counters": [
        ["images_001", "images_002"], ["Day 1", "Day 2"], ["part1", "part2"], ["batch_3", "batch_4"], ["000", "001"],
        ["fold1", "fold2"], ["12345", "12346"], ["hospital 1", "hospital 2"], ["hospitalA", "hospitalB"],
        ["Set A", "Set B"], ["expert_a", "expert_b"],
    ],
    "patients": [["patient00001", "patient00002"], ["P001", "P002"], ["sub-01", "sub-02"], ["Subject 3", "Subject 4"]],
    "dates": [["2021-08", "2021-09"], ["2019", "2020"], ["20210803", "20210804"]],
    "file formats or sizes": [["DICOM"], ["png", "jpg"], ["224x224", "512x512"], ["8bit", "16-bit"]],
    "folders of files": [["masks", "normal"], ["images", "labels"], ["Annotations", "JPEGImages"], ["unseen", "a"],
        ["normal", "results"], ["fracture", "predictions"], ["dataset_yolo", "a"],
        ["data_annotated", "data_dataset_voc"], ["COCO_dataset", "yolov5_dataset"]],
    "studies": [["study1_negative", "study2_positive"]],
    "people or months": [["male", "female"], ["adults", "children"], ["Jul", "August"]],
    "identifiers": [["1.2.840.113619.2.5", "1.2.840.113619.2.6"]],
    "body parts": [["left", "right"], ["AP", "Lateral"], ["wrist", "elbow"], ["XR_HAND", "XR_WRIST"]],
}  # fmt: skip
CLASSES = [
    ["fractured", "normal"], ["0", "1"], ["0", "1", "2", "3", "4"], ["grade1", "grade2", "grade3"], ["KL0", "KL1"],
    ["A", "B"], ["comminuted_fracture", "no_fracture", "simple_fracture"], ["Type A", "Type B"], ["oblique", "spiral"],
    ["elbow positive", "fingers positive"], ["wrist fracture", "elbow fracture"], [],
    ["Test Positive", "Test Negative"], ["Group A", "Group B"], ["Rotation", "Translation", "Angulation"],
    ["data set 1", "voc"], ["fracture images", "normal images"], ["model A fracture", "normal"],
]  # fmt: skip


@pytest.mark.parametrize(("kind", "names"), [(kind, names) for kind, held in STRUCTURE.items() for names in held])
def test_structure_is_told_in_words(kind: str, names: list[str]) -> None:
    found = structure(names)
    assert found is not None
    assert found.kind.startswith(kind)
    assert "not like classes" in str(found)


@pytest.mark.parametrize("names", CLASSES)
def test_classes_are_none(names: list[str]) -> None:
    assert structure(names) is None


@given(st.sets(st.text(max_size=12), max_size=8))
def test_any_names_have_an_answer(names: set[str]) -> None:
    found = structure(names)
    assert found is None or set(found.names) <= names
    assert are_patients(names) in (True, False)


@pytest.mark.parametrize(
    ("name", "split"),
    [
        ("Training Set", "train"), ("TrainingData", "train"), ("train_images", "train"), ("01_train", "train"),
        ("test1", "test"), ("TEST", "test"), ("Testing images", "test"), ("ValData", "val"), ("validation-set", "val"),
        ("valid", "val"), ("dev", "val"), ("latest", ""), ("contest", ""), ("trained", ""), ("train_labels", ""),
        ("test_fracture", ""),
    ],
)  # fmt: skip
def test_splits_in_many_spellings(name: str, split: str) -> None:
    assert split_name(name) == split


LEVELS = {  # folders of each image: level of the class and of the patient
    "patients below classes": ([["normal", "P1"], ["normal", "P2"], ["fractured", "P3"]], 0, 1),
    "classes below patients": ([["P1", "normal"], ["P2", "fractured"], ["P3", "normal"]], 1, 0),
    "classes below body parts": ([["wrist", "normal"], ["elbow", "fractured"], ["wrist", "fractured"]], 1, None),
    "classes below hospitals": ([["General", "normal"], ["City", "fractured"]], 1, None),
    "classes below counters": ([["images_001", "A"], ["images_002", "B"]], 1, None),
    "views below classes": ([["fractured", "AP"], ["normal", "LAT"]], 0, None),
    "one class of many patients": ([["fractured", "P1"], ["fractured", "P2"]], 0, 1),
    "plain": ([["A"], ["B"]], 0, None),
}


@pytest.mark.parametrize(("folders", "classes", "patients"), LEVELS.values(), ids=LEVELS)
def test_levels_further_down_are_looked_at(folders: list[list[str]], classes: int, patients: int | None) -> None:
    found = levels_of({str(i): one for i, one in enumerate(folders)}, "set")
    assert (found.classes, found.patients, found.problem) == (classes, patients, "")


AMBIGUOUS = {
    "two levels": (
        [["Graz", "Colles"], ["Wien", "Smith"], ["Graz", "Smith"]],
        "two levels of folders could be the classes",
    ),
    "names at two levels": ([["Full", "A"], ["A"], ["B"], ["Full", "B"]], "folders of one name are at two levels"),
}


@pytest.mark.parametrize(("folders", "problem"), AMBIGUOUS.values(), ids=AMBIGUOUS)
def test_what_could_be_either_is_refused(folders: list[list[str]], problem: str) -> None:
    assert problem in levels_of({str(i): one for i, one in enumerate(folders)}, "set").problem


def test_many_small_folders_below_a_class_are_patients() -> None:
    folders = [[("normal", "fractured")[i % 2], f"GRZ-{i // 4:03d}-X"] for i in range(48)]
    assert levels_of({str(i): one for i, one in enumerate(folders)}, "set").patients == 1


def test_one_class_may_be_the_name_of_the_root() -> None:
    found = levels_of({"1": ["P1"], "2": ["P2"]}, "fractured")
    assert class_at(["P1"], found.classes, "fractured", loose=True) == "fractured"
    assert found.patients == 0


def test_an_image_beside_the_class_folders_has_no_class() -> None:
    assert class_at([], 0, "set", loose=True) == ""
    assert class_at([], 0, "set", loose=False) == "set"
