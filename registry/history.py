"""The append-only history: each move of an alias is a line, and the lines alone say where the aliases point.

A line is a version of a registered model of its own, NAME-history. Creating a version is the one thing that every
MLflow store numbers atomically, so lines never share a number, are written whole, and need no lock. A copy of each line
is a tag of the registered model itself: what is deleted or edited by hand is read, and brought back, from there.
"""

import calendar
import contextlib
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial

import mlflow
from mlflow.entities.model_registry import ModelVersion, RegisteredModel
from mlflow.exceptions import MlflowException

from fracture.errors import ConfigError
from fracture.failures import explained
from fracture.privacy import shareable, who
from registry.lines import SCHEMA, Entry, Line, lost, parse
from registry.names import HISTORY
from registry.retries import ABSENT, FULL, PATIENCE, make_model, model_of, pause, versions_of, with_retries

COPY = "mlflow.fracture.line."  # of the registered model, and a number; MLflow's page lists no tag called mlflow...
_COPIES = (COPY, "fracture.line.")  # the second, which filled that page, by an earlier version of this project
_LINE, _SETTLED, _SEAL, _NUMBER = "fracture.line", "fracture.settled", "fracture.seal", "fracture.number"
_KNOWN = "fracture.changed"  # of a line that was changed by hand, has no copy, and was seen by `verify --repair`
_SOURCE = "history:/line"  # a version must name one; no store looks for it, unlike models:/..., which may be deleted
_DIGITS = 9  # of the number of a line
_AT_ONCE = 1000  # writers at most that know the same newest line
_REASON = 2000  # characters kept of a reason
_LENGTH = 4900  # characters of a copy: PostgreSQL takes 5000


@dataclass(frozen=True)
class Damage:
    """A line that is not as it was written.

    Attributes:
        number: of the line.
        what: in one sentence.
        entry: what belongs there.
        version: of NAME-history that holds something else, empty where none holds anything.
        known: whether nobody knows better than what it holds.
    """

    number: int
    what: str
    entry: Entry
    version: str = ""
    known: bool = False


@dataclass(frozen=True)
class HistoryContents:
    """What a history tells.

    Attributes:
        lines: oldest first; of one that was deleted or edited, its copy.
        damage: lines that were deleted or changed by hand.
        uncopied: settled lines of which no copy is kept, as an earlier version of this project wrote them.
        model: the registered model that it is about, None where there is none.
    """

    lines: tuple[Line, ...]
    damage: tuple[Damage, ...]
    uncopied: tuple[Line, ...]
    model: RegisteredModel | None


@dataclass(frozen=True)
class _Kept:
    """What the versions of NAME-history hold by the number of the line, the copies, and the versions' numbers."""

    held: dict[int, tuple[ModelVersion, Entry | None]]
    copies: dict[int, Entry]
    numbers: frozenset[int]


class History:
    """The lines of one registered model."""

    def __init__(self, name: str) -> None:
        """Refer to the history of the registered model ``name``, which need not exist yet."""
        self.model, self.name = name, f"{name}{HISTORY}"
        self._client = mlflow.MlflowClient()

    def read(self) -> HistoryContents:
        """All of it; an entry that was sent twice counts once."""
        model = model_of(self._client, self.model)  # read first: a line written meanwhile must not look deleted
        kept = _kept(versions_of(self._client, self.name), copies_of(model))
        wrong = {one.number: one for one in _damage(kept)}
        found: dict[str, Line] = {}
        for number in sorted(kept.held.keys() | wrong.keys()):
            version, entry = kept.held.get(number, (None, None))
            entry = wrong[number].entry if number in wrong else entry
            if entry is not None:
                created = int(version.creation_timestamp) if version else _written(entry)
                settled = version is None or _SETTLED in version.tags or entry.action == "lost"
                found.setdefault(entry.token, Line(number, entry, settled, created))
        lines = tuple(found.values())
        uncopied = (line for line in lines if line.settled and line.entry.action != "lost")
        return HistoryContents(
            lines, tuple(wrong.values()), tuple(line for line in uncopied if line.number not in kept.copies), model
        )

    def lines(self) -> tuple[Line, ...]:
        """Every line, oldest first."""
        return self.read().lines

    def append(
        self, action: str, version: str, before: str, reason: str, gates: str = "", *,
        source: str = "", tags: Mapping[str, str] | None = None,
    ) -> Line:  # fmt: skip
        """Write one line.

        Raises:
            ConfigError: the store does not take it for a minute.
        """
        self._make()
        last = max(self.lines(), key=lambda line: line.number, default=None)
        entry = Entry(
            when=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), who=who(), action=action, version=version,
            before=before, reason=shareable(reason)[:_REASON], gates=gates, token=uuid.uuid4().hex,
            after=last.number if last else 0, after_seal=last.entry.seal if last else "",
            schema_version=SCHEMA, source=source, tags=dict(tags or {}),
        )  # fmt: skip
        entry = _short(entry)
        made = self._write(entry, {})
        return Line(int(made.version), entry, settled=False, created=int(made.creation_timestamp))

    def settle(self, line: Line) -> None:
        """Keep a copy, and note that the aliases have been moved."""
        self.keep(line)
        self._tag(str(line.number), {_SETTLED: "true"})

    def keep(self, line: Line) -> None:
        """Keep a copy on the registered model; one that was deleted needs none."""
        key, text = f"{COPY}{line.number}", f"{line.entry.seal} {line.entry.text}"
        try:
            with_retries(partial(self._client.set_registered_model_tag, self.model, key, text))
        except MlflowException as error:
            if error.error_code not in ABSENT:
                raise

    def repair(self) -> None:
        """Bring deleted and edited lines back, from their copies or as lines of which nobody knows what they said."""
        for one in self.read().damage:
            if not one.version:
                self._make()
                self._write(one.entry, {_NUMBER: str(one.number), _SETTLED: "true"})
            else:
                seen = {_KNOWN: "true"} if one.known else {}
                self._tag(one.version, {_SEAL: one.entry.seal, _LINE: one.entry.text, _SETTLED: "true"} | seen)

    def _make(self) -> None:
        make_model(self._client, self.name, f"The history of {self.model}, a version a line.")

    def _tag(self, version: str, tags: Mapping[str, str]) -> None:
        for name, value in tags.items():
            with_retries(partial(self._client.set_model_version_tag, self.name, version, name, value))

    def _write(self, entry: Entry, tags: dict[str, str]) -> ModelVersion:
        """Send an entry until it is there, however often the store is too busy."""
        text = (
            f"{entry.action}: version {entry.version}, before {entry.before or 'none'}, by {entry.who}. {entry.reason}"
        )
        tags = tags | {_LINE: entry.text, _SEAL: entry.seal}
        until = time.monotonic() + PATIENCE
        while True:
            try:
                return self._client.create_model_version(self.name, _SOURCE, tags=tags, description=text)
            except MlflowException as error:
                held = _kept(versions_of(self._client, self.name), {}).held.values()
                if there := [version for version, known in held if known and known.token == entry.token]:
                    return there[0]
                if FULL in str(error) or time.monotonic() > until or error.error_code in ABSENT:
                    refused = ConfigError(f"{self.name}: the history cannot be written: {error.message}")
                    raise explained(error) or refused from error
                pause()


def copies_of(model: RegisteredModel | None) -> dict[int, Entry]:
    """The copies of lines that a registered model holds, by number; those that were edited are left out."""
    found = {}
    for key, value in (model.tags if model else {}).items():
        number = next((_decimal(key.removeprefix(one)) for one in _COPIES if key.startswith(one)), 0)
        seal, _, text = value.partition(" ")
        entry = parse(text) if number else None
        if entry is not None and entry.seal == seal and entry.after < number <= entry.after + _AT_ONCE:
            found[number] = entry
    return found


def _decimal(text: str) -> int:
    """A number that is written in decimal digits and may be that of a line; 0 where it is none."""
    return int(text) if text.isdecimal() and len(text) <= _DIGITS else 0


def _kept(versions: list[ModelVersion], copies: dict[int, Entry]) -> _Kept:
    read = [(one, parse(one.tags.get(_LINE, ""))) for one in sorted(versions, key=lambda one: int(one.version))]
    numbers = frozenset(int(one.version) for one, _ in read)
    known = max(numbers | copies.keys(), default=0)
    places = [(_brought_back(one, entry, known) or int(one.version), one, entry) for one, entry in read]
    own = {number for number, one, _ in places if number == int(one.version)}
    held: dict[int, tuple[ModelVersion, Entry | None]] = {}
    for number, one, entry in places:
        is_taken = number in own and number != int(one.version)  # the line is there: it was not brought back
        held.setdefault(int(one.version) if is_taken else number, (one, entry))
    return _Kept(held, copies, numbers)


def _brought_back(version: ModelVersion, entry: Entry | None, known: int) -> int:
    """The number of the line that a version brings back, 0 for none: one that no line can have was set by hand."""
    number = _decimal(version.tags.get(_NUMBER, ""))
    return number if (entry.after if entry else 0) < number <= known else 0


def _damage(kept: _Kept) -> list[Damage]:
    """What shows that lines were deleted or changed; the right entry is from a copy, or says that it is lost."""
    promised = {  # seals that later lines hold
        entry.after: entry.after_seal
        for version, entry in kept.held.values()
        if entry is not None and entry.after and version.tags.get(_SEAL, entry.seal) == entry.seal
    }
    found = []
    for number in range(1, max(kept.held.keys() | kept.copies.keys() | kept.numbers, default=0) + 1):
        version, entry = kept.held.get(number, (None, None))
        copy = kept.copies.get(number)
        if version is None:
            if number not in kept.numbers:  # else the version of this number brings another line back
                found.append(Damage(number, f"line {number} of the history was deleted", copy or lost(number)))
        elif entry is None:
            what = f"line {number} of the history cannot be read"
            found.append(Damage(number, what, copy or lost(number), str(version.version)))
        elif entry.action != "lost" and _changed(version, entry, copy, promised.get(number, "")):
            right = copy if copy and copy.token == entry.token else entry
            what = f"line {number} of the history is not what it was when it was written"
            found.append(Damage(number, what, right, str(version.version), known=right == entry))
    return found


def _changed(version: ModelVersion, entry: Entry, copy: Entry | None, promised: str) -> bool:
    """Whether somebody has edited a line: its own seal, the next line or its copy say otherwise."""
    if _KNOWN in version.tags:
        return False
    if promised:
        return entry.seal != promised
    if _SEAL in version.tags:
        return bool(entry.seal != version.tags[_SEAL])
    return copy is not None and copy.token == entry.token and copy.seal != entry.seal


def _short(entry: Entry) -> Entry:
    """The entry with as much of its reason and tags as a store takes."""
    over = len(entry.text) - _LENGTH
    if over <= 0:
        return entry
    if len(entry.reason) > over:
        return replace(entry, reason=entry.reason[: len(entry.reason) - over])
    return replace(entry, tags={})


def _written(entry: Entry) -> int:
    """When an entry says that it was written, in milliseconds; the end of that second."""
    with contextlib.suppress(ValueError):
        return (calendar.timegm(time.strptime(entry.when, "%Y-%m-%dT%H:%M:%SZ")) + 1) * 1000
    return 0
