"""Which column of a table leads to the images, where the user names none."""

import os
import re
from collections.abc import Mapping, Sequence
from itertools import chain, combinations, pairwise, permutations
from pathlib import Path

from fracture.data.formats import SUFFIXES
from fracture.data.prepare.index import FileIndex
from fracture.data.prepare.pairs import canonical
from fracture.data.tables import plain
from fracture.errors import DataError

_LOOKED_AT = 50  # rows
_FEW = 10  # rows that tell which columns are folders
_MOSTLY = 0.8  # of the values of a column of paths lead to a file
_DISTINCT = 0.9  # of the values of a column that could be one of paths as well are other ones than those before
_REPEATED = 0.2  # likewise, of identifiers of images that several rows name
_FOLDERS = 0.5  # likewise, of folders: those of classes are named by more rows
IDENTIFIER = re.compile(r"(?:.*_)?(?:id|no|nr|num|number|key|hash|uid|identifier|hn|uhid)s?|.*nummer")
_ROW_NUMBERS = re.compile(r"column_\d+|unnamed:_\d+|index|level_0|row|#")  # columns that programs add

Rows = Sequence[Mapping[str | None, str]]


def path_column(
    path: Path, names: Sequence[str], rows: Rows, index: FileIndex, known: Sequence[str]
) -> tuple[str, str]:
    """The column of paths, empty if there is none, and a sentence where its name does not say so.

    Args:
        path: of the table.
        names: its columns.
        rows: its first rows.
        index: where files are looked for.
        known: the columns that their names make ones of paths, the best first.

    Raises:
        DataError: two columns lead to different images, and neither is plainly one of paths.
    """
    rows = rows[:_LOOKED_AT]
    plainly = [name for name in names if _is_plain(name, rows)]
    if known and known[0] in plainly:
        listed = [name for name in known if name in plainly]
        chosen = known[0] if len(listed) == 1 else _only(path, known[0], listed, rows, index)
        return chosen, _further(chosen, [name for name in plainly if name not in known], rows, index)
    sure = {*known, *plainly}
    leading = [name for name in names if _leads(name, rows, index)]
    leading = [name for name in leading if name in sure or not _by_chance(name, rows, index)]
    best = max(leading, key=lambda name: (name in plainly, _hits(name, rows, index)), default="")
    first = known[0] if known else best
    other = [name for name in leading if name in plainly and name != first and _differ(first, name, rows, index)]
    if first in leading and first not in plainly and other:
        chosen = _only(path, other[0], [name for name in leading if name in plainly], rows, index)
        return chosen, f"{first} leads to other images than {chosen}, which holds paths and is taken"
    could = [name for name in leading if name in plainly or (first not in plainly and _is_telling(name, rows))]
    return (_only(path, first, could, rows, index) if first in leading else first), ""


def folder_columns(column: str, names: Sequence[str], rows: Rows, index: FileIndex) -> tuple[str, ...]:
    """The columns of the folders in front of a file's name, where files of several folders have such names.

    Args:
        column: of the names.
        names: of all columns.
        rows: the table's.
        index: where files are looked for.
    """
    rows = [row for row in rows if row.get(column)][:_LOOKED_AT]
    if not any(index.find(row[column]).namesakes for row in rows):
        return ()
    others, rows = [name for name in names if name != column], rows[:_FEW]
    for held in chain(combinations(others, 1), permutations(others, 2)):
        found = [index.find("/".join([*(canonical(row[name]) for name in held), row[column]])) for row in rows]
        if sum(bool(place.files) and not place.elsewhere for place in found) >= _MOSTLY * len(rows):
            return held
    return ()


def _further(chosen: str, names: Sequence[str], rows: Rows, index: FileIndex) -> str:
    """A sentence on columns that hold paths of other images than the chosen one."""
    other = [name for name in names if _leads(name, rows, index) and _differ(chosen, name, rows, index)]
    both = ",".join([chosen, *other])
    return f"{', '.join(other)}: other images than {chosen}, not used; --columns path={both} uses them" if other else ""


def _only(path: Path, chosen: str, could: Sequence[str], rows: Rows, index: FileIndex) -> str:
    """The chosen column.

    Raises:
        DataError: another one leads to other images.
    """
    for name in could:
        if name != chosen and (row := _differ(chosen, name, rows, index)):
            raise DataError(
                f"{path}: the columns {chosen} and {name} lead to different images, e.g. {row[chosen]} and {row[name]}",
                f"Say which one counts: --columns path={chosen} or --columns path={name}; or, where each row has "
                f"several images: --columns path={chosen},{name}.",
            )
    return chosen


def _differ(one: str, other: str, rows: Rows, index: FileIndex) -> Mapping[str | None, str] | None:
    """The first row in which two columns lead to different images."""
    for row in rows:
        first, second = index.find(row.get(one, "")).files, index.find(row.get(other, "")).files
        if row.get(one) and row.get(other) and first and second and first != second:
            return row
    return None


def _is_plain(name: str, rows: Rows) -> bool:
    """Whether a column plainly holds paths or names of files."""
    values = [row[name] for row in rows if row[name]]
    paths = sum(os.path.splitext(value)[1].lower() in SUFFIXES or "/" in value or "\\" in value for value in values)  # noqa: PTH122
    return bool(values) and paths >= _MOSTLY * len(values)


def _is_telling(name: str, rows: Rows) -> bool:
    """Whether the values could each name an image: they differ, and do not just count the rows."""
    return is_distinct(name, rows) and not _is_counting(name, rows)


def is_distinct(name: str, rows: Rows, share: float = _DISTINCT) -> bool:
    """Whether nearly each row, or a share of them, holds a value of its own in a column, which may be missing."""
    values = [row[name] for row in rows if row.get(name)]
    return bool(values) and len(set(values)) >= share * len(values)


def _is_counting(name: str, rows: Rows) -> bool:
    """Whether the values of a column just count the rows."""
    values = [row[name] for row in rows if row[name]]
    numbers = [int(value) for value in values if value.isdecimal()]
    return len(numbers) == len(values) and all(b - a == 1 for a, b in pairwise(numbers))


def _by_chance(name: str, rows: Rows, index: FileIndex) -> bool:
    """Whether a column leads to images though it may be one of ages, counts or rows, or of classes or body parts.

    The former lead to files called ``1``, ``2``, ..., the latter to folders.
    """
    values = {row[name] for row in rows if row[name]}
    if all(index.find(value).folder for value in values):
        return not is_distinct(name, rows, _FOLDERS)
    if not all(value.removesuffix(".0").isdecimal() for value in values):
        return False
    if _ROW_NUMBERS.fullmatch(plain(name)) and _is_counting(name, rows):
        return True
    share = _REPEATED if IDENTIFIER.fullmatch(plain(name)) else _DISTINCT
    return not is_distinct(name, rows, share)


def _leads(name: str, rows: Rows, index: FileIndex) -> bool:
    """Whether the values of a column mostly lead to files."""
    values = {row[name] for row in rows if row[name]}
    return bool(values) and _hits(name, rows, index) >= _MOSTLY * len(values)


def _hits(name: str, rows: Rows, index: FileIndex) -> int:
    return sum(bool(index.find(value).files) for value in {row[name] for row in rows if row[name]})
