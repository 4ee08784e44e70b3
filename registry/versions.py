"""Versions of the registered model, and the aliases that follow its history."""

import contextlib
from functools import partial

import mlflow
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException

from fracture.errors import ConfigError
from registry.history import History, Line, fold, patiently, versions_of

MODEL = "fracture-classifier"
THRESHOLDS = "fracture.thresholds"  # digest of what the gates held it against
_VERDICT = ("fracture.gates", "fracture.waived", "fracture.use", "fracture.package_sha256", THRESHOLDS)  # of a version
_DESCRIPTION = 5000  # characters
_MORE = "\n\nThe whole card is model_card.md, beside the model and on its run.\n"
_ABSENT = (
    "RESOURCE_DOES_NOT_EXIST",
    "INVALID_PARAMETER_VALUE",
)  # of a model, of an alias


class Registry:
    """The registered model of one name in the store that is connected.

    A move is a line in the history, then the aliases, then a note that it is settled. A process that dies in between
    leaves a line that is not settled; the next command finishes it.
    """

    def __init__(self, name: str = MODEL) -> None:
        """Refer to a registered model, which need not exist yet."""
        self.name = name
        self.history = History(name)
        self._client = mlflow.MlflowClient()

    def alias(self, alias: str) -> str:
        """The version that an alias points to in the store, empty for none."""
        try:
            return str(patiently(partial(self._client.get_model_version_by_alias, self.name, alias)).version)
        except MlflowException as error:
            if error.error_code in _ABSENT:
                return ""
            raise ConfigError(f"{self.name}@{alias}: the store does not say: {error.message}") from error

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
        return sorted(versions_of(self._client, self.name), key=lambda one: -int(one.version))

    def register(self, model_uri: str, run_id: str, tags: dict[str, str], description: str) -> str:
        """Register a packaged model as a new version; one that a promotion cut short has left is taken up again."""
        for left in self.unentered():
            if is_of(left, model_uri, tags):
                return str(left.version)
        with contextlib.suppress(MlflowException):  # exists already, or another process was quicker
            self._client.create_registered_model(self.name)
        model_id = model_uri.removeprefix("models:/")
        make = partial(self._client.create_model_version, self.name, model_uri, run_id, tags, model_id=model_id)
        return str(patiently(partial(make, description=_shortened(description))).version)

    def unentered(self) -> list[ModelVersion]:
        """Versions that are in no line of the history."""
        entered = {line.entry.version for line in self.history.lines()}
        return [one for one in self.versions() if str(one.version) not in entered]

    def move(self, action: str, version: str, before: str, reason: str, gates: str = "") -> Line:
        """Add a line to the history and let the aliases follow.

        Raises:
            ConfigError: another process made another champion since ``before`` was one.
        """
        line = self.history.append(action, version, before, reason, gates)
        self.follow()
        self.history.settle(line)
        if line.number in fold(self.history.lines()).void:
            raise ConfigError(
                f"{self.name}: version {before or 'none'} was champion no more when {version} was to replace it; line "
                f"{line.number} of the history does not count. Look at `python -m registry show` and try again."
            )
        return line

    def follow(self) -> None:
        """Point the aliases to where the history says, until it has not grown meanwhile.

        Whoever writes an alias last reads the history after that, so that any number of processes at once end with
        aliases that agree with all lines.
        """
        lines = self.history.lines()
        while True:
            self.point(fold(lines).aliases)
            newer = self.history.lines()
            if [line.number for line in newer] == [line.number for line in lines]:
                return
            lines = newer

    def ready(self) -> list[str]:
        """Finish what was cut short, before something new begins; what had to be done, one sentence each.

        Raises:
            ConfigError: an alias was moved by hand: nothing is built upon that.
        """
        wrong = self.astray()
        open_lines = [line for line in self.history.lines() if not line.settled]
        if wrong and not open_lines and (wrong := self.astray()):  # looked twice: another process may have been moving
            raise ConfigError("\n".join(wrong.values()) + "\n`python -m registry verify --repair` points aliases back")
        if open_lines:
            self.follow()
            for line in open_lines:
                self.history.settle(line)
        return list(wrong.values())

    def astray(self) -> dict[str, str]:
        """By alias that does not point where the history says, a sentence about it."""
        lines, there = self.history.lines(), {"", *(str(one.version) for one in self.versions())}
        why = next((cut(line) for line in reversed(lines) if not line.settled), "it was moved by hand")
        return {
            alias: f"@{alias} points to {_named(real)}, the history says {_named(version)}: {why}"
            for alias, version in fold(lines).aliases.items()
            if version in there and (real := self.alias(alias)) != version
        }

    def point(self, moves: dict[str, str]) -> None:
        """Point aliases to versions where they do not yet; an empty version removes one, a deleted one is let be."""
        there = {str(one.version) for one in self.versions()}
        for alias, version in moves.items():
            real = self.alias(alias)
            if version in there and version != real:
                patiently(partial(self._client.set_registered_model_alias, self.name, alias, version))
            elif real and not version:
                patiently(partial(self._client.delete_registered_model_alias, self.name, alias))


def is_of(version: ModelVersion, model_uri: str, tags: dict[str, str]) -> bool:
    """Whether a version is this package, judged in the same way."""
    return version.source == model_uri and all(version.tags.get(name) == tags.get(name) for name in _VERDICT)


def _shortened(description: str) -> str:
    """What a store takes of a description, whole lines of it; PostgreSQL refuses longer ones."""
    if len(description) <= _DESCRIPTION:
        return description
    return description[: _DESCRIPTION - len(_MORE)].rsplit("\n", 1)[0] + _MORE


def _named(version: str) -> str:
    return f"version {version}" if version else "nothing"


def cut(line: Line) -> str:
    """What is said of a line that is not settled."""
    said = line.entry
    return (
        f"line {line.number} of the history ({said.action} by {said.who}, {said.when}) was cut short or is under way; "
        "the next command finishes it"
    )
