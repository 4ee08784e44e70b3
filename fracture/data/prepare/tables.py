"""CSV files: a user's own list of images, and the label tables of published data sets."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from fracture.data.annotations.shares import Unusable
from fracture.data.cache import folder_of
from fracture.data.exclusions import Exclusion
from fracture.data.inspection.inspect import patient_key
from fracture.data.listing import some
from fracture.data.manifest import COLUMNS
from fracture.data.personal import names_persons, not_kept
from fracture.data.prepare.cells import mixed_note
from fracture.data.prepare.columns import OURS, find_columns
from fracture.data.prepare.config import PrepareConfig
from fracture.data.prepare.index import FileIndex, Indexes
from fracture.data.prepare.pairs import canonical, parse_columns, parse_pairs, said_columns
from fracture.data.prepare.records import Record
from fracture.data.prepare.sheet import Sheet
from fracture.data.prepare.table_boxes import find_boxes
from fracture.data.prepare.table_files import believed, found_by_name, unnamed_by_tag
from fracture.data.prepare.table_rows import Named, Reading, Unlabelled, join_boxes, of_study, read_row, with_studies
from fracture.data.tables import Row, Table, named_column, open_table
from fracture.errors import DataError
from fracture.files import expanded

Numbered = tuple[int, Row]  # with its line


@dataclass(frozen=True)
class TableRecords:
    """What a table says: a record for each row, several where rows name one image.

    Attributes:
        records: of its rows.
        excluded: rows that cannot be used.
        notes: what was found out, in sentences.
        base: where paths start.
        boxed: it draws boxes.
        named: the files that its rows name, be it rows that are left out; none where other images do not matter.
    """

    records: list[Record]
    excluded: list[Exclusion]
    notes: list[str]
    base: Path
    boxed: bool
    named: frozenset[Path]


@dataclass
class _Read:
    """What the rows of a table say.

    Attributes:
        named: their records.
        excluded: the rows that cannot be used, each with the reason.
        unlabelled: how many of them have no class.
        refused: the files that these rows name.
        lists: how many rows list several images in one cell.
    """

    named: list[Named] = field(default_factory=list)
    excluded: list[Exclusion] = field(default_factory=list)
    unlabelled: int = 0
    refused: set[Path] = field(default_factory=set)
    lists: int = 0


def read_table(path: Path, config: PrepareConfig, source: str, indexes: Indexes | None = None) -> TableRecords:
    """The records of a CSV that names images.

    Args:
        path: the CSV; its first line names the columns, or is a row.
        config: which column means what, and the folder that paths start from, by default the CSV's own; files are
            looked for in all of it. A manifest that `prepare` has written may name absolute paths anywhere, and its
            groups are taken as they are.
        source: of images whose row names none; by default the CSV's name.
        indexes: of the folders that other tables of the same call have been read from.

    Raises:
        DataError: not a CSV, a column missing, no row, or no row's file there.
    """
    with open_table(path, foreign=True) as table:
        held = list(table.rows)
    reading, rows = _how_to_read(path, table, held, config, source, indexes or Indexes())
    read = _read_rows(path, rows, reading)
    named = with_studies(believed(path, read.named, reading.index, read.excluded))
    if not named:
        missed = [reading.columns.missed.removeprefix("; ")] if reading.columns.missed else []
        raise _nothing_usable(path, reading.index, read, [*table.notes, *missed])
    notes = [*table.notes, *_notes(reading, read, named)]
    if tagged := reading.columns.tagged:
        read.excluded += unnamed_by_tag(tagged, reading.index, {one.record.path for one in named}, reading.source)
    records = [one.record for one in named]
    records = join_boxes(records) if reading.boxes else records
    files = () if reading.ours or reading.columns.tagged else (*(one.record.path for one in named), *read.refused)
    return TableRecords(records, read.excluded, notes, Path(reading.index.real), bool(reading.boxes), frozenset(files))


def _how_to_read(
    path: Path, table: Table, rows: Sequence[Numbered], config: PrepareConfig, source: str, indexes: Indexes
) -> tuple[Reading, Sequence[Numbered]]:
    """What the columns of a table mean; and its rows, one for each image where they name several in columns."""
    names, wanted = table.names, parse_columns(config.columns)
    several = [named_column(name, names) for name in wanted.get("path", [])]
    if several := several if len(several) > 1 and all(several) else []:
        names, rows, wanted["path"] = *_a_row_each(names, rows, several), several[:1]
    ours, held = set(names) >= OURS, [row for _, row in rows]
    index = indexes.of(expanded(config.root) if config.root else path.parent, anywhere=ours)
    sheet = Sheet(path, names, held, index, table.header)
    columns = find_columns(sheet, wanted, not config.label_pattern, config.resplit, tags=not ours)
    boxes = None if ours else find_boxes(names, held)
    drawn = boxes.names if boxes else ()
    personal = () if ours else tuple(name for name in columns.personal if name not in drawn)
    label = columns.one.get("label")
    told = [name for meaning in ("patient", "study") if (name := columns.one.get(meaning))]
    keyed = columns.tagged or any(names_persons(name, (row[name] for row in held)) for name in told)
    return Reading(
        columns=columns,
        index=index,
        source=source or path.stem,
        config=config,
        known=frozenset({*columns.one.values(), *columns.labels, *drawn, *COLUMNS, *personal}),
        ours=ours,
        labels=frozenset(canonical(row[label]) for row in held) if label else frozenset(),
        mapped=frozenset(parse_pairs(config.label_map)),
        boxes=boxes,
        key=patient_key(folder_of(config.cache_dir)) if keyed else b"",
        several=tuple(several),
        personal=personal,
    ), rows


def _read_rows(path: Path, rows: Sequence[Numbered], reading: Reading) -> _Read:
    """What each row says, or what is wrong with it."""
    read, columns = _Read(), reading.columns
    for number, row in rows:
        try:
            found = read_row(row, reading)
        except Unusable as error:
            read.unlabelled += isinstance(error, Unlabelled)
            read.refused.update(map(Path, columns.place(row, reading.index).files))
            name = "" if columns.tagged else columns.path(row)[:300]
            read.excluded.append(Exclusion(f"{path}:{number} {name}".rstrip(), str(error)))
            continue
        lists = len(found) > 1 and not columns.tagged and not found[0].folder and not reading.several
        if lists or reading.several:
            found = [replace(one, record=of_study(one.record, f"line {number}")) for one in found]
        read.named += found
        read.lists += lists
    return read


def _notes(reading: Reading, read: _Read, named: Sequence[Named]) -> list[str]:
    """What was found out about a table, in sentences."""
    personal, several = reading.personal, reading.several
    return [
        *reading.columns.notes,
        *reading.columns.unused,
        *([f"each row names images in the columns {some(several)}: they stay together"] if several else []),
        *([f"{read.lists:,} rows name several images: they stay together"] if read.lists else []),
        *([f"{not_kept(personal)}; {said_columns(keep=','.join(personal))} keeps them"] if personal else []),
        *mixed_note(reading.labels),
        *found_by_name(named),
        *([f"boxes: columns {', '.join(reading.boxes.names)}"] if reading.boxes else []),
    ]


def _a_row_each(
    names: Sequence[str], rows: Sequence[tuple[int, Row]], paths: Sequence[str]
) -> tuple[tuple[str, ...], list[tuple[int, dict[str | None, str]]]]:
    """The table with a row for each image where rows name images in several columns; its first column takes them."""
    first, *others = paths
    kept = [(number, row, {name: value for name, value in row.items() if name not in others}) for number, row in rows]
    return tuple(name for name in names if name not in others), [
        (number, {**rest, first: row[name]})
        for number, row, rest in kept
        for name in ([name for name in paths if row[name]] or paths[:1])
    ]


def _nothing_usable(path: Path, index: FileIndex, read: _Read, notes: Sequence[str]) -> DataError:
    """What is said of a table of which no row can be used."""
    excluded = read.excluded
    first = f"; the first: {excluded[0].path}: {excluded[0].reason}" if excluded else ""
    unlabelled = bool(excluded) and read.unlabelled == len(excluded)
    return DataError(
        f"{path}: of {len(excluded):,} rows none {'has a label' if unlabelled else 'names an existing image'}"
        f"{first}{''.join(f'; {note}' for note in notes)}",
        "--columns names other columns." if unlabelled else
        f"Its paths start from {index.real}; --root names another folder, --columns other columns.",
    )  # fmt: skip
