"""Signatures kept on disk by content hash, so that the second audit of the same images takes seconds."""

import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType

from fracture.data.near_duplicates.signatures import VERSION, Signature
from fracture.files import is_deleted, located

_WAIT = 60.0  # seconds to wait for another process that is writing
_AT_ONCE = 500  # hashes in one query; SQLite's older builds allow 999
_TABLE = "CREATE TABLE IF NOT EXISTS signatures (digest TEXT PRIMARY KEY, packed BLOB NOT NULL) WITHOUT ROWID"


class SignatureStore:
    """Signatures by the hash of the file they were made from, in one SQLite file of about 20 KB an image.

    Two processes may read and write at once: the second waits. What cannot be read (a damaged entry, another version)
    is missing, so it is made again; a damaged file is set aside as ``*.damaged`` and begun anew.

    Args:
        folder: where the file ``signatures-v<version>.sqlite`` lies; made if missing.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.path = folder / f"signatures-v{VERSION}.sqlite"
        self._open()

    def __enter__(self) -> "SignatureStore":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Close the file; the store cannot be used after."""
        self._connection.close()

    def put(self, digest: str, signature: Signature) -> None:
        """Keep a signature; one that is there already is replaced."""
        self.put_many({digest: signature})

    def get_many(self, digests: Iterable[str]) -> dict[str, Signature]:
        """Return what can be read of the signatures wanted, by hash."""
        wanted, found = sorted(set(digests)), {}
        for start in range(0, len(wanted), _AT_ONCE):
            for digest, packed in self._rows(wanted[start : start + _AT_ONCE]):
                try:
                    found[digest] = Signature.from_bytes(packed)
                except ValueError:
                    continue  # missing to the caller, who makes it again
        return found

    def put_many(self, signatures: Mapping[str, Signature]) -> None:
        """Keep signatures by hash: all of them or, if the process is killed, none."""
        rows = [(digest, signature.to_bytes()) for digest, signature in signatures.items()]
        with self._renewed(), self._connection:
            self._connection.executemany("INSERT OR REPLACE INTO signatures VALUES (?, ?)", rows)

    def _rows(self, digests: list[str]) -> list[tuple[str, bytes]]:
        marks = ",".join("?" * len(digests))
        with self._renewed():
            query = f"SELECT digest, packed FROM signatures WHERE digest IN ({marks})"
            return self._connection.execute(query, digests).fetchall()
        return []

    def _open(self) -> None:
        self._connection = sqlite3.connect(self.path, timeout=_WAIT)
        with self._renewed(), self._connection:
            self._connection.execute(_TABLE)

    @contextmanager
    def _renewed(self) -> Iterator[None]:
        """Set a damaged file aside and begin a new one; what the block was about is lost, as in any cache.

        So it is where another process has deleted the file.
        """
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
                self._connection.execute(_TABLE)
