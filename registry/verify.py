"""Whether aliases, history, versions and runs agree and the champion is right in use, and what to do otherwise."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from mlflow.entities.model_registry import ModelVersion

from fracture.errors import ConfigError
from fracture.monitoring import use
from fracture.monitoring.use import FLOORS, TAG
from fracture.progress import Terminal
from fracture.tracking import store
from registry import check, origin, thresholds
from registry.lines import Line, cut
from registry.model_status import ModelStatus
from registry.versions import MODEL, Registry

_PACKAGE = "models:/m-"  # how the source of a version begins that a promotion has registered


@dataclass(frozen=True)
class Finding:
    """One disagreement.

    Attributes:
        what: in one sentence.
        fix: what `verify --repair` does about it, None where a person must decide.
    """

    what: str
    fix: Callable[[], object] | None = None


def verify(registry: Registry, terminal: Terminal, *, repair: bool = False) -> list[Finding]:
    """Find what was moved, deleted or edited by hand, what a crash has left, and runs that were overwritten.

    Args:
        registry: the registered model.
        terminal: shows each finding.
        repair: fix what can be: the history from its copies, aliases and tags from the history, deleted runs; a
            version that is gone is taken off its aliases by a line of the history.

    Raises:
        ConfigError: the model was renamed, or somebody has typed a name that nothing was ever registered by.
    """
    status = registry.look()
    if why := registry.renamed(status):
        raise ConfigError(why)
    if not status.exists and not status.lines:
        nothing = f"{registry.name}: nothing was ever registered by this name in {store.shown()}"
        if registry.name != MODEL:
            raise ConfigError(
                f"{nothing}. Check the name and MLFLOW_TRACKING_URI; `mlflow ui` lists what is registered."
            )
        terminal.say(f"{nothing}: nothing to compare.")
        return []
    findings = [Finding(damage.what, registry.history.repair) for damage in status.damage]
    if findings and repair:  # first: all else is read from it
        registry.history.repair()
        status = registry.look()
    findings += [*_of_aliases(registry, status), *_of_versions(registry, status), *_cut_short(status)]
    findings += [Finding(what) for what in _fallen(status)]
    for finding in findings:
        terminal.warn(finding.what)
        if repair and finding.fix is not None:
            finding.fix()
            terminal.say(f"repaired: {finding.what}")
    for note in _notes(registry, status):
        terminal.say(note)
    if not findings:
        terminal.say(f"{registry.name}: aliases, history, versions and the runs they were made from agree.")
    return findings


def _of_aliases(registry: Registry, status: ModelStatus) -> list[Finding]:
    """Aliases that do not point where the history says, and lines that were cut short."""
    misplaced_aliases = [Finding(what, registry.follow) for what in status.misplaced_aliases]
    return [*misplaced_aliases, *(Finding(cut(line), partial(_finish, registry, line)) for line in status.open_lines)]


def _finish(registry: Registry, line: Line) -> None:
    registry.follow()
    registry.history.settle(line)


def _of_versions(registry: Registry, status: ModelStatus) -> list[Finding]:
    """What is wrong with the versions that the history points to, and with their runs."""
    if (what := registry.deleted(status)) and any(status.state.aliases.values()):
        return [Finding(what, partial(_all_removed, registry))]
    named = status.state.aliases
    found = [
        Finding(f"{what}; {status.next_step(alias)}", partial(_removed, registry, named[alias], "it was deleted"))
        for alias, what in status.gone.items()
    ]
    pointed = {number: alias for alias, number in reversed(status.aliases.items()) if number}
    for number, alias in pointed.items():  # each once: a candidate that has won is the champion too
        found += _of_version(registry, status, alias, status.there[number])
    return found


def _of_version(registry: Registry, status: ModelStatus, alias: str, version: ModelVersion) -> list[Finding]:
    """Its tags against those that the history holds, its files against their digest, its run against what it was."""
    number, run_id = str(version.version), str(version.run_id)
    found = [Finding(what, partial(registry.set_tags, number, status.edited[number])) for what in status.edits(number)]
    state = origin.run_state(run_id)
    if state == "deleted":
        found.append(Finding(f"version {number}: {origin.deleted(run_id)}", partial(origin.restore, run_id)))
    version.tags.update(status.promised(number))
    if why := check.changed(registry.name, version):
        alone = why.startswith(check.GONE) and (state == "gone" or origin.is_reachable(run_id))  # not the whole store
        fix = partial(_removed, registry, number, why) if alone else None
        way = status.next_step(alias) + ("" if alone else "; what cannot be brought back may be deleted in MLflow")
        found.append(Finding(f"@{alias}, version {number}: {why}; {way}", fix))
    if state != "gone" and (why := _overwritten(version)):
        found.append(Finding(f"@{alias}: {why}; the package itself is checked apart from this"))
    return found


def _overwritten(version: ModelVersion) -> str:
    try:
        return origin.overwritten(version)
    except ConfigError as error:
        return str(error)


def _removed(registry: Registry, number: str, why: str) -> None:
    if number in registry.look().state.aliases.values():  # it may have had several
        registry.move("removed", number, "", f"found by verify --repair: {why}")


def _all_removed(registry: Registry) -> None:
    """The model is gone with all its versions: none of them has an alias any more."""
    while named := [number for number in registry.look().state.aliases.values() if number]:
        _removed(registry, named[0], "the registered model was deleted")


def _fallen(status: ModelStatus) -> list[str]:
    """What people said of the champion in use, where that has fallen below a floor that it was promoted above."""
    champion = status.aliases["champion"]
    held: dict[str, str] = status.there[champion].tags if champion in status.there else {}
    if TAG not in held:
        return []
    try:
        floors = use.floors_of(held[FLOORS]) if FLOORS in held else _floors()
        low = use.read(held[TAG]).below(floors)
    except ConfigError as error:
        return [f"@champion, version {champion}: {error}"]
    return [f"@champion, version {champion}: {what}; {status.next_step('champion')}" for what in low]


def _floors() -> dict[str, float]:
    """Those of today, for a version from before they were noted."""
    return dict(thresholds.read(thresholds.DEFAULT).floors.model_dump())


def _cut_short(status: ModelStatus) -> list[Finding]:
    """Versions that nobody has entered in the history."""
    return [
        Finding(
            f"version {one.version} was registered but never became @candidate: the promotion of run {one.run_id} was "
            f"cut short or is under way; `python -m registry promote{status.option} {one.run_id}`, given as it was "
            "then, finishes it; else delete the version in MLflow"
        )
        for one in status.unrecorded if not _by_hand(one, status)
    ]  # fmt: skip


def _by_hand(version: ModelVersion, status: ModelStatus) -> str:
    """What to say of a version that no promotion has registered, empty of one that a promotion has."""
    number = version.version
    if "fracture.gates" not in version.tags:
        return f"version {number} was registered by hand and has passed no gate; it is ignored"
    if version.source and not version.source.startswith(_PACKAGE):  # by copy_model_version, tags and all
        again = f"`python -m registry challenge{status.option} --version {number}`"
        return f"version {number} is a copy of {version.source}, made by hand; it is ignored until {again}"
    return ""


def _notes(registry: Registry, status: ModelStatus) -> list[str]:
    """What is good to know and wrong for nobody."""
    by_hand = [_by_hand(one, status) for one in status.unrecorded]
    pointed = {number: status.there[number] for number in status.aliases.values() if number}
    lost = [
        f"version {number}: {what}; the version itself holds what it needs"
        for number, version in pointed.items() if version.run_id and (what := _lost(version))
    ]  # fmt: skip
    return [*filter(None, [registry.deleted(status), *by_hand]), *lost]


def _lost(version: ModelVersion) -> str:
    """What is gone of the run that a version was made from, empty where nothing is."""
    if origin.run_state(str(version.run_id)) == "gone":
        return f"its run {version.run_id} is gone for good"
    try:
        gone = origin.missing(version)
    except ConfigError:
        return ""  # a finding already
    return f"its run {version.run_id} has no {', '.join(gone)} any more" if gone else ""
