"""The status of a registered model: its history compared with what the store has. Pure values."""

from collections.abc import Sequence
from dataclasses import dataclass

from mlflow.entities.model_registry import ModelVersion

from registry.history import Damage, HistoryContents
from registry.lines import ALIASES, Line, State, cut, replay, version_of

WITHDRAWN = "fracture.withdrawn"  # of a version: when, by whom and why it was rolled back; the history decides


@dataclass(frozen=True)
class ModelStatus:
    """What the store has and what the history says of it, at one moment.

    Attributes:
        lines: of the history, oldest first.
        damage: lines that were deleted or changed by hand.
        uncopied: lines of which no copy is kept yet.
        exists: whether the store has a registered model of this name.
        there: its versions by number.
        real: by alias, the version that it points to in the store.
        state: what the lines amount to, whatever was deleted since.
        aliases: by alias, the version it is to point to, empty for none; a deleted one is none.
        gone: by alias, a sentence where the version that it belongs to was deleted.
        withdrawn: by version that is there and was rolled back as bad, the line that did it.
        earlier: champions before that are there, oldest first.
        option: what a command that is told to the user needs besides, with a space before it.
    """

    lines: tuple[Line, ...]
    damage: tuple[Damage, ...]
    uncopied: tuple[Line, ...]
    exists: bool
    there: dict[str, ModelVersion]
    real: dict[str, str]
    state: State
    aliases: dict[str, str]
    gone: dict[str, str]
    withdrawn: dict[str, Line]
    earlier: tuple[str, ...]
    option: str

    @property
    def champion(self) -> str:
        """The champion by the history, though it may be deleted: what the next line is to replace."""
        return self.state.aliases["champion"]

    @property
    def open_lines(self) -> list[Line]:
        """Lines whose writer did not come to the end, or is under way."""
        return [line for line in self.lines if not line.settled]

    @property
    def unrecorded(self) -> list[ModelVersion]:
        """Versions that are in no line of the history, newest first."""
        newest = sorted(self.there.values(), key=lambda one: -int(one.version))
        return [one for one in newest if not any(is_about(line, one) for line in self.lines)]

    @property
    def aliases_differ(self) -> bool:
        """Whether an alias is not where it belongs, by whatever cause."""
        return any(self.real.get(alias, "") != version for alias, version in self.aliases.items())

    @property
    def misplaced_aliases(self) -> list[str]:
        """A sentence for each alias that was moved by hand, or by a command that was cut short."""
        why, found = cut(self.open_lines[-1]) if self.open_lines else "it was moved by hand", []
        for alias, version in self.aliases.items():
            real = self.real.get(alias, "")
            dropped = not real and alias in self.gone  # by MLflow, with the version that was deleted
            if real != version and not dropped and not self._left_by_schema_1(alias, real):
                found.append(f"@{alias} points to {_named(real)}, the history says {_named(version)}: {why}")
        return found

    @property
    def edited(self) -> dict[str, dict[str, str]]:
        """By version that an alias belongs to, the tags that were edited by hand and what they were."""
        found = {}
        for number in sorted({number for number in self.aliases.values() if number}):
            held, wanted = self.there[number].tags, self.promised(number)
            if wrong := {name: value for name, value in wanted.items() if held.get(name) != value}:
                found[number] = wrong
        return found

    @property
    def by_hand(self) -> list[str]:
        """What somebody has moved, edited or deleted that no command builds upon, a sentence each."""
        edited = [what for number in self.edited for what in self.edits(number)]
        return [*(one.what for one in self.damage), *([] if self.open_lines else self.misplaced_aliases), *edited]

    def edits(self, number: str) -> list[str]:
        """A sentence for each tag of a version that was edited by hand."""
        held = self.there[number].tags
        return [
            f"version {number}: the tag {name} was edited by hand: {held.get(name, 'nothing')!r}, {value!r} when "
            "promoted"
            for name, value in self.edited.get(number, {}).items()
        ]

    def promised(self, number: str) -> dict[str, str]:
        """The tags that a version had when it became candidate, as far as the history holds them."""
        for line in reversed(self.lines):
            if line.entry.action == "candidate" and is_about(line, self.there[number]):
                known = line.entry.tags or {"fracture.gates": line.entry.gates}
                return {name: value for name, value in known.items() if value and name != WITHDRAWN}
        return {}

    def why_withdrawn(self, version: str) -> str:
        """What to say of a version that was rolled back as bad, and how it comes back."""
        said = self.state.withdrawn[version].entry
        why = f"version {version} was rolled back by {said.who}, {said.when}: {said.reason}"
        if version not in self.withdrawn:
            return f"{why}; the version was deleted since"
        again = f'`python -m registry rollback{self.option} --version {version} --although "WHY"`'
        return f"{why}; it comes back only by {again}"

    def next_step(self, alias: str) -> str:
        """What to do where the version of an alias is of no use."""
        another = f"`python -m registry promote{self.option} RUN` makes another"
        back = f"`python -m registry rollback{self.option}` brings @previous back"
        return {
            "candidate": another,
            "champion": back if self.aliases["previous"] else f"{another} candidate: nothing is @previous",
            "previous": "there is nothing to roll back to until another champion is made",
        }[alias]

    def withdrawn_with(self, run_id: str, weights: str) -> list[str]:
        """Versions that were rolled back as bad and hold the model of a run, those deleted since included."""
        entered = {line.entry.version: line.entry.tags for line in self.lines if line.entry.tags}
        tags = {
            number: self.there[number].tags if number in self.withdrawn else entered.get(number, {})
            for number in self.state.withdrawn
        }
        return [
            number for number, held in tags.items()
            if held.get("fracture.run") == run_id or (weights and held.get("fracture.weights_sha256") == weights)
        ]  # fmt: skip

    def _left_by_schema_1(self, alias: str, real: str) -> bool:
        """Whether an alias is left on what a rollback took away, as an earlier version of this project left it."""
        line = self.state.withdrawn.get(real)
        return alias != "champion" and line is not None and line.entry.schema_version == 1


def compare_with_history(told: HistoryContents, versions: Sequence[ModelVersion], option: str = "") -> ModelStatus:
    """Compare a history with the versions of its model."""
    state, there = replay(told.lines), {str(one.version): one for one in versions}

    def holds(line: Line | None) -> bool:
        return line is None or (line.entry.version in there and is_about(line, there[line.entry.version]))

    held = {"candidate": state.candidate, "champion": state.champion,
            "previous": state.earlier[-1] if state.earlier else None}  # fmt: skip
    gone = {
        alias: f"version {version_of(line)}, which the history calls @{alias}, was deleted"
        for alias, line in held.items() if not holds(line)
    }  # fmt: skip
    earlier = tuple(version_of(line) for line in state.earlier if holds(line))
    aliases = {alias: "" if alias in gone else version_of(line) for alias, line in held.items()}
    aliases["previous"] = earlier[-1] if earlier else ""  # the youngest that is left
    withdrawn = {
        number: line for number, line in state.withdrawn.items()
        if number in there and _took_away(line, there[number], told.lines)
    }  # fmt: skip
    pointed = told.model.aliases if told.model else {}
    real = {alias: str(pointed[alias]) for alias in ALIASES if alias in pointed}
    return ModelStatus(
        told.lines, told.damage, told.uncopied, told.model is not None, there, real, state, aliases, gone, withdrawn,
        earlier, option,
    )  # fmt: skip


def is_about(line: Line, version: ModelVersion) -> bool:
    """Whether a line is about this version, and not about one of the same number in a model that was deleted."""
    if line.entry.version != str(version.version):
        return False
    if line.entry.source:
        return bool(line.entry.source == version.source)
    return int(version.creation_timestamp) <= line.created


def _took_away(line: Line, version: ModelVersion, lines: Sequence[Line]) -> bool:
    """Whether a rollback took this version away, and not one of the same number in a model that was deleted."""
    earlier = [one for one in lines if one.number < line.number and one.entry.version == str(version.version)]
    if earlier and earlier[-1].entry.source:
        return is_about(earlier[-1], version)  # the clock may have been set back since
    return int(version.creation_timestamp) <= line.created


def _named(version: str) -> str:
    return f"version {version}" if version else "nothing"
