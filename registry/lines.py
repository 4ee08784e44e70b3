"""The lines of a history, and what they amount to: pure values."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace

from fracture.errors import ConfigError

ALIASES = ("candidate", "champion", "previous")
SCHEMA = 2  # of an entry; 1 had no source and no tags, and its rollbacks left @previous on what they took away
_SINCE_2 = {"schema_version": 1, "source": "", "tags": {}}  # and what an entry of 1 has in their place


@dataclass(frozen=True)
class Entry:
    """What a line says.

    Attributes:
        when: UTC, ISO 8601.
        who: name of the user.
        action: candidate, champion, rollback, removed (the version loses every alias), or lost (nobody knows).
        version: that the alias is to point to, or that is removed.
        before: that it pointed to when this was decided, empty for none.
        reason: in one sentence.
        gates: what each gate said of the version.
        token: of this line alone, so that one sent twice counts once.
        after: number of the newest line that its writer knew, 0 for none.
        after_seal: seal of that line.
        schema_version: of this record.
        source: of the version, ``models:/m-...``: its number may be given again once the model was deleted.
        tags: of the version when it became candidate.
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
    schema_version: int = 1
    source: str = ""
    tags: dict[str, str] = field(default_factory=dict)

    @property
    def seal(self) -> str:
        """Digest of all of it: later lines hold it, so that none can be changed unseen."""
        known = {name: value for name, value in asdict(self).items() if _SINCE_2.get(name, self) != value}
        return hashlib.sha256(json.dumps(known, sort_keys=True).encode()).hexdigest()[:16]

    @property
    def text(self) -> str:
        """As a store keeps it."""
        return json.dumps(asdict(self), ensure_ascii=False)


def parse(text: str) -> Entry | None:
    """What `Entry.text` has written, None where it is something else.

    Raises:
        ConfigError: a newer version of this project has written it.
    """
    try:
        values = json.loads(text)
        if values.get("schema_version", 1) > SCHEMA:
            raise ConfigError("the history was written by a newer version of this project; update this one")
        return Entry(**values)
    except (AttributeError, TypeError, ValueError):
        return None


def lost(number: int) -> Entry:
    """What is in the place of a line that was deleted, and of which no copy is left."""
    why = "this line was deleted or made unreadable by hand, and no copy is left"
    return Entry("", "unknown", "lost", "", "", why, "", f"lost {number}", 0, "", SCHEMA)


@dataclass(frozen=True)
class Line:
    """An entry as the store keeps it.

    Attributes:
        number: from 1, given by the store.
        entry: what it says.
        settled: whether its writer has moved the aliases; where not, it was cut short or is under way.
        created: when, in milliseconds by the store's clock.
    """

    number: int
    entry: Entry
    settled: bool
    created: int = 0


def cut(line: Line) -> str:
    """What is said of a line that is not settled."""
    said = line.entry
    return (
        f"line {line.number} of the history ({said.action} by {said.who}, {said.when}) was cut short or is under way; "
        "the next command finishes it"
    )


@dataclass(frozen=True)
class State:
    """What lines amount to.

    Attributes:
        candidate, champion: the line that made it so, None for nobody.
        earlier: champions before, oldest first, which a rollback can go back to.
        withdrawn: by version that was rolled back as bad, the line that did it.
        void: numbers of lines that do not count: another champion was made before them than the one they replace.
    """

    candidate: Line | None = None
    champion: Line | None = None
    earlier: tuple[Line, ...] = ()
    withdrawn: dict[str, Line] = field(default_factory=dict)
    void: frozenset[int] = frozenset()

    @property
    def aliases(self) -> dict[str, str]:
        """By alias, the version it is to point to while no version is deleted, empty for none."""
        return {"candidate": version_of(self.candidate), "champion": version_of(self.champion),
                "previous": version_of(self.earlier[-1] if self.earlier else None)}  # fmt: skip


def version_of(line: Line | None) -> str:
    """The version that a line names, empty without a line."""
    return line.entry.version if line else ""


def replay(lines: Sequence[Line]) -> State:
    """Where the lines say that each alias points."""
    state, void, unsure = State(), set(), False
    for line in lines:
        said = line.entry
        if said.action == "lost":
            unsure = True  # it may have made the champion that the next one replaces
        elif said.action == "candidate":
            state = replace(state, candidate=line)
        elif said.action == "removed":
            state = _without(state, said.version)
        elif said.before == version_of(state.champion) or unsure:
            state, unsure = _crowned(state, line), False
        else:
            void.add(line.number)
    return replace(state, void=frozenset(void))


def _without(state: State, version: str) -> State:
    """A version has lost every alias."""
    return replace(
        state,
        candidate=None if version_of(state.candidate) == version else state.candidate,
        champion=None if version_of(state.champion) == version else state.champion,
        earlier=tuple(one for one in state.earlier if one.entry.version != version),
    )


def _crowned(state: State, line: Line) -> State:
    """A version has become champion: the one before it is @previous, or withdrawn where this was a rollback."""
    said, old = line.entry, state.champion
    if said.before and version_of(old) != said.before:  # a line is lost that made it champion
        old = replace(line, entry=replace(said, version=said.before, source=""))
    names = [one.entry.version for one in state.earlier]
    earlier = tuple(one for one in state.earlier if one.entry.version != said.version)
    withdrawn = {version: why for version, why in state.withdrawn.items() if version != said.version}
    if said.action == "rollback" and said.before not in ("", said.version):
        withdrawn[said.before] = line
        state = _without(state, said.before)
        earlier = state.earlier[: names.index(said.version)] if said.version in names else state.earlier
    elif old and said.before != said.version:
        earlier = (*(one for one in earlier if one.entry.version != said.before), old)
    return replace(state, champion=line, earlier=earlier, withdrawn=withdrawn)
