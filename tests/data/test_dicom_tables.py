"""Tables of a RIS or PACS, which name images by a tag of their DICOM files."""

import csv
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from fracture.data.folders import read_folder
from fracture.data.prepare.config import PrepareConfig
from fracture.data.prepare.gather import gather
from fracture.data.prepare.listed_images import read_paths, read_studies
from fracture.data.prepare.prepare import Prepared, prepare, write
from fracture.errors import DataError
from tests.data.dicoms import make

pytest.importorskip("pydicom")

STUDIES = 12
Cell = Callable[[int], object]


def _label(s: int) -> str:
    return ("fracture", "no_fracture")[s // 2 % 2]


def _accession(s: int) -> str:
    return f"00{77000 + s}"


def _prior(s: int) -> str:
    return _accession((s + 1) % STUDIES)


def _mrn(s: int) -> str:
    return f"MRN{100000 + s // 2}"


def _study(s: int) -> str:
    return f"1.2.3.{s + 1}"


def _date(s: int) -> str:
    return f"2024-{s + 1:02}-03"


def _number(s: int) -> int:
    return s + 1


@pytest.fixture(autouse=True)
def files(tmp_path: Path) -> Path:
    """Twelve studies of two images each, two studies a patient."""
    rng = np.random.default_rng(0)
    for study in range(STUDIES):
        for view in range(2):
            tags = {
                "AccessionNumber": _accession(study), "StudyInstanceUID": _study(study),
                "StudyDate": f"2024{study + 1:02}03", "SeriesInstanceUID": f"{_study(study)}.{view}",
                "SOPInstanceUID": f"{_study(study)}.{view}.9",
            }  # fmt: skip
            _image(tmp_path / f"DICOM/ST{study:03}/IM{view}", str(_mrn(study)), rng, tags)
    return tmp_path


def _image(path: Path, patient: str, rng: np.random.Generator, tags: dict[str, object]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(make(rng.integers(0, 4000, (64, 48)).astype(np.uint16), patient, **tags))


def _table(root: Path, columns: dict[str, Cell], rows: Sequence[int] = range(STUDIES)) -> Path:
    with (root / "ris.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([*columns, "label"])
        writer.writerows([*(cell(i) for cell in columns.values()), _label(i)] for i in rows)
    return root / "ris.csv"


def _prepare(table: Path, **options: str) -> Prepared:
    config = PrepareConfig(near_duplicates=False, cache_dir=str(table.parent / "cache"), **options)  # type: ignore[arg-type]
    prepared = prepare([table], config, table.parent / "out.csv")
    write(prepared, table.parent / "out.csv", config)
    return prepared


def _labels(prepared: Prepared) -> dict[str, str]:
    return {"/".join(row.path.parts[-2:]): row.label for row in prepared.manifest.rows}


@pytest.mark.parametrize(
    "columns",
    [
        {"AccessionNumber": _accession},
        {"Accession Number": _accession, "MRN": _mrn, "age": lambda s: 30 + s, "prior accession": lambda s: "77000-2"},
        {"acc_no": lambda s: 77000 + s},  # as a spreadsheet writes it
        {"Accession #": lambda s: f'="{_accession(s)}"'},
        {"Anforderung": _accession},  # by its values
        {"study_id": _accession, "image_id": lambda s: f"lost-{s}.dcm"},
        {"study_uid": _study, "AccessionNumber": _accession, "PatientID": _mrn},
        {"whatever": _study},
        {"PatientID": _mrn, "StudyDate": _date},
        {"mrn": _mrn, "exam date": lambda s: f"{s + 1}/3/2024"},
        {"mrn": _mrn, "done": lambda s: f"2024{s + 1:02}03", "birth_date": lambda s: "1964-03-01"},
    ],
    ids=lambda columns: ",".join(columns),
)
def test_a_row_gives_its_label_to_all_images_of_its_study(columns: dict[str, Cell], files: Path) -> None:
    prepared = _prepare(_table(files, columns))
    assert _labels(prepared) == {f"ST{s:03}/IM{v}": _label(s) for s in range(STUDIES) for v in range(2)}
    assert len({row.study for row in prepared.manifest.rows}) == STUDIES
    assert len({row.group for row in prepared.manifest.rows}) == STUDIES // 2
    assert any("in the headers of 24 DICOM files" in note for note in prepared.sources[0].notes)
    written = "".join((files / f"out{end}").read_text() for end in (".csv", ".excluded.csv", ".json"))
    assert not [one for one in ("77000", "MRN1", "1.2.3.") if one in written]


@pytest.mark.parametrize(
    ("column", "ending"), [("SeriesInstanceUID", ""), ("SOP Instance UID", ".9"), ("sop_uid", ".9")]
)
def test_a_row_of_a_series_or_an_image_names_no_others(column: str, ending: str, files: Path) -> None:
    columns: dict[str, Cell] = {column: lambda s: f"{_study(s)}.1{ending}", "StudyInstanceUID": _study}
    prepared = _prepare(_table(files, columns))
    assert set(_labels(prepared)) == {f"ST{s:03}/IM1" for s in range(STUDIES)}
    assert sum("no row that is used names it" in one.reason for one in prepared.excluded) == STUDIES


def test_rows_without_files_and_files_without_rows_are_named(files: Path) -> None:
    (files / "DICOM/ST000/photo.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    _image(files / "DICOM/bare", "X", np.random.default_rng(1), {"AccessionNumber": None})
    cells = ["", "888", "7.7E+04", *map(_accession, range(10))]
    prepared = _prepare(_table(files, {"accession": lambda i: cells[i]}, range(len(cells))))
    reasons = {Path(one.path).name: one.reason for one in prepared.excluded}
    assert reasons == {
        "ris.csv:2": "its AccessionNumber is empty",
        "ris.csv:3": "no DICOM file has its AccessionNumber",
        "ris.csv:4": "no DICOM file has its AccessionNumber: a spreadsheet has rounded it, export it as text",
        "IM0": (named := "no row that is used names it (by its AccessionNumber)"),
        "IM1": named,
        "bare": "has no AccessionNumber, so no row names it",
        "photo.png": "is no DICOM file, so no row names it",
    }


def test_files_that_another_table_names_are_not_left_out(files: Path) -> None:
    table = _table(files, {"accession": _accession}, range(6)).rename(files / "north.csv")
    other = _table(files, {"accession": _accession}, range(6, 11))
    config = PrepareConfig(near_duplicates=False, patients="ignore")
    said: list[str] = []
    prepared = prepare([table, other], config, files / "out.csv", lambda what, *_: said.append(what))
    assert said.count("reading headers") == 24, "once for both tables"
    assert len(prepared.manifest.rows) == 22
    assert ["/".join(Path(one.path).parts[-2:]) for one in prepared.excluded] == ["ST011/IM0", "ST011/IM1"]


def test_an_accession_number_of_two_studies_names_none(files: Path) -> None:
    tags = {"AccessionNumber": _accession(3), "StudyInstanceUID": "1.2.9"}
    _image(files / "DICOM/ST3b/IM0", "OTHER-77", np.random.default_rng(1), tags)
    prepared = _prepare(_table(files, {"accession": _accession}))
    assert "ST003/IM0" not in _labels(prepared)
    assert prepared.excluded[0].reason == "its AccessionNumber is that of several studies (2)"


def test_the_day_and_the_month_of_a_date_are_not_guessed(files: Path) -> None:
    rng = np.random.default_rng(2)
    for study in range(STUDIES):
        tags = {"StudyDate": ("20240304", "20240403")[study % 2], "StudyInstanceUID": _study(study)}
        for view in range(2):
            _image(files / f"DICOM/ST{study:03}/IM{view}", _mrn(study), rng, tags)
    cells = {"mrn": _mrn, "date": lambda s: ("03/04/2024", "04/03/2024")[s % 2]}
    with pytest.raises(DataError, match="dates in date may begin with the day or the month"):
        _prepare(_table(files, cells))
    cells["date"] = lambda s: ("4.3.2024", "3.4.2024")[s % 2]
    assert _labels(_prepare(_table(files, cells)))["ST002/IM0"] == _label(2)


def test_a_patient_of_one_study_needs_no_date(files: Path) -> None:
    for study in range(1, STUDIES, 2):
        for view in range(2):
            (files / f"DICOM/ST{study:03}/IM{view}").unlink()
    prepared = _prepare(_table(files, {"mrn": _mrn}, range(0, STUDIES, 2)))
    assert len(prepared.manifest.rows) == STUDIES


@pytest.mark.parametrize(
    ("columns", "options", "message"),
    [
        ({"mrn": _mrn}, {}, "a patient alone says no study: 6 of 6"),
        ({"mrn": _mrn}, {"columns": "path=mrn"}, "a patient alone says no study"),
        ({"accession": _accession, "prior_accession": _prior}, {}, "path=prior_accession"),
        ({"accession": _accession, "mrn": lambda s: _mrn(s + 4)}, {}, r"accession \(as Acc.* and mrn \(as Pat"),
        ({"mrn": _mrn, "report_date": lambda s: f"2024-{s + 1:02}-04"}, {}, "a patient alone says no study"),
        ({"mrn": _mrn, "study_date": _date, "exam_date": lambda s: _date(s ^ 1)}, {}, "study_date and exam_date name"),
        ({"mrn": _mrn, "StudyDate": lambda s: "2020-01-01"}, {}, "none names an existing image.* has the date in"),
        ({"age": _number}, {}, "of 24 DICOM files none has a value of a column as SOPInstanceUID"),
        ({"accession": _number}, {"columns": "path=accession"}, "of 24 DICOM files none has a value of accession as"),
    ],
)  # fmt: skip
def test_what_names_no_study_or_two_is_refused(
    columns: dict[str, Cell], options: dict[str, str], message: str, files: Path
) -> None:
    with pytest.raises(DataError, match=message) as refused:
        _prepare(_table(files, columns), **options)
    assert not [one for one in ("77000", "MRN1") if one in str(refused.value)]


def test_the_column_that_the_user_names_counts(files: Path) -> None:
    columns: dict[str, Cell] = {"accession": _accession, "prior": _prior}
    prepared = _prepare(_table(files, columns), columns="path=accession")
    assert _labels(prepared)["ST002/IM0"] == _label(2)


def test_a_table_elsewhere_needs_the_root(files: Path) -> None:
    (files / "tables").mkdir()
    table = _table(files, {"accession": _accession}).rename(files / "tables/ris.csv")
    with pytest.raises(DataError, match="no column for path, found accession, label"):
        _prepare(table)
    assert len(_prepare(table, root=str(files)).manifest.rows) == 2 * STUDIES


def test_files_that_are_called_as_the_number_count_before_tags(files: Path) -> None:
    for study in range(STUDIES):
        (files / f"DICOM/ST{study:03}/IM0").rename(files / f"DICOM/{_accession(study)}.dcm")
    prepared = _prepare(_table(files, {"accession": _accession}))
    assert len(prepared.manifest.rows) == STUDIES


def test_a_folder_of_studies_is_refused_with_the_command_that_reads_its_table(files: Path) -> None:
    _table(files, {"Accession No": _accession})
    with pytest.raises(DataError, match=r"ris\.csv --columns 'path=Accession No,label=label'"):
        prepare([files], PrepareConfig(near_duplicates=False), files / "out.csv")


def _sorted(files: Path, study: int = 0) -> Path:
    """The studies in folders of their classes, but for one in the other class's."""
    for s in range(STUDIES):
        (files / "set" / _label(s + 2 * (s == study - 1))).mkdir(parents=True, exist_ok=True)
        (files / f"DICOM/ST{s:03}").rename(files / "set" / _label(s + 2 * (s == study - 1)) / f"ST{s:03}")
    return files / "set"


@pytest.mark.parametrize(
    "columns",
    [{"accession": _accession, "person": _mrn}, {"study_uid": _study, "mrn": _mrn}, {"mrn": _mrn, "StudyDate": _date}],
    ids=lambda columns: ",".join(columns),
)
def test_a_table_beside_folders_of_classes_is_read_too(columns: dict[str, Cell], files: Path) -> None:
    root = _sorted(files)
    _table(root, columns)
    problems: list[str] = []
    manifest, prepared = read_folder(root, problems), _prepare(root)
    assert not problems
    for rows in (manifest.rows, prepared.manifest.rows):
        held = {s: {row.group for row in rows if row.path.parent.name == f"ST{s:03}"} for s in range(STUDIES)}
        assert all(len(who) == 1 and who == held[s ^ 1] for s, who in held.items())
        assert len({row.group for row in rows}) == STUDIES // 2
        assert not any("MRN" in row.group for row in rows)
    assert any("6 patients, for 24 of 24 images, found by " in note for note in manifest.notes)


def test_a_table_that_contradicts_the_folders_is_refused_with_commands_that_run(files: Path) -> None:
    root = _sorted(files, 5)
    table, problems = _table(root, {"Accession No": _accession}), list[str]()
    told = "its column label contradicts the folders of 2 of 24 images, e.g. no_fracture/ST004/IM0 lies "
    with pytest.raises(DataError, match=told) as refused:
        gather([root], PrepareConfig(), root)
    read_folder(root, problems)
    assert str(refused.value) in problems
    assert f"{table} --columns 'path=Accession No,label=label'" in str(refused.value)
    for columns in ("", "path=Accession No,label=label"):
        assert _labels(_prepare(table, columns=columns))["ST004/IM0"] == "fracture"


@pytest.mark.parametrize("columns", [{"Anforderung": _accession}, {"sop": lambda s: f"{_study(s)}.{s % 2}.9"}])
def test_a_table_of_what_is_to_be_predicted_names_files_by_tags(columns: dict[str, Cell], files: Path) -> None:
    table = _table(files, {**columns, "mrn": _mrn}, range(3))
    views = [{0, 1}] * 3 if "Anforderung" in columns else [{0}, {1}, {0}]
    images = [[files / f"DICOM/ST{s:03}/IM{v}" for v in views[s]] for s in range(3)]
    assert read_paths(table) == [one for own in images for one in own]
    assert read_studies(table) == {str(own[0]): own for own in images}


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"accession": lambda s: _accession(s) if s else "99"}, r"ris.csv:2: no DICOM file has its Acc"),
        (
            {"accession": _accession, "prior_accession": _prior},
            "(?s)different DICOM files.*Take out accession or prior",
        ),
        ({"mrn": _mrn}, "(?s)a patient alone says no study.*Add a column with the AccessionNumber"),
        ({"age": _number}, "of 24 DICOM files none has a value"),
    ],
)
def test_what_is_to_be_predicted_must_be_there(columns: dict[str, Cell], message: str, files: Path) -> None:
    with pytest.raises(DataError, match=message) as refused:
        read_paths(_table(files, columns))
    assert not [one for one in ("77000", "MRN1", "--columns") if one in str(refused.value)]
