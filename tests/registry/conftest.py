"""The three kinds of store that the registry has to work in: a file, a server before a file, and PostgreSQL."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import mlflow
import pytest

from fracture.tracking import store
from registry import check
from tests.forked import Command
from tests.mlflow_server import Process, start_server
from tests.postgres import new_database

STORES = ("sqlite", "server", "postgres")


@pytest.fixture(scope="session")
def addresses(
    tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Iterator[Callable[[str], str]]:
    """The address of the store of a kind, started when it is first asked for."""
    known: dict[str, str] = {}
    servers: list[Process] = []

    def address(kind: str) -> str:
        if kind not in known:
            folder = tmp_path_factory.mktemp(kind)
            if kind == "postgres":
                known[kind] = new_database(request.getfixturevalue("postgres"))
            elif kind == "server":
                server, known[kind] = start_server(folder, call=request.getfixturevalue("forked"))
                servers.append(server)
            else:
                known[kind] = f"sqlite:///{folder / 'mlflow.db'}"
        return known[kind]

    yield address
    for server in servers:
        server.terminate()
        server.wait(30)


@pytest.fixture(params=[STORES[0], *(pytest.param(name, marks=pytest.mark.long) for name in STORES[1:])])
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


_FORGET = """
import sys
for name in [one for one in sys.modules if one.partition(".")[0] in ("fracture", "registry", "tuning", "tests")]:
    del sys.modules[name]
"""


Ask = Callable[[Path, str], tuple[dict[str, float] | None, str]]


@pytest.fixture
def quick_ask(forked: Callable[..., Command]) -> Ask:
    """Ask a package in a process with the libraries loaded, but not the repository; `check` waits for a new one."""

    def ask(local: Path, probe: str) -> tuple[dict[str, float] | None, str]:
        words = ("python", _FORGET + check._ASK, str(local), probe, str(check.ROOT))
        command = forked(words, local.parent, PYTHONPATH=None, MLFLOW_ALLOW_PICKLE_DESERIALIZATION="false")
        code, last = command.wait(), command.said.strip().splitlines()[-1]
        return (None, last) if code else (json.loads(last), "")

    return ask


@pytest.fixture
def quick_check(quick_ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    """Packages are asked so in this test."""
    monkeypatch.setattr(check, "_ask", quick_ask)


def use(uri: str | None) -> None:
    """Let MLflow use a store for everything, or forget it."""
    mlflow.set_tracking_uri(uri)  # type: ignore[arg-type]
    mlflow.set_registry_uri(uri)  # type: ignore[arg-type]
