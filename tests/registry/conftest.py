"""The three kinds of store that the registry has to work in: a file, a server before a file, and PostgreSQL."""

import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import mlflow
import pytest

from fracture.tracking import store
from tests.postgres import new_database

STORES = ("sqlite", "server", "postgres")


@pytest.fixture(scope="session")
def addresses(
    tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Iterator[Callable[[str], str]]:
    """The address of the store of a kind, started when it is first asked for."""
    known: dict[str, str] = {}
    servers: list[subprocess.Popen[bytes]] = []

    def address(kind: str) -> str:
        if kind not in known:
            folder = tmp_path_factory.mktemp(kind)
            if kind == "postgres":
                known[kind] = new_database(request.getfixturevalue("postgres"))
            elif kind == "server":
                server, known[kind] = _server(folder)
                servers.append(server)
            else:
                known[kind] = f"sqlite:///{folder / 'mlflow.db'}"
        return known[kind]

    yield address
    for server in servers:
        server.terminate()
        server.wait(30)


@pytest.fixture(params=STORES)
def connected(
    request: pytest.FixtureRequest, addresses: Callable[[str], str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[str]:
    """The address of a store of each kind, connected to."""
    uri = addresses(request.param)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    use(uri)
    store.connect()
    yield uri
    use(None)


def use(uri: str | None) -> None:
    """Let MLflow use a store for everything, or forget it."""
    mlflow.set_tracking_uri(uri)  # type: ignore[arg-type]
    mlflow.set_registry_uri(uri)  # type: ignore[arg-type]


def _server(folder: Path) -> tuple["subprocess.Popen[bytes]", str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1",
               "--backend-store-uri", f"sqlite:///{folder / 'mlflow.db'}",
               "--artifacts-destination", str(folder / "artifacts")]  # fmt: skip
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(
            command,
            stdout=log,
            stderr=log,
            cwd=folder,
            env=os.environ | {"PYTHONWARNINGS": "", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"},
        )
    until = time.monotonic() + 120
    while True:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5).close()
        except OSError:
            if server.poll() is not None or time.monotonic() > until:
                raise RuntimeError((folder / "log").read_text()) from None
            time.sleep(0.3)
        else:
            return server, f"http://127.0.0.1:{port}"
