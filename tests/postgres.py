"""A throwaway PostgreSQL for tests that need a real one; skipped, with its reason, where the binaries are absent."""

import os
import shutil
import subprocess
import tempfile
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

_PLACES = "/usr/lib/postgresql/*/bin"  # where Debian keeps them, out of PATH


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """SQLAlchemy URL of a PostgreSQL that lives as long as the tests do, reached by a socket in a temporary folder.

    Tests that want a database of their own take `new_database(postgres)`.
    """
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
        yield from _running(binaries, folder, user)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


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


def _running(binaries: Path, folder: Path, user: str | None) -> Iterator[str]:
    data, log = folder / "data", folder / "log"
    as_user = {"user": user, "group": user, "extra_groups": []} if user else {}
    begin = [binaries / "initdb", "--pgdata", data, "--username", "postgres", "--auth", "trust", "--no-sync",
             "--encoding", "UTF8", "--no-locale"]  # fmt: skip
    subprocess.run(begin, cwd=folder, check=True, capture_output=True, **as_user)  # type: ignore[call-overload]
    serve = [binaries / "postgres", "-D", data, "-k", folder, "-c", "listen_addresses=", "-c", "fsync=off",
             "-c", "shared_buffers=32MB"]  # fmt: skip
    with log.open("wb") as output:
        server = subprocess.Popen(serve, cwd=folder, stdout=output, stderr=output, **as_user)  # type: ignore[call-overload]
    try:
        _wait(binaries, folder, server)
        yield f"postgresql+psycopg://postgres@/postgres?host={folder}"
    finally:
        server.send_signal(2)  # SIGINT is PostgreSQL's fast shutdown: clients are cut off
        server.wait(30)


def _wait(binaries: Path, folder: Path, server: "subprocess.Popen[bytes]") -> None:
    until = time.monotonic() + 30
    ask = [binaries / "pg_isready", "--quiet", "--host", folder]
    while subprocess.run(ask, check=False).returncode:
        if server.poll() is not None or time.monotonic() > until:
            raise RuntimeError(f"PostgreSQL does not start: {(folder / 'log').read_text()}")
        time.sleep(0.1)
