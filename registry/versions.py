"""Versions of the registered model, and the aliases that follow its history."""

from collections.abc import Callable
from functools import partial

import mlflow
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException

from fracture.errors import ConfigError
from fracture.failures import explained
from registry.history import History, copies_of
from registry.lines import Line, replay
from registry.model_status import WITHDRAWN, ModelStatus, compare_with_history
from registry.names import checked, is_number
from registry.retries import ABSENT, make_model, models_of, versions_of, with_retries

MODEL = "fracture-classifier"
THRESHOLDS = "fracture.thresholds"  # digest of what the gates held it against
WEIGHTS = "fracture.weights_sha256"
_VERDICT = ("fracture.gates", "fracture.waived", "fracture.use", "fracture.package_sha256", THRESHOLDS)  # of a version
_DESCRIPTION = 5000  # characters
_WHAT = (
    "Fracture classifiers of bone radiographs, a version each; its description is its model card. @champion is in use, "
    "@candidate has passed the gates, @previous is what a rollback returns to; the registered model called as this one "
    "and -history tells who moved them, when and why. Research software, not a medical device."
)
_MORE = "\n\nThe whole card is model_card.md, beside the model and on its run.\n"


class Registry:
    """The registered model of one name in the store that is connected.

    A move is a line in the history, then the aliases, then a note that it is settled. A process that dies in between
    leaves a line that is not settled; the next command finishes it.
    """

    def __init__(self, name: str = MODEL) -> None:
        """Refer to a registered model, which need not exist yet.

        Raises:
            ConfigError: no model can be called so.
        """
        self.name = checked(name)
        self.option = "" if name == MODEL else f" --name {name}"  # that commands which are told to the user need
        self.history = History(name)
        self._client = mlflow.MlflowClient()

    def alias(self, alias: str) -> str:
        """The version that an alias points to in the store, empty for none."""
        try:
            return str(with_retries(partial(self._client.get_model_version_by_alias, self.name, alias)).version)
        except MlflowException as error:
            if error.error_code in ABSENT:
                return ""
            unclear = ConfigError(f"{self.name}@{alias}: the store does not say: {error.message}")
            raise explained(error) or unclear from error

    def version(self, version: str) -> ModelVersion:
        """One version.

        Raises:
            ConfigError: no such version.
        """
        try:
            if not is_number(version):
                raise ConfigError(f"{version!r} is no version of {self.name}: a version is a number from 1")
            return self._client.get_model_version(self.name, version)
        except MlflowException as error:
            what = f"{self.name} has no version {version}" if error.error_code in ABSENT else str(error.message)
            unknown = ConfigError(f"{what}; `python -m registry list{self.option}` shows all")
            raise explained(error) or unknown from error

    def versions(self) -> list[ModelVersion]:
        """All versions, newest first."""
        return sorted(versions_of(self._client, self.name), key=lambda one: -int(one.version))

    def register(self, model_uri: str, run_id: str, tags: dict[str, str], description: str) -> str:
        """Register a packaged model as a new version; one that a promotion cut short has left is taken up again."""
        for left in self.look().unrecorded:
            if is_of(left, model_uri, tags):
                return str(left.version)
        make_model(self._client, self.name, _WHAT)
        model_id = model_uri.removeprefix("models:/")
        make = partial(self._client.create_model_version, self.name, model_uri, run_id, tags, model_id=model_id)
        return str(with_retries(partial(make, description=_shortened(description))).version)

    def look(self) -> ModelStatus:
        """Its state: what there is and what the history says of it."""
        status = compare_with_history(self.history.read(), self.versions(), self.option)
        if status.misplaced_aliases and not status.open_lines:  # by hand, or another process was moving: look again
            status = compare_with_history(self.history.read(), self.versions(), self.option)
        return status

    def move(self, action: str, version: str, before: str, reason: str, gates: str = "") -> Line:
        """Add a line to the history and let the aliases follow.

        Raises:
            ConfigError: another process made another champion since ``before`` was one.
        """
        there = {str(one.version): one for one in self.versions()}.get(version)
        source = str(there.source) if there else ""
        tags = dict(there.tags) if there and action == "candidate" else {}
        line = self.history.append(action, version, before, reason, gates, source=source, tags=tags)
        lines = self.follow().lines
        self.history.settle(line)
        if line.number in replay(lines).void:
            raise ConfigError(
                f"{self.name}: version {before or 'none'} was champion no more when {version} was to replace it; line "
                f"{line.number} of the history does not count. Look at `python -m registry show` and try again."
            )
        return line

    def follow(self) -> ModelStatus:
        """Point the aliases to where the history says, until it has not grown meanwhile.

        Whoever writes an alias last reads the history after that, so that any number of processes at once end with
        aliases that agree with all lines.
        """
        status = self.look()
        while True:
            self._point(status)
            newer = self.look()
            if [line.number for line in newer.lines] == [line.number for line in status.lines]:
                self._mark(newer)
                return newer
            status = newer

    def ready(self, warn: Callable[[str], object] = lambda _: None) -> ModelStatus:
        """Finish what was cut short, before something new begins; how it stood.

        Args:
            warn: hears what was finished, and what was deleted.

        Raises:
            ConfigError: somebody has moved or edited something by hand: nothing is built upon that.
        """
        status = self.look()
        if why := self.renamed(status):
            raise ConfigError(why)
        if status.by_hand:
            listed = "\n".join(status.by_hand)
            raise ConfigError(f"{listed}\n`python -m registry verify --repair{self.option}` restores it")
        if status.open_lines or status.aliases_differ:
            self.follow()
            for line in status.open_lines:
                self.history.settle(line)
        for line in status.uncopied:
            self.history.keep(line)
        for what in (*(f"finished: {one}" for one in status.misplaced_aliases), *status.gone.values()):
            warn(what)
        return status

    def renamed(self, status: ModelStatus) -> str:
        """One sentence where the model has another name by now, empty where it has not."""
        if status.exists or not status.lines:
            return ""
        tokens = {line.entry.token for line in status.lines}
        for model in models_of(self._client):
            if tokens & {copy.token for copy in copies_of(model).values()}:
                return (f"{self.name} was renamed to {model.name}: go on with --name {model.name}, whose `verify "
                        f"--repair` renames the history too, or rename it back")  # fmt: skip
        return ""

    def deleted(self, status: ModelStatus) -> str:
        """One sentence where the whole model was deleted but its history is left, empty where it is there."""
        moves = [line for line in status.lines if line.entry.action in ("candidate", "champion", "rollback")]
        if status.exists or not moves:
            return ""
        last = moves[-1].entry
        return (f"{self.name} was deleted, with all its versions; the last move of its history is {last.action}, "
                f"version {last.version}, {last.when} ({last.reason})")  # fmt: skip

    def set_tags(self, version: str, tags: dict[str, str]) -> None:
        """Write tags of a version."""
        for name, value in tags.items():
            with_retries(partial(self._client.set_model_version_tag, self.name, version, name, value))

    def _point(self, status: ModelStatus) -> None:
        """Point aliases to where they belong and do not yet; one that belongs nowhere is removed."""
        for alias, version in status.aliases.items():
            real = status.real.get(alias, "")
            if version and version != real:
                with_retries(partial(self._client.set_registered_model_alias, self.name, alias, version))
            elif real and not version:
                with_retries(partial(self._client.delete_registered_model_alias, self.name, alias))

    def _mark(self, status: ModelStatus) -> None:
        """Write on each version that was rolled back why, for those who look at it in MLflow."""
        for number, version in status.there.items():
            said = status.withdrawn[number].entry if number in status.withdrawn else None
            why = f"{said.when} by {said.who}: {said.reason}" if said else ""
            if why and version.tags.get(WITHDRAWN) != why:
                self.set_tags(number, {WITHDRAWN: why})
            elif WITHDRAWN in version.tags and not why:
                with_retries(partial(self._client.delete_model_version_tag, self.name, number, WITHDRAWN))


def is_of(version: ModelVersion, model_uri: str, tags: dict[str, str]) -> bool:
    """Whether a version is this package, judged in the same way."""
    return version.source == model_uri and all(version.tags.get(name) == tags.get(name) for name in _VERDICT)


def _shortened(description: str) -> str:
    """What a store takes of a description, whole lines of it; PostgreSQL refuses longer ones."""
    if len(description) <= _DESCRIPTION:
        return description
    return description[: _DESCRIPTION - len(_MORE)].rsplit("\n", 1)[0] + _MORE
