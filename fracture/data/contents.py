"""What is in files: the digest of one, and work on many of them in threads."""

import hashlib
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

Progress = Callable[[str, int, int], None]  # what is being done, how many are done, of how many
T = TypeVar("T")
R = TypeVar("R")


def sha256_of(path: Path) -> str:
    """The digest of a file's bytes, which are not held in memory.

    Raises:
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def in_threads(work: Callable[[T], R], items: Iterable[T], threads: int | None, told: Callable[[int], None]) -> list[R]:
    """``work`` of each item, in order; ``told`` is called with the number of those that are done."""
    found = []
    with ThreadPoolExecutor(threads) as pool:
        for done, one in enumerate(pool.map(work, items), start=1):
            found.append(one)
            told(done)
    return found
