"""A real MLflow server on the loopback interface."""

import contextlib
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from tests.forked import Command

Call = Callable[..., Command]
Process = Command | subprocess.Popen[bytes]


def free_port() -> int:
    """A port on which nobody listens."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def start_server(
    folder: Path, port: int | None = None, database: str = "", artifacts: Path | None = None, call: Call | None = None
) -> tuple[Process, str]:
    """Start one; its process, which the caller ends, and its address.

    Args:
        folder: that it keeps everything in.
        port: that it listens on; None for any.
        database: its address, where that is not a file in ``folder``.
        artifacts: the folder of the artifacts that it hands on, where that is not in ``folder``.
        call: the fixture ``forked``, which starts it in a second; None for a new interpreter.
    """
    port = port or free_port()
    command = ("mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1",
               "--backend-store-uri", database or f"sqlite:///{folder / 'mlflow.db'}",
               "--artifacts-destination", str(artifacts or folder / "artifacts"))  # fmt: skip
    variables = {"PYTHONWARNINGS": "", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    server: Process
    if call:
        server = call(command, folder, folder / "log", **variables)
    else:
        with (folder / "log").open("wb") as log:
            words, env = [sys.executable, "-m", *command], os.environ | variables
            server = subprocess.Popen(words, stdout=log, stderr=log, cwd=folder, env=env)
    until = time.monotonic() + 300
    while True:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5).close()
        except OSError:
            if server.poll() is not None or time.monotonic() > until:
                raise RuntimeError((folder / "log").read_text()) from None
            time.sleep(0.1)
        else:
            return server, f"http://127.0.0.1:{port}"


class Server:
    """One that can be ended and started again at the same address; ``ended``: when it was, by the monotonic clock."""

    def __init__(
        self, folder: Path, database: str = "", artifacts: Path | None = None, call: Call | None = None
    ) -> None:
        self.folder, self.port = folder, free_port()
        self._how = (database, artifacts, call)
        self.process: Process | None = None
        self.ended = 0.0
        self.start()

    def start(self) -> None:
        self.process, self.address = start_server(self.folder, self.port, *self._how)

    def end(self) -> None:
        if self.process is not None:
            self.process.terminate()
            self._gone()

    def kill(self) -> None:
        """As if its machine had gone down: in the middle of whatever it does."""
        if self.process is not None:
            for one in [*psutil.Process(self.process.pid).children(recursive=True), self.process]:
                one.kill()
            self._gone()

    def end_before(self, owner: object, name: str, patch: pytest.MonkeyPatch, call: int = 1) -> None:
        """Be ended right before a function of a module or class is called for the nth time."""
        real, calls = getattr(owner, name), []

        def late(*arguments: object, **named: object) -> object:
            calls.append(1)
            if len(calls) == call:
                self.end()
            return real(*arguments, **named)

        patch.setattr(owner, name, late)

    def _gone(self) -> None:
        assert self.process is not None
        self.process.wait(60)
        self.process, self.ended = None, time.monotonic()


@pytest.fixture(scope="module")
def shared_server(tmp_path_factory: pytest.TempPathFactory, forked: Call) -> Iterator[Server]:
    server = Server(tmp_path_factory.mktemp("server"), call=forked)
    yield server
    server.end()


@pytest.fixture
def server(shared_server: Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """The server, up; it is the store of this test, and is asked without waiting."""
    if shared_server.process is None:
        shared_server.start()
    with as_store(shared_server, monkeypatch):
        yield shared_server


@contextlib.contextmanager
def as_store(server: Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A server is the store of this test, and is asked without waiting."""
    import mlflow

    from fracture.runs import delivery
    from fracture.tracking import outbox, store

    monkeypatch.setenv("MLFLOW_TRACKING_URI", server.address)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setattr(outbox, "_EVERY", 0.0)
    monkeypatch.setattr(delivery, "PATIENCE", 2.0)
    before = mlflow.get_tracking_uri()
    mlflow.set_tracking_uri(server.address)
    store.connect()
    yield
    mlflow.set_tracking_uri(before)
