"""Which column of a table leads to the images, where the user names none."""

import os
import re
from collections.abc import Sequence
from itertools import chain, combinations, pairwise, permutations

from fracture.data.formats import SUFFIXES
from fracture.data.prepare.pairs import canonical
from fracture.data.prepare.sheet import Sheet
from fracture.data.tables import Row, plain
from fracture.errors import DataError

_LOOKED_AT = 50  # rows
_FEW = 10  # rows that tell which columns are folders
_MOSTLY = 0.8  # of the values of a column of paths lead to a file
_DISTINCT = 0.9  # of the values of a column that could be one of paths as well are other ones than those before
_REPEATED = 0.2  # likewise, of identifiers of images that several rows name
_FOLDERS = 0.5  # likewise, of folders: those of classes are named by more rows
IDENTIFIER = re.compile(r"(?:.*_)?(?:id|no|nr|num|number|key|hash|uid|identifier|hn|uhid)s?|.*nummer")
_ROW_NUMBERS = re.compile(r"column_\d+|unnamed:_\d+|index|level_0|row|#")  # columns that programs add


def path_column(sheet: Sheet, names: Sequence[str], known: Sequence[str]) -> tuple[str, str, str]:
    """The column of paths, empty if there is none, with a sentence where its name does not say so.

    The third is a sentence on columns of other images, which are not used.

    Args:
        sheet: the table, of which the first rows are looked at.
        names: its columns that may be the one.
        known: the columns that their names make ones of paths, the best first.

    Raises:
        DataError: two columns lead to different images, and neither is plainly one of paths.
    """
    sheet = sheet.first(_LOOKED_AT)
    plainly = [name for name in names if _is_plain(name, sheet)]
    if known and known[0] in plainly:
        listed = [name for name in known if name in plainly]
        chosen = known[0] if len(listed) == 1 else _only(known[0], listed, sheet)
        return chosen, "", _further(chosen, [name for name in plainly if name not in known], sheet)
    sure = {*known, *plainly}
    leading = [name for name in names if _leads(name, sheet)]
    leading = [name for name in leading if name in sure or not _by_chance(name, sheet)]
    best = max(leading, key=lambda name: (name in plainly, _hits(name, sheet)), default="")
    first = known[0] if known else best
    other = [name for name in leading if name in plainly and name != first and _differ(first, name, sheet)]
    if first in leading and first not in plainly and other:
        chosen = _only(other[0], [name for name in leading if name in plainly], sheet)
        return chosen, f"{first} leads to other images than {chosen}, which holds paths and is taken", ""
    could = [name for name in leading if name in plainly or (first not in plainly and _is_telling(name, sheet))]
    return (_only(first, could, sheet) if first in leading else first), "", ""


def folder_columns(sheet: Sheet, column: str) -> tuple[str, ...]:
    """The columns of the folders in front of a column's file names, where files of several folders have such names."""
    index, rows = sheet.index, [row for row in sheet.rows if row.get(column)][:_LOOKED_AT]
    if not any(index.find(row[column]).namesakes for row in rows):
        return ()
    others, rows = [name for name in sheet.names if name != column], rows[:_FEW]
    for held in chain(combinations(others, 1), permutations(others, 2)):
        found = [index.find("/".join([*(canonical(row[name]) for name in held), row[column]])) for row in rows]
        if sum(bool(place.files) and not place.elsewhere for place in found) >= _MOSTLY * len(rows):
            return held
    return ()


def _further(chosen: str, names: Sequence[str], sheet: Sheet) -> str:
    """A sentence on columns that hold paths of other images than the chosen one."""
    other = [name for name in names if _leads(name, sheet) and _differ(chosen, name, sheet)]
    if not other:
        return ""
    both = sheet.say("path", ",".join([chosen, *other]))
    way = f"{both} uses them" if sheet.option else "write a row for each image"
    return f"{', '.join(other)}: other images than {chosen}, not used; {way}"


def _only(chosen: str, could: Sequence[str], sheet: Sheet) -> str:
    """The chosen column.

    Raises:
        DataError: another one leads to other images.
    """
    for name in could:
        if name != chosen and (row := _differ(chosen, name, sheet)):
            both = f": {sheet.say('path', f'{chosen},{name}')}" if sheet.option else ", write a row for each image"
            raise DataError(
                f"{sheet.path}: the columns {chosen} and {name} lead to different images, e.g. {row[chosen]} and "
                f"{row[name]}",
                f"{sheet.which('path', chosen, name)}; or, where each row has several images{both}.",
            )
    return chosen


def _differ(one: str, other: str, sheet: Sheet) -> Row | None:
    """The first row in which two columns lead to different images."""
    for row in sheet.rows:
        first, second = sheet.index.find(row.get(one, "")).files, sheet.index.find(row.get(other, "")).files
        if row.get(one) and row.get(other) and first and second and first != second:
            return row
    return None


def _is_plain(name: str, sheet: Sheet) -> bool:
    """Whether a column plainly holds paths or names of files."""
    values = sheet.cells(name)
    paths = sum(os.path.splitext(value)[1].lower() in SUFFIXES or "/" in value or "\\" in value for value in values)  # noqa: PTH122
    return bool(values) and paths >= _MOSTLY * len(values)


def _is_telling(name: str, sheet: Sheet) -> bool:
    """Whether the values could each name an image: they differ, and do not just count the rows."""
    return is_distinct(name, sheet) and not _is_counting(name, sheet)


def is_distinct(name: str, sheet: Sheet, share: float = _DISTINCT) -> bool:
    """Whether nearly each row, or a share of them, holds a value of its own in a column, which may be missing."""
    values = sheet.cells(name)
    return bool(values) and len(set(values)) >= share * len(values)


def _is_counting(name: str, sheet: Sheet) -> bool:
    """Whether the values of a column just count the rows."""
    values = sheet.cells(name)
    numbers = [int(value) for value in values if value.isdecimal()]
    return len(numbers) == len(values) and all(b - a == 1 for a, b in pairwise(numbers))


def _by_chance(name: str, sheet: Sheet) -> bool:
    """Whether a column leads to images though it may be one of ages, counts or rows, or of classes or body parts.

    The former lead to files called ``1``, ``2``, ..., the latter to folders.
    """
    values = set(sheet.cells(name))
    if all(sheet.index.find(value).folder for value in values):
        return not is_distinct(name, sheet, _FOLDERS)
    if not all(value.removesuffix(".0").isdecimal() for value in values):
        return False
    if _ROW_NUMBERS.fullmatch(plain(name)) and _is_counting(name, sheet):
        return True
    share = _REPEATED if IDENTIFIER.fullmatch(plain(name)) else _DISTINCT
    return not is_distinct(name, sheet, share)


def _leads(name: str, sheet: Sheet) -> bool:
    """Whether the values of a column mostly lead to files."""
    values = set(sheet.cells(name))
    return bool(values) and _hits(name, sheet) >= _MOSTLY * len(values)


def _hits(name: str, sheet: Sheet) -> int:
    return sum(bool(sheet.index.find(value).files) for value in set(sheet.cells(name)))
