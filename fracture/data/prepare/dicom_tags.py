"""Tables that name images by a tag of their DICOM files, as exports of a RIS or PACS do, instead of by a file.

What identifies a person or a study is in no message and in nothing that is written: rows are named by their number.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cached_property

from fracture.data.groups import grouped
from fracture.data.patients import plain_identifier
from fracture.data.prepare.dicom_headers import DATE, PATIENT, STUDY, Header
from fracture.data.prepare.index import Place
from fracture.data.prepare.pairs import canonical
from fracture.data.prepare.sheet import ROUNDED, Sheet
from fracture.data.tables import Row, plain
from fracture.errors import DataError

TAGS = {  # that may name images, those of the fewest first, each with what columns of it are called, without _
    "SOPInstanceUID": re.compile(r"(?:sop|instance|image|img|object|dicom)(?:instance)?u?id"),
    "SeriesInstanceUID": re.compile(r"series(?:instance)?u?id"),
    STUDY: re.compile(r"(?:study|exam)(?:instance)?u?id"),
    "AccessionNumber": re.compile(
        r"acc(?:ession)?(?:n|nr|no|num|number|id|#)?\.?|(?:anforderung|auftrag|zugang)s?(?:nr|nummer)\.?"
    ),
    PATIENT: re.compile(r"(?:patient(?:en)?|pat|subject)s?(?:nr|no|num|number|nummer|id|identifier)\.?|pid|mrn"),
}
_UIDS = tuple(TAGS)[:3]  # no two things in the world share one
_DATES = re.compile(
    r"(?:study|studien|exam|examination|acquisition|scan|imaging|untersuchungs)?(?:date|datum)(?:time)?"
)
_FORMATS = ("%Y%m%d", "%Y-%m-%d", "%Y/%m/%d", "%d.%m.%Y", "%d/%m/%Y", "%m/%d/%Y")
_MOSTLY = 0.8  # of the values of a column, or of the files, belong together where its name says nothing
_TELLING = re.compile(r"(?=.*\d).{5,}")  # no ages, counts and the like


class _Files:
    """DICOM files by the value of one tag; a number that a spreadsheet has taken the zeros from is found too."""

    def __init__(self, headers: Iterable[Header], tag: str) -> None:
        self.tag = tag
        held = [(value, header) for header in headers if (value := header.tags[tag])]
        self.exact = grouped(held)
        self._plain = grouped((value if tag in _UIDS else plain_identifier(value), header) for value, header in held)

    def find(self, value: str) -> list[Header]:
        """The files of a value of a table, which may be written as ``="0012"``."""
        text = canonical(value.strip("='\" "))
        return self.exact.get(text) or self._plain.get(plain_identifier(text), [])


@dataclass(frozen=True)
class Tagged:
    """How the rows of a table lead to DICOM files.

    Attributes:
        column: of the table, which holds ``files.tag``.
        files: by that tag.
        headers: of all DICOM files.
        identifying: further columns of tags, which are not to be kept.
        date: column of the study's date, empty where that is not needed.
        dates: what its values mean, as DICOM writes them.
    """

    column: str
    files: _Files
    headers: Sequence[Header]
    identifying: frozenset[str] = frozenset()
    date: str = ""
    dates: Mapping[str, str] | None = None

    def find(self, row: Row) -> Place:
        """The images that a row names: those of one study."""
        tag, value = self.files.tag, row.get(self.column, "")
        if not value:
            return Place(problem=f"its {tag} is empty")
        found = self.files.find(value)
        if not found:
            rounded = ": a spreadsheet has rounded it, export it as text" if ROUNDED.fullmatch(value) else ""
            return Place(problem=f"no DICOM file has its {tag}{rounded}")
        if self.dates is not None:
            found = [one for one in found if one.tags[DATE] == self.dates.get(row.get(self.date, ""))]
            if not found:
                return Place(problem=f"no DICOM file of its {tag} has the date in its {self.date}")
        if tag not in _UIDS and len(studies := {one.study if tag == PATIENT else one.tags[STUDY] for one in found}) > 1:
            return Place(problem=f"its {tag} is that of several studies ({len(studies)})")
        return Place(tuple(one.path for one in found))

    def why_unnamed(self, path: str) -> str:
        """Why no row names a file."""
        tags = self._tags.get(path)
        if tags is None:
            return "is no DICOM file, so no row names it"
        tag = self.files.tag
        return f"no row that is used names it (by its {tag})" if tags[tag] else f"has no {tag}, so no row names it"

    def study(self, path: str) -> str:
        """What tells the study of a file from others; its path where the file says none."""
        return self._tags[path][STUDY] or path

    def note(self) -> str:
        """How images are found, in a sentence."""
        tag = self.files.tag
        by = f"{tag} (column {self.column})" + (f" and {DATE} (column {self.date})" if self.date else "")
        whole = "" if tag == next(iter(TAGS)) else "; all images that share it have the label of its row"
        return f"images are found by {by} in the headers of {len(self.headers):,} DICOM files{whole}"

    @cached_property
    def _tags(self) -> dict[str, Mapping[str, str]]:
        return {one.path: one.tags for one in self.headers}


def find_tagged(sheet: Sheet, own: str = "") -> tuple[Tagged | None, str]:
    """How the rows of a table lead to DICOM files, and a sentence where there are such files and they do not.

    Args:
        sheet: the table.
        own: the only column that counts, empty for any.

    Raises:
        DataError: two columns or tags lead to different files, or a patient has several studies and no column tells
            which one is meant.
    """
    headers, problems = sheet.index.headers
    if not headers:
        return None, f"; DICOM files are there, but {problems[0]}" if problems else ""
    found = [
        Tagged(name, files, headers)
        for files in (_Files(headers, tag) for tag in TAGS)
        for name in ([own] if own else sheet.names)
        if _holds(name, files, sheet)
    ]
    sure = {one.column for one in found if _is_called(one.column, one.files.tag)}
    found = [one for one in found if one.column not in sure or _is_called(one.column, one.files.tag)]
    if not found:
        return None, f"; of {len(headers):,} DICOM files none has a value of {own or 'a column'} as {' or '.join(TAGS)}"
    chosen = found[0]
    for other in found[1:]:
        _check_agreement(sheet, chosen, other)
    identifying = {name for name in sheet.names if any(_is_called(name, tag) for tag in TAGS)}
    others = frozenset({*identifying, *(one.column for one in found)} - {chosen.column})
    chosen = _dated(sheet, chosen) if chosen.files.tag == PATIENT else chosen
    return replace(chosen, identifying=others), ""


def _squeezed(name: str) -> str:
    return plain(name).replace("_", "")


def _is_called(name: str, tag: str) -> bool:
    return TAGS[tag].fullmatch(_squeezed(name)) is not None


def _holds(name: str, files: _Files, sheet: Sheet) -> bool:
    """Whether a column holds a tag: some of its values where it is called so or they are UIDs, else most of them."""
    values = set(sheet.cells(name))
    hits = {value for value in values if files.find(value)}
    if not hits or files.tag in _UIDS or _is_called(name, files.tag):
        return bool(hits)
    telling = sum(_TELLING.match(value) is not None for value in hits) >= _MOSTLY * len(hits)
    return telling and len(hits) >= _MOSTLY * min(len(values), len(files.exact))


def _check_agreement(sheet: Sheet, chosen: Tagged, other: Tagged) -> None:
    """What a finer tag names must be among what a coarser one names.

    Raises:
        DataError: it is not, in some row.
    """
    same = chosen.files.tag == other.files.tag
    wrong = []
    for number, row in enumerate(sheet.rows, start=1):
        fine, coarse = ({h.path for h in one.files.find(row.get(one.column, ""))} for one in (chosen, other))
        if fine and coarse and not (fine == coarse if same else fine <= coarse):
            wrong.append(number)
    if not wrong:
        return
    said = " and ".join(f"{one.column} (as {one.files.tag})" for one in (chosen, other))
    raise DataError(
        f"{sheet.path}: {said} lead to different DICOM files in {len(wrong):,} of {len(sheet.rows):,} rows, the first "
        f"is row {wrong[0]} below the header",
        f"Call the column {chosen.files.tag} or {other.files.tag}." if chosen.column == other.column else
        f"{sheet.which('path', chosen.column, other.column)}.",
    )  # fmt: skip


def _dated(sheet: Sheet, chosen: Tagged) -> Tagged:
    """Patients with the date of the study, where a column holds it.

    Raises:
        DataError: two columns, or two ways to read one, name different studies; or there is none, and a patient has
            several studies.
    """
    known = [row for row in sheet.rows if chosen.files.find(row.get(chosen.column, ""))]
    scored: list[tuple[int, Tagged]] = []
    for name in sheet.names:
        for dates in _readings({row[name] for row in known if row.get(name)}):
            one = replace(chosen, date=name, dates=dates)
            hits = sum(bool(one.find(row).files) for row in known)
            if hits >= _MOSTLY * len(known) or _DATES.fullmatch(_squeezed(name)):
                scored.append((hits, one))
    best = max((hits for hits, _ in scored), default=0)
    ways = [one for hits, one in scored if hits == best]
    if not ways:
        several = {row[chosen.column] for row in known if chosen.find(row).problem}
        if several:
            raise DataError(
                f"{sheet.path}: a patient alone says no study: {len(several):,} of "
                f"{len({row[chosen.column] for row in known}):,} values of {chosen.column} have several in the DICOM "
                "files",
                "Add a column with the AccessionNumber, StudyInstanceUID or StudyDate of each row.",
            )
        return chosen
    for other in ways[1:]:
        if any(ways[0].find(row).files != other.find(row).files for row in known):
            same = other.date == ways[0].date
            raise DataError(
                f"{sheet.path}: dates in {ways[0].date} "
                + ("may begin with the day or the month" if same else f"and {other.date} name different studies"),
                "Write them as 2024-01-31." if same else "Take out the column that is not the date of the study.",
            )
    return ways[0]


def _readings(values: set[str]) -> list[dict[str, str]]:
    """Every way to read values as dates, those of DICOM by value; none where one of them is no date."""
    found = []
    for form in _FORMATS if values else ():
        with suppress(ValueError):
            found.append({
                value: datetime.strptime(re.split(r"[ T]", canonical(value))[0], form).strftime("%Y%m%d")  # noqa: DTZ007
                for value in values
            })  # fmt: skip
    return found
