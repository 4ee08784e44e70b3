"""Versions of the registered model, their aliases, and the append-only history of who moved them."""

import contextlib
import json
import os
import time
import uuid
from collections.abc import Iterator
from dataclasses import asdict, dataclass

import mlflow
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException

from fracture.errors import ConfigError

MODEL = "fracture-classifier"
ALIASES = ("candidate", "champion", "previous")
_HISTORY, _LEASE = "fracture.history.", "fracture.lease"
_LEASE_SECONDS = 60.0
_TAG_LENGTH = 4500


@dataclass(frozen=True)
class Line:
    """One line of the history.

    Attributes:
        number: from 1, without gaps.
        when: UTC, ISO 8601.
        who: name of the user.
        action: candidate, champion or rollback.
        version: that the alias points to since.
        before: that it pointed to, empty for none.
        reason: in one sentence.
    """

    number: int
    when: str
    who: str
    action: str
    version: str
    before: str
    reason: str


class Registry:
    """The registered model of one name in the store that is connected."""

    def __init__(self, name: str = MODEL) -> None:
        """Refer to a registered model, which need not exist yet."""
        self.name = name
        self._client = mlflow.MlflowClient()

    def alias(self, alias: str) -> str:
        """The version that an alias points to, empty for none."""
        try:
            return str(self._client.get_model_version_by_alias(self.name, alias).version)
        except MlflowException:
            return ""

    def version(self, version: str) -> ModelVersion:
        """One version.

        Raises:
            ConfigError: no such version.
        """
        try:
            return self._client.get_model_version(self.name, version)
        except MlflowException as error:
            raise ConfigError(
                f"{self.name} version {version}: {error.message}\n`python -m registry list` shows all"
            ) from error

    def versions(self) -> list[ModelVersion]:
        """All versions, newest first."""
        found = self._client.search_model_versions(f"name='{self.name}'", max_results=200)
        return sorted(found, key=lambda one: -int(one.version))

    def register(self, model_uri: str, run_id: str, tags: dict[str, str], description: str) -> str:
        """Register a packaged model as a new version; returns its number."""
        with contextlib.suppress(MlflowException):  # exists already, or another process was quicker
            self._client.create_registered_model(self.name)
        made = self._client.create_model_version(
            self.name, model_uri, run_id=run_id, tags=tags, description=description
        )
        return str(made.version)

    def history(self) -> list[Line]:
        """Every line, oldest first."""
        try:
            tags = self._client.get_registered_model(self.name).tags
        except MlflowException:
            return []
        lines = [Line(**json.loads(value)) for key, value in tags.items() if key.startswith(_HISTORY)]
        return sorted(lines, key=lambda line: line.number)

    def move(self, moves: dict[str, str], action: str, reason: str) -> Line:
        """Point aliases to versions and add one line to the history, alone among all processes.

        The line is written first: after a crash it says what was meant, and `repair` finishes it.

        Args:
            moves: by alias, the version it is to point to; empty removes it.
            action: candidate, champion or rollback.
            reason: in one sentence.
        """
        with self.alone():
            main = "candidate" if action == "candidate" else "champion"
            lines = self.history()
            line = Line(
                number=lines[-1].number + 1 if lines else 1,
                when=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
                who=os.environ.get("USER") or os.environ.get("LOGNAME") or "unknown",
                action=action, version=moves[main], before=self.alias(main), reason=reason[:_TAG_LENGTH // 2],
            )  # fmt: skip
            self._client.set_registered_model_tag(self.name, f"{_HISTORY}{line.number:06d}", json.dumps(asdict(line)))
            self.point(moves)
            return line

    def point(self, moves: dict[str, str]) -> None:
        """Point aliases to versions; an empty version removes the alias."""
        for alias, version in moves.items():
            if version:
                self._client.set_registered_model_alias(self.name, alias, version)
            elif self.alias(alias):
                self._client.delete_registered_model_alias(self.name, alias)

    def tag(self, version: str, key: str, value: str) -> None:
        """Set a tag of a version."""
        self._client.set_model_version_tag(self.name, version, key, value[:_TAG_LENGTH])

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """Hold the lease that keeps other processes, on any machine, from moving aliases meanwhile.

        It is a tag of the registered model: set, waited for, and read back. A lease older than a minute is one of a
        process that died. Two processes that set it within the store's own latency both read the later one, so that
        only one goes on.

        Raises:
            ConfigError: another process holds it for longer than a minute.
        """
        mine = f"{uuid.uuid4().hex} "
        deadline = time.monotonic() + 2 * _LEASE_SECONDS
        while not self._take(mine):
            if time.monotonic() > deadline:
                raise ConfigError(f"{self.name}: another promotion is under way; try again in a minute")
            time.sleep(0.3)
        try:
            yield
        finally:
            self._client.delete_registered_model_tag(self.name, _LEASE)

    def _take(self, mine: str) -> bool:
        held = self._client.get_registered_model(self.name).tags.get(_LEASE, "")
        if held and time.time() - float(held.split()[1]) < _LEASE_SECONDS:
            return False
        self._client.set_registered_model_tag(self.name, _LEASE, f"{mine}{time.time():.3f}")
        time.sleep(0.5)  # longer than a store takes to answer: whoever wrote last is read by all
        return str(self._client.get_registered_model(self.name).tags.get(_LEASE, "")).startswith(mine)
