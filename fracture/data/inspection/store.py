"""Inspections kept on disk by content hash, so that the same images are not decoded again."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from fracture.data.audit import traits
from fracture.data.images import PREPROCESSING_VERSION
from fracture.data.inspection.identity import Identity
from fracture.data.inspection.inspected import Inspection
from fracture.data.kept import Kept

_VERSION = f"{PREPROCESSING_VERSION}.{traits.VERSION}.2"
_TABLE = "CREATE TABLE IF NOT EXISTS inspections (version TEXT, sha256 TEXT, value TEXT, PRIMARY KEY (version, sha256))"


class InspectionStore(Kept):
    """Inspections by content hash, in one SQLite file."""

    def __init__(self, cache_dir: Path) -> None:
        super().__init__(cache_dir / "inspections.sqlite", _TABLE)

    def read(self, digests: Iterable[str]) -> dict[str, Inspection]:
        """Those that are there, by digest."""
        query = f"SELECT sha256, value FROM inspections WHERE version = '{_VERSION}' AND sha256 IN ({{}})"
        return {digest: _inspection(json.loads(value)) for digest, value in self._read(query, digests)}

    def write(self, inspections: Sequence[Inspection]) -> None:
        """Keep these."""
        rows = [(_VERSION, one.sha256, json.dumps(asdict(one))) for one in inspections]
        self._write("INSERT OR REPLACE INTO inspections VALUES (?, ?, ?)", rows)


def _inspection(held: dict[str, Any]) -> Inspection:
    return Inspection(**{**held, "traits": tuple(held["traits"]), "identity": Identity(**held["identity"])})
