"""CSV files as people save them: commas, semicolons, tabs or bars, with or without a header, in UTF-8 or UTF-16."""

import csv
import io
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import IO

from fracture.data.formats import SUFFIXES
from fracture.errors import DataError

TABLES = (".csv", ".tsv")
_DELIMITERS = ",;\t|"
_ENCODINGS = {b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"}
_PACKED = (b"PK\x03\x04", b"\xd0\xcf\x11\xe0")  # zip, as .xlsx and .ods are; .xls
_NO_TEXT = re.compile(rb"[\x00-\x08\x0e-\x1f]")
UNSEEN = " \t\r\n\f\v\xa0\u200b\u200c\u200d\u200e\u200f\u2060\ufeff"  # at the ends of cells; strip() leaves some
_NOT_WESTERN = re.compile(  # what other encodings look like in Windows-1252, and no Western word does
    r"[^\W\d_a-zA-Z]{3}|(?<![^\W\d_])[^\W\d_a-zA-Z]{2}(?![^\W\d_])"  # íîðìà, äà: letters with accents only
    r"|[a-zß-öø-ÿ][À-ÖØ-ÞŠŒŽŸ][a-zß-öø-ÿ]"  # BrŸche
    r"|(?<=[^\W\d_])[‚ƒ„†‡ˆ‰¢-§©¬¯±´¸¹²³¼-¾×÷](?=[^\W\d_])|[³²¹][^\W\d_a-z]"  # z³amanie, f‚mur
)
_TITLES = 6  # lines that may stand above a header
_LOOKED_AT = 20  # lines that tell what separates the columns
_END = "\ue000"  # a line that no file has
EXCESS = None  # key of the cells beyond the header's columns
Row = Mapping[str | None, str]  # cells by column


@dataclass(frozen=True)
class Table:
    """An open CSV.

    Attributes:
        names: of the columns, without blanks around them; their numbers, from 1, where there is no header.
        rows: line number and cells by column; cells beyond the header's columns stand under `EXCESS`.
        header: whether the first line names the columns.
        notes: what was taken for granted to read it, in sentences.
    """

    names: tuple[str, ...]
    rows: Iterator[tuple[int, dict[str | None, str]]]
    header: bool
    notes: tuple[str, ...] = ()


def is_table(path: Path) -> bool:
    """Whether the name ends as a table's does, and is not that of a folder."""
    return path.suffix.lower() in TABLES and not path.is_dir()


def named_column(name: str, names: Sequence[str]) -> str:
    """The column of that name, case, blanks, dashes and dots aside; empty if none."""
    if name in names:
        return name
    return {plain(own): own for own in reversed(names)}.get(plain(name), "")


def plain(name: str) -> str:
    """A column's name in lower case, with one underscore for blanks, dashes and dots, none at its end: ``pat_nr``."""
    return re.sub(r"[\s._-]+", "_", name.strip().lower()).rstrip("_") or name


@contextmanager
def open_table(path: Path, foreign: bool = False) -> Iterator[Table]:
    """Open a CSV, whatever separates its columns; what goes wrong on the way becomes one sentence.

    Args:
        path: of the CSV.
        foreign: read also Windows-1252 and what has titles above its header, and say so in the table's notes.

    Raises:
        DataError: not text, not a CSV, or two columns of one name.
    """
    try:
        data = path.read_bytes()
        if data.startswith(_PACKED):
            raise DataError(
                f"{path}: cannot be read as CSV: it is a workbook (Excel, LibreOffice) or an archive",
                "Open a workbook and save it as CSV (UTF-8).",
            )
        text, notes = _decoded(data, foreign)
        file = io.StringIO(text, newline="")
        delimiter, skipped, titles = _dialect(file, foreign)
        for _ in range(skipped):
            file.readline()
        _check_quotes(path, text, delimiter)
        begin = file.tell()
        reader = csv.reader(file, delimiter=delimiter, skipinitialspace=True)
        header = not _is_row([row for row in islice(reader, _LOOKED_AT) if any(row)])
        file.seek(begin)
        reader = csv.reader(file, delimiter=delimiter, skipinitialspace=True)
        yield _table(path, reader, header, skipped, (*notes, *titles))
    except UnicodeError as error:
        raise DataError(f"{path}: cannot be read as CSV: it is not UTF-8 text", "Save the CSV as UTF-8.") from error
    except OSError as error:
        raise DataError(f"{path}: cannot be read as CSV: {error.strerror or error}") from error
    except csv.Error as error:
        raise DataError(f"{path}: cannot be read as CSV: {error}") from error


def _check_quotes(path: Path, text: str, delimiter: str) -> None:
    """A quote that nothing ends takes the rows below it into its cell.

    Raises:
        DataError: a cell reaches to the end of the file, or holds a line that begins with the path of an image.
    """
    if '"' not in text:
        return
    lines = chain(io.StringIO(text, newline=""), ("\n", _END))
    reader = csv.reader(lines, delimiter=delimiter, skipinitialspace=True)
    row, widest = [""], 0
    with suppress(csv.Error):  # a cell that is too long
        for row in reader:
            widest = max(widest, len(row))
            inside = [line.split(delimiter) for cell in row if "\n" in cell for line in cell.splitlines()[1:]]
            if any(len(one) == widest and _is_path(one[0].strip()) for one in inside):
                break
    if row != [_END]:
        raise DataError(
            f"{path}: a quotation mark that nothing ends makes one cell of several rows, by line {reader.line_num}: "
            f"{max(row, key=len).partition(chr(10))[0][:60]}",
            'Take it out, or write it twice ("") inside a quoted cell.',
        )


def _decoded(data: bytes, foreign: bool) -> tuple[str, list[str]]:
    """The text, and a sentence where it is in the encoding of Windows in Western Europe.

    Raises:
        UnicodeError: it is in neither that nor UTF-8 or UTF-16.
    """
    try:
        return data.decode(_encoding(data)), []
    except UnicodeError:
        damaged = not data.decode("utf-8", "ignore").isascii()  # some of it is UTF-8
        if not foreign or damaged or data[:2] in _ENCODINGS or _NO_TEXT.search(data):
            raise
        text = data.decode("cp1252")
        if _NOT_WESTERN.search(text):
            raise
        odd = next(word for word in re.findall(r"[^\s,;|\"]+", text, re.ASCII) if not word.isascii())
        return text, [f"it is not UTF-8 and was read as Windows-1252: check that {odd} is spelt right"]


def _encoding(data: bytes) -> str:
    """The encoding that the first bytes tell, UTF-16 also without its mark, as programs under Windows save it."""
    if data[:2] in _ENCODINGS or 0 not in data[:2]:
        return _ENCODINGS.get(data[:2], "utf-8-sig")
    return "utf-16-be" if data[0] == 0 else "utf-16-le"


def _dialect(file: IO[str], foreign: bool) -> tuple[str, int, list[str]]:
    """The delimiter, how many lines stand above the header, and a sentence on them; the file stays at its beginning.

    The delimiter is the one that makes columns of the first line, or of the first line below titles, see `_delimiter`.
    """
    lines = [file.readline().rstrip("\r\n") for _ in range(_LOOKED_AT)]
    file.seek(0)
    if (first := lines[0].strip().strip('"').lower()).startswith("sep=") and len(first) == 5:
        return first[4], 1, []
    start = next((i for i, line in enumerate(lines) if line.strip()), 0)
    if foreign and len(_filled(lines[start])) < 2:
        below = next((i for i in range(start + 1, _TITLES + 1) if len(_filled(lines[i])) > 1), 0)
        if below and _is_header(_filled(lines[below])) and len(_filled(lines[below + 1])) > 1:
            return _delimiter(lines[below:]), below, [f"lines above the header are skipped: {lines[start][:80]}"]
    return _delimiter(lines[start:]), 0, []


def _delimiter(lines: Sequence[str]) -> str:
    """The one that makes as many columns of most lines as of the first: ``age, years;weight`` has a comma itself."""

    def fit(delimiter: str) -> tuple[float, int]:
        first, *others = [len(row) for row in csv.reader(lines, delimiter=delimiter) if row] or [0]
        return (sum(n == first for n in others) / max(len(others), 1) if first > 1 else -1.0), first

    best = max(_DELIMITERS, key=fit)
    return best if fit(best)[0] > 0 else max(_DELIMITERS, key=lambda one: fit(one)[1])


def _filled(line: str) -> list[str]:
    """The cells of a line that are not empty."""
    cells = next(csv.reader([line], delimiter=_delimiter([line])), [])
    return [cell.strip() for cell in cells if cell.strip()]


def _is_header(cells: Sequence[str]) -> bool:
    """Whether cells are plainly the names of columns."""
    return len(set(cells)) == len(cells) and not any(_is_path(cell) or cell[0].isdigit() for cell in cells)


def _is_row(rows: Sequence[Sequence[str]]) -> bool:
    """Whether the first of some rows is one of images, not the names of columns.

    A cell is a path, or each is like those below it: it stands there again, or only its numbers differ. Numbers that
    count from 0 or 1 are names that a program has given.
    """
    first, *below = [[cell.strip(UNSEEN) for cell in row] for row in rows] or [[]]
    if any(map(_is_path, first)):
        return True
    columns = [{row[i] for row in below if len(row) > i and row != first} for i in range(len(first))]
    told = [(cell, held) for cell, held in zip(first, columns, strict=True) if cell]
    if [cell for cell, _ in told] in ([str(i + start) for i in range(len(told))] for start in (0, 1)):
        return False
    return all(
        cell in held or (cell != _shape(cell) and _shape(cell) in map(_shape, held)) for cell, held in told
    )  # fmt: skip


def _shape(cell: str) -> str:
    """A cell without its numbers."""
    return re.sub(r"\d+(?:[.,]\d+)?", "#", cell)


def _table(
    path: Path, reader: Iterator[list[str]], header: bool, skipped: int, notes: tuple[str, ...]
) -> Table:  # fmt: skip
    first = [cell.strip(UNSEEN) for cell in next((row for row in reader if any(row)), [])]
    names = [cell or f"column {i}" for i, cell in enumerate(first, start=1)]
    while header and names and names[-1] == f"column {len(names)}":
        names.pop()  # a spreadsheet saves empty columns too
    if not header:
        names = [str(i) for i in range(1, len(first) + 1)]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise DataError(f"{path}: two columns are called {', '.join(twice)}", "Rename one, or take it out.")
    return Table(tuple(names), _rows(reader, names, [] if header else [first], skipped), header, notes)


def _rows(
    reader: Iterator[list[str]], names: list[str], first: list[list[str]], skipped: int
) -> Iterator[tuple[int, dict[str | None, str]]]:
    for row in first:
        yield skipped + 1, dict(zip(names, row, strict=True))
    for row in reader:
        cells = [cell.strip(UNSEEN) for cell in row]
        if not any(cells) or cells[: len(names)] == names:  # tables that were put together have their header again
            continue
        found: dict[str | None, str] = dict.fromkeys(names, "")
        found.update(zip(names, cells, strict=False))
        if any(cells[len(names) :]):
            found[EXCESS] = ", ".join(cells[len(names) :])
        yield skipped + getattr(reader, "line_num", 0), found


def _is_path(cell: str) -> bool:
    """Whether a cell of the first line is no column's name but the path of an image or of a folder."""
    return os.path.splitext(cell)[1].lower() in SUFFIXES or cell.endswith("/")  # noqa: PTH122


def read_lookup(path: Path, key: str, columns: Sequence[str]) -> dict[str, dict[str, str]]:
    """Some columns of a CSV by the value of another.

    Raises:
        DataError: not a CSV, or a column missing.
    """
    with open_table(path) as table:
        if missing := [name for name in (key, *columns) if name not in table.names]:
            raise DataError(f"{path}: column {' and '.join(missing)} missing, found {', '.join(table.names)}")
        return {row[key]: {name: row[name] for name in columns} for _, row in table.rows}
