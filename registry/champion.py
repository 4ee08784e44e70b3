"""The champion: challenged by the candidate on the same test data, replaced with a record, and brought back."""

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fracture.errors import ConfigError, GateError
from fracture.evaluation import predictions
from fracture.evaluation.paired import Paired, compare
from fracture.evaluation.sample import Decisions, Sample
from fracture.evidence import metric_title, read_results
from fracture.progress import Terminal
from fracture.tracking import artifacts
from registry import check, origin, thresholds
from registry.lines import Line
from registry.model_status import ModelStatus
from registry.versions import THRESHOLDS, Registry

_SHOWN = {  # tags of a version, and digits behind the point
    "balanced_accuracy": 3, "macro_f1": 3, "latency_ms": 1, "memory_mib": 0, "checkpoint_mib": 1,
}  # fmt: skip
NO_REASON = "nobody said why"
MARGIN = 0.02  # balanced accuracy that a challenger may be worse by, at the lower end of the paired interval


@dataclass(frozen=True)
class ChallengeResult:
    """A challenge.

    Attributes:
        candidate, champion: versions; ``champion`` is empty where there is none to compare with.
        role: of ``champion``: previous champion where the champion was deleted.
        paired: how the candidate differs from the champion, None without one.
        won: whether the candidate becomes champion.
        sentence: why.
    """

    candidate: str
    champion: str
    paired: Paired | None
    won: bool
    sentence: str
    role: str = "champion"


def challenge(
    registry: Registry, terminal: Terminal, margin: float = MARGIN, version: str = "", although: str = ""
) -> ChallengeResult:
    """Let the candidate challenge the champion; it wins where it is not inferior by more than ``margin``.

    Without a champion, as after its deletion, the one before it is challenged.

    Args:
        registry: the registered model.
        terminal: shows the figures.
        margin: balanced accuracy that it may be worse by.
        version: challenges in place of the candidate.
        although: why a ``version`` that was rolled back as bad may come back.

    Raises:
        ConfigError: no candidate, it is the champion already, the two were evaluated on different test data, or another
            process made another champion meanwhile.
        GateError: it loses, its files are not those that were promoted, it passed less than the champion had to, or it
            was rolled back.
    """
    status = registry.ready(terminal.warn)
    begun = _cut_short(status, "champion")
    candidate, champion = version or status.aliases["candidate"], status.aliases["champion"]
    if begun is not None and begun.entry.version == champion:
        terminal.say(f"Version {champion} is @champion: the challenge that was cut short is finished.")
        return ChallengeResult(champion, begun.entry.before, None, True, begun.entry.reason)
    if not candidate:
        raise ConfigError(
            f"{registry.name}: nothing is @candidate; `python -m registry promote{registry.option}` makes one"
            f"{_bad(status)}"
        )
    if candidate == champion:
        raise ConfigError(f"{registry.name}: version {candidate} is champion already")
    _may_come_back(registry, status, candidate, although)
    opponent = champion or status.aliases["previous"]
    if problem := _unfit(registry, candidate, opponent):
        raise GateError(f"version {candidate} cannot challenge: {problem}")
    role = "champion" if champion else "previous champion"
    contest = _judge(registry, candidate, opponent, margin, role) if opponent else _alone(candidate, status)
    _show(registry, contest, terminal)
    if not contest.won:
        raise GateError(f"version {candidate} does not replace the {role}, version {opponent}: {contest.sentence}")
    gates = registry.version(candidate).tags.get("fracture.gates", "")
    reason = contest.sentence + (f"; although: {although}" if although else "")
    registry.move("champion", candidate, status.champion, reason, gates)
    terminal.say(f"Version {candidate} is @champion" + (f", version {champion} @previous." if champion else "."))
    return contest


def rollback(registry: Registry, reason: str, terminal: Terminal, version: str = "", although: str = "") -> Line:
    """Bring the previous champion back, after seeing that it still loads and is what was promoted.

    The champion that it replaces is withdrawn: it loses @candidate too, and returns only by its number. One that was
    cut short is finished, not undone by a second one.

    Args:
        registry: the registered model.
        reason: what is wrong with the champion.
        terminal: shows what is done.
        version: an earlier champion to bring back in place of the previous one.
        although: why a ``version`` that was itself rolled back may come back; the champion then becomes the previous.

    Raises:
        ConfigError: there is no previous one, or another process made another champion meanwhile.
        GateError: it does not load, or it was rolled back and nobody says why it may come back.
    """
    status = registry.ready(terminal.warn)
    begun = _cut_short(status, "rollback")
    wanted, champion = version or status.aliases["previous"], status.aliases["champion"]
    if begun is not None and begun.entry.version == champion:
        terminal.say(f"Version {champion} is @champion again: the rollback that was cut short is finished.")
        return begun
    if not wanted:
        raise ConfigError(f"{registry.name}: nothing is @previous, so there is nothing to roll back to{_bad(status)}")
    if wanted == champion:
        raise ConfigError(f"{registry.name}: version {wanted} is champion already")
    back = wanted in status.withdrawn
    _may_come_back(registry, status, wanted, although)
    if not back and wanted not in status.earlier:
        raise ConfigError(
            f"{registry.name}: version {wanted} was never champion, so there is no way back to it; `python -m registry "
            f"challenge{registry.option} --version {wanted}` compares it with the champion"
        )
    terminal.say(f"Loading version {wanted} in a process of its own, to see that it still answers ...")
    if problem := check.problem(registry.name, registry.version(wanted)):
        raise GateError(f"version {wanted} cannot come back, the champion stays: {problem}")
    gates = registry.version(wanted).tags.get("fracture.gates", "")
    said = "; ".join(part for part in (reason, f"although: {although}" if although else "") if part)
    line = registry.move("champion" if back else "rollback", wanted, status.champion, said or NO_REASON, gates)
    fate = "is @previous" if back else "returns only by its number"
    terminal.say(f"Version {wanted} is @champion again" + (f"; version {champion} {fate}." if champion else "."))
    return line


def _may_come_back(registry: Registry, status: ModelStatus, version: str, although: str) -> None:
    """Stop a version that does not exist, or that was rolled back and is not said to be good after all."""
    registry.version(version)
    if version in status.withdrawn and not although:
        raise GateError(f"{registry.name}: {status.why_withdrawn(version)}")


def _bad(status: ModelStatus) -> str:
    """What to add where nothing can be deployed but what was rolled back or deleted."""
    return "".join(f"; {why}" for why in (*status.gone.values(), *map(status.why_withdrawn, status.withdrawn)))


def _cut_short(status: ModelStatus, action: str) -> Line | None:
    """The last line of the history, where it is of this action and its writer did not come to the end."""
    lines = status.lines
    return lines[-1] if lines and not lines[-1].settled and lines[-1].entry.action == action else None


def _unfit(registry: Registry, candidate: str, champion: str) -> str:
    """Why a candidate may not challenge, empty where it may."""
    new = registry.version(candidate)
    old = registry.version(champion).tags if champion else {}
    return _passed_less(new.tags, old) or check.changed(registry.name, new)


def _passed_less(new: Mapping[str, str], old: Mapping[str, str]) -> str:
    """Why the gates that a candidate has passed, by its tags, are not enough to replace a champion."""
    if "fracture.gates" not in new:
        return (
            "it was registered by hand and has passed no gate; `python -m registry promote RUN` checks its run "
            "against them"
        )
    if old.get("fracture.use") == "commercial" != new.get("fracture.use"):
        return "it was promoted for research use, the champion for commercial use; promote it with --use commercial"
    demo = thresholds.read(thresholds.DEMO).digest
    if THRESHOLDS not in new and old.get(THRESHOLDS, demo) != demo:
        return "an earlier version of this project promoted it and did not record its thresholds; promote its run again"
    if old and new.get(THRESHOLDS) == demo != old.get(THRESHOLDS):
        theirs = "real ones" if THRESHOLDS in old else "ones that an earlier version of this project did not record"
        return f"it passed thresholds for demonstrations only, the champion {theirs}; promote it without them"
    return ""


def _show(registry: Registry, contest: ChallengeResult, terminal: Terminal) -> None:
    """Both side by side, and what follows."""
    rows = []
    for role, version in (("candidate", contest.candidate), (contest.role, contest.champion)):
        if version:
            tags = registry.version(version).tags
            rows.append([role, version, *(_rounded(tags.get(name, ""), digits) for name, digits in _SHOWN.items())])
    terminal.table("Challenge", ["", "version", *(metric_title(name) for name in _SHOWN)], rows)
    if contest.paired:
        differences = [
            [metric_title(name), f"{d.value:+.3f}", f"{d.low:+.3f}", f"{d.high:+.3f}"]
            for name, d in contest.paired.differences.items()
        ]
        title = f"Candidate minus {contest.role}, same images"
        terminal.table(title, ["metric", "difference", "low", "high"], differences)
    terminal.say(contest.sentence)


def _rounded(value: str, digits: int) -> str:
    """A figure from a tag; unknown where there is none."""
    try:
        return f"{float(value):,.{digits}f}"
    except ValueError:
        return "unknown"


def _alone(candidate: str, status: ModelStatus) -> ChallengeResult:
    """Without a champion to compare with: there was none yet, or all were deleted."""
    said = f"there is no champion yet: version {candidate} becomes the first"
    if any(line.entry.action in ("champion", "rollback") for line in status.lines):
        said = f"earlier champions were deleted: version {candidate} becomes champion without a comparison"
    return ChallengeResult(candidate, "", None, True, said)


def _judge(registry: Registry, candidate: str, champion: str, margin: float, role: str) -> ChallengeResult:
    with tempfile.TemporaryDirectory() as folder:
        samples = [_sample(registry, version, Path(folder) / version) for version in (candidate, champion)]
    (new, groups, digest), (old, _, other) = samples
    if digest != other and _same_weights(registry, candidate, champion):
        old, other = _redecided(new, old.decisions), digest  # its answers to the same images, decided about as it does
    if digest != other:
        raise ConfigError(
            f"versions {candidate} and {champion} were evaluated on different test data ({digest}, {other}), so they "
            "cannot be compared. `fracture prepare OLD.csv NEW --test-fraction 0 --out next.csv` keeps the test split "
            "of an old manifest; or start another model: promote --name NAME, challenge --name NAME."
        )
    paired = compare(new, old, groups)
    gain = paired.differences["balanced_accuracy"]
    interval = f"{gain.value:+.3f} [{gain.low:+.3f}, {gain.high:+.3f}]"
    if won := gain.low >= -margin:
        said = "superior" if gain.low > 0 else f"not inferior by more than {margin:g}"
    else:
        said = f"it may be worse by more than {margin:g}"
    sentence = f"{said}: balanced accuracy {interval} against the {role} on {paired.n} images"
    return ChallengeResult(candidate, champion, paired, won, sentence, role)


def _same_weights(registry: Registry, candidate: str, champion: str) -> bool:
    """Whether only decisions differ, as of a version for a new place."""
    known = [registry.version(version).tags.get("fracture.weights_sha256") for version in (candidate, champion)]
    return bool(known[0]) and known[0] == known[1]


def _redecided(sample: Sample, decisions: Decisions) -> Sample:
    """The same answers under other decisions."""
    logits = sample.logits * np.reshape(sample.decisions.temperature, (-1, 1))
    return Sample(logits, sample.labels, sample.names, decisions)


def _sample(registry: Registry, version: str, folder: Path) -> tuple[Sample, list[str], str]:
    """A version's answers to its test split in order of content, the groups, and the digest of the data."""
    made = registry.version(version)
    place = origin.answers(registry.name, made, folder)
    results = read_results((place / "results.json").read_bytes())
    with artifacts.named(place, f"version {version}"):
        found = predictions.read(place / "predictions_test.csv")
    order = sorted(range(len(found.sha256)), key=lambda i: found.sha256[i])
    sample = Sample(found.logits[order], found.labels[order], found.classes, Decisions.of(results))
    return sample, [found.groups[i] or f"alone {i}" for i in order], results.test_digest
