"""Inspections kept on disk by content hash, so that the same images are not decoded again."""

import json
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from fracture.data.audit import traits
from fracture.data.images import PREPROCESSING_VERSION
from fracture.data.inspection.identity import Identity
from fracture.data.inspection.inspected import Inspection
from fracture.files import is_deleted, located

_VERSION = f"{PREPROCESSING_VERSION}.{traits.VERSION}.2"

_TABLE = "CREATE TABLE IF NOT EXISTS inspections (version TEXT, sha256 TEXT, value TEXT, PRIMARY KEY (version, sha256))"


class InspectionStore:
    """Inspections by content hash, in one SQLite file; a damaged file is begun anew, since it can be measured again."""

    def __init__(self, cache_dir: Path) -> None:
        self._path = cache_dir / "inspections.sqlite"
        try:
            self._begin()
        except sqlite3.OperationalError:
            raise  # a lock held too long: not the file's damage
        except sqlite3.DatabaseError:
            self._path.unlink()
            self._begin()

    def read(self, digests: set[str]) -> dict[str, Inspection]:
        """Those that are there, by digest."""
        found: dict[str, Inspection] = {}
        listed = sorted(digests)
        with self._opened() as database:
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
        with self._opened() as database:
            database.executemany("INSERT OR REPLACE INTO inspections VALUES (?, ?, ?)", rows)

    def _begin(self) -> None:
        with self._opened():
            pass

    @contextmanager
    def _opened(self) -> Iterator[sqlite3.Connection]:
        """The file with its table; what is written to one that is deleted meanwhile is lost, as in any cache."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with located(self._path), closing(sqlite3.connect(self._path, timeout=60)) as database:
            try:
                with database:
                    database.execute(_TABLE)
                    yield database
            except sqlite3.OperationalError as error:
                if not is_deleted(error):
                    raise


def _inspection(held: dict[str, Any]) -> Inspection:
    return Inspection(**{**held, "traits": tuple(held["traits"]), "identity": Identity(**held["identity"])})
