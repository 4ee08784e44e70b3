"""The champion: challenged by the candidate on the same test data, replaced with a record, and brought back."""

import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fracture.errors import ConfigError, GateError
from fracture.evaluation import predictions
from fracture.evaluation.paired import Paired, compare
from fracture.evaluation.sample import Decisions, Sample
from fracture.evidence import read_results
from fracture.progress import Terminal
from fracture.tracking import artifacts
from registry import check, thresholds
from registry.history import Line, fold
from registry.versions import THRESHOLDS, Registry

_SHOWN = ("balanced_accuracy", "macro_f1", "latency_ms", "memory_mib", "checkpoint_mib")
MARGIN = 0.02  # balanced accuracy that a challenger may be worse by, at the lower end of the paired interval


@dataclass(frozen=True)
class Contest:
    """A challenge.

    Attributes:
        candidate, champion: versions; ``champion`` is empty for the first.
        paired: how the candidate differs from the champion, None for the first.
        won: whether the candidate becomes champion.
        sentence: why.
    """

    candidate: str
    champion: str
    paired: Paired | None
    won: bool
    sentence: str


def challenge(registry: Registry, terminal: Terminal, margin: float = MARGIN) -> Contest:
    """Let the candidate challenge the champion; it wins where it is not inferior by more than ``margin``.

    Raises:
        ConfigError: no candidate, it is the champion already, the two were judged on different test data, or another
            process made another champion meanwhile.
        GateError: it loses, its files are not those that were promoted, or it passed less than the champion had to.
    """
    begun = cut_short(registry, "champion")
    aliases = begin(registry, terminal)
    candidate, champion = aliases["candidate"], aliases["champion"]
    if begun is not None and begun.entry.version == champion:
        terminal.say(f"Version {champion} is @champion: the challenge that was cut short is finished.")
        return Contest(champion, begun.entry.before, None, True, begun.entry.reason)
    if not candidate:
        raise ConfigError(f"{registry.name}: nothing is @candidate; `python -m registry promote` makes one")
    if candidate == champion:
        raise ConfigError(f"{registry.name}: version {candidate} is champion already")
    if problem := _unfit(registry, candidate, champion):
        raise GateError(f"version {candidate} cannot challenge: {problem}")
    contest = _first(candidate) if not champion else _judge(registry, candidate, champion, margin)
    _show(registry, contest, terminal)
    if not contest.won:
        raise GateError(f"version {candidate} does not replace the champion, version {champion}: {contest.sentence}")
    gates = registry.version(candidate).tags.get("fracture.gates", "")
    registry.move("champion", candidate, champion, contest.sentence, gates)
    terminal.say(f"Version {candidate} is @champion" + (f", version {champion} @previous." if champion else "."))
    return contest


def rollback(registry: Registry, reason: str, terminal: Terminal) -> Line:
    """Bring the previous champion back, after seeing that it still loads and is what was promoted.

    One that was cut short is finished, not undone by a second one.

    Raises:
        ConfigError: there is no previous one, or another process made another champion meanwhile.
        GateError: it does not load.
    """
    begun = cut_short(registry, "rollback")
    aliases = begin(registry, terminal)
    previous, champion = aliases["previous"], aliases["champion"]
    if begun is not None and begun.entry.version == champion:
        terminal.say(f"Version {champion} is @champion again: the rollback that was cut short is finished.")
        return begun
    if not previous:
        raise ConfigError(f"{registry.name}: nothing is @previous, so there is nothing to roll back to")
    if problem := check.problem(registry.name, registry.version(previous)):
        raise GateError(f"version {previous} cannot come back, the champion stays: {problem}")
    gates = registry.version(previous).tags.get("fracture.gates", "")
    line = registry.move("rollback", previous, champion, reason or "rolled back", gates)
    terminal.say(f"Version {previous} is @champion again, version {champion} @previous.")
    return line


def cut_short(registry: Registry, action: str) -> Line | None:
    """The last line of the history, where it is of this action and its writer did not come to the end."""
    lines = registry.history.lines()
    return lines[-1] if lines and not lines[-1].settled and lines[-1].entry.action == action else None


def _unfit(registry: Registry, candidate: str, champion: str) -> str:
    """Why a candidate may not challenge, empty where it may."""
    new = registry.version(candidate)
    if problem := check.changed(registry.name, new):
        return problem
    if not champion:
        return ""
    old = registry.version(champion).tags
    if old.get("fracture.use") == "commercial" != new.tags.get("fracture.use"):
        return "it was promoted for research use, the champion for commercial use; promote it with --use commercial"
    if new.tags.get(THRESHOLDS) == thresholds.read(thresholds.DEMO).digest != old.get(THRESHOLDS):
        return "it passed thresholds for demonstrations only, the champion real ones; promote it without them"
    return ""


def begin(registry: Registry, terminal: Terminal) -> dict[str, str]:
    """Finish what an earlier command was cut short in; where the aliases point.

    Raises:
        ConfigError: an alias was moved by hand.
    """
    for done in registry.ready():
        terminal.warn(f"mended: {done}")
    return fold(registry.history.lines()).aliases


def _show(registry: Registry, contest: Contest, terminal: Terminal) -> None:
    """Both side by side, and what follows."""
    rows = []
    for role, version in (("candidate", contest.candidate), ("champion", contest.champion)):
        if version:
            tags = registry.version(version).tags
            rows.append([role, version, *(tags.get(name, "unknown") for name in _SHOWN)])
    terminal.table("Challenge", ["", "version", *(name.replace("_", " ") for name in _SHOWN)], rows)
    if contest.paired:
        differences = [
            [name.replace("_", " "), f"{d.value:+.3f}", f"{d.low:+.3f}", f"{d.high:+.3f}"]
            for name, d in contest.paired.differences.items()
        ]
        terminal.table("Candidate less champion, same images", ["metric", "difference", "low", "high"], differences)
    terminal.say(contest.sentence)


def _first(candidate: str) -> Contest:
    return Contest(candidate, "", None, True, f"there is no champion yet: version {candidate} becomes the first")


def _judge(registry: Registry, candidate: str, champion: str, margin: float) -> Contest:
    runs = [str(registry.version(version).run_id) for version in (candidate, champion)]
    with tempfile.TemporaryDirectory() as folder:
        samples = [_sample(run_id, Path(folder) / f"{number}") for number, run_id in enumerate(runs)]
    (new, groups, digest), (old, _, other) = samples
    if digest != other and _same_weights(registry, candidate, champion):
        old, other = _redecided(new, old.decisions), digest  # its answers to the same images, decided about as it does
    if digest != other:
        raise ConfigError(
            f"versions {candidate} and {champion} were judged on different test data ({digest}, {other}), so they "
            "cannot be compared. `fracture prepare OLD.csv NEW --test-fraction 0 --out next.csv` keeps the test split "
            "of an old manifest; or begin another model: promote --name NAME, challenge --name NAME."
        )
    paired = compare(new, old, groups)
    gain = paired.differences["balanced_accuracy"]
    interval = f"{gain.value:+.3f} [{gain.low:+.3f}, {gain.high:+.3f}]"
    text = f"balanced accuracy {interval} against the champion on {paired.n} images"
    if gain.low > 0:
        return Contest(candidate, champion, paired, True, f"superior: {text}")
    if gain.low >= -margin:
        return Contest(candidate, champion, paired, True, f"not inferior by more than {margin:g}: {text}")
    return Contest(candidate, champion, paired, False, f"it may be worse by more than {margin:g}: {text}")


def _same_weights(registry: Registry, candidate: str, champion: str) -> bool:
    """Whether only decisions differ, as of a version for a new place."""
    known = [registry.version(version).tags.get("fracture.weights_sha256") for version in (candidate, champion)]
    return bool(known[0]) and known[0] == known[1]


def _redecided(sample: Sample, decisions: Decisions) -> Sample:
    """The same answers under other decisions."""
    logits = sample.logits * np.reshape(sample.decisions.temperature, (-1, 1))
    return Sample(logits, sample.labels, sample.names, decisions)


def _sample(run_id: str, folder: Path) -> tuple[Sample, list[str], str]:
    """A run's answers to its test split in order of content, the groups, and the digest of the data."""
    folder.mkdir()
    artifacts.fetch(run_id, ("results.json", "predictions_test.csv"), folder)
    results = read_results((folder / "results.json").read_bytes())
    found = predictions.read(folder / "predictions_test.csv")
    order = sorted(range(len(found.sha256)), key=lambda i: found.sha256[i])
    sample = Sample(found.logits[order], found.labels[order], found.classes, Decisions.of(results))
    return sample, [found.groups[i] or f"alone {i}" for i in order], results.test_digest
