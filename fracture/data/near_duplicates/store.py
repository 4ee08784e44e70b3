"""Signatures kept on disk by content hash, so that the second audit of the same images takes seconds."""

from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path

from fracture.data.kept import Kept
from fracture.data.near_duplicates.signatures import VERSION, Signature

_TABLE = "CREATE TABLE IF NOT EXISTS signatures (digest TEXT PRIMARY KEY, packed BLOB NOT NULL) WITHOUT ROWID"


class SignatureStore(Kept):
    """Signatures by the hash of the file they were made from, in one SQLite file of about 20 KB an image.

    What cannot be read (a damaged entry, another version) is missing, so it is made again.

    Args:
        folder: where the file ``signatures-v<version>.sqlite`` lies; made if missing.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__(folder / f"signatures-v{VERSION}.sqlite", _TABLE)

    def put(self, digest: str, signature: Signature) -> None:
        """Keep a signature; one that is there already is replaced."""
        self.put_many({digest: signature})

    def get_many(self, digests: Iterable[str]) -> dict[str, Signature]:
        """Return what can be read of the signatures wanted, by hash."""
        found = {}
        for digest, packed in self._read("SELECT digest, packed FROM signatures WHERE digest IN ({})", digests):
            with suppress(ValueError):  # missing to the caller, who makes it again
                found[digest] = Signature.from_bytes(packed)
        return found

    def put_many(self, signatures: Mapping[str, Signature]) -> None:
        """Keep signatures by hash: all of them or, if the process is killed, none."""
        rows = [(digest, signature.to_bytes()) for digest, signature in signatures.items()]
        self._write("INSERT OR REPLACE INTO signatures VALUES (?, ?)", rows)
