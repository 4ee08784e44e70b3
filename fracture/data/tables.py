"""CSV files as people save them: commas, semicolons, tabs or bars, with or without a header, in UTF-8 or UTF-16."""

import csv
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from fracture.data.formats import SUFFIXES
from fracture.errors import DataError

TABLES = (".csv", ".tsv")
_DELIMITERS = ",;\t|"
_HEAD = 1 << 16
_ENCODINGS = {b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"}
EXCESS = None  # key of the cells beyond the header's columns


@dataclass(frozen=True)
class Table:
    """An open CSV.

    Attributes:
        names: of the columns, without blanks around them; their numbers, from 1, where there is no header.
        rows: line number and cells by column; cells beyond the header's columns stand under `EXCESS`.
        header: whether the first line names the columns.
    """

    names: tuple[str, ...]
    rows: Iterator[tuple[int, dict[str | None, str]]]
    header: bool


def is_table(path: Path) -> bool:
    """Whether the name ends as a table's does."""
    return path.suffix.lower() in TABLES


def named_column(name: str, names: Sequence[str]) -> str:
    """The column of that name, case, blanks and dashes aside; empty if none."""
    if name in names:
        return name
    return {plain(own): own for own in reversed(names)}.get(plain(name), "")


def plain(name: str) -> str:
    """A column's name in lower case, with underscores for blanks and dashes."""
    return name.strip().lower().replace(" ", "_").replace("-", "_")


@contextmanager
def open_table(path: Path) -> Iterator[Table]:
    """Open a CSV, whatever separates its columns; what goes wrong on the way becomes one sentence.

    Raises:
        DataError: not text, not a CSV, or two columns of one name.
    """
    try:
        with path.open("rb") as raw:
            encoding = _ENCODINGS.get(raw.read(2), "utf-8-sig")
        with path.open(newline="", encoding=encoding) as file:
            delimiter, skipped = _dialect(file)
            reader = csv.reader(file, delimiter=delimiter, skipinitialspace=True)
            yield _table(path, reader, skipped)
    except UnicodeError as error:
        raise DataError(f"{path}: cannot be read as CSV: it is not UTF-8 text", "Save the CSV as UTF-8.") from error
    except OSError as error:
        raise DataError(f"{path}: cannot be read as CSV: {error.strerror or error}") from error
    except csv.Error as error:
        raise DataError(f"{path}: cannot be read as CSV: {error}") from error


def _dialect(file: IO[str]) -> tuple[str, int]:
    """The delimiter that makes most columns of the first line, and the number of lines that Excel put before it."""
    head = file.read(_HEAD).splitlines()
    file.seek(0)
    if head and (first := head[0].strip().strip('"').lower()).startswith("sep=") and len(first) == 5:
        file.readline()
        return first[4], 1
    line = next((line for line in head if line.strip()), "")
    return max(_DELIMITERS, key=lambda one: len(next(csv.reader([line], delimiter=one), []))), 0


def _table(path: Path, reader: Iterator[list[str]], skipped: int) -> Table:
    first = [cell.strip() for cell in next((row for row in reader if any(row)), [])]
    header = not any(_is_path(cell) for cell in first)
    names = [cell or f"column {i}" for i, cell in enumerate(first, start=1)]
    while header and names and names[-1] == f"column {len(names)}":
        names.pop()  # a spreadsheet saves empty columns too
    if not header:
        names = [str(i) for i in range(1, len(first) + 1)]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise DataError(f"{path}: two columns are called {', '.join(twice)}", "Rename one, or take it out.")
    return Table(tuple(names), _rows(reader, names, [] if header else [first], 1 + skipped), header)


def _rows(
    reader: Iterator[list[str]], names: list[str], first: list[list[str]], line: int
) -> Iterator[tuple[int, dict[str | None, str]]]:
    for row in first:
        yield line, dict(zip(names, row, strict=True))
    for row in reader:
        line = max(line + 1, getattr(reader, "line_num", 0))
        cells = [cell.strip() for cell in row]
        if not any(cells):
            continue
        found: dict[str | None, str] = dict.fromkeys(names, "")
        found.update(zip(names, cells, strict=False))
        if any(cells[len(names) :]):
            found[EXCESS] = ", ".join(cells[len(names) :])
        yield line, found


def _is_path(cell: str) -> bool:
    """Whether a cell of the first line is no column's name but the path of an image or of a folder."""
    return os.path.splitext(cell)[1].lower() in SUFFIXES or cell.endswith("/")  # noqa: PTH122
