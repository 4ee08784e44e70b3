"""The tracking server goes away amid promote, challenge and rollback: the same command goes on afterwards."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from mlflow.exceptions import MlflowException
from requests import ConnectionError as NoConnectionError
from requests.adapters import HTTPAdapter

from fracture.errors import ConfigError, Interrupted
from fracture.failures import explained
from fracture.tracking import store
from registry import champion, check
from registry.verify import verify
from registry.versions import Registry
from tests.mlflow_server import Server
from tests.registry import deployed
from tests.registry.conftest import use
from tests.registry.deployed import NAME, Deployed, deploy
from tests.registry.screens import quiet

pytestmark = [pytest.mark.slow, pytest.mark.long]
MOST = 6  # requests to a server that is away, each of which takes MLflow up to 15 seconds


def enter(d: Deployed) -> None:
    """What `promote` does once the gates have passed."""
    d.registry.ready()
    deployed.enter(d.registry, d.runs[3], d.models[3], 4)


VERBS: dict[str, Callable[[Deployed], object]] = {
    "promote": enter,
    "challenge": lambda d: champion.challenge(d.registry, quiet(), margin=1.0),
    "rollback": lambda d: champion.rollback(d.registry, "a test", quiet()),
}


class Line:
    """The way to the server, cut off after ``most`` requests, the last of whose answers is lost."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.asked, self.most = 0, sys.maxsize
        self.writes: list[int] = []  # which of the requests until the first cut changed something
        real = HTTPAdapter.send

        def send(adapter: HTTPAdapter, request: Any, **named: Any) -> Any:
            self.asked += 1
            if self.most == sys.maxsize and not self._was_cut and request.method != "GET":
                self.writes.append(self.asked)
            if self.asked <= self.most:
                answer = real(adapter, request, **named)
                if self.asked < self.most:
                    return answer
                answer.close()
            raise NoConnectionError("Connection refused", request=request)

        self._was_cut = False
        patch.setattr(HTTPAdapter, "send", send)

    def cut(self, most: int) -> None:
        self.asked, self.most, self._was_cut = 0, most, True


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Server, Deployed]]:
    """A server of one's own, and a model deployed there, whose packages nobody has trained."""
    folder = tmp_path / "server"
    folder.mkdir()
    server = Server(folder)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server.address)
    monkeypatch.setattr(check, "problem", check.changed)
    use(server.address)
    try:
        store.connect()
        yield server, deploy(server.address, folder, tmp_path / "files")
    finally:
        use(None)
        server.end()


@pytest.mark.parametrize("verb", VERBS)
def test_wherever_its_answers_are_lost_the_same_command_goes_on(
    verb: str, served: tuple[Server, Deployed], monkeypatch: pytest.MonkeyPatch
) -> None:
    _, d = served
    d.keep()
    line, do = Line(monkeypatch), VERBS[verb]
    do(d)
    wanted = d.registry.look().real
    for most in tuple(line.writes):
        d.bring_back()
        line.cut(most)
        with pytest.raises((MlflowException, Interrupted)) as stop:
            do(d)
        assert line.asked - most < MOST
        assert isinstance(explained(stop.value) or stop.value, Interrupted), (most, stop.value)
        line.cut(sys.maxsize)
        with suppress(ConfigError):  # there is nothing left to do
            do(d)
        assert d.registry.look().real == wanted, most
        assert verify(Registry(NAME), quiet()) == []


@pytest.mark.parametrize("verb", VERBS)
def test_a_server_that_was_killed_is_told_within_a_minute(
    verb: str, served: tuple[Server, Deployed], monkeypatch: pytest.MonkeyPatch
) -> None:
    server, d = served
    with monkeypatch.context() as patch:
        server.end_before(Registry, "move", patch)
        with pytest.raises((MlflowException, Interrupted)) as stop:
            VERBS[verb](d)
    assert time.monotonic() - server.ended < 75
    assert isinstance(explained(stop.value) or stop.value, Interrupted)
    server.start()
    VERBS[verb](d)
    assert verify(d.registry, quiet()) == []
