"""The log as one flat table for other tools: a column for each class and trait, and what readers said of the image."""

import csv
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

from fracture.data.audit.traits import NAMES as TRAITS
from fracture.files import as_cell, replacing
from fracture.monitoring.correction import NONE, Correction
from fracture.monitoring.record import NAMES, Record

_PLAIN = tuple(name for name in NAMES if name not in ("probabilities", "traits"))
_CORRECTED = ("corrected", "corrected_by", "corrected_time")  # the last word on the image, empty where nobody said one
_AT_ONCE = 10_000  # rows


def export(
    rows: Iterable[Record], classes: Iterable[str], out: Path, form: str, corrections: Mapping[str, Correction] = NONE
) -> int:
    """Write rows to ``out``, whole or not at all; how many.

    Args:
        rows: any number: only some of them are in memory at a time.
        classes: whose probabilities have a column.
        out: the file.
        form: ``parquet`` or ``csv``.
        corrections: see `correction.latest`.
    """
    header = [*_PLAIN, *_CORRECTED, *(f"probability_{name}" for name in classes), *(f"trait_{name}" for name in TRAITS)]
    flat = (_flat(row, corrections.get(row.image)) for row in rows)
    with replacing(out) as part:
        return (_parquet if form == "parquet" else _csv)(flat, header, part)


def _flat(row: Record, said: Correction | None) -> dict[str, Any]:
    shares = {f"probability_{name}": share for name, share in row.probabilities.items()}
    traits = {f"trait_{name}": value for name, value in zip(TRAITS, row.traits, strict=False)}
    last = dict(zip(_CORRECTED, (said.label, said.by, said.time) if said else ("", "", ""), strict=True))
    return {name: getattr(row, name) for name in _PLAIN} | last | shares | traits


def _csv(rows: Iterator[dict[str, Any]], header: list[str], part: Path) -> int:
    count = 0
    with part.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, header, extrasaction="ignore")
        writer.writeheader()
        for row in rows:
            writer.writerow({name: as_cell(one) if isinstance(one, str) else one for name, one in row.items()})
            count += 1
    return count


def _parquet(rows: Iterator[dict[str, Any]], header: list[str], part: Path) -> int:
    import pyarrow as pa  # type: ignore[import-untyped]  # heavy, and for this format only
    from pyarrow import parquet

    kinds = {"fracture": pa.bool_(), "refer": pa.bool_(), "v": pa.int32()}
    numbers = {"fracture_probability", "confidence", "latency", "distance"}
    schema = pa.schema([
        (name, kinds.get(name, pa.float64() if name in numbers or name not in (*_PLAIN, *_CORRECTED) else pa.string()))
        for name in header
    ])  # fmt: skip
    count = 0
    with parquet.ParquetWriter(part, schema) as writer:
        while some := list(islice(rows, _AT_ONCE)):
            writer.write_table(pa.Table.from_pylist([{name: row.get(name) for name in header} for row in some], schema))
            count += len(some)
    return count
