"""Whether aliases, history and artifacts still agree, and what to do where they do not."""

from dataclasses import dataclass

import mlflow
from mlflow.exceptions import MlflowException

from fracture.progress import Terminal
from registry.versions import ALIASES, Line, Registry


@dataclass(frozen=True)
class Finding:
    """One disagreement.

    Attributes:
        what: in one sentence.
        repair: by alias, the version that history says it should point to; empty where a person must decide.
    """

    what: str
    repair: dict[str, str]


def verify(registry: Registry, terminal: Terminal, *, repair: bool = False) -> list[Finding]:
    """Find aliases that were moved by hand or left by a crash, and versions that cannot be loaded.

    Args:
        registry: the registered model.
        terminal: hears each finding.
        repair: point the aliases to what the history says.
    """
    findings = _aliases(registry) + _artifacts(registry)
    for finding in findings:
        terminal.warn(finding.what)
        if repair and finding.repair:
            registry.point(finding.repair)
            terminal.say(f"repaired: {finding.repair}")
    if not findings:
        terminal.say(f"{registry.name}: aliases, history and artifacts agree.")
    return findings


def expected(history: list[Line]) -> dict[str, str]:
    """Where the history says that each alias points."""
    aliases = dict.fromkeys(ALIASES, "")
    for line in history:
        if line.action == "candidate":
            aliases["candidate"] = line.version
        else:
            aliases["previous"], aliases["champion"] = line.before, line.version
    return aliases


def _aliases(registry: Registry) -> list[Finding]:
    found = []
    for alias, version in expected(registry.history()).items():
        real = registry.alias(alias)
        if real != version:
            what = (
                f"@{alias} points to {f'version {real}' if real else 'nothing'}, the history says "
                f"{f'version {version}' if version else 'nothing'}: moved by hand, or a promotion was cut short"
            )
            found.append(Finding(what, {alias: version}))
    return found


def _artifacts(registry: Registry) -> list[Finding]:
    found = []
    for alias in ALIASES:
        version = registry.alias(alias)
        if not version:
            continue
        try:
            model = mlflow.pyfunc.load_model(f"models:/{registry.name}/{version}").unwrap_python_model()
        except (MlflowException, OSError, ValueError) as error:
            found.append(Finding(f"@{alias}, version {version}, does not load: {error}", {}))
            continue
        wanted = registry.version(version).tags.get("fracture.weights_sha256", "")
        if model.predictor.sidecar.weights_sha256 != wanted:
            found.append(Finding(f"@{alias}, version {version}, holds other weights than it was promoted with", {}))
    return found
