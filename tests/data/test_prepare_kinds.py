"""Inputs of kinds that once ended with exit code 0 and wrong labels, lost patients or empty splits."""

import csv
import json
import shlex
import unicodedata
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path, PurePosixPath

import numpy as np
import pytest
from PIL import Image

from fracture.data.boxes import from_text
from fracture.data.exclusions import Exclusion, reasons
from fracture.data.folders import read_folder
from fracture.data.manifest import read_csv
from fracture.data.originals import originals
from fracture.data.prepare.config import PrepareConfig
from fracture.data.prepare.paths import place
from fracture.data.prepare.prepare import Prepared, prepare, write
from fracture.data.prepare.tables import read_table
from fracture.data.trees import walk
from fracture.errors import ConfigError, DataError
from fracture.inference.table import images_of

N = 40
Plant = Callable[..., Path]


@pytest.fixture
def plant(tmp_path: Path) -> Plant:
    """Write images of random texture under the names given."""

    def make(*paths: str) -> Path:
        root = tmp_path / "set"
        for i, path in enumerate(paths):
            place = root / path
            place.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(np.random.default_rng(i).integers(0, 255, (40, 32), np.uint8)).save(place, "PNG")
        return root

    return make


def _prepare(source: Path, **options: object) -> Prepared:
    config = PrepareConfig(near_duplicates=False, **options)  # type: ignore[arg-type]
    return prepare([source], config, source.parent / "out" / "m.csv")


def _table(path: Path, rows: list[list[object]], delimiter: str = ",") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, delimiter=delimiter).writerows(rows)
    return path


def _groups(prepared: Prepared) -> int:
    assert {row.split for row in prepared.manifest.rows} == {"train", "val", "test"}
    return len({row.group for row in prepared.manifest.rows})


APART = {  # names of different images, none of which may be joined
    "uids without suffix": lambda i: f"1.2.826.0.1.3680043.2.1125.{i}",
    "dates": lambda i: f"2021-Aug-{i + 1:02d}.png",
    "dates in August and September": lambda i: f"{i % 28 + 1:02d}-{('Aug', 'Sep')[i // 28]}-21.png",
    "American dates": lambda i: f"Aug_{i % 28 + 1}_{2020 + i // 28}.png",
    "accession numbers": lambda i: f"ACC-2021-{i:05d}.png",
    "a word and a unique id": lambda i: f"wrist-{i:08x}-4f89-41d3-9a0c-0305e82c3301.png",
    "long running numbers": lambda i: f"scan_crop_{1000 + i}.png",
    "numbers in parentheses": lambda i: f"IMG ({i}).png",
    "phone": lambda i: f"IMG-20210803-WA{i:04d}.png",
    "a word for a copy and a running number": lambda i: f"{('elbow', 'hand')[i // 20]}_crop_{i:03d}.png",
    "the word in front": lambda i: f"resized_{i}_{('elbow', 'hand')[i // 20]}.png",
    "a site and a unique id": lambda i: f"site{i % 6}_{i:08x}-4f89-41d3-9a0c-0305e82c3301.png",
    "a year and a hash": lambda i: f"upload{2015 + i % 6}_{i:032x}.png",
    "a hash and a series": lambda i: f"a{i:07x}-wrist202{i % 6}.png",
    "days of August": lambda i: f"Aug {i % 8 + 1:02d} {i // 8:03d}.png",
}


@pytest.mark.parametrize("name", APART.values(), ids=APART)
def test_names_of_different_images_are_not_joined(name: Callable[[int], str]) -> None:
    paths = [f"{'AB'[i % 2]}/{name(i)}" for i in range(N)]
    found = originals([place(path, "") for path in paths])
    assert len({one.key for one in found}) == N
    assert not any(one.rule for one in found)


@pytest.mark.parametrize("name", ["elbow7_crop_{}", "fracture7_rotated_{}", "xray7 copy {}"])
def test_a_rule_that_joins_most_images_is_refused(name: str, plant: Plant) -> None:
    root = plant(*(f"{('A', 'B')[i % 2]}/{name.format(i)}.png" for i in range(N)))
    with pytest.raises(DataError, match=r"(?s)20 of 20 images of A .*a word for a copy at the end.*--originals ignore"):
        _prepare(root)
    assert _groups(_prepare(root, originals="ignore")) == N
    problems: list[str] = []
    read_folder(root, problems)
    assert any("--originals ignore" in problem for problem in problems)


def test_a_group_that_empties_a_split_is_refused_with_its_cause(plant: Plant) -> None:
    root = plant(*(f"{('A', 'B')[i % 2]}/{i}.png" for i in range(6)))
    table = [["path", "label", "patient"], *([f"{'AB'[i % 2]}/{i}.png", "AB"[i % 2], "P1"] for i in range(6))]
    with pytest.raises(DataError, match=r"no image would be in val and test.*the same patient.*\n.*--patients ignore"):
        _prepare(_table(root / "t.csv", table))
    assert _groups(_prepare(root / "t.csv", patients="ignore")) == 6
    table[1][2] = ""
    with pytest.raises(DataError, match="patients=required: 1 of 6 images have no patient"):
        _prepare(_table(root / "t.csv", table), patients="required")


@pytest.mark.parametrize("order", [1, -1])
def test_two_labels_for_one_path(order: int, plant: Plant) -> None:
    root = plant(*(f"{i}.png" for i in range(N)))
    rows = [
        [f"./{i}.png" if k else f"{i}.png", "AB"[i % 2 and (k > 0 or i % 3 == 0)], k]
        for i in range(N)
        for k in (0, 1, 2)
    ]
    table = _table(root / "t.csv", [["path", "label", "reader"], *rows[::order]])
    agreed = _prepare(table)
    doubtful = {f"{i}.png" for i in range(N) if i % 2 and i % 3}
    assert {Path(one.path).name for one in agreed.excluded} == doubtful
    assert all(one.reason == "its rows give it 2 labels: A (1 row), B (2 rows)" for one in agreed.excluded)
    assert any("contradict each other" in note for note in agreed.notes)
    decided = _prepare(table, readers="majority")
    assert {row.path.name: row.label for row in decided.manifest.rows} == {f"{i}.png": "AB"[i % 2] for i in range(N)}


def test_structure_is_refused_with_the_labels_that_lie_there(plant: Plant) -> None:
    root = plant(*(f"images_{1 + i % 3:03d}/images/{i:08d}.png" for i in range(N)))
    rows = [[f"{i:08d}.png", ("No Finding", "Fracture|Mass", "Fracture")[i % 3], i // 2] for i in range(N)]
    _table(root / "Data.csv", [["Image Index", "Finding Labels", "Patient ID"], *rows])
    with pytest.raises(DataError, match=r"look like counters(?s:.*)fracture prepare \S*Data\.csv --columns"):
        _prepare(root)
    prepared = _prepare(root / "Data.csv", columns="label=Finding Labels", label_map="No Finding=no_fracture")
    assert prepared.manifest.classes == ("Fracture", "no_fracture")
    assert Counter(one.reason for one in prepared.excluded) == {
        "it has findings of several classes: Fracture, Mass": 13
    }
    problems: list[str] = []
    read_folder(root, problems)
    assert any("look like counters" in one for one in problems)
    assert any("fracture prepare" in one and "Data.csv" in one for one in problems)


def test_a_table_beside_one_folder_is_named_with_its_columns(plant: Plant) -> None:
    root = plant(*(f"{('train', 'test')[i % 2]}/{i}.png" for i in range(N)))
    for k, part in enumerate(("train", "test")):
        rows = [[f"{i}.png", i % 7, ("yes", "no")[i // 2 % 2]] for i in range(k, N, 2)]
        _table(root / part / "metadata.csv", [["file_name", "age", "broken"], *rows])
    with pytest.raises(DataError, match=r"1 class\(es\)") as refused:
        _prepare(root)
    command = next(line for line in str(refused.value).splitlines() if line.startswith("  fracture prepare"))
    assert f"{root}/test/metadata.csv {root}/train/metadata.csv --columns path=file_name,label=broken --out" in command
    assert "the class could be broken (no, yes); age (0, 1, 2, 3, ...)" in command
    config = PrepareConfig(near_duplicates=False, columns="path=file_name,label=broken")
    tables = [root / part / "metadata.csv" for part in ("train", "test")]
    rows = prepare(tables, config, root.parent / "m.csv").manifest.rows
    assert {row.label for row in rows} == {"yes", "no"}
    assert all(row.split == "test" for row in rows if "/test/" in str(row.path))


FINDINGS = ("Mass", "No Finding", "Edema|Mass", "Edema")
WITHOUT_A_LABEL = {  # header and row of a table, what is said of the class, and the columns that are proposed
    "findings among measurements": (
        ["Spacing[x", "Finding Labels", "Age"],
        lambda i: [["0.143", "0.168"][i % 2], FINDINGS[i % 4], i % 40],
        "the class could be Finding Labels (Edema, Mass, No Finding)\n",
        "path=Image,label=Finding Labels",
    ),
    "counts, numbers, objects": (
        ["region_count", "Follow-up #", "study_number", "fold", "attributes"],
        lambda i: [i % 3, i % 4, i % 5, i % 6, json.dumps({"View": "AB"[i % 2]}) if i else "{View: undefined}"],
        'the class could be attributes ({"View": "A"}, {"View": "B"}, {View: undefined})\n',
        "path=Image,label=attributes",
    ),
    "many findings": (
        ["sex", "finding_label"],
        lambda i: ["FM"[i % 2], f"type {i % 20}"],
        "the class could be finding_label (type 0, type 1, type 10, type 11, ...)",
        "path=Image,label=finding_label",
    ),
    "a column for each class": (
        [f"Sign {k}" for k in range(9)],
        lambda i: [-1.0 if k == 3 and i > 30 else int(i % 9 == k) for k in range(9)],
        "Sign 5 (0, 1); 3 more; or each a class: --columns "
        "'labels=Sign 0,Sign 1,Sign 2,Sign 3,Sign 4,Sign 5,Sign 6,Sign 7,Sign 8'",
        "path=Image,label=Sign 0",
    ),
}


@pytest.mark.parametrize(("header", "cells", "said", "proposed"), WITHOUT_A_LABEL.values(), ids=WITHOUT_A_LABEL)
def test_columns_that_could_be_the_class_are_told(
    header: list[str], cells: Callable[[int], list[object]], said: str, proposed: str, plant: Plant
) -> None:
    root = plant(*(f"{i}.png" for i in range(N)))
    table = _table(root / "t.csv", [["Image", *header], *([f"{i}.png", *cells(i)] for i in range(N))])
    with pytest.raises(DataError, match="no column for label") as refused:
        _prepare(table)
    assert said in str(refused.value)
    assert f"--columns '{proposed}'" in str(refused.value) or f"--columns {proposed} " in str(refused.value)


@pytest.mark.parametrize(
    ("name", "cells", "is_label"),
    [("grade", "0123", True), ("finding", ["Mass", "none"], True), ("state", ["fractured", "normal"], True),
     ("fold", "0123", False), ("age", "678", False), ("operator", "AB", False)],
)  # fmt: skip
def test_the_other_column_of_two_is_the_class_if_it_sounds_like_one(
    name: str, cells: list[str], is_label: bool, plant: Plant
) -> None:
    root = plant(*(f"{i}.png" for i in range(N)))
    table = _table(root / "t.csv", [["image", name], *([f"{i}.png", cells[i % len(cells)]] for i in range(N))])
    if is_label:
        assert {int(row.path.stem): row.label for row in _prepare(table).manifest.rows} == {
            i: cells[i % len(cells)] for i in range(N)
        }
    else:
        with pytest.raises(DataError, match="no column for label"):
            _prepare(table)


def test_a_table_that_leads_to_no_file_says_where_they_were_looked_for(plant: Plant) -> None:
    root = plant(*(f"images/{i}_left.png" for i in range(N)))
    (root / "lists").mkdir()
    table = _table(root / "lists" / "t.csv", [["Left", "class"], *([f"{i}_left.png", "AB"[i % 2]] for i in range(N))])
    with pytest.raises(DataError, match=r"none leads to a file below .*/lists \(--root names another folder\)"):
        _prepare(table)
    assert len(_prepare(table, root=str(root)).manifest.rows) == N


def test_images_that_another_table_names_are_not_said_to_be_unnamed(plant: Plant) -> None:
    root = plant(*(f"images/{i}.png" for i in range(N)))
    tables = [
        _table(root / f"{part}.csv", [["image", "class"], *([f"{i}.png", "AB"[i % 2]] for i in held)])
        for part, held in (("train", range(20)), ("test", range(20, 38)))
    ]
    prepared = prepare(tables, PrepareConfig(near_duplicates=False), root.parent / "m.csv")
    said = "2 images beside them are named by no row of train.csv, test.csv: 38.png, 39.png"
    assert all([note for note in one.notes if "no row" in note] == [said] for one in prepared.sources)


def test_images_that_are_all_in_the_test_split_are_refused_as_such(plant: Plant) -> None:
    root = plant(*(f"test/{i}.png" for i in range(N)))
    table = _table(root / "t.csv", [["image", "class"], *([f"{i}.png", "AB"[i % 2]] for i in range(N))])
    with pytest.raises(DataError, match=r"in train: the folders or the table put all 40 images into test\n--resplit"):
        _prepare(table)
    assert len(_prepare(table, resplit=True).manifest.rows) == N


LEVELS = {  # folders of each image, and the level that the message proposes
    "places above classes": (
        lambda i: f"{('Graz', 'Linz')[i % 2]}/{('Colles', 'Smith')[i // 2 % 2]}",
        "(?:^|/)(Colles|Smith)/",
    ),
    "within themselves": (
        lambda i: f"{('', 'dataset/')[i % 2]}{('fracture', 'normal')[i // 2 % 2]}",
        "(?:^|/)(fracture|normal)/",
    ),
    "many": (lambda i: f"images_{i % 10:03d}", "^([^/]+)/"),
    "many, deeper": (lambda i: f"top/more/images_{i % 10:03d}", "^[^/]+/[^/]+/([^/]+)/"),
}


@pytest.mark.parametrize(("folder", "expression"), LEVELS.values(), ids=LEVELS)
def test_the_expression_of_a_refusal_finds_the_folders_in_doubt(
    folder: Callable[[int], str], expression: str, plant: Plant
) -> None:
    root = plant(*(f"{folder(i)}/{i}.png" for i in range(N)))
    with pytest.raises(DataError) as refused:
        _prepare(root)
    assert f"--label-pattern '{expression}'" in str(refused.value)
    assert len(_prepare(root, label_pattern=expression).manifest.rows) == N


@pytest.mark.parametrize("folders", [("Test Positive", "Test Negative"), ("fracture/fracture", "normal/normal"),
                                     ("Rotation", "Translation"), ("Crop/fracture", "Full/normal")])  # fmt: skip
def test_classes_that_look_like_structure(folders: tuple[str, str], plant: Plant) -> None:
    prepared = _prepare(plant(*(f"{folders[i % 2]}/{i}.png" for i in range(N))))
    assert len(prepared.manifest.rows) == N
    assert {row.label for row in prepared.manifest.rows} == {one.rpartition("/")[2] for one in folders}


def test_a_tree_within_itself_is_one(plant: Plant) -> None:
    names = [f"{('train', 'test')[i % 2]}/{('NORMAL', 'SICK')[i // 2 % 2]}/IM-{i:05d}.png" for i in range(N)]
    root = plant(*(f"chest/{name}" for name in names), *(f"chest/chest/{name}" for name in names))
    prepared = _prepare(root)
    assert prepared.manifest.classes == ("NORMAL", "SICK")
    assert len({row.group for row in prepared.manifest.rows}) == N


def test_split_folders_in_words_and_patients_in_folders(plant: Plant) -> None:
    root = plant(
        *(
            f"{('Training Set', 'Test Set')[i > 30]}/patient{i // 2:03d}/{('normal', 'broken')[i % 2]}/x.png"
            for i in range(N)
        )
    )
    prepared = _prepare(root)
    assert prepared.manifest.classes == ("broken", "normal")
    assert _groups(prepared) == N // 2


_SIGNS = ("negative", "positive")
MURA = tuple(
    f"MURA-v1.1/{('train', 'valid')[i > 30]}/XR_WRIST/patient{i // 2:05d}/study1_{_SIGNS[i % 2]}/image1.png"
    for i in range(N)
)


@pytest.mark.parametrize(
    ("options", "classes"),
    [
        ({"label_map": "positive=abnormal"}, ("abnormal", "no_fracture")),
        ({"label_map": "positive=abnormal,negative=normal"}, ("abnormal", "normal")),
        ({"label_pattern": "_(positive|negative)/"}, ("negative", "positive")),
        ({"label_pattern": "_(positive|negative)/", "label_map": "positive=b,negative=a"}, ("a", "b")),
    ],
)
def test_a_known_layout_survives_options(options: dict[str, str], classes: tuple[str, ...], plant: Plant) -> None:
    prepared = _prepare(plant(*MURA), **options)
    assert prepared.manifest.classes == classes
    assert _groups(prepared) == N // 2
    assert all(row.source == "mura" for row in prepared.manifest.rows)


@pytest.mark.parametrize("further", ["Normal/{}.png", "Train/Normal/{}.png", "Normal/Train/{}.png"])
def test_a_known_layout_with_a_further_class_is_another_data_set(further: str, plant: Plant) -> None:
    types = ["Comminuted fracture", "Spiral Fracture", "Avulsion fracture"]
    images = [further.replace("Normal", kind).format(i) for kind in types for i in range(20)]
    root = plant(*images, *(further.format(i) for i in range(5)))
    assert _prepare(root).manifest.classes == ("Avulsion fracture", "Comminuted fracture", "Normal", "Spiral Fracture")


def test_one_part_of_a_known_layout_is_known_too(plant: Plant) -> None:
    prepared = _prepare(plant(*(path.split("/", 2)[2] for path in MURA)), label_map="positive=abnormal")
    assert prepared.manifest.classes == ("abnormal", "no_fracture")
    assert _groups(prepared) == N // 2
    assert not any("no patient is known" in note for note in prepared.notes)


def test_groups_of_our_manifest_are_taken_as_they_are(plant: Plant) -> None:
    root = plant(*(f"{'AB'[i % 2]}/{i}.png" for i in range(N)))
    first = _prepare(root)
    names = [f"group-{i // 2}" if i < N // 2 else f"set/{i % 2 and 'ANONYMOUS'}" for i in range(N)]
    rows = tuple(replace(row, group=names[int(row.path.stem)]) for row in first.manifest.rows)
    listed = write(replace(first, manifest=first.manifest.with_rows(rows)), root.parent / "m.csv", PrepareConfig())[0]
    again = prepare([listed], PrepareConfig(near_duplicates=False), root.parent / "n.csv")
    assert {row.path.stem: row.group for row in again.manifest.rows} == {row.path.stem: row.group for row in rows}
    assert not any("patient" in note for note in again.notes)


def test_that_no_patient_is_known_is_said(plant: Plant) -> None:
    prepared = _prepare(plant(*(f"{'AB'[i % 2]}/X{i // 2:03d}_{i}.png" for i in range(N))))
    assert any("no patient is known" in note for note in prepared.notes)


def test_abnormal_studies_are_no_fractures_unasked(plant: Plant) -> None:
    with pytest.raises(DataError, match="--label-map positive=abnormal"):
        _prepare(plant(*MURA))
    with pytest.raises(ConfigError, match="no image of positiv"):
        _prepare(plant(*MURA), label_map="positiv=abnormal")


TABLES: dict[str, tuple[list[str], list[list[object]], dict[str, object]]] = {
    "names without suffix": (["img/{}.png"], [["id", "label"], *([i, "AB"[i % 2]] for i in range(N))], {}),
    "semicolons": (["{}.png"], [["path;label"], *([f"{i}.png;{'AB'[i % 2]}"] for i in range(N))], {}),
    "another machine's folders": (
        ["data/{}.png"], [["path", "label"], *([f"C:\\Users\\me\\data\\{i}.png", "AB"[i % 2]] for i in range(N))], {},
    ),
    "no header": (["{}.png"], [[f"{i}.png", "AB"[i % 2]] for i in range(N)], {}),
    "no header and no paths": (["LERA{}/x.png"], [[f"LERA{i}", "AB"[i % 2]] for i in range(N)], {}),
    "a number for each column": (
        ["{}.png"], [[0, 1], *([f"{i}.png", "AB"[i % 2]] for i in range(N))], {"columns": "path=0,label=1"},
    ),
    "empty cells are a class": (
        ["{}.png"], [["path", "fx"], *([f"{i}.png", ("", "1.0")[i % 2]] for i in range(N))],
        {"columns": "label=fx", "label_map": "''=A,1=B"},
    ),
    "one column a class": (
        ["{}.png"], [["path", " A", " B"], *([f"{i}.png", f" {1 - i % 2}", f" {i % 2}"] for i in range(N))],
        {"columns": "labels=A,B"},
    ),
    "one column a class, with a background": (
        ["{}.png"], [["path", "B", "C"], *([f"{i}.png", i % 2, 0] for i in range(N))],
        {"columns": "labels=B,C", "background": "A"},
    ),
    "characters that are not seen": (
        ["{}.png"], [["\u200bpath", "label"], *([f"{i}.png", f"\ufeff{'AB'[i % 2]}\u200b"] for i in range(N))], {},
    ),
    "tables put together": (
        ["{}.png"], [row for i in range(N) for row in (["path", "label"], [f"{i}.png", "AB"[i % 2]])], {},
    ),
    "studies": (
        ["S{}/view 1.png"], [["path", "label"], *([f"top/S{i}/", "AB"[i % 2]] for i in range(N))], {},
    ),
}  # fmt: skip


@pytest.mark.parametrize(("names", "rows", "options"), TABLES.values(), ids=TABLES)
def test_tables_as_they_come(
    names: list[str], rows: list[list[object]], options: dict[str, object], plant: Plant
) -> None:
    root = plant(*(names[0].format(i) for i in range(N)))
    prepared = _prepare(_table(root / "t.csv", rows), **options)
    found = {int("".join(c for c in str(row.path.relative_to(root)).replace("view 1", "") if c.isdigit())): row.label
             for row in prepared.manifest.rows}  # fmt: skip
    assert found == {i: "AB"[i % 2] for i in range(N)}
    assert not prepared.excluded


def test_rows_that_cannot_be_believed_are_named(plant: Plant) -> None:
    root = plant(*(f"{i}.png" for i in range(N)), "x/twin.png", "y/twin.png", "unnamed.png")
    rows: list[list[object]] = [[f"{i}.png", "AB"[i % 2]] for i in range(N)]
    rows += [["twin", "A"], ["1.png", "B", "B"], ["elsewhere/0.png", "A"], ["gone.png", "A"], ["2.png", ""]]
    prepared = _prepare(_table(root / "t.csv", [["path", "label"], *rows]))
    reasons = [one.reason for one in prepared.excluded]
    for part in (
        "2 files have this name",
        "more cells than the header",
        "same name in another folder",
        "does not exist",
    ):
        assert any(part in reason for reason in reasons), part
    assert len(prepared.manifest.rows) == N
    assert any("1 images beside them are named by no row" in note for note in prepared.sources[0].notes)


LISTS = ["A|B", "A; B", "['A', 'B']", '["A", "B"]', "['A' 'B']", "('A', 'B')", '{"choices": ["A", "B"]}', "A, B",
         "A and B", "A+B", "A/B", '{"findings": {"A": true, "B": true, "C": false}}']  # fmt: skip


@pytest.mark.parametrize("several", LISTS)
def test_cells_of_several_classes(several: str, plant: Plant) -> None:
    root = plant(*(f"{i}.png" for i in range(N)), "both.png", "unknown.png")
    rows = [[f"{i}.png", ("['A']" if "[" in several and i % 4 == 0 else "AB"[i % 2])] for i in range(N)]
    table = _table(root / "t.csv", [["path", "label"], *rows, ["both.png", several], ["unknown.png", "NaN"]])
    prepared = _prepare(table)
    assert prepared.manifest.classes == ("A", "B")
    assert sorted(one.reason for one in prepared.excluded) == [
        "it has findings of several classes: A, B",
        "its label is 'NaN': its class is unknown",
    ]


@pytest.mark.parametrize("mixed", ["A, scoliosis", "A/scoliosis", "A and scoliosis", "A+scoliosis"])
def test_classes_that_may_be_several_findings_are_said(mixed: str, plant: Plant) -> None:
    root = plant(*(f"{i}.png" for i in range(N)))
    rows = [[f"{i}.png", ("A", "B", mixed, "A")[i % 4]] for i in range(N)]
    notes = _prepare(_table(root / "t.csv", [["path", "label"], *rows])).sources[0].notes
    assert any(f"may be several findings: {mixed}; --label-map" in note for note in notes)


def test_a_column_of_body_parts_is_not_taken_for_the_class_unasked(plant: Plant) -> None:
    root = plant(*(f"{i}.png" for i in range(N)))
    rows = [[f"{i}.png", ("wrist", "elbow")[i // 2 % 2], "AB"[i % 2]] for i in range(N)]
    table = _table(root / "t.csv", [["path", "class", "fx"], *rows])
    with pytest.raises(DataError, match=r"the column class holds elbow, wrist: .*the class could be .*fx \(A, B\)"):
        _prepare(table)
    assert _prepare(table, columns="label=class").manifest.classes == ("elbow", "wrist")


@pytest.mark.parametrize("column", ["dataset", "fold", "group", "phase"])
def test_a_column_of_splits_is_one_whatever_its_name(column: str, plant: Plant) -> None:
    root = plant(*(f"{i}.png" for i in range(N)))
    splits = ["TRAIN", "validate", "Test Set", "TRAIN"]
    rows = [[f"{i}.png", "AB"[i // 4 % 2], splits[i % 4], f"P{i}"] for i in range(N)]
    prepared = _prepare(_table(root / "t.csv", [["path", "label", column, "patient_id"], *rows]))
    assert {int(row.path.stem): row.split for row in prepared.manifest.rows} == {
        i: ("train", "val", "test", "train")[i % 4] for i in range(N)
    }
    assert _groups(prepared) == N


def test_a_blank_that_does_not_break_is_read_though_it_is_the_only_western_character(plant: Plant) -> None:
    root = plant(*(f"{i}.png" for i in range(N)))
    lines = "".join(f"{i}.png;{('broken', 'normal')[i % 2]}\n" for i in range(N))
    (root / "t.csv").write_text(f"path;\xa0label\n{lines}", encoding="cp1252")
    prepared = _prepare(root / "t.csv")
    assert prepared.manifest.classes == ("broken", "normal")
    assert "read as Windows-1252" in "".join(prepared.sources[0].notes)


ABOVE = ["Register 2021;;\n;;\n", "# exported on 2021-08-03\n", "Liste\n\n"]


@pytest.mark.parametrize("above", ABOVE)
def test_titles_above_the_header_and_western_text_are_read_and_said(above: str, plant: Plant) -> None:
    root = plant(*(f"{i}.png" for i in range(N)))
    lines = "".join(f"{i}.png;{('Brüche', 'kein Bruch')[i % 2]};P{i}\n" for i in range(N))
    (root / "t.csv").write_text(f"{above}path;label;Patient ID\n{lines}gone.png;kein Bruch;X\n", encoding="cp1252")
    prepared = _prepare(root / "t.csv")
    assert prepared.manifest.classes == ("Brüche", "kein Bruch")
    said = "".join(prepared.sources[0].notes)
    assert "read as Windows-1252: check that Brüche is spelt right" in said
    assert f"lines above the header are skipped: {above.splitlines()[0]}" in said
    line = N + 2 + above.count("\n")
    assert [one.path for one in prepared.excluded] == [f"{root}/t.csv:{line} gone.png"]


ENCODED = {
    "damaged": b"Br\xc3\xbcche \xfc",
    "no text": b"\x00\xfc",
    "neither": b"\x81",
    "Cyrillic": "перелом".encode("cp1251"),
    "Greek": "κάταγμα".encode("cp1253"),
    "Polish": "złamanie".encode("iso8859-2"),
    "Chinese": "骨折".encode("gbk"),
    "Hebrew": "שבר".encode("cp1255"),
    "an old Mac": "Brüche".encode("mac_roman"),
    "DOS": "fémur".encode("cp850"),
}


@pytest.mark.parametrize("cell", ENCODED.values(), ids=ENCODED)
def test_what_is_neither_utf8_nor_western_is_refused(cell: bytes, plant: Plant) -> None:
    root = plant("a.png", "b.png")
    (root / "t.csv").write_bytes(b"path,label\na.png," + cell + b"\nb.png,x\n")
    with pytest.raises(DataError, match="it is not UTF-8 text"):
        _prepare(root / "t.csv")


@pytest.mark.parametrize("begin", [b"PK\x03\x04", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"], ids=["xlsx", "xls"])
def test_a_workbook_that_is_called_csv_is_said_to_be_one(begin: bytes, plant: Plant) -> None:
    root = plant("a.png")
    (root / "t.csv").write_bytes(begin + bytes(100))
    with pytest.raises(DataError, match=r"it is a workbook .*\n.*save it as CSV"):
        _prepare(root / "t.csv")


@pytest.mark.parametrize(
    "word", ["Brüche", "élevé", "été", "création", "não", "¿fractura?", "37°C", "m²", "µm", "«os»", "Œdème", "æble"]
)
def test_western_words_are_read(word: str, plant: Plant) -> None:
    root = plant("a.png", "b.png")
    (root / "t.csv").write_text(f"path,label\na.png,{word}\nb.png,x\n", encoding="cp1252")
    assert {record.label for record in read_table(root / "t.csv", PrepareConfig(), "").records} == {word, "x"}


def test_commas_in_names_of_columns_separate_nothing(plant: Plant) -> None:
    root = plant("a.png", "b.png")
    (root / "t.csv").write_text("path;age, years;weight, kg, dry;label\na.png;3,5;9;A\nb.png;4;8,5;B\n")
    assert {record.label for record in read_table(root / "t.csv", PrepareConfig(), "").records} == {"A", "B"}


QUOTES = {
    "at the end of nothing": lambda i: f'"report {i}' if i == 5 else f"report {i}",
    "in pairs by chance": lambda i: f'"report {i}' if i in (5, 9) else f"report {i}",
    "before a long table": lambda i: f'"report {i}' if i == 5 else "report " * 700,
}


@pytest.mark.parametrize("cell", QUOTES.values(), ids=QUOTES)
def test_a_quotation_mark_that_nothing_ends_takes_no_rows(cell: Callable[[int], str], plant: Plant) -> None:
    root = plant(*(f"{i}.png" for i in range(N)))
    rows = [f"{i}.png,{'AB'[i % 2]},{cell(i)}" for i in range(N)]
    (root / "t.csv").write_text("\n".join(["path,label,report", *rows]))
    with pytest.raises(DataError, match="quotation mark that nothing ends makes one cell of several rows"):
        _prepare(root / "t.csv")


def test_quotation_marks_in_reports_are_text(plant: Plant) -> None:
    root = plant(*(f"{i}.png" for i in range(N)))
    report = ('"line one\nof 0.png, see 1.png"', '5" long', '"said ""none"""')
    rows = [f"{i}.png,{'AB'[i % 2]},{report[i % 3]}" for i in range(N)]
    (root / "t.csv").write_text("\n".join(["path,label,report", *rows]))
    assert len(_prepare(root / "t.csv").manifest.rows) == N


@pytest.mark.parametrize("name", ["metadata.jsonl", "output.manifest"])
def test_lines_of_json_are_refused_with_the_command_that_makes_a_table_of_them(name: str, plant: Plant) -> None:
    root = plant(*(f"{i}.png" for i in range(N)))
    lines = [json.dumps({"file_name": f"{i}.png", "label": "AB"[i % 2], "patient": f"{i // 2:03d}"}) for i in range(N)]
    (root / name).write_text("\n".join(lines))
    for source in (root, root / name):
        with pytest.raises(DataError, match=f"{name.partition('.')[2]}(?s:.*)Make a CSV of it: python -c ") as refused:
            _prepare(source)
    code = shlex.split(str(refused.value).partition("Make a CSV of it: ")[2])[2]
    exec(code)
    prepared = _prepare(root / f"{name.partition('.')[0]}.csv")
    assert {int(row.path.stem): row.label for row in prepared.manifest.rows} == {i: "AB"[i % 2] for i in range(N)}
    assert _groups(prepared) == N // 2


def test_a_text_of_images_and_classes_is_refused_with_the_command_that_makes_a_table_of_it(plant: Plant) -> None:
    root = plant(*(f"images/{i:03d}.png" for i in range(N)))
    (root / "train.txt").write_text("\n".join(f"{i // 2:03d} {i:03d}.png {'AB'[i % 2]}  north" for i in range(N)))
    for source in (root, root / "train.txt"):
        with pytest.raises(DataError, match=r"Make a CSV of it: python -c ") as refused:
            _prepare(source)
    exec(shlex.split(str(refused.value).partition("Make a CSV of it: ")[2].splitlines()[0])[2])
    prepared = _prepare(root / "train.csv", columns="path=2,label=3,patient=1,source=4")
    assert {int(row.path.stem): row.label for row in prepared.manifest.rows} == {i: "AB"[i % 2] for i in range(N)}
    assert _groups(prepared) == N // 2


NO_SOURCES = {
    "labels.json": "give that folder",
    "labels.xml": "give that folder",
    "images.npz": "Save its images as PNG",
    "book.xlsx": "Save a spreadsheet as CSV",
    "train.parquet": "read_parquet",
}


@pytest.mark.parametrize(("name", "words"), NO_SOURCES.items())
def test_what_is_no_source_is_refused_with_what_to_do(name: str, words: str, plant: Plant) -> None:
    root = plant(*(f"images/{i}.png" for i in range(6)))
    (root / name).write_text("{}")
    with pytest.raises(DataError, match=f"is no folder, table (?s:.*){words}"):
        _prepare(root / name)
    with pytest.raises(DataError, match=f"(?s:.*)Files that may hold the labels lie there .*{name}"
                       if name != "images.npz" else "1 class"):  # fmt: skip
        _prepare(root)


def test_annotations_of_a_kind_that_is_not_read_are_said_to_be_none(plant: Plant) -> None:
    root = plant(*(f"data/{i}.png" for i in range(6)))
    (root / "labels.json").write_text(json.dumps({"classes": ["a", "b"], "labels": {str(i): i % 2 for i in range(6)}}))
    with pytest.raises(DataError, match=r"labels\.json; none is of a kind that is read: export YOLO, COCO, "):
        _prepare(root)


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-8-sig"])
def test_unicode_is_read_with_and_without_its_mark(encoding: str, plant: Plant) -> None:
    root = plant("a.png", "b.png")
    (root / "t.csv").write_text("path;label\na.png;перелом\nb.png;x\n", encoding=encoding)
    assert {record.label for record in read_table(root / "t.csv", PrepareConfig(), "").records} == {"перелом", "x"}


def test_the_root_must_be_a_folder(plant: Plant) -> None:
    root = plant("1.png")
    with pytest.raises(ConfigError, match="nowhere: no such folder"):
        _prepare(_table(root / "t.csv", [["path", "label"], ["1.png", "A"]]), root=str(root / "nowhere"))


def test_a_list_of_one_column_has_no_title(plant: Plant) -> None:
    root = plant("a b.png", "c.png")
    (root / "t.csv").write_text("path\na b.png\nc.png\n", encoding="utf-8")
    assert len(images_of([root / "t.csv"])) == 2


@pytest.mark.parametrize("public", ["PublicTest", "public_test", "Public Test"])
def test_splits_in_other_words_are_said(public: str, plant: Plant) -> None:
    root = plant(*(f"{i}.png" for i in range(N)))
    rows = [[f"{i}.png", "AB"[i // 4 % 2], ("Training", public, "PrivateTest", "Training")[i % 4]] for i in range(N)]
    prepared = _prepare(_table(root / "t.csv", [["path", "label", "Usage"], *rows]))
    assert {int(row.path.stem): row.split for row in prepared.manifest.rows} == {
        i: ("train", "val", "test", "train")[i % 4] for i in range(N)
    }
    said = "".join(prepared.sources[0].notes)
    assert all(part in said for part in ("PrivateTest is test", f"{public} is val", "Training is train"))


@pytest.mark.parametrize("column", ["is_test", "IS_VALID", "in train", "fold", "Train"])
def test_a_column_that_flags_one_split_is_said(column: str, plant: Plant) -> None:
    root = plant(*(f"{i}.png" for i in range(N)))
    rows = [[f"{i}.png", "AB"[i % 2], i // 2 % 2] for i in range(N)]
    notes = _prepare(_table(root / "t.csv", [["path", "label", column], *rows])).sources[0].notes
    assert any(f"the column {column} may say the split" in note for note in notes)


@pytest.mark.parametrize("named", ["p{}.dcm", "data/p{}.jpeg", "https://x.org/p{}.jpg?signature=abc"])
def test_a_file_of_another_suffix_is_not_taken_but_said(named: str, plant: Plant) -> None:
    root = plant(*(f"img/p{i}.png" for i in range(N)))
    rows = [[named.format(i), "AB"[i % 2]] for i in range(N)]
    with pytest.raises(DataError, match=r"does not exist \(but img/p0\.png does: write that into the table\)"):
        _prepare(_table(root / "t.csv", [["path", "label"], *rows]))


@pytest.mark.parametrize("named", ["k{}.jpg", "k{}", "raw/K{}.JPG"])
def test_the_one_file_that_roboflow_made_of_a_name_is_found(named: str, plant: Plant) -> None:
    root = plant(*(f"train/k{i}_jpg.rf.{i:032x}.jpg" for i in range(N)), f"train/k0_jpg.rf.{N:032x}.jpg")
    rows = [[named.format(i), "AB"[i % 2]] for i in range(N)]
    prepared = _prepare(_table(root / "t.csv", [["path", "label"], *rows]), resplit=True)
    found = {row.path.stem.partition("_")[0]: row.label for row in prepared.manifest.rows}
    assert found == {f"k{i}": "AB"[i % 2] for i in range(1, N)}
    assert prepared.excluded[0].reason.startswith("2 files are copies of it that Roboflow made, write a row for each: ")


def test_a_folder_that_is_not_there_is_believed_only_if_none_is(plant: Plant) -> None:
    root = plant(*(f"a/{i}.png" for i in range(N)), "c/x.png")
    header = ["path", "label"]
    foreign = [[f"b/{i}.png", "AB"[i % 2]] for i in range(N)]
    prepared = _prepare(_table(root / "t.csv", [header, *foreign]))
    assert len(prepared.manifest.rows) == N
    assert any("40 rows name folders that are not there" in note for note in prepared.sources[0].notes)
    for i, row in enumerate(foreign[10:]):
        row[0] = f"a/{i + 10}.png"
    prepared = _prepare(_table(root / "t.csv", [header, *foreign]))
    assert len(prepared.manifest.rows) == N - 10
    assert sum("while other folders of the table are there" in one.reason for one in prepared.excluded) == 10
    there = [[f"c/{i}.png", "AB"[i % 2]] for i in range(N)]
    for rows in (there, [["", label] for _, label in there]):
        with pytest.raises(DataError, match="none names an existing image"):
            _prepare(_table(root / "t.csv", [header, *rows]))


@pytest.mark.parametrize("first", ["image_id", "number"])
def test_two_columns_that_lead_to_different_images(first: str, plant: Plant) -> None:
    root = plant(*(f"img/{i}.png" for i in range(N)))
    ids = [(7 * i) % N for i in range(N)]
    rows = [[ids[i], ids[-1 - i], "AB"[i % 2]] for i in range(N)]
    table = _table(root / "t.csv", [[first, "second", "label"], *rows])
    with pytest.raises(
        DataError, match=rf"columns {first} and second lead to different images, e.g. (?s:.*)path=second"
    ):
        _prepare(table)
    assert len(_prepare(table, columns="path=second").manifest.rows) == N
    rows = [[ids[i], f"img/{i}.png", "AB"[i % 2]] for i in range(N)]
    prepared = _prepare(_table(root / "t.csv", [[first, "second", "label"], *rows]))
    assert {int(row.path.stem): row.label for row in prepared.manifest.rows} == {i: "AB"[i % 2] for i in range(N)}


def test_the_column_of_patients_may_name_the_images(plant: Plant) -> None:
    root = plant(*(f"images/x{i}.png" for i in range(N)))
    rows = [[f"x{i}", i % 2] for i in range(N)]
    assert len(_prepare(_table(root / "t.csv", [["patientId", "Target"], *rows])).manifest.rows) == N


NUMBERS: dict[str, tuple[dict[str, Callable[[int], int]], bool]] = {  # columns, and whether one names the images
    "patients beside ages": ({"patient_id": lambda i: i, "age": lambda i: i * i % 37 + 2}, True),
    "patients beside row numbers": ({"": lambda i: i + 1, "patient_id": lambda i: (7 * i) % N}, True),
    "patients beside counts": ({"case": lambda i: i, "fracture_count": lambda i: i % 3 + 1}, True),
    "boxes of a patient's one image": ({"patientId": lambda i: i, "x": lambda i: i % 5, "y": lambda i: i % 7}, True),
    "several rows an image": ({"nr": lambda i: i // 2, "age": lambda i: i * i % 37 + 2}, True),
    "patients elsewhere": ({"mrn": lambda i: 5000 + i, "age": lambda i: i * i % 37 + 2}, False),
    "classes": ({"mrn": lambda i: 5000 + i, "class_id": lambda i: i % 4}, False),
    "row numbers alone": ({"Unnamed: 0": lambda i: i, "age": lambda i: i * i % 37 + 2}, False),
}


@pytest.mark.parametrize(("columns", "named"), NUMBERS.values(), ids=NUMBERS)
def test_numbers_that_lead_to_images_by_chance_name_none(
    columns: dict[str, Callable[[int], int]], named: bool, plant: Plant
) -> None:
    root = plant(*(f"images/{i}.png" for i in range(N)))
    rows = [[*(value(i) for value in columns.values()), "AB"[i // 2 % 2]] for i in range(N)]
    table = _table(root / "t.csv", [[*columns, "label"], *rows])
    if not named:
        with pytest.raises(DataError, match="no column for path"):
            _prepare(table)
        return
    names = columns.get("patient_id") or next(iter(columns.values()))
    labels = {names(i): "AB"[i // 2 % 2] for i in range(N)}
    assert {int(row.path.stem): row.label for row in _prepare(table).manifest.rows} == labels


def test_ages_and_row_numbers_are_no_second_column_of_images(plant: Plant) -> None:
    root = plant(*(f"{i}.png" for i in range(N)))
    rows = [[i, (7 * i) % N, i % 9, (3 * i) % N, "AB"[i % 2]] for i in range(N)]
    prepared = _prepare(_table(root / "t.csv", [["", "image_id", "age", "patient_id", "label"], *rows]))
    assert {int(row.path.stem): row.label for row in prepared.manifest.rows} == {
        (7 * i) % N: "AB"[i % 2] for i in range(N)
    }


@pytest.mark.parametrize(
    ("folders", "each", "groups"), [(12, 3, 12), (2, 20, 40)], ids=["folders of studies", "folders of classes"]
)
def test_images_of_a_small_folder_that_a_row_names_stay_together(
    folders: int, each: int, groups: int, plant: Plant
) -> None:
    root = plant(*(f"exam-{i:x}/{k}.png" for i in range(folders) for k in range(each)))
    rows = [[f"exam-{i:x}/", ("fracture", "normal")[i % 2]] for i in range(folders)]
    prepared = _prepare(_table(root / "t.csv", [["path", "label"], *rows]))
    assert _groups(prepared) == groups
    assert {bool(row.study) for row in prepared.manifest.rows} == {groups == folders}


@pytest.mark.parametrize(
    ("columns", "groups", "studies"),
    [  # patient i // 4 has visits 0 and 1 of two images each
        ("study=visit", N // 4, N // 2), ("patient=x,study=visit", N // 4, N // 2), ("study=mrn", N // 4, N // 4),
    ],
)  # fmt: skip
def test_a_column_of_studies_may_be_named(
    columns: str, groups: int, studies: int, plant: Plant, tmp_path: Path
) -> None:
    root = plant(*(f"{i:x}q.png" for i in range(N)))
    x = "x" if "x" in columns else "patient_id"
    rows = [[f"{i:x}q.png", i // 4, i // 2 % 2, 91000 + i // 4, "AB"[i // 4 % 2]] for i in range(N)]
    table = _table(root / "t.csv", [["path", x, "visit", "mrn", "label"], *rows])
    prepared = _prepare(table, columns=columns, cache_dir=str(tmp_path / "cache"))
    found = {row.study for row in prepared.manifest.rows}
    assert (_groups(prepared), len(found)) == (groups, studies)
    assert all(row.study for row in prepared.manifest.rows)
    assert not any("910" in study for study in found), "what others know is not written in clear"


def test_a_class_that_some_splits_lack_is_said_with_the_way_out(plant: Plant) -> None:
    root = plant(*(f"{label}/{i}{label}.png" for label, n in (("a", N), ("b", N), ("rare", 2)) for i in range(n)))
    notes = _prepare(root).notes
    (said,) = [note for note in notes if "so training will refuse this manifest" in note]
    assert "has no image of rare (2 in all)" in said
    assert "--label-map rare=" in notes[-1]
    assert len(_prepare(root, label_map="rare=").manifest.classes) == 2


def test_a_column_of_splits_that_is_called_label_is_said_to_be_one(plant: Plant) -> None:
    root = plant(*(f"{i}.png" for i in range(N)))
    rows = [[f"{i}.png", ("train", "val", "test")[i % 3], i % 2] for i in range(N)]
    told = r"column label holds test, train, val: these look like splits, not like classes; .* be broken \(0, 1\)"
    table = _table(root / "t.csv", [["path", "label", "broken"], *rows])
    with pytest.raises(DataError, match=told):
        _prepare(table)
    assert _groups(_prepare(table, columns="label=broken")) == N


@pytest.mark.parametrize("form", ["NFC", "NFD"])
@pytest.mark.parametrize("folder", ["Röntgen", ""])
def test_letters_with_accents_are_found_in_either_form(form: str, folder: str, plant: Plant) -> None:
    names = [f"Röntgen/Brüche {i}.png" for i in range(N)]
    root = plant(*(unicodedata.normalize({"NFC": "NFD", "NFD": "NFC"}[form], name) for name in names))
    listed = [f"{folder}/{PurePosixPath(name).name}".lstrip("/") for name in names]
    rows = [[unicodedata.normalize(form, name), ("fracture", "normal")[i % 2]] for i, name in enumerate(listed)]
    prepared = _prepare(_table(root / "t.csv", [["path", "label"], *rows]))
    assert len(prepared.manifest.rows) == N
    assert not prepared.excluded


def test_folders_of_a_tables_paths_name_splits_and_patients(plant: Plant) -> None:
    names = [f"{('train', 'valid', 'test')[i // 16]}/patient{i // 2:03d}/{i}.png" for i in range(N)]
    root = plant(*names)
    rows = [[name, "AB"[i % 2]] for i, name in enumerate(names)]
    prepared = _prepare(_table(root / "t.csv", [["path", "label"], *rows]))
    assert {int(row.path.stem): row.split for row in prepared.manifest.rows} == {
        i: ("train", "val", "test")[i // 16] for i in range(N)
    }
    assert _groups(prepared) == N // 2


def test_a_patient_column_counts_before_a_group(plant: Plant) -> None:
    root = plant(*(f"{i}.png" for i in range(N)))
    rows = [[f"{i}.png", "AB"[i // 4 % 2], f"{i % 3}0-{i % 3}9", f"P{i // 2}"] for i in range(N)]
    assert _groups(_prepare(_table(root / "t.csv", [["path", "label", "group", "patient_id"], *rows]))) == N // 2


def test_of_two_patient_columns_the_one_that_repeats_counts(plant: Plant) -> None:
    root = plant(*(f"{i}.png" for i in range(N)))
    rows = [[f"{i}.png", "AB"[i // 4 % 2], f"X{i}", f"P{i // 2}"] for i in range(N)]
    prepared = _prepare(_table(root / "t.csv", [["path", "label", "patient", "patient_id"], *rows]))
    assert _groups(prepared) == N // 2
    assert any("since patient differs in each row" in note for note in prepared.sources[0].notes)


@pytest.mark.parametrize("other", ["b", "B ", "B"])
def test_two_spellings_of_a_class_are_refused(other: str, plant: Plant) -> None:
    root = plant(*(f"{i}.png" for i in range(N)))
    rows = [[f"{i}.png", ("a fx", "a_fx", "b", other)[i % 4]] for i in range(N)]
    table = _table(root / "t.csv", [["path", "label"], *rows])
    with pytest.raises(DataError, match=r"differ in their spelling only: .*a fx, a_fx(?s:.*)--label-map"):
        _prepare(table)
    mapping = "a fx=a_fx" if other == "b" else "a fx=a_fx,b=B"
    assert len(_prepare(table, label_map=mapping).manifest.classes) == 2


ONE_CLASS = {
    "in more than one case": (["fracture", "normal", "Normal"], "normal=Normal"),
    "with a dot": (["fracture", "normal", "normal."], "normal.=normal"),
    "of one and of many": (["fracture", "normal", "fractures"], "fractures=fracture"),
    "as a word for it": (["fracture", "normal", "fractured"], "fractured=fracture"),
    "with and without a dash": (["fracture", "non-fracture", "nonfracture"], "nonfracture=non-fracture"),
    "in two forms of Unicode": (["Bru\u0308che", "normal", "Br\u00fcche"], "Br\u00fcche=Bru\u0308che"),
    "in words and numbers": (["yes", "no", "1"], "yes=1"),
    "in letters": (["Y", "n", "no"], "no=n"),
    "in other words": (["fracture", "no fracture", "Not_Fractured"], "no fracture=Not_Fractured"),
    "in short": (["fracture", "fx", "no fx"], "fx=fracture"),
    "in short, without": (["fracture", "unfractured", "No Fx"], "unfractured=No Fx"),
    "in two languages": (["Fraktur", "keine Fraktur", "no fracture"], "no fracture=keine Fraktur"),
}


@pytest.mark.parametrize(("labels", "mapping"), ONE_CLASS.values(), ids=ONE_CLASS)
def test_one_class_under_two_names_is_refused_with_the_mapping(labels: list[str], mapping: str, plant: Plant) -> None:
    root = plant(*(f"{i}.png" for i in range(N)))
    table = _table(root / "t.csv", [["path", "label"], *([f"{i}.png", labels[i % 3]] for i in range(N))])
    with pytest.raises(DataError, match=r"classes that (differ in their spelling only|mean the same): ") as refused:
        _prepare(table)
    assert mapping in str(refused.value)
    assert len(_prepare(table, label_map=mapping).manifest.classes) == 2


def test_two_names_for_the_healthy_class_are_said_with_the_mapping(plant: Plant) -> None:
    root = plant(*(f"{('fracture', 'normal', 'no fx')[i % 3]}/{i}.png" for i in range(N)))
    prepared = _prepare(root)
    assert "no fx and normal may all be the healthy class: --label-map 'normal=no fx' makes them one" in prepared.notes
    assert _prepare(root, label_map="normal=no fx").manifest.classes == ("fracture", "no fx")


@pytest.mark.parametrize(
    "labels", [["fracture?", "fracture"], ["-1", "1"], ["F", "N"], ["C+", "C-"], ["grade 1", "grade 11"]]
)
def test_names_of_two_classes_stay_two(labels: list[str], plant: Plant) -> None:
    root = plant(*(f"{i}.png" for i in range(N)))
    table = _table(root / "t.csv", [["path", "label"], *([f"{i}.png", labels[i % 2]] for i in range(N))])
    assert _prepare(table).manifest.classes == tuple(sorted(labels))


@pytest.mark.parametrize("empty", ["0", ""])
def test_minus_one_beside_one_is_nobody_knows(empty: str, plant: Plant) -> None:
    root = plant(*(f"{i}.png" for i in range(N)))
    rows = [[f"{i}.png", (empty, "1.0", "-1.0", "2.0")[i % 4]] for i in range(N)]
    prepared = _prepare(_table(root / "t.csv", [["path", "label"], *rows]))
    assert "-1" not in prepared.manifest.classes
    assert sum("its label is '-1': its class is unknown" in one.reason for one in prepared.excluded) == N // 4
    mapped = _prepare(root / "t.csv", label_map="-1=unsure")
    assert "unsure" in mapped.manifest.classes


UNKNOWN = ["#REF!", "#DIV/0!", "#NAME?", "<NA>", "NaT", ".", "--", "???", "unk", "TBD", "pending", "missing",
           "not labeled", "Unlabeled", "9", "-99", "999", "8"]  # fmt: skip


@pytest.mark.parametrize("unknown", UNKNOWN)
def test_what_says_that_nothing_is_known_is_no_class(unknown: str, plant: Plant) -> None:
    root = plant(*(f"{i}.png" for i in range(N)))
    rows = [[f"{i}.png", ("0", "1", unknown, "1")[i % 4]] for i in range(N)]
    prepared = _prepare(_table(root / "t.csv", [["path", "label"], *rows]))
    assert Counter(row.label for row in prepared.manifest.rows) == {"0": N // 4, "1": N // 2}
    assert {one.reason for one in prepared.excluded} == {f"its label is {unknown!r}: its class is unknown"}
    assert not any("several findings" in note for note in prepared.sources[0].notes)


@pytest.mark.parametrize("labels", [["9", "1"], ["0", "1", "2", "9"], ["✓", "✗"]])
def test_numbers_and_signs_may_be_classes(labels: list[str], plant: Plant) -> None:
    root = plant(*(f"{i}.png" for i in range(N)))
    rows = [[f"{i}.png", labels[i % len(labels)]] for i in range(N)]
    assert _prepare(_table(root / "t.csv", [["path", "label"], *rows])).manifest.classes == tuple(sorted(labels))


NO_CLASSES = {
    "probabilities": (["0.9", "0.1", "0.5"], "the column label holds measurements, not classes: 0.1, 0.5, 0.9"),
    "with a comma": (["0,9", "0,1"], "the column label holds measurements"),
    "percentages": (["90%", "10 %"], "the column label holds measurements"),
    "boxes of Label Studio": (['[{"x": 1, "rectanglelabels": ["A"]}]', '[{"x": 2}]'], "a value of a program"),
    "a vector": (["[1, 0]", "[0, 1]"], "a value of a program that names no class"),
    "a vector of numpy": (["[1 0]", "[0 1]"], "none has a label; .* a value of a program that names no class"),
    "counts": (["{'A': 1}", "{'A': 0}"], "a value of a program that names no class"),
}


@pytest.mark.parametrize(("labels", "words"), NO_CLASSES.values(), ids=NO_CLASSES)
def test_measurements_and_values_of_programs_are_no_classes(labels: list[str], words: str, plant: Plant) -> None:
    root = plant(*(f"{i}.png" for i in range(N)))
    rows = [[f"{i}.png", labels[i % len(labels)]] for i in range(N)]
    with pytest.raises(DataError, match=words):
        _prepare(_table(root / "t.csv", [["path", "label"], *rows], ";"))


def test_folders_of_what_nobody_knows_are_no_class(plant: Plant) -> None:
    root = plant(*(f"{('fracture', 'normal', 'unclear')[i % 3]}/{i}.png" for i in range(N)))
    assert _prepare(root).manifest.classes == ("fracture", "normal")
    problems: list[str] = []
    read_folder(root, problems)
    assert any("the class of images in unclear is unknown; prepare leaves them out" in problem for problem in problems)


@pytest.mark.parametrize(
    "aside",
    ["trash", "Backup", "New folder", "Copy of fracture", "fracture - Copy (2)", "to review", "excluded", "temp"],
)
def test_folders_of_images_put_aside_are_no_class(aside: str, plant: Plant) -> None:
    root = plant(*(f"{('fracture', 'normal', aside)[i % 3]}/{i}.png" for i in range(N)))
    with pytest.raises(DataError, match=r"put aside or copied, not a class\n.*--label-map NAME=\. ") as refused:
        _prepare(root)
    problems: list[str] = []
    read_folder(root, problems)
    assert any("put aside or copied" in problem for problem in problems)
    assert _prepare(root, label_map=f"{aside}=").manifest.classes == ("fracture", "normal")
    pattern = str(refused.value).split("--label-pattern ")[1].strip("'.")
    assert len(_prepare(root, label_pattern=pattern).manifest.classes) == 3


def test_classes_that_sound_unsure_are_said(plant: Plant) -> None:
    prepared = _prepare(plant(*(f"{('fracture', 'normal', 'possible fracture')[i % 3]}/{i}.png" for i in range(N))))
    assert any(
        "may be uncertain or unusable: possible fracture; --label-map" in note for note in prepared.sources[0].notes
    )


def test_sentences_of_reports_are_no_classes(plant: Plant) -> None:
    root = plant(*(f"{i}.png" for i in range(N)))
    said = ["No fracture seen.", "Fracture of the distal radius.", "Healed fracture"]
    rows = [[f"{i}.png", said[i % 3], i % 2] for i in range(N)]
    table = _table(root / "t.csv", [["path", "diagnosis", "fx"], *rows])
    with pytest.raises(
        DataError, match=r"the column diagnosis holds sentences, .*the class could be fx \(0, 1\)\n(?s:.*)label="
    ):
        _prepare(table)
    assert len(_prepare(table, columns="label=fx").manifest.classes) == 2


CONTRADICTING = {
    "one word in two spellings": ("label", "Label"),
    "two words for classes": ("class", "diagnosis"),
    "a second version": ("label", "label_corrected"),
    "a column that a spreadsheet has doubled": ("label", "label.1"),
    "a column that says whether it is fractured": ("label", "fractured"),
    "a column of the healthy": ("class", "is_normal"),
}


@pytest.mark.parametrize(("first", "second"), CONTRADICTING.values(), ids=CONTRADICTING)
def test_two_columns_of_classes_that_contradict_each_other_are_refused(first: str, second: str, plant: Plant) -> None:
    root = plant(*(f"{i}.png" for i in range(N)))
    rows = [[f"{i}.png", "AB"[i % 2], "AB"[i % 2 if i < N - 1 else 0]] for i in range(N)]
    table = _table(root / "t.csv", [["path", second, first], *rows])
    with pytest.raises(DataError, match=r"name different classes for the same images: .*(?s:.*)--columns label="):
        _prepare(table)
    for column, count in ((second, N // 2), (first, N // 2 - 1)):
        labels = Counter(row.label for row in _prepare(table, columns=f"label={column}").manifest.rows)
        assert labels["B"] == count


@pytest.mark.parametrize(
    "other",
    [
        lambda i: str(i % 2),  # the same in numbers
        lambda i: "ab"[i % 2],  # the same in another spelling
        lambda i: f"{'AB'[i % 2]}{i % 3}",  # in more detail
        lambda i: ("wrist", "hand", "ankle")[i % 3],  # no classes
        lambda i: "" if i % 3 else "AB"[i % 2],  # not everywhere
    ],
    ids=["numbers", "spelling", "detail", "body parts", "gaps"],
)
def test_a_second_column_of_classes_that_agrees_is_none_to_choose(other: Callable[[int], str], plant: Plant) -> None:
    root = plant(*(f"{i}.png" for i in range(N)))
    rows = [[f"{i}.png", "AB"[i % 2], other(i)] for i in range(N)]
    prepared = _prepare(_table(root / "t.csv", [["path", "label", "diagnosis"], *rows]))
    assert {int(row.path.stem): row.label for row in prepared.manifest.rows} == {i: "AB"[i % 2] for i in range(N)}


@pytest.mark.parametrize(
    ("column", "other"),
    [
        ("id_paciente", "study"),
        ("Patienten-ID", "case_id"),
        ("Medical Record Number", "study_id"),
        ("Patient Number", "case_id"),
        ("subject_key", "study_id"),
        ("person", "accession"),
        ("StudyID", "group"),
    ],
)
def test_who_is_in_the_images_counts_before_when_they_were_taken(column: str, other: str, plant: Plant) -> None:
    root = plant(*(f"{i}.png" for i in range(N)))
    rows = [[f"{i}.png", "AB"[i % 2], f"S{i}", f"P{i // 4}"] for i in range(N)]
    assert _groups(_prepare(_table(root / "t.csv", [["path", "label", other, column], *rows]))) == N // 4


@pytest.mark.parametrize("form", ["P{:03d}", "p{:03d}", "P {:03d}", "P-{:03d}", "P_{:03d}"])
def test_one_patient_in_two_spellings_is_one(form: str, plant: Plant) -> None:
    root = plant(*(f"{i}.png" for i in range(N)))
    rows = [[f"{i}.png", "AB"[i % 2], (form if i % 2 else "P{:03d}").format(i // 4)] for i in range(N)]
    assert _groups(_prepare(_table(root / "t.csv", [["path", "label", "patient"], *rows]))) == N // 4


LOST: dict[str, tuple[str, Callable[[int], object], str]] = {
    "merged patients": ("patient", lambda i: f"P{i}" if i % 4 == 0 else "", "filled in 10 of 40 rows.* merged cells"),
    "merged splits": ("split", lambda i: {0: "train", 20: "val", 30: "test"}.get(i, ""), "in 3 of 40 .* merged cells"),
    "rounded": ("MRN", lambda i: f"1.23{i // 4}5E+11", "holds 1.2305E.11.*has rounded these numbers"),
    "splits by number": ("split", lambda i: i // 4 % 3, "holds 0, 1, 2, none of which is train, val, test"),
    "splits in Turkish": ("split", lambda i: ("eğitim", "deneme")[i // 4 % 2], "none of which is train"),
}


@pytest.mark.parametrize(("column", "value", "words"), LOST.values(), ids=LOST)
def test_what_a_spreadsheet_has_lost_is_not_guessed(
    column: str, value: Callable[[int], object], words: str, plant: Plant
) -> None:
    root = plant(*(f"{i}.png" for i in range(N)))
    rows = [[f"{i}.png", "AB"[i % 2], value(i)] for i in range(N)]
    with pytest.raises(DataError, match=words):
        _prepare(_table(root / "t.csv", [["path", "label", column], *rows]))
    if column == "split":
        assert len(_prepare(root / "t.csv", resplit=True).manifest.rows) == N


@pytest.mark.parametrize("column", ["ID", "exam_no", "Fallnummer", "ExamID", "visit"])
def test_a_column_that_may_hold_patients_is_said(column: str, plant: Plant) -> None:
    root = plant(*(f"img{i}.png" for i in range(N)))
    rows = [[f"img{i}.png", "AB"[i % 2], 48_320 + i // 4] for i in range(N)]
    table = _table(root / "t.csv", [["path", "label", column], *rows])
    assert f"patients could be in the column {column} (48320, " in "".join(_prepare(table).sources[0].notes)
    assert _groups(_prepare(table, columns=f"patient={column}")) == N // 4
    rows = [[*row, i] for i, row in enumerate(rows)]
    table = _table(root / "t.csv", [["path", "label", column, "case_id"], *rows])
    said = "".join(_prepare(table).sources[0].notes)
    assert f"patients could be in the column {column} (48320, " in said, "case_id differs in each row"


def test_sources_with_splits_in_their_names_are_said(plant: Plant) -> None:
    root = plant(*(f"{i}.png" for i in range(N)))
    rows = [[f"{i}.png", "AB"[i // 2 % 2], ("clinic_train", "clinic_test")[i % 2]] for i in range(N)]
    prepared = _prepare(_table(root / "t.csv", [["path", "label", "dataset"], *rows]))
    assert any("the column dataset may say the split" in note for note in prepared.sources[0].notes)


@pytest.mark.parametrize(
    "column", ["exclude", "Include", "quality", "image_quality", "diagnosis_uncertain", "usable", "QC status"]
)
def test_a_column_that_may_leave_images_out_is_said(column: str, plant: Plant) -> None:
    root = plant(*(f"{i}.png" for i in range(N)))
    rows = [[f"{i}.png", "AB"[i % 2], ("1.0", "")[i % 3 > 0], "lat"] for i in range(N)]
    notes = _prepare(_table(root / "t.csv", [["path", "label", column, "reuse"], *rows])).sources[0].notes
    assert f"images to be left out could be in the column {column} (empty, 1.0), which leaves none out" in notes[1]


@pytest.mark.parametrize("held", ["holdout", "Hold-Out set", "held_out"])
def test_images_that_are_held_out_are_the_test(held: str, plant: Plant) -> None:
    root = plant(*(f"{i}.png" for i in range(N)))
    rows = [[f"{i}.png", "AB"[i // 4 % 2], ("train", held, "val", "train")[i % 4]] for i in range(N)]
    prepared = _prepare(_table(root / "t.csv", [["path", "label", "split"], *rows]))
    assert {int(row.path.stem) for row in prepared.manifest.rows if row.split == "test"} == set(range(1, N, 4))
    assert any(f"{held} is test" in note for note in prepared.sources[0].notes)


def test_a_split_in_an_unknown_word_is_refused_where_one_is_lacking(plant: Plant) -> None:
    root = plant(*(f"{i}.png" for i in range(N)))
    rows = [[f"{i}.png", "AB"[i // 4 % 2], ("train", "external", "val", "train")[i % 4]] for i in range(N)]
    table = _table(root / "t.csv", [["path", "label", "split"], *rows])
    with pytest.raises(DataError, match=r"the column split holds external, which is none of .*, and no test"):
        _prepare(table)
    assert len(_prepare(table, resplit=True).manifest.rows) == N
    for row in rows[4:12]:
        row[2] = "test"
    prepared = _prepare(_table(root / "t.csv", [["path", "label", "split"], *rows]))
    assert sum("split 'external' is none of" in one.reason for one in prepared.excluded) == N // 4 - 2
    assert not any("named by no row" in note for note in prepared.sources[0].notes), "rows name them"


def test_more_than_fifty_classes_are_refused_before_anything_is_opened(plant: Plant) -> None:
    root = plant(*(f"{i}.png" for i in range(60)))
    with pytest.raises(DataError, match="60 classes, more than 50"):
        _prepare(_table(root / "t.csv", [["path", "label"], *([f"{i}.png", f"c{i}"] for i in range(60))]))


def test_annotations_become_labels_and_boxes_stay(plant: Plant) -> None:
    root = plant(*(f"{('train', 'valid')[i > 30]}/images/{i}.png" for i in range(N)))
    (root / "data.yaml").write_text(
        "train: ../train/images\nval: ../valid/images\nnc: 2\nnames: ['fracture', 'text']\n"
    )
    for i in range(N):
        path = root / ("train", "valid")[i > 30] / "labels" / f"{i}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(("1 0.5 0.5 0.2 0.2\n" if i % 4 else "") + ("0 0.3 0.4 0.2 0.2\n" if i % 2 else ""))
    prepared = _prepare(root, background="no_fracture", label_map="text=")
    labels = {int(row.path.stem): row.label for row in prepared.manifest.rows}
    assert labels == {i: ("no_fracture", "fracture")[i % 2] for i in range(N)}
    drawn = {int(row.path.stem): from_text(row.extra["boxes"]) for row in prepared.manifest.rows}
    assert [box.label for box in drawn[1]] == ["text", "fracture"]
    assert not drawn[0]
    with pytest.raises(DataError, match="1 class"):
        _prepare(root, label_map="text=")


def test_roboflows_classes_table_is_read_where_it_lies(plant: Plant) -> None:
    root = plant(*(f"{('train', 'test')[i > 30]}/{i}.png" for i in range(N)))
    for split, held in (("train", range(31)), ("test", range(31, N))):
        rows = [
            ["filename", " fractured", " not fractured"],
            *([f"{i}.png", f" {i % 2}", f" {1 - i % 2}"] for i in held),
        ]
        _table(root / split / "_classes.csv", rows)
    prepared = _prepare(root)
    assert {row.path.stem: row.label for row in prepared.manifest.rows} == {
        str(i): ("not fractured", "fractured")[i % 2] for i in range(N)
    }
    assert len(_prepare(root / "train" / "_classes.csv").manifest.rows) == 31


def test_images_that_no_row_of_boxes_lists_are_no_background_and_the_message_says_what_works(plant: Plant) -> None:
    root = plant(*(f"{i}.png" for i in range(N)))
    header = ["filename", "width", "height", "class", "xmin", "ymin", "xmax", "ymax"]
    rows: list[list[object]] = [[f"{i}.png", 32, 40, "fracture", 3, 3, 20, 20] for i in range(0, N, 2)]
    table = _table(root / "_annotations.csv", [header, *rows])
    for source in (root, table):
        with pytest.raises(DataError, match="write a row with only its file name into the table") as refused:
            _prepare(source, background="no_fracture")
        assert "to read them" not in str(refused.value), "it was read"
    _table(table, [header, *([*row[:3], ("simple", "comminuted")[i % 2], *row[4:]] for i, row in enumerate(rows))])
    for source in (root, table):
        prepared = _prepare(source, background="no_fracture")
        (said,) = [note for note in prepared.notes if "which --background names" in note]
        assert said.startswith("no image has the class no_fracture")
        assert "only its file name" in said
    assert reasons(_prepare(root, background="no_fracture").excluded) == [
        ("the Roboflow CSV annotations have nothing usable for it", N // 2)
    ]
    _table(table, [header, *rows, *([f"{i}.png", *[""] * 7] for i in range(1, N, 2))])
    for source in (root, table):
        prepared = _prepare(source, background="no_fracture")
        assert Counter(row.label for row in prepared.manifest.rows) == {"fracture": N // 2, "no_fracture": N // 2}


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF", "JPEG2000"])
def test_images_without_suffix_are_read_as_those_of_dicom_are(kind: str, plant: Plant) -> None:
    root = plant(*(f"{'AB'[i % 2]}/IM{i:05d}" for i in range(N)), "A/notes", "A/IM9.old")
    for path in root.glob("*/IM*"):
        with Image.open(path) as image:
            image.save(path, kind)
    (root / "A/notes").write_text("no image")
    prepared = _prepare(root)
    assert Counter(row.label for row in prepared.manifest.rows) == {"A": N // 2, "B": N // 2}
    assert prepared.sources[0].others == {"no suffix": 1, ".old": 1}


def test_every_file_is_used_named_or_counted(plant: Plant) -> None:
    root = plant(*(f"{'AB'[i % 2]}/{i}.png" for i in range(N)), "A/x.JP2", "B/y.pgm", "A/.hidden.png", "B/._1.png")
    Image.open(root / "A" / "0.png").rotate(90).save(root / "A" / "x.JP2", "JPEG2000")
    Image.open(root / "B" / "1.png").rotate(90).save(root / "B" / "y.pgm", "PPM")
    (root / "A" / "photo.heic").write_bytes(b"x")
    (root / "notes.docx").write_bytes(b"x")
    (root / "A" / "masks").mkdir()
    for drawn in ("A/masks/0.png", "A/0_mask.png", "A/ground truth/0.png", "A/0_label.png", "B/@eaDir/1.png"):
        (root / drawn).parent.mkdir(exist_ok=True)
        (root / drawn).write_bytes((root / "A" / "2.png").read_bytes())
    prepared = _prepare(root)
    assert len(prepared.manifest.rows) == N + 2
    assert sorted(one.reason.split(":")[0] for one in prepared.excluded) == [
        "HEIC photos are not read",
        "its name ends in label",
        "its name ends in mask",
        "lies in a folder called ground truth",
        "lies in a folder called masks",
    ]
    assert prepared.sources[0].others == {".docx": 1}
    found = {path.name for path in images_of([root])}
    problems: list[str] = []
    assert found == {row.path.name for row in prepared.manifest.rows}
    assert found == {row.path.name for row in read_folder(root, problems).rows}
    assert found == {Path(path).name for path in walk(root).images}
    assert len(problems) == 5
    assert any("photo.heic" in problem for problem in problems)


def test_predict_needs_no_labels(plant: Plant) -> None:
    root = plant(*(f"deep/{i}.png" for i in range(3)))
    table = _table(root / "list.csv", [["image_id"], *([i] for i in range(3))])
    assert [path.name for path in images_of([table])] == ["0.png", "1.png", "2.png"]
    with pytest.raises(DataError, match=r"no column for path, found accession\nCall the column of the images path"):
        images_of([_table(root / "list.csv", [["accession"], ["A1"]])])
    with pytest.raises(
        DataError, match=r"holds 1.0E\+10: .*\nExport the column as text, .* another one: call it patient"
    ):
        images_of([_table(root / "list.csv", [["file", "patient"], *([f"deep/{i}.png", "1.0E+10"] for i in range(3))])])


def test_what_was_left_out_is_known_where_everything_is_refused(plant: Plant) -> None:
    root = plant("A/1.png", "B/2.png")
    (root / "B" / "2.png").write_text("no image")
    excluded: list[Exclusion] = []
    with pytest.raises(DataError, match="1 usable images of 1 class"):
        prepare([root], PrepareConfig(near_duplicates=False), root / "m.csv", excluded=excluded)
    assert [Path(one.path).name for one in excluded] == ["2.png"]
    assert json.dumps([one.reason for one in excluded])


@pytest.mark.parametrize("blank", [" ", "\u200b"])
def test_blanks_at_the_ends_of_names_are_kept_or_said(blank: str, plant: Plant) -> None:
    root = plant(
        *(f"{blank}{'AB'[i % 2]}/ {i}.png" for i in range(N)),
        f"{blank}A/last.png{blank}",
        f"{blank}A/IM1{blank}",
        f"{blank}A/notes ",
    )
    (root / f"{blank}A/notes ").write_text("no image")
    config = PrepareConfig(near_duplicates=False)
    prepared = prepare([root], config, root / "m.csv")
    write(prepared, root / "m.csv", config)
    read = read_csv(root / "m.csv")
    assert [row.path for row in read.rows] == [row.path for row in prepared.manifest.rows]
    assert read.digest() == prepared.manifest.digest()
    said = [Path(one.path).name for one in prepared.excluded if "ends in a blank" in one.reason]
    assert said == [f"IM1{blank}", f"last.png{blank}"]


@pytest.mark.parametrize(
    "named", ["img/p{}.png?signature=abc", "https://x.org/a%20b/p{}.png?signature=a/b.png", "s3://x/p{}.png"]
)
def test_web_addresses_lead_to_the_files_of_their_names(named: str, plant: Plant) -> None:
    root = plant(*(f"img/p{i}.png" for i in range(N)))
    table = _table(root / "t.csv", [["where", "label"], *([named.format(i), "AB"[i % 2]] for i in range(N))])
    if "://" in named:
        assert {row.path.name: row.label for row in _prepare(table).manifest.rows}["p3.png"] == "B"
        assert len(images_of([table])) == N
    else:
        with pytest.raises(DataError, match="no column for path"):
            _prepare(table)


def _views(plant: Plant, *names: str) -> Path:
    root = plant(*(f"img/{i}_{view}.png" for i in range(N) for view in ("AP", "LAT")))
    rows = [[f"{i}_AP.png", f"{i}_LAT.png" if i % 4 else "", "AB"[i % 2]] for i in range(N)]
    return _table(root / "t.csv", [[*names, "label"], *rows])


def test_rows_that_name_images_in_several_columns(plant: Plant) -> None:
    table = _views(plant, "AP", "lateral")
    with pytest.raises(DataError, match="or, where each row has several images: --columns path=AP,lateral"):
        _prepare(table)
    prepared = _prepare(table, columns="path=ap,lateral")
    assert len(prepared.manifest.rows) == N + N * 3 // 4
    assert _groups(prepared) == N
    assert all(row.label == "AB"[int(row.path.name.split("_")[0]) % 2] for row in prepared.manifest.rows)
    with pytest.raises(DataError, match=r"column 'side' \(path\) missing"):
        _prepare(table, columns="path=AP,side")


def test_a_further_column_of_paths_is_said(plant: Plant) -> None:
    told = "second: other images than image, not used; --columns path=image,second uses them"
    assert told in _prepare(_views(plant, "image", "second")).sources[0].notes


@pytest.mark.parametrize(
    "cell",
    ["{0};{1}", "{0}, {1}", "{0} {1}", "{0}\n{1}", "['{0}', '{1}']", '["{0}", "{1}"]'],
    ids=["semicolon", "comma", "blank", "line", "Python", "JSON"],
)
def test_cells_that_list_several_images(cell: str, plant: Plant) -> None:
    root = plant(*(f"img/{i}_{view}.png" for i in range(N) for view in ("AP", "LAT")))
    rows = [[cell.format(f"img/{i}_AP.png", f"img/{i}_LAT.png"), "AB"[i % 2]] for i in range(N)]
    table = _table(root / "t.csv", [["image", "label"], *rows, [cell.format("img/1_AP.png", "img/gone.png"), "B"]])
    prepared = _prepare(table)
    assert len(prepared.manifest.rows) == 2 * N
    assert _groups(prepared) == N
    assert all(row.label == "AB"[int(row.path.name.split("_")[0]) % 2] for row in prepared.manifest.rows)
    assert [one.reason for one in prepared.excluded] == ["img/gone.png: the file does not exist"]


@pytest.mark.parametrize("columns", ["", "path=AP,lateral"])
def test_boxes_of_rows_with_several_images_are_on_one_of_them(columns: str, plant: Plant) -> None:
    rows = [
        [f"img/{i}_AP.png", f"img/{i}_LAT.png", "AB"[i % 2], *([1, 1, 9, 9] if i < 4 else [""] * 4)] for i in range(N)
    ]
    root = plant(*(path for row in rows for path in row[:2]))
    names = ["AP", "lateral", "label", "xmin", "ymin", "xmax", "ymax"]
    joined = [["image", *names[2:]], *([f"{row[0]};{row[1]}", *row[2:]] for row in rows)]
    prepared = _prepare(_table(root / "t.csv", [names, *rows] if columns else joined), columns=columns, background="C")
    assert len(prepared.manifest.rows) == 2 * N - 8
    assert {one.reason for one in prepared.excluded} == {
        "its box is drawn on one image, and rows name several: write a row for each image"
    }


@pytest.mark.parametrize("folders", ["dir", "label,patient"])
def test_folders_of_files_that_have_one_name_may_be_columns(folders: str, plant: Plant) -> None:
    cells = [
        {"label": "AB"[i % 2], "patient": f"p{i // 4}", "dir": f"{i // 2}.0", "file": f"{i % 4}.png"} for i in range(N)
    ]
    paths = ["/".join(one[name].removesuffix(".0") for name in (*folders.split(","), "file")) for one in cells]
    root = plant(*paths)
    table = _table(root / "t.csv", [[*cells[0]], *([*one.values()] for one in cells)])
    rows = _prepare(table).manifest.rows
    assert {row.path.relative_to(root).as_posix(): row.label for row in rows} == {
        path: one["label"] for path, one in zip(paths, cells, strict=True)
    }
    assert len(images_of([table])) == N
