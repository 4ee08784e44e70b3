"""A running server takes up what an alias of the registry points to, whenever that is moved."""

import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from fracture.errors import ConfigError
from fracture.failures import sentence
from fracture.inference.about import About
from fracture.inference.predictor import Predictor
from fracture.inference.service import Service
from fracture.progress import Terminal
from fracture.runs import answering
from fracture.tracking import query

_LATE = 30.0  # seconds that the registry may take; MLflow itself tries for minutes
_LONGEST_PAUSE = 300.0  # seconds between two tries of a version that cannot be taken up, doubled up to here


class Follower:
    """Looks where an alias points to, in a thread of its own; whatever goes wrong, the model that answers goes on."""

    def __init__(self, alias: str, about: About, service: Service, terminal: Terminal, every: float) -> None:
        """Begin to look.

        Args:
            alias: ``models:/NAME@ALIAS``.
            about: the model that answers now.
            service: gets the others.
            terminal: shows every change, and of every new trouble once.
            every: seconds between two looks.
        """
        self._alias, self._about, self._service = alias, about, service
        self._terminal, self._every = terminal, every
        self._looked, self._problem, self._refused = "", "", ""
        self._asked: float | None = None  # since when the registry has been asked
        self._pause, self._try_at = every, 0.0  # of a version that cannot be taken up
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._work, name="follow", daemon=True)
        self._thread.start()

    def health(self) -> dict[str, object]:
        """Which alias, how often and when last looked at, and the ``problem`` in one sentence, empty for none."""
        problem = self._silence() or self._problem
        return {
            "ok": not problem and self._thread.is_alive(), "alias": self._alias, "seconds": self._every,
            "looked": self._looked, "problem": problem,
        }  # fmt: skip

    def _silence(self) -> str:
        asked = self._asked
        waited = time.monotonic() - asked if asked is not None else 0.0
        return f"{self._alias}: the registry has not answered for {waited:.0f} s" if waited > _LATE else ""

    def close(self) -> None:
        """Look no longer; a download that has begun is not waited for."""
        self._stop.set()
        self._thread.join(2)

    def _work(self) -> None:
        while not self._stop.wait(self._every):
            try:
                self._look()
            except Exception as error:  # noqa: BLE001 - whatever registry, disk or model say, answers go on
                self._tell(f"{self._alias} cannot be looked up: {sentence(error)}")

    def _look(self) -> None:
        self._asked = time.monotonic()
        try:
            version = query.version_at(self._alias)
        finally:
            self._asked = None
        self._looked = datetime.now(UTC).isoformat(timespec="seconds")
        if version.number == self._about.version:
            if self._problem:
                self._terminal.say(f"{self._alias} is version {version.number}, which answers: followed again")
            self._refused, self._problem = "", ""
        elif version.number != self._refused or time.monotonic() >= self._try_at:
            uri = f"models:/{version.name}/{version.number}"
            with tempfile.TemporaryDirectory() as folder:
                try:
                    found = _tried(uri, Path(folder))
                except Exception as error:  # noqa: BLE001 - as above; the folder is another one each time
                    self._refuse(version.number, sentence(error).replace(folder, uri))
                    return
            if not self._stop.is_set():
                self._take(*found)

    def _refuse(self, version: str, why: str) -> None:
        self._pause = min(_LONGEST_PAUSE, 2 * self._pause) if version == self._refused else self._every
        self._refused, self._try_at = version, time.monotonic() + self._pause
        self._tell(f"{self._alias} is version {version} now, which cannot be loaded: {why}")

    def _take(self, predictor: Predictor, about: About) -> None:
        before, self._about = self._about, about
        self._service.take(predictor, about)
        self._refused, self._problem = "", ""
        sidecar = predictor.sidecar
        self._terminal.say(
            f"{about.title} ({sidecar.model}, weights {sidecar.weights_sha256[:12]}) answers from now on: "
            f"{self._alias} was moved from version {before.version}"
        )

    def _tell(self, problem: str) -> None:
        if problem != self._problem:
            self._terminal.warn(f"{problem.rstrip('.')}. {self._about.title} goes on answering")
        self._problem = problem


@contextmanager
def follow(alias: str, about: About, service: Service, terminal: Terminal, every: float) -> Iterator[None]:
    """Have a server follow an alias meanwhile; nothing is followed without one."""
    if not alias:
        yield
        return
    follower = Follower(alias, about, service, terminal, every)
    service.following = follower.health
    service.counters.watch_follower(lambda: not follower.health()["ok"])
    terminal.say(f"Follows {alias}: looked up every {every:g} s")
    try:
        yield
    finally:
        follower.close()


def _tried(uri: str, folder: Path) -> tuple[Predictor, About]:
    """A model, brought into a folder, that has answered to an image.

    Raises:
        ConfigError: it cannot be loaded, or it answers with nothing.
    """
    predictor, about = answering.served(uri, folder)
    noise = np.random.default_rng(0).integers(0, 255, (256, 256), np.uint8)
    if error := predictor.predict(noise)[0].error:
        raise ConfigError(f"a test request failed: {error}")
    return predictor, about
