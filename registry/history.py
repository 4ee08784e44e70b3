"""The append-only history: each move of an alias is a line, and the lines alone say where the aliases point.

A line is a version of a registered model of its own, NAME-history. Creating a version is the one thing that every
MLflow store numbers atomically, so lines never share a number, are written whole, and need no lock.
"""

import contextlib
import hashlib
import json
import random
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import TypeVar

import mlflow
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException

from fracture.errors import ConfigError
from fracture.privacy import who

ALIASES = ("candidate", "champion", "previous")
_LINE, _SETTLED = "fracture.line", "fracture.settled"
_REASON = 2000  # characters kept of a reason
_PATIENCE = 60.0  # seconds of a store that is busy
_BUSY = {"TEMPORARILY_UNAVAILABLE": _PATIENCE, "BAD_REQUEST": 10.0}  # a locked database; two first writes of one alias
T = TypeVar("T")


@dataclass(frozen=True)
class Entry:
    """What a line says.

    Attributes:
        when: UTC, ISO 8601.
        who: see `fracture.privacy.who`.
        action: candidate, champion or rollback.
        version: that the alias is to point to.
        before: that it pointed to when this was decided, empty for none.
        reason: in one sentence.
        gates: what each gate said of the version.
        token: of this line alone, so that one sent twice counts once.
        after: number of the newest line that its writer knew, 0 for none.
        after_seal: seal of that line.
    """

    when: str
    who: str
    action: str
    version: str
    before: str
    reason: str
    gates: str
    token: str
    after: int
    after_seal: str

    @property
    def seal(self) -> str:
        """Digest of all of it: later lines hold it, so that none can be changed unseen."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Line:
    """An entry as the store keeps it.

    Attributes:
        number: from 1, given by the store.
        entry: what it says.
        settled: whether its writer has moved the aliases; where not, it was cut short or is under way.
    """

    number: int
    entry: Entry
    settled: bool


@dataclass(frozen=True)
class State:
    """What lines amount to.

    Attributes:
        aliases: by alias, the version it is to point to, empty for none.
        void: numbers of lines that do not count: another champion was made before them than the one they replace.
    """

    aliases: dict[str, str]
    void: frozenset[int]


def fold(lines: Sequence[Line]) -> State:
    """Where the lines say that each alias points."""
    aliases, void = dict.fromkeys(ALIASES, ""), set()
    for line in lines:
        said = line.entry
        if said.action == "candidate":
            aliases["candidate"] = said.version
        elif said.before == aliases["champion"]:
            aliases["previous"], aliases["champion"] = said.before, said.version
        else:
            void.add(line.number)
    return State(aliases, frozenset(void))


class History:
    """The lines of one registered model."""

    def __init__(self, name: str) -> None:
        """Refer to the history of the registered model ``name``, which need not exist yet."""
        self.model, self.name = name, f"{name}-history"
        self._client = mlflow.MlflowClient()

    def lines(self) -> list[Line]:
        """Every line, oldest first; what is no line, and what was sent twice, is left out."""
        found: dict[str, Line] = {}
        for version in self._versions():
            if entry := _entry(version):
                found.setdefault(entry.token, Line(int(version.version), entry, _SETTLED in version.tags))
        return list(found.values())

    def damage(self) -> list[str]:
        """What shows that lines were deleted or changed, one sentence each."""
        versions, lines = self._versions(), self.lines()
        numbers, seals = {int(one.version) for one in versions}, {line.number: line.entry.seal for line in lines}
        gone = set(range(1, max(numbers, default=0) + 1)) - numbers
        return [
            *(f"line {number} of the history was deleted" for number in sorted(gone)),
            *(f"line {one.version} of the history cannot be read" for one in versions if _entry(one) is None),
            *(
                f"line {known} of the history is not what it was when line {line.number} was written"
                for line in lines
                if (known := line.entry.after) and known not in gone and seals.get(known) != line.entry.after_seal
            ),
        ]

    def append(self, action: str, version: str, before: str, reason: str, gates: str = "") -> Line:
        """Write one line.

        Raises:
            ConfigError: the store does not take it for a minute.
        """
        with contextlib.suppress(MlflowException):  # exists already, or another process was quicker
            self._client.create_registered_model(
                self.name, description=f"The history of {self.model}, a version a line."
            )
        last = max(self.lines(), key=lambda line: line.number, default=None)
        entry = Entry(
            when=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), who=who(), action=action, version=version,
            before=before, reason=reason[:_REASON], gates=gates, token=uuid.uuid4().hex,
            after=last.number if last else 0, after_seal=last.entry.seal if last else "",
        )  # fmt: skip
        return Line(self._write(entry), entry, settled=False)

    def settle(self, line: Line) -> None:
        """Note that the aliases have been moved."""
        patiently(partial(self._client.set_model_version_tag, self.name, str(line.number), _SETTLED, "true"))

    def _write(self, entry: Entry) -> int:
        """Send an entry until it is there, however often the store is too busy; its number."""
        text = (
            f"{entry.action}: version {entry.version}, before {entry.before or 'none'}, by {entry.who}. {entry.reason}"
        )
        until = time.monotonic() + _PATIENCE
        while True:
            try:
                made = self._client.create_model_version(
                    self.name, f"models:/{self.model}/{entry.version}",
                    tags={_LINE: json.dumps(asdict(entry))}, description=text,
                )  # fmt: skip
                return int(made.version)
            except MlflowException as error:
                if there := [line.number for line in self.lines() if line.entry.token == entry.token]:
                    return there[0]
                if time.monotonic() > until or error.error_code == "RESOURCE_DOES_NOT_EXIST":
                    raise ConfigError(f"{self.name}: the history cannot be written: {error.message}") from error
                time.sleep(random.uniform(0.05, 0.5))

    def _versions(self) -> list[ModelVersion]:
        return sorted(versions_of(self._client, self.name), key=lambda one: int(one.version))


def _entry(version: ModelVersion) -> Entry | None:
    """What a version of the history says, None where it is no line."""
    try:
        return Entry(**json.loads(version.tags[_LINE]))
    except (KeyError, TypeError, ValueError):
        return None


def versions_of(client: mlflow.MlflowClient, name: str) -> list[ModelVersion]:
    """All versions of a registered model, in no order."""
    page = client.search_model_versions(f"name='{name}'", max_results=200)
    found = list(page)
    while page.token:
        page = client.search_model_versions(f"name='{name}'", max_results=200, page_token=page.token)
        found += page
    return found


def patiently(write: Callable[[], T]) -> T:
    """Do a write that may be done twice, again and again while the store is too busy."""
    began = time.monotonic()
    while True:
        try:
            return write()
        except MlflowException as error:
            if time.monotonic() - began > _BUSY.get(error.error_code, -1):
                raise
            time.sleep(random.uniform(0.05, 0.5))
