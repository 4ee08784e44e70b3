"""Whether aliases, history and artifacts still agree and the champion is right in use, and what to do otherwise."""

from dataclasses import dataclass

from fracture.monitoring.use import FLOORS, TAG, InUse, floors_of
from fracture.progress import Terminal
from registry import thresholds
from registry.check import changed
from registry.history import fold
from registry.versions import Registry, cut


@dataclass(frozen=True)
class Finding:
    """One disagreement.

    Attributes:
        what: in one sentence.
        alias: that `verify --repair` points to where the history says; empty where a person must decide.
    """

    what: str
    alias: str = ""


def verify(registry: Registry, terminal: Terminal, *, repair: bool = False) -> list[Finding]:
    """Find aliases that were moved by hand or left by a crash, versions that changed, and a history that was edited.

    Args:
        registry: the registered model.
        terminal: hears each finding.
        repair: point the aliases to what the history says.
    """
    findings = [Finding(what, alias) for alias, what in registry.astray().items()]
    findings += [] if findings else [Finding(cut(line)) for line in registry.history.lines() if not line.settled]
    open_ends = (*registry.history.damage(), *_versions(registry), *_cut_short(registry), *_fallen(registry))
    findings += [Finding(what) for what in open_ends]
    for finding in findings:
        terminal.warn(finding.what)
    if repair and any(finding.alias for finding in findings):
        registry.follow()
        terminal.say(f"repaired: {', '.join(f'@{finding.alias}' for finding in findings if finding.alias)}")
    for line in registry.history.lines() if repair else ():
        if not line.settled:
            registry.history.settle(line)
    if not findings:
        terminal.say(f"{registry.name}: aliases, history and artifacts agree.")
    return findings


def _versions(registry: Registry) -> list[str]:
    """What is wrong with the versions that the history points to."""
    found, there = [], {str(one.version): one for one in registry.versions()}
    for alias, version in fold(registry.history.lines()).aliases.items():
        if version and version not in there:
            found.append(f"version {version}, which the history calls @{alias}, was deleted{_WAY_OUT[alias]}")
        elif version and (why := changed(registry.name, there[version])):
            found.append(f"@{alias}, version {version}: {why}{_WAY_OUT[alias]}")
    return found


def _fallen(registry: Registry) -> list[str]:
    """What people said of the champion in use, where that has fallen below a floor that it was promoted above."""
    champion = fold(registry.history.lines()).aliases["champion"]
    tags: dict[str, str] = next((one.tags for one in registry.versions() if str(one.version) == champion), {})
    if TAG not in tags:
        return []
    floors = floors_of(tags[FLOORS]) if FLOORS in tags else thresholds.read(thresholds.DEFAULT).floors.model_dump()
    low = InUse.model_validate_json(tags[TAG]).below(floors)
    return [f"@champion, version {champion}: {what}{_WAY_OUT['champion']}" for what in low]


def _cut_short(registry: Registry) -> list[str]:
    """Versions that nobody has entered in the history."""
    return [
        f"version {one.version} was registered but never became @candidate: the promotion of run {one.run_id} was cut "
        f"short or is under way; `python -m registry promote {one.run_id}` finishes it"
        if "fracture.gates" in one.tags
        else f"version {one.version} was registered by hand and has passed no gate; it takes no part"
        for one in registry.unentered()
    ]


_WAY_OUT = {
    "candidate": "; promote another run",
    "champion": "; `python -m registry rollback` brings @previous back",
    "previous": "; there is nothing to roll back to",
}
