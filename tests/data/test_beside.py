"""Tables and boxes beside folders of classes: patients that they name count, and contradictions are refused."""

import csv
import re
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from fracture.data.folders import read_folder
from fracture.data.prepare.config import PrepareConfig
from fracture.data.prepare.gather import Gathered, gather
from fracture.data.prepare.label_files import how_to_read
from fracture.data.trees import walk
from fracture.errors import DataError

NAMES = [f"{label}/{label[0]}{i}.png" for label in ("fracture", "no_fracture") for i in range(6)]
Write = Callable[[str, Sequence[Sequence[object]]], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """A folder with two classes of six empty images and a table beside them."""
    for name in NAMES:
        path = tmp_path / "set" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()

    def make(place: str, rows: Sequence[Sequence[object]]) -> Path:
        path = tmp_path / "set" / place
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows(rows)
        return tmp_path / "set"

    return make


def _gather(root: Path, **options: str) -> Gathered:
    return gather([root], PrepareConfig(**options), root)[0]  # type: ignore[arg-type]


def _table(
    label: Callable[[str], object], column: str = "label", path: Callable[[str], str] = str
) -> list[list[object]]:
    return [["file", column], *([path(name), label(name)] for name in NAMES)]


def _folder(name: str) -> str:
    return name.split("/", 1)[0]


def _file(name: str) -> str:
    return name.rpartition("/")[2]


AGREEING = {
    "the same classes": ("labels.csv", _table(_folder)),
    "other words": ("labels.csv", _table(lambda name: {"fracture": "yes", "no_fracture": "no"}[_folder(name)])),
    "more detail": ("labels.csv", _table(lambda name: "spiral" if name == NAMES[0] else f"any {_folder(name)}")),
    "unknown ones": ("labels.csv", _table(lambda name: "?" if name in NAMES[3:8] else _folder(name))),
    "other columns": ("labels.csv", _table(lambda name: NAMES.index(name) % 3, "age")),
    "body parts": ("labels.csv", _table(lambda name: ("wrist", "elbow")[NAMES.index(name) % 2], "category")),
    "other images": ("labels.csv", _table(lambda _: "fracture", path=lambda name: f"elsewhere_{_file(name)}")),
    "files of another folder": (
        "labels.csv", _table(lambda _: "fracture", path=lambda name: f"no_fracture/x{_file(name)}"),
    ),
    "numbers that name files by chance": (
        "labels.csv", [["count", "label"], *([f"f{i % 2}", i % 3] for i in range(12))],
    ),
    "a manifest": (
        "manifest.csv",
        [["path", "label", "group", "sha256", "phash"], *([name, "fracture", 1, 2, 3] for name in NAMES)],
    ),
    "no table": ("labels.csv", [["a"], ["b", "c"]]),
    "one value": ("labels.csv", _table(lambda _: 1, "fractured")),
}  # fmt: skip


@pytest.mark.parametrize(("place", "rows"), AGREEING.values(), ids=AGREEING)
def test_tables_that_agree_or_say_nothing(place: str, rows: list[list[object]], write: Write) -> None:
    root = write(place, rows)
    problems: list[str] = []
    assert len(read_folder(root, problems).rows) == len(NAMES)
    assert problems == []
    assert Counter(record.label for record in _gather(root).records) == {"fracture": 6, "no_fracture": 6}


CONTRADICTING = {
    "one image": ("labels.csv", _table(lambda name: "no_fracture" if name == NAMES[2] else _folder(name)), 1),
    "spelt otherwise": ("labels.csv", _table(lambda name: "No Fracture" if name == NAMES[2] else "Fracture"), 7),
    "other words": ("labels.csv", _table(lambda name: "yes" if name in NAMES[:7] else "no", "diagnosis"), 1),
    "0 and 1": ("labels.csv", _table(lambda name: int(name in NAMES[2:6]), "fractured"), 2),
    "more detail": (
        "labels.csv",
        _table(lambda name: ("spiral", "oblique")[NAMES.index(name) % 2] if name in NAMES[:7] else "none"),
        1,
    ),
    "names of files": (
        "labels.csv", _table(lambda name: "fracture" if name == NAMES[7] else _folder(name), path=_file), 1,
    ),
    "without suffix": (
        "meta/labels.csv",
        _table(lambda name: "fracture" if name == NAMES[7] else _folder(name), path=lambda name: Path(name).stem),
        1,
    ),
}  # fmt: skip


@pytest.mark.parametrize(("place", "rows", "count"), CONTRADICTING.values(), ids=CONTRADICTING)
def test_tables_that_contradict_the_folders(place: str, rows: list[list[object]], count: int, write: Write) -> None:
    root = write(place, rows)
    with pytest.raises(DataError, match=f"contradicts the folders of {count} of 12 images, e.g. ") as caught:
        _gather(root)
    problems: list[str] = []
    read_folder(root, problems)
    assert str(caught.value) in problems
    assert "--layout folders" in str(caught.value)
    if root.joinpath(place).parent != root:
        assert f"--root {root}" in str(caught.value)
    assert Counter(r.label for r in _gather(root, layout="folders").records) == {"fracture": 6, "no_fracture": 6}


def _patients(who: Callable[[int], object], column: str = "patient_id") -> list[list[object]]:
    return [["file", column], *([_file(name), who(i)] for i, name in enumerate(NAMES))]


@pytest.mark.parametrize("column", ["patient_id", "PatientID", "subject", "mrn", "study_id", "Pat.-Nr.", "Patient.ID"])
def test_patients_of_tables_count(column: str, write: Write) -> None:
    root = write("meta.csv", _patients(lambda i: f"K-{i % 4}", column))
    problems: list[str] = []
    manifest = read_folder(root, problems)
    assert problems == []
    assert Counter(Counter(row.group for row in manifest.rows).values()) == {3: 4}
    note = f"patients come from meta.csv, column {column}: 4 patients, for 12 of 12 images"
    assert note in manifest.notes
    found = _gather(root)
    assert note in found.notes
    assert Counter(Counter(record.patient for record in found.records).values()) == {3: 4}


def test_patients_are_found_below_a_link(write: Write) -> None:
    link = write("meta.csv", _patients(lambda i: f"K-{i % 4}")).parent / "link"
    link.symlink_to("set")
    assert len({row.group for row in read_folder(link, []).rows}) == 4
    assert len({record.patient for record in _gather(link).records}) == 4


def test_what_stands_for_no_patient_joins_no_images(write: Write) -> None:
    root = write("meta.csv", _patients(lambda i: "ANONYMOUS" if i % 2 else f"p {i}"))
    groups = Counter(row.group for row in read_folder(root, []).rows)
    assert len(groups) == 12


UNUSED = {
    "patients, perhaps": (
        [["file", "Fallnummer"], *([name, f"F{i % 4}"] for i, name in enumerate(NAMES))],
        "meta.csv: patients could be in the column Fallnummer (F0, F1, F2 and 1 more), which is not used: "
        "call it patient",
    ),
    "rounded numbers": (
        [["file", "patient"], *([name, f"1.2E+{i}"] for i, name in enumerate(NAMES))],
        "meta.csv is not used: the column patient holds 1.2E+0, 1.2E+1, 1.2E+10 and 9 more: a spreadsheet has rounded "
        "these numbers, so that several patients are one. Export the column as text, or name another one: call it "
        "patient",
    ),
    "two images a row": (
        [["AP", "lateral", "patient"], *([NAMES[i], NAMES[i + 1], f"P{i}"] for i in range(0, 12, 2))],
        f"meta.csv is not used: the columns AP and lateral lead to different images, e.g. {NAMES[0]} and {NAMES[1]}. "
        "Take out AP or lateral; or, where each row has several images, write a row for each image",
    ),
    "a further image": (
        [["image", "lateral"], *([NAMES[i], NAMES[i + 1]] for i in range(0, 12, 2))],
        "meta.csv: lateral: other images than image, not used; write a row for each image",
    ),
}


@pytest.mark.parametrize(("rows", "told"), UNUSED.values(), ids=UNUSED)
def test_what_is_not_used_of_a_table_is_said(rows: list[list[object]], told: str, write: Write) -> None:
    root = write("meta.csv", rows)
    assert told in read_folder(root, []).notes
    assert told in _gather(root).notes


@pytest.mark.parametrize("column", ["label", "Befund"])
def test_classes_called_as_folders_are_no_paths(column: str, write: Write) -> None:
    root = write("meta.csv", [["patient", column], *([f"p{i}", _folder(name)] for i, name in enumerate(NAMES))])
    assert len({row.group for row in read_folder(root, []).rows}) == 12
    with pytest.raises(DataError, match="no column for path"):
        _gather(root / "meta.csv")


def test_splits_of_tables_are_said(write: Write) -> None:
    root = write("meta.csv", [["file", "set"], *([name, ("train", "test")[i % 2]] for i, name in enumerate(NAMES))])
    note = "the splits in meta.csv, column set, are not used"
    assert note in read_folder(root, []).notes
    assert note in _gather(root).notes


@pytest.mark.parametrize(("number", "refused"), [(0, False), (1, True)])
def test_boxes_that_contradict_the_folders(number: int, refused: bool, write: Write) -> None:
    root = write("unused.csv", [["a"]])
    (root / "data.yaml").write_text("names: [no_fracture, Fracture, text]\n")
    for name in NAMES:
        own = 2 if _folder(name) == "no_fracture" else 1
        (root / name).with_suffix(".txt").write_text(f"{own} 0.5 0.5 0.2 0.2\n")
    (root / NAMES[-1]).with_suffix(".txt").write_text(f"{number} 0.5 0.5 0.2 0.2\n")
    if not refused:
        assert "classes come from the folders, boxes from YOLO annotations" in _gather(root).notes
        return
    with pytest.raises(DataError, match="YOLO annotations contradict the folders of 1 of 12 images"):
        _gather(root)
    assert len(_gather(root, layout="folders").records) == 12


@pytest.mark.parametrize(("count", "refused"), [(3, False), (5, True)])
def test_boxes_on_images_that_the_folders_leave_without_a_class(count: int, refused: bool, write: Write) -> None:
    rows = [["filename", "width", "height", "class", "xmin", "ymin", "xmax", "ymax"]]
    root = write(
        f"{_folder(NAMES[0])}/_annotations.csv", [*rows, *([_file(n), 9, 9, "a", 1, 1, 5, 5] for n in NAMES[:4])]
    )
    write("train/_annotations.csv", [*rows, *([f"{i}.png", 9, 9, "ab"[i % 2], 1, 1, 5, 5] for i in range(count))])
    for i in range(count):
        (root / "train" / f"{i}.png").touch()
    if not refused:
        assert len(_gather(root).records) == 12
        return
    said = "folders fracture, no_fracture leave 5 of 9 images with Roboflow CSV annotations without a class"
    with pytest.raises(DataError, match=said):
        _gather(root)
    assert len(_gather(root, layout="folders").records) == 12
    assert Counter(one.label for one in _gather(root, layout="annotations").records) == {"a": 7, "b": 2}


@pytest.mark.parametrize(
    ("ending", "way"), [("csv", "`fracture prepare .*test.csv .*train.csv --out"), ("txt", "make folders of them")]
)
def test_lists_of_splits_that_do_not_count_are_said(ending: str, way: str, write: Write) -> None:
    write(f"train.{ending}", [["file"], *([name] for name in NAMES if "5" not in name)])
    root = write(f"test.{ending}", [["file"], *([name] for name in NAMES if "5" in name)])
    (note,) = _gather(root).notes
    assert re.fullmatch(rf"the splits in test.{ending}, train.{ending} are not used: {way}.*", note)
    assert read_folder(root, []).notes == (note,)
    (root / "fracture").rename(root / "train")  # folders that name splits count
    assert not any("splits in test" in one for one in read_folder(root, []).notes)


@pytest.mark.parametrize(("first", "said"), [(NAMES[0], True), ("f0", True), ("epoch 1: loss 0.3", False)])
def test_lists_of_splits_of_a_class_are_said(first: str, said: bool, write: Write) -> None:
    root = write("results.csv", [["a"]])
    for name in ("train_a.txt", "test_a.txt"):
        (root / name).write_text(f"{first}\n")
    notes = _gather(root).notes
    assert ("the splits in test_a.txt, train_a.txt are not used: make folders of them" in notes) == said


def _annotated(root: Path) -> Path:
    """YOLO annotations of images in folders of patients, every second with a box."""
    (root / "labels").mkdir(parents=True)
    (root / "data.yaml").write_text("names: [fracture]\n")
    for i in range(12):
        image = root / f"images/patient{i // 3}/k{i}.png"
        image.parent.mkdir(parents=True, exist_ok=True)
        image.touch()
        text = root / f"labels/patient{i // 3}/k{i}.txt"
        text.parent.mkdir(parents=True, exist_ok=True)
        text.write_text("0 0.5 0.5 0.2 0.2\n" * (i % 2))
    return root


def test_patients_of_annotated_images_are_found(tmp_path: Path) -> None:
    root = _annotated(tmp_path / "set")
    found = _gather(root, background="no_fracture")
    assert [record.patient for record in found.records] == [f"set/patient{i // 3}" for i in range(12)]
    rows = "".join(f"k{i}.png,P{i // 6},{('no_fracture', 'fracture')[i % 2]}\n" for i in range(12))
    (root / "meta.csv").write_text(f"file,patient,label\n{rows}")
    found = _gather(root, background="no_fracture")
    assert "patients come from meta.csv, column patient: 2 patients, for 12 of 12 images" in found.notes
    assert {record.patients for record in found.records} == {("set/P0",), ("set/P1",)}


def test_tables_that_contradict_annotations_are_refused(tmp_path: Path) -> None:
    root = _annotated(tmp_path / "set")
    (root / "meta.csv").write_text("file,label\n" + "".join(f"k{i}.png,{i % 2 if i < 11 else 0}\n" for i in range(12)))
    told = (
        "contradicts the annotations of 1 of 12 images, e.g. images/patient3/k11.png is annotated as fracture and is 0"
    )
    with pytest.raises(DataError, match=f"{told} there\n.*--layout annotations"):
        _gather(root, background="no_fracture")
    assert len(_gather(root, background="no_fracture", layout="annotations").records) == 12


def test_why_annotations_cannot_be_used_is_said(tmp_path: Path) -> None:
    (tmp_path / "0.jpg").touch()
    box = "<bndbox><xmin>1</xmin><ymin>1</ymin><xmax>9</xmax><ymax>9</ymax></bndbox>"
    size = "<size><width>0</width><height>0</height></size>"
    (tmp_path / "0.xml").write_text(f"<annotation>{size}<object><name>fracture</name>{box}</object></annotation>")
    assert "; 0.xml: the image's size is not given: 0 x 0" in how_to_read(walk(tmp_path))
