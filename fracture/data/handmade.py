"""Manifests that people write or edit: what only `prepare` understands is refused, not passed over."""

import shlex
from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path

from fracture.data.class_names import named_twice
from fracture.data.listing import some
from fracture.data.manifest import COLUMNS, STUDY, Manifest, read_csv
from fracture.data.personal import not_kept, personal_columns
from fracture.data.prepare.cells import findings_of, is_code, is_unknown
from fracture.data.prepare.columns import OURS, find_columns
from fracture.data.prepare.index import FileIndex
from fracture.data.prepare.sheet import ROUNDED, Sheet
from fracture.data.tables import EXCESS, open_table, plain
from fracture.errors import DataError


def read_manifest(path: Path) -> Manifest:
    """Read a manifest CSV, whoever wrote it.

    Raises:
        DataError: see `read_csv`; one class under two names; or, where `prepare` has not written it, patients or splits
            in a column that is called otherwise, cells beyond the header, and labels that are no classes.
    """
    manifest = read_csv(path)
    prepare = f"`fracture prepare {shlex.quote(str(path))}"
    if (twice := named_twice(manifest.classes))[0]:
        raise DataError(f"{path}: {twice[0]}", f"If they are the same: {prepare} --label-map {twice[1]} --out m.csv`.")
    with open_table(path) as table:
        rows = [row for _, row in table.rows]
    manifest = _impersonal(manifest, personal_columns(table.names, rows))
    if set(table.names) >= OURS:
        _check_groups(path, [row.group for row in manifest.rows])
        return manifest
    sheet = Sheet(path, table.names, rows, FileIndex(path.parent), table.header, "fracture prepare --columns")
    columns = find_columns(sheet, {"path": ["path"]}, labelled=True)
    patient, split = columns.one.get("patient", ""), columns.one.get("split", "")
    problems = []
    if patient and plain(patient) not in STUDY and "group" not in table.names:
        problems.append(f"{path}: the column {patient} names patients; in a manifest it is called group")
    if split and "split" not in table.names:
        problems.append(f"{path}: the column {split} names splits; in a manifest it is called split")
    if odd := [one for one in manifest.classes if is_unknown(one, manifest.classes) or is_code(one) or
               findings_of(one, manifest.classes) != [one]]:  # fmt: skip
        problems.append(f"{path}: labels that name no class, or several: {some(odd)}")
    if excess := [row[EXCESS] for row in rows if EXCESS in row]:
        problems.append(f"{path}: {len(excess):,} rows have more cells than the header has columns: {some(excess)}")
    if problems:
        raise DataError(problems, f"{prepare} --out manifest.csv` reads such a table, and makes a manifest of it.")
    return replace(manifest, notes=(*manifest.notes, *columns.notes[1:], *columns.unused))


def _impersonal(manifest: Manifest, columns: Sequence[str]) -> Manifest:
    """A manifest without columns that may identify a person: a run keeps it, with all that it holds."""
    gone = [name for name in columns if name not in COLUMNS]
    if not gone:
        return manifest
    rows = (replace(row, extra={k: v for k, v in row.extra.items() if k not in gone}) for row in manifest.rows)
    return replace(manifest.with_rows(rows), notes=(not_kept(gone),))


def _check_groups(path: Path, groups: Collection[str]) -> None:
    """The groups of a manifest that `prepare` has written must be as it wrote them.

    Raises:
        DataError: a spreadsheet has rounded some.
    """
    if rounded := sorted({group for group in groups if ROUNDED.fullmatch(group)}):
        raise DataError(
            f"{path}: a spreadsheet has rounded the groups {some(rounded)}, so that several patients are one",
            "Take the column from the manifest that `fracture prepare` wrote, or run it again.",
        )
