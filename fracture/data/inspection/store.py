"""Inspections kept on disk by content hash, so that the same images are not decoded again."""

import json
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import Any

from fracture.data.audit import traits
from fracture.data.images import PREPROCESSING_VERSION
from fracture.data.inspection.identity import Identity
from fracture.data.inspection.inspected import Inspection
from fracture.files import located

_VERSION = f"{PREPROCESSING_VERSION}.{traits.VERSION}.2"


class InspectionStore:
    """Inspections by content hash, in one SQLite file; a damaged file is begun anew, since it can be measured again."""

    def __init__(self, cache_dir: Path) -> None:
        self._path = cache_dir / "inspections.sqlite"
        cache_dir.mkdir(parents=True, exist_ok=True)
        try:
            self._create()
        except sqlite3.OperationalError:
            raise  # a lock held too long: not the file's damage
        except sqlite3.DatabaseError:
            self._path.unlink()
            self._create()

    def read(self, digests: set[str]) -> dict[str, Inspection]:
        """Those that are there, by digest."""
        found: dict[str, Inspection] = {}
        listed = sorted(digests)
        with closing(sqlite3.connect(self._path, timeout=60)) as database:
            for start in range(0, len(listed), 500):
                part = listed[start : start + 500]
                marks = ",".join("?" * len(part))
                query = f"SELECT value FROM inspections WHERE version = ? AND sha256 IN ({marks})"
                for (value,) in database.execute(query, [_VERSION, *part]):
                    held = json.loads(value)
                    found[held["sha256"]] = _inspection(held)
        return found

    def write(self, inspections: Sequence[Inspection]) -> None:
        """Keep these."""
        rows = [(_VERSION, one.sha256, json.dumps(asdict(one))) for one in inspections]
        with located(self._path), closing(sqlite3.connect(self._path, timeout=60)) as database, database:
            database.executemany("INSERT OR REPLACE INTO inspections VALUES (?, ?, ?)", rows)

    def _create(self) -> None:
        with located(self._path), closing(sqlite3.connect(self._path, timeout=60)) as database, database:
            database.execute(
                "CREATE TABLE IF NOT EXISTS inspections"
                " (version TEXT, sha256 TEXT, value TEXT, PRIMARY KEY (version, sha256))"
            )


def _inspection(held: dict[str, Any]) -> Inspection:
    return Inspection(**{**held, "traits": tuple(held["traits"]), "identity": Identity(**held["identity"])})
