"""What was measured of files, kept on disk by the hash of their contents, so that it is not measured again."""

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from fracture.files import is_deleted, located

_WAIT = 60.0  # seconds to wait for another process that is writing
_AT_ONCE = 500  # hashes in one query; SQLite's older builds allow 999


class Kept:
    """One table in one SQLite file.

    Two processes may read and write at once: the second waits. A damaged file is set aside as ``*.damaged`` and begun
    anew; so is one that another process has deleted, with nothing set aside.

    Args:
        path: of the file; its folder is made if missing.
        table: the statement that makes the table where it is missing.
    """

    def __init__(self, path: Path, table: str) -> None:
        self.path, self._table = path, table
        path.parent.mkdir(parents=True, exist_ok=True)
        self._connection = sqlite3.connect(path, timeout=_WAIT)
        with self._renewed(), self._connection:
            self._connection.execute(table)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._connection.close()

    def _read(self, query: str, digests: Iterable[str]) -> Iterator[Sequence[Any]]:
        """The rows of a query with ``({})`` for hashes, of those wanted."""
        wanted = sorted(set(digests))
        for start in range(0, len(wanted), _AT_ONCE):
            part, rows = wanted[start : start + _AT_ONCE], []
            with self._renewed():
                rows = self._connection.execute(query.format(",".join("?" * len(part))), part).fetchall()
            yield from rows

    def _write(self, statement: str, rows: Iterable[Sequence[Any]]) -> None:
        """Execute a statement for each row: for all of them or, if the process is killed, none."""
        with self._renewed(), self._connection:
            self._connection.executemany(statement, rows)

    @contextmanager
    def _renewed(self) -> Iterator[None]:
        """Begin a new file where this one is damaged or deleted; what the block was about is lost, as in any cache."""
        try:
            with located(self.path):
                yield
        except sqlite3.DatabaseError as error:
            deleted = is_deleted(error)
            if isinstance(error, sqlite3.OperationalError) and not deleted:
                raise  # a full disk, a lock held too long: not the file's damage
            self._connection.close()
            with suppress(FileNotFoundError):  # another process was quicker
                if not deleted:
                    self.path.replace(self.path.with_suffix(".damaged"))
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._connection = sqlite3.connect(self.path, timeout=_WAIT)
            with self._connection:
                self._connection.execute(self._table)
