"""CSV files: a user's own list of images, and the label tables of published data sets."""

import csv
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from fracture.data.groups import original_keys
from fracture.data.manifest import COLUMNS, SPLITS, split_name
from fracture.data.prepare.paths import place
from fracture.data.prepare.records import Exclusion, Record
from fracture.errors import DataError

SPELLINGS: dict[str, tuple[str, ...]] = {
    "path": ("path", "file", "filename", "file_name", "image", "image_path", "filepath", "image_id"),
    "label": ("label", "class", "cls", "target", "category", "diagnosis"),
    "patient": (
        "group",
        "patient",
        "patient_id",
        "patientid",
        "subject",
        "subject_id",
        "pid",
        "mrn",
        "case_id",
        "study_id",
    ),
    "split": ("split", "set", "subset", "partition"),
    "source": ("source", "site", "hospital", "dataset", "origin"),
}
"""The column names that are understood without ``--columns``, the first present counting; a space is as good as _."""


_OURS = {"group", "sha256", "phash"}  # columns of a manifest that `prepare` has written


class Base(NamedTuple):
    """The folder that paths start from and stay in, with links followed and as it was named."""

    real: str
    named: str

    def holds(self, file: str) -> bool:
        """Whether a normalised path lies in it."""
        return any(file.startswith(folder.rstrip(os.sep) + os.sep) for folder in self)


def read_table(
    path: Path, columns: Mapping[str, str], root: Path | None, source: str
) -> tuple[list[Record], list[Exclusion]]:
    """The records of a CSV that names images.

    Args:
        path: the CSV; its first line names the columns.
        columns: which column means what, where `SPELLINGS` does not tell.
        root: the folder that its paths start from and must stay in; by default the CSV's own. A manifest that `prepare`
            has written may name absolute paths anywhere, and its groups are taken as they are.
        source: of images whose row names none; by default the CSV's name.

    Raises:
        DataError: not a CSV, a column missing, no row, or no row's file there.
    """
    base = Base(os.path.realpath(root or path.parent), str((root or path.parent).absolute()))
    records: list[Record] = []
    excluded: list[Exclusion] = []
    source = source or path.stem
    with _rows(path) as (names, rows):
        meaning = _meaning(names, columns, path)
        known, ours = {*meaning.values(), *COLUMNS}, set(names) >= _OURS
        for number, row in enumerate(rows, start=2):
            found = _record(row, meaning, base, source, known, ours=ours)
            if isinstance(found, Record):
                records.append(found)
            else:
                excluded.append(Exclusion(f"{path}:{number} {found[0]}".rstrip(), found[1]))
    if not records:
        first = f"; the first: {excluded[0].path}: {excluded[0].reason}" if excluded else ""
        raise DataError(
            f"{path}: of {len(excluded):,} rows none names an image that is there{first}",
            f"Its paths start from {base.real}; --root names another folder, --columns other columns.",
        )
    return _with_originals(records, base.real), excluded


def read_lookup(path: Path, key: str, columns: Sequence[str]) -> dict[str, dict[str, str]]:
    """Some columns of a CSV by the value of another.

    Raises:
        DataError: not a CSV, or a column missing.
    """
    with _rows(path) as (names, rows):
        if missing := [name for name in (key, *columns) if name not in names]:
            raise DataError(f"{path}: column {' and '.join(missing)} missing, found {', '.join(names)}")
        return {(row[key] or ""): {name: row[name] or "" for name in columns} for row in rows}


@contextmanager
def _rows(path: Path) -> Iterator[tuple[list[str], Iterator[dict[str, str]]]]:
    """The column names and the rows of a CSV; what goes wrong on the way becomes one sentence."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file, restval="")
            yield list(reader.fieldnames or ()), reader
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: is not UTF-8 text ({error.reason})", "Save the CSV as UTF-8.") from error
    except (OSError, csv.Error) as error:
        raise DataError(f"{path}: cannot be read as CSV: {error}") from error


def _meaning(names: list[str], columns: Mapping[str, str], path: Path) -> dict[str, str]:
    """The column that holds each of path, label, patient, split and source."""
    held = ", ".join(names) or "no column"
    problems = [f"{path}: columns={m}: must be one of {', '.join(SPELLINGS)}" for m in columns if m not in SPELLINGS]
    problems += [f"{path}: column {n!r} ({m}) missing, found {held}" for m, n in columns.items() if n not in names]
    lower = {name.strip().lower().replace(" ", "_").replace("-", "_"): name for name in reversed(names)}
    meaning = {m: next((lower[s] for s in known if s in lower), "") for m, known in SPELLINGS.items()}
    meaning = {m: n for m, n in {**meaning, **columns}.items() if n}
    if missing := [m for m in ("path", "label") if m not in meaning]:
        problems.append(f"{path}: no column for {' and '.join(missing)}, found {held}")
    if problems:
        raise DataError(problems, "Name them, e.g. --columns path=file,label=class (also patient=, split=, source=).")
    return meaning


def _record(
    row: Mapping[str, str], meaning: Mapping[str, str], base: Base, source: str, known: set[str], *, ours: bool
) -> Record | tuple[str, str]:
    """One row's record, or its path and what is wrong with it."""
    text = {m: (row[name] or "").strip() for m, name in meaning.items()}
    named = text["path"].replace("\\", "/")
    file = os.path.normpath(os.path.join(base.real, named))  # noqa: PTH118 - Path is slow for a million rows
    given = text.get("split", "")
    problem = (
        "its path or label is empty" if not named or not text["label"]
        else f"lies outside {base.real}; --root names another folder" if not (ours or base.holds(file))
        else "the file does not exist" if not os.path.isfile(file)  # noqa: PTH113
        else f"split {given!r} is none of {', '.join(SPLITS)}" if given and not split_name(given)
        else ""
    )  # fmt: skip
    if problem:
        return named[:300], problem
    origin = text.get("source") or source
    patient = text.get("patient", "")
    if patient and not ours:  # a patient is one in all of a table, whatever site each image is from
        patient = f"{source}/{patient}"
    extra = {name: value or "" for name, value in row.items() if isinstance(name, str) and name not in known}
    return Record(Path(file), text["label"], split_name(given), patient, "", origin, extra)


def _with_originals(records: list[Record], base: str) -> list[Record]:
    """The records with the keys of their originals, as far as names below ``base`` tell."""
    places = [place(os.path.relpath(record.path, base), record.split) for record in records]
    keys = original_keys(places)
    return [replace(record, original=f"{record.source}/{key}") for record, key in zip(records, keys, strict=True)]
