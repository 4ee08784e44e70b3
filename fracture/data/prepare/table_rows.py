"""One row of a table: the record of each image that it names, or what is wrong with it."""

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from fracture.data.annotations.shares import Unusable
from fracture.data.groups import grouped
from fracture.data.inspection.identity import digest, is_placeholder
from fracture.data.manifest import SPLITS, STUDY, split_name, study_of
from fracture.data.patients import plain_identifier
from fracture.data.prepare.cells import COLD, EMPTY, HOT, findings_of, is_code, is_unknown
from fracture.data.prepare.columns import Columns
from fracture.data.prepare.config import PrepareConfig
from fracture.data.prepare.drawn_boxes import DrawnBoxes, together
from fracture.data.prepare.index import FileIndex
from fracture.data.prepare.levels import are_small
from fracture.data.prepare.pairs import canonical, found_by
from fracture.data.prepare.paths import patient_of, split_of
from fracture.data.prepare.records import Record
from fracture.data.prepare.table_boxes import BoxColumns
from fracture.data.tables import EXCESS, Row, plain


@dataclass(frozen=True)
class Reading:
    """How the rows of one table are read; ``several``: each names images in several columns."""

    columns: Columns
    index: FileIndex
    source: str
    config: PrepareConfig
    known: frozenset[str]
    ours: bool
    labels: frozenset[str]
    mapped: frozenset[str]
    boxes: BoxColumns | None
    key: bytes
    several: tuple[str, ...]
    personal: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Named:
    """A record and the name that led to its file.

    Attributes:
        record: of the file.
        name: in the table.
        elsewhere: the file lies in another folder than the name says.
        folder: that the name is of, empty where it is of a file.
    """

    record: Record
    name: str
    elsewhere: bool
    folder: str


class Unlabelled(Unusable):
    """A row without a class; the message is the reason."""


def read_row(row: Row, reading: Reading) -> list[Named]:
    """The records of one row, several where it names a folder.

    Raises:
        Unlabelled: it has no class.
        Unusable: something else is wrong with it.
    """
    text = {meaning: row[name] for meaning, name in reading.columns.one.items()}
    if row.get(EXCESS):
        raise Unusable(f"the row has more cells than the header has columns: {row[EXCESS][:60]}")
    if not text["path"] and not reading.columns.tagged:
        raise Unusable("its path is empty")
    given = text.get("split", "")
    if given and not split_name(given) and not reading.config.resplit:
        raise Unusable(f"split {given!r} is none of {', '.join(SPLITS)}")
    label, findings = _label(row, text, reading)
    found = reading.columns.place(row, reading.index)
    if found.problem:
        raise Unusable(found.problem)
    drawn = reading.boxes.read(row, label or "|".join(findings or ()) or "finding") if reading.boxes else None
    if drawn and (drawn.shares or drawn.pixels) and (len(found.files) > 1 or reading.several):
        raise Unusable("its box is drawn on one image, and rows name several: write a row for each image")
    made = [_record(file, row, text, reading, label, findings, drawn) for file in found.files]
    folder = _around(found.files, reading.index) if found.folder else ""
    if not all(one.label or one.findings is not None or "" in reading.mapped for one in made):
        raise Unlabelled("label_pattern finds no class in its path")
    return [Named(one, reading.columns.path(row), found.elsewhere, folder) for one in made]


def _around(files: Sequence[str], index: FileIndex) -> str:
    """The folder that holds all of some files, from the folder that paths start from."""
    folder = os.path.commonpath([os.path.dirname(file) for file in files])  # noqa: PTH120
    return os.path.relpath(folder, index.real).replace(os.sep, "/")


def _label(row: Row, text: Mapping[str, str], reading: Reading) -> tuple[str, tuple[str, ...] | None]:
    """The row's label, or all classes that it names.

    Raises:
        Unlabelled: it names none.
    """
    columns, config = reading.columns, reading.config
    if config.label_pattern:
        return "", None
    if columns.labels:
        odd = [name for name in columns.labels if canonical(row[name]).lower() not in HOT | COLD]
        if odd:
            raise Unlabelled(f"its {odd[0]} is {row[odd[0]]!r}, neither 1 nor 0")
        return "", tuple(name for name in columns.labels if canonical(row[name]).lower() in HOT)
    label = canonical(text["label"])
    if is_unknown(label, reading.labels) and not {label, text["label"]} & reading.mapped:
        raise Unlabelled(f"its label is {label!r}: its class is unknown")
    if is_code(label) and not {label, text["label"]} & reading.mapped:
        raise Unlabelled(f"its label is a value of a program that names no class: {label[:60]}")
    parts = findings_of(label, reading.labels)
    if reading.boxes or (label and parts != [label]):
        return "", tuple(parts)
    if not label and "" not in reading.mapped:
        raise Unlabelled(EMPTY)
    return label, None


def _record(
    file: str, row: Row, text: Mapping[str, str], reading: Reading, label: str, findings: tuple[str, ...] | None,
    drawn: DrawnBoxes | None,
) -> Record:  # fmt: skip
    config, source = reading.config, reading.source
    below = os.path.relpath(file, reading.index.real).replace(os.sep, "/")
    said = "" if reading.ours else _coded(text.get("patient", ""), reading)
    named = said
    if not named and not reading.ours:
        named = (found_by(config.group_pattern, "group", below) or "") if config.group_pattern else patient_of(below)
    if config.label_pattern:
        label = found_by(config.label_pattern, "label", below) or ""
    split = split_name(text.get("split", ""))
    if "split" not in text and not reading.ours:  # the folders say it, or the one that the table lies in
        split = split_of(below) or split_name(Path(reading.index.real).name)
    extra = {name: value for name, value in row.items() if isinstance(name, str) and name not in reading.known}
    if "study" in text:
        extra = {name: value for name, value in extra.items() if plain(name) not in STUDY}
    record = Record(
        Path(file), label, split, group=text.get("patient", "") if reading.ours else "",
        patient=f"{source}/{named}" if named else "",  # one in all of a table, whatever site each image is from
        source=text.get("source") or source, findings=findings, reader=text.get("reader", ""), drawn=drawn,
        extra=extra,
    )  # fmt: skip
    study = _coded(text.get("study", ""), reading)
    if not study or (is_placeholder(study) and not named):
        return record
    return of_study(record, f"{named} {study}".strip())  # two patients may each have a study 1


def with_studies(records: Sequence[Named]) -> list[Named]:
    """The records of rows that name folders with a few images each as studies: these were taken together."""
    folders = Counter(one.folder for one in records if one.folder)
    return [
        replace(one, record=of_study(one.record, one.folder)) if one.folder and are_small(folders) else one
        for one in records
    ]


def of_study(record: Record, folder: str) -> Record:
    """The record as one of the study that a folder, or a line of the table, holds."""
    extra = record.extra if study_of(record.extra) else {**record.extra, "study": folder}
    return replace(record, study=f"{record.source}/{folder}", extra=extra)


def _coded(text: str, reading: Reading) -> str:
    """The patient or study that a cell names, as a digest where the table has a key for that."""
    name = canonical(text)
    if is_placeholder(name) or not reading.key:
        return name
    return digest(f"patient {plain_identifier(name)}", reading.key)


def join_boxes(records: Sequence[Record]) -> list[Record]:
    """One record an image and reader, with all its boxes and their classes."""
    rows = grouped(((record.path, record.reader), record) for record in records)
    return [
        replace(held[0], findings=_classes(held), drawn=together(one.drawn for one in held)) for held in rows.values()
    ]


def _classes(rows: Sequence[Record]) -> tuple[str, ...] | None:
    if all(row.findings is None for row in rows):
        return None
    return tuple(dict.fromkeys(one for row in rows for one in row.findings or ()))
