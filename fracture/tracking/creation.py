"""The first start: a store is made whole under another name; one that somebody else is making is waited for."""

import contextlib
import errno
import os
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from mlflow.exceptions import MlflowException
from mlflow.store.db.utils import _get_latest_schema_revision
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore
from sqlalchemy.exc import SQLAlchemyError

_AT_WORK = 5.0  # seconds since its last change within which somebody may still be making a store
_PATIENCE = 90.0  # seconds; making one takes a few, on a busy disk many
_SIGNS = (
    "already exists",
    "duplicate",
    "no such table",
    "locked",
    "UNIQUE",
    "out-of-date",
    "_alembic_tmp_",
    "deadlock",
)
T = TypeVar("T")


def create(path: Path) -> None:
    """Make a SQLite store that is not there yet; whoever is killed meanwhile leaves none, not half of one.

    Its artifacts go below the current folder, as MLflow does it by itself.
    """
    if path.is_dir():  # which MLflow would try to open for minutes
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if path.exists():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        SqlAlchemyStore(f"sqlite:///{part}", "./mlruns").engine.dispose()
        with contextlib.suppress(FileExistsError):  # another program was quicker
            os.link(part, path)
    except OSError:  # a file system without links
        if not path.exists():
            part.rename(path)
    finally:
        for left in path.parent.glob(f"{part.name}*"):
            left.unlink()


def with_retries(path: Path | None, opened: Callable[[], T]) -> T:
    """Open a store, again and again while somebody else is making or upgrading it.

    Args:
        path: of a SQLite store, None for any other, whose makers cannot be seen.
        opened: opens it.
    """
    until = time.monotonic() + _PATIENCE
    while path is not None and _half_made(path) and time.monotonic() < until:
        time.sleep(0.2)
    while True:
        try:
            return opened()
        except (MlflowException, SQLAlchemyError) as error:
            at_work = path is None or _changed_lately(path)
            if not at_work or time.monotonic() > until or not any(sign in str(error) for sign in _SIGNS):
                raise
            time.sleep(1)


def _changed_lately(path: Path) -> bool:
    return path.is_file() and time.time() - path.stat().st_mtime < _AT_WORK


def _half_made(path: Path) -> bool:
    """Whether a store is being made: it was changed just now, and is not yet of the version that this MLflow makes."""
    if not _changed_lately(path):
        return False
    try:
        with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=1)) as db:
            versions = db.execute("SELECT version_num FROM alembic_version").fetchall()
    except sqlite3.Error:
        return True
    return versions != [(_get_latest_schema_revision(),)]
