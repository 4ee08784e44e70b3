"""The images, and the studies, that a CSV lists; it needs no labels."""

from pathlib import Path

from fracture.data.listing import first
from fracture.data.manifest import STUDY
from fracture.data.prepare.columns import Columns, find_columns
from fracture.data.prepare.index import FileIndex
from fracture.data.prepare.sheet import Sheet
from fracture.data.tables import Row, open_table, plain
from fracture.errors import DataError


def read_paths(path: Path) -> list[Path]:
    """The images that a CSV names, by their files or by a tag of DICOM files, each once; it needs no labels.

    Raises:
        DataError: not a CSV, no column that leads to images, or a row that leads to none.
    """
    return list(dict.fromkeys(file for _, files in _found(path)[1] for file in files))


def read_studies(path: Path) -> dict[str, list[Path]]:
    """The images of each study that a CSV names, an image once a study; without that column, of each patient or group.

    An image of neither is a study of its own, by its path. Studies of two patients are two, be their names the same.
    Where tags name DICOM files, these say the studies, which are called after their first images.

    Raises:
        DataError: as `read_paths`, or there is no column of studies, patients or groups.
    """
    columns, rows = _found(path)
    studies: dict[str, dict[Path, None]] = {}
    if columns.tagged:
        names: dict[str, str] = {}
        for file in [file for _, files in rows for file in files]:
            name = names.setdefault(columns.tagged.study(str(file)), str(file))
            studies.setdefault(name, {})[file] = None
        return {name: list(files) for name, files in studies.items()}
    study = next((name for name in rows[0][0] if name is not None and plain(name) in STUDY), "") if rows else ""
    patient = columns.one.get("patient", "")
    if not study and not patient:
        raise DataError(f"{path}: no column study, patient or group says which images belong together")
    meant = [name for name in dict.fromkeys((patient, study)) if name]
    for row, files in rows:
        own = [row[name].strip() for name in meant] if row[study or patient].strip() else []
        for file in files:
            studies.setdefault("/".join(filter(None, own)) or str(file), {})[file] = None
    return {name: list(files) for name, files in studies.items()}


def _found(path: Path) -> tuple[Columns, list[tuple[Row, list[Path]]]]:
    """The columns of a CSV, and each row with the images that it names.

    Raises:
        DataError: see `read_paths`.
    """
    index = FileIndex(path.parent, anywhere=True)
    with open_table(path, foreign=True) as table:
        rows = list(table.rows)
    sheet = Sheet(path, table.names, [row for _, row in rows], index, table.header, option="")
    columns = find_columns(sheet, {}, labelled=False, resplit=True, tags=True)
    found: list[tuple[Row, list[Path]]] = []
    problems = []
    for number, row in rows:
        place = columns.place(row, index)
        found.append((row, [Path(file) for file in place.files]))
        if not place.files:
            named = "" if columns.tagged else f" {columns.path(row)[:300]}"
            problems.append(f"{path}:{number}{named}: {place.problem}")
    if problems:
        raise DataError(first(problems))
    return columns, found
