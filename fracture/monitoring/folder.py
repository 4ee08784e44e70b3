"""Rows as lines of JSON in a folder: one file a day and writer, begun anew when it is large, readable at any moment.

Corrections lie beside them, in files of their own.
"""

import json
import os
import re
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from fracture.errors import ConfigError
from fracture.monitoring import correction
from fracture.monitoring.correction import Correction
from fracture.monitoring.record import Record, parse

LARGEST = 64 * 2**20  # bytes of a file, then the next one is begun
_NAME = re.compile(r"answers-(\d{4}-\d{2}-\d{2})-[0-9a-f]{8}\.jsonl")
_CORRECTED = re.compile(r"corrections-(\d{4}-\d{2}-\d{2})-[0-9a-f]{8}\.jsonl")


class FolderLog:
    """A folder of such files; any number of processes write to files of their own."""

    def __init__(self, folder: Path, *, make: bool) -> None:
        """Open a folder.

        Raises:
            ConfigError: it is not there and not to be made, or cannot be.
        """
        self._folder, self._path, self._own = folder, Path(), uuid.uuid4().hex[:8]
        self._today: Callable[[], str] = lambda: datetime.now(UTC).strftime("%Y-%m-%d")
        self._file: int | None = None
        try:
            if make:
                folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigError(f"--log {folder}: {error.strerror}; name a folder that can be written to") from error
        if fault := _fault(folder, make):
            raise ConfigError(f"{folder}: {fault}. Allowed: a folder, sqlite:///FILE, postgresql://...")

    def write(self, rows: Sequence[Record]) -> None:
        """Add rows, all or none.

        Raises:
            OSError: the disk is full, or the folder is gone.
        """
        _append(self._current(), (row.line() for row in rows))

    def read(self, since: str = "") -> Iterator[Record]:
        """Rows from a moment on, file by file; a line that is being written is left out."""
        for path in self._files():
            if path.name[8:18] < since[:10]:
                continue
            with suppress(FileNotFoundError), path.open("rb") as file:  # a server deletes what is too old meanwhile
                for line in file:
                    if (row := _parsed(line)) is not None and row.time >= since:
                        yield row

    def correct(self, one: Correction) -> None:
        """Add a correction; it is on the disk when this returns.

        Raises:
            OSError: the disk is full, or the folder is gone.
        """
        path = self._folder / f"corrections-{self._today()}-{self._own}.jsonl"
        file = _opened(path)
        try:
            _append(file, [one.line()])
            os.fsync(file)
        finally:
            os.close(file)

    def corrections(self, since: str = "") -> Iterator[Correction]:
        """Corrections from a moment on; a line that is being written is left out."""
        for path in self._files(_CORRECTED):
            with suppress(FileNotFoundError), path.open("rb") as file:
                for line in file:
                    with suppress(ValueError, TypeError):
                        found = correction.parse(json.loads(line))
                        if found.time >= since:
                            yield found

    def forget(self, before: str) -> int:
        """Delete the files of the days before the one of a moment; how many."""
        old = [
            path
            for kind in (_NAME, _CORRECTED)
            for path in self._files(kind)
            if (day := kind.fullmatch(path.name)) and day[1] < before[:10]
        ]
        for path in old:
            path.unlink(missing_ok=True)
        return len(old)

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _files(self, kind: re.Pattern[str] = _NAME) -> list[Path]:
        return sorted(path for path in self._folder.iterdir() if kind.fullmatch(path.name))

    def _current(self) -> int:
        """The open file of today, another one where that is full or was deleted."""
        today = self._today()
        if self._file is not None:
            there = os.fstat(self._file)
            if there.st_nlink and there.st_size < LARGEST and self._path.name[8:18] == today:
                return self._file
            self.close()
        self._path = self._folder / f"answers-{today}-{uuid.uuid4().hex[:8]}.jsonl"
        self._file = _opened(self._path)
        return self._file


def _opened(path: Path) -> int:
    """A file to add lines to.

    Raises:
        OSError: of its folder, so that the same trouble with each new file is told once.
    """
    try:
        return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o640)
    except OSError as error:
        error.filename = str(path.parent)
        raise


def _fault(folder: Path, make: bool) -> str:
    """Why a folder cannot be used, empty where it can."""
    if not folder.exists():
        return "there is no such folder; name the one that --log of `fracture serve` or `fracture predict` named"
    if not folder.is_dir():
        return "is a file, and no folder of a log"
    return "cannot be written to" if make and not os.access(folder, os.W_OK | os.X_OK) else ""


def _append(file: int, lines: Iterable[str]) -> None:
    """Add lines to an open file, all or none."""
    before = os.fstat(file).st_size
    left = memoryview("".join(line + "\n" for line in lines).encode("utf-8", "backslashreplace"))
    try:
        while left:
            left = left[os.write(file, left) :]
    except OSError:
        os.ftruncate(file, before)  # half a line would spoil the next one
        raise


def _parsed(line: bytes) -> Record | None:
    try:
        return parse(json.loads(line))
    except (ValueError, TypeError):
        return None
