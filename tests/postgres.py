"""A throwaway PostgreSQL for tests that need a real one; skipped, with its reason, where the binaries are absent."""

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

_PLACES = "/usr/lib/postgresql/*/bin"  # where Debian keeps them, out of PATH


class Postgres:
    """A PostgreSQL that can be ended and started again; reached by a socket in its folder."""

    def __init__(self, binaries: Path, folder: Path, user: str | None) -> None:
        self.folder, self.url = folder, f"postgresql+psycopg://postgres@/postgres?host={folder}"
        self._binaries = binaries
        self._as_user: dict[str, Any] = {"user": user, "group": user, "extra_groups": []} if user else {}
        begin = [binaries / "initdb", "--pgdata", folder / "data", "--username", "postgres", "--auth", "trust",
                 "--no-sync", "--encoding", "UTF8", "--no-locale"]  # fmt: skip
        subprocess.run(begin, cwd=folder, check=True, capture_output=True, **self._as_user)
        self.start()

    def start(self) -> None:
        serve = [self._binaries / "postgres", "-D", self.folder / "data", "-k", self.folder, "-c", "listen_addresses=",
                 "-c", "fsync=off", "-c", "shared_buffers=32MB"]  # fmt: skip
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(serve, cwd=self.folder, stdout=log, stderr=log, **self._as_user)
        until = time.monotonic() + 30
        ask = [self._binaries / "pg_isready", "--quiet", "--host", self.folder]
        while subprocess.run(ask, check=False).returncode:
            if self._process.poll() is not None or time.monotonic() > until:
                raise RuntimeError(f"PostgreSQL does not start: {(self.folder / 'log').read_text()}")
            time.sleep(0.1)

    def end(self) -> None:
        self._process.send_signal(signal.SIGINT)  # its fast shutdown: clients are cut off
        self._process.wait(30)


@contextlib.contextmanager
def running() -> Iterator[Postgres]:
    """One in a temporary folder; the test is skipped, with its reason, where there can be none."""
    pytest.importorskip("psycopg", reason="PostgreSQL needs the extra [postgres]")
    binaries = _binaries()
    root = hasattr(os, "geteuid") and os.geteuid() == 0
    if root and subprocess.run(["id", "postgres"], capture_output=True, check=False).returncode:
        pytest.skip("PostgreSQL does not run as root, and there is no user postgres")
    folder = Path(tempfile.mkdtemp(prefix="pg-", dir="/tmp"))
    user = "postgres" if root else None
    try:
        if user:
            shutil.chown(folder, user, user)
        server = Postgres(binaries, folder, user)
        try:
            yield server
        finally:
            server.end()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """SQLAlchemy URL of one that lives as long as the tests do.

    Tests that want a database of their own take `new_database(postgres)`.
    """
    with running() as server:
        yield server.url


def new_database(url: str) -> str:
    """Create an empty database beside the one at ``url``; its URL."""
    import psycopg
    from sqlalchemy.engine import make_url

    name, known = f"d{uuid.uuid4().hex[:12]}", make_url(url)
    with psycopg.connect(
        host=str(known.query["host"]), user=known.username, dbname=known.database, autocommit=True
    ) as link:
        link.execute(f'CREATE DATABASE "{name}"')
    return url.replace(f"/{known.database}?", f"/{name}?")


def _binaries() -> Path:
    found = shutil.which("initdb")
    if found:
        return Path(found).resolve().parent
    places = sorted(place for place in Path("/").glob(_PLACES.lstrip("/")) if (place / "initdb").is_file())
    if not places:
        pytest.skip(f"PostgreSQL's initdb is neither on PATH nor in {_PLACES}")
    return places[-1]
