"""Drift of a log of answers: read, judged, shown, and kept as a run of its own."""

import re
import shlex
import tempfile
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from fracture.data.audit.traits import figure, words
from fracture.errors import ConfigError, GateError
from fracture.files import replacing, write_json
from fracture.monitoring import reference as references
from fracture.monitoring.checks import of_corrections
from fracture.monitoring.correction import Correction, latest
from fracture.monitoring.drift import Drift, judge
from fracture.monitoring.limits import Limits
from fracture.monitoring.log import check_answers, place_of
from fracture.monitoring.page import render
from fracture.monitoring.record import Record
from fracture.monitoring.reference import Reference
from fracture.privacy import without_secrets
from fracture.progress import Terminal
from fracture.runs.in_use import in_use
from fracture.runs.reference import reference_of
from fracture.tracking import artifacts, attached, query, store
from fracture.tracking.run import TrackedRun

_RUN = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True)
class Window:
    """The rows of one model in a span of time, and its reference.

    Attributes:
        rows: one or more, in order of time.
        reference: what they are held against, None where there is none.
        others: rows of other models, left out.
        log: the log as a command names it, without passwords.
        corrected: what readers of the answers said last of an image, by its digest.
    """

    rows: Sequence[Record]
    reference: Reference | None
    others: int
    log: str
    corrected: Mapping[str, Correction] = field(default_factory=dict)


def open_window(log: str, against: str, since: str, images: Collection[str] = ()) -> Window:
    """The rows of the model that answered last, or of the one that they are held against.

    Args:
        log: ``DIR``, ``sqlite:///FILE`` or ``postgresql://...``.
        against: id of a run, ``models:/...`` or a reference.json; ``auto`` is the model that the rows name.
        since: when the span begins, as rows have it; empty for all of time.
        images: digests of images; the model that answered most of these counts, whoever has answered since.

    Raises:
        ConfigError: no such log, run or model.
        DataError: no row.
    """
    place = place_of(log)
    check_answers(log, place, since)
    rows = sorted(place.read(since), key=lambda row: row.time)
    among = _answered_most(rows, images)
    found = _own_reference(among[-1]) if against == "auto" else _named_reference(against)
    fitting = [row for row in rows if found and row.weights == found.weights_sha256]
    last = among[-1] if against == "auto" else (fitting or among)[-1]
    own = [row for row in rows if _served(row) == _served(last)]
    known = {row.image: row.probabilities for row in own if not row.error}  # by class
    corrected = {
        image: one for image, one in latest(place.corrections(since)).items() if one.label in known.get(image, ())
    }
    return Window(own, found, len(rows) - len(own), shlex.quote(without_secrets(log)), corrected)


def find_reference(name: str) -> Reference | None:
    """The reference of a run, a registered model or a file; None where there is none, as of a ``.pth``.

    Raises:
        ConfigError: no such run or model, or a reference is damaged.
    """
    if name.endswith(".json"):
        if not Path(name).is_file():
            raise ConfigError(f"--against {name}: no such file")
        return references.read(Path(name))
    if _RUN.fullmatch(name):
        return reference_of(name)[0]
    if not name.startswith("models:/"):
        return None
    with tempfile.TemporaryDirectory() as folder, artifacts.named(Path(folder), name):
        found = references.read(artifacts.fetch_model(name, Path(folder)))
    run_id = query.run_of_model(name)
    return found or (reference_of(run_id)[0] if query.is_there(run_id) else None)


def drift(log: str, against: str, since: str, limits: Limits, out: Path, terminal: Terminal) -> Drift:
    """Judge a log, write drift.json and drift.html into ``out``, and keep both as a run.

    Raises:
        ConfigError: see `open_window`, there is no reference, or none of its images' traits and features.
        DataError: no row.
        GateError: there is drift.
    """
    window = open_window(log, against, since)
    if window.reference is None:
        raise ConfigError(
            f"{_named(window.rows[-1])}: has no reference to compare with. Give --against RUN with the "
            "run that trained it, or promote it again, which stores one."
        )
    if window.reference.weights_sha256 != window.rows[-1].weights:
        terminal.warn("The reference is from another model than the one that answered.")
    answered = {name for row in window.rows for name in row.probabilities}
    if answered and (others := answered ^ set(window.reference.classes)):
        raise ConfigError(
            f"the reference and the answers differ in the classes {', '.join(sorted(others))}: shares of other classes "
            "cannot be compared. Give --against with a model of the same classes."
        )
    if window.others:
        terminal.say(f"{window.others:,} answers of other models are left out.")
    people = [in_use(window.rows[-1], window.log), of_corrections(window.rows, window.corrected)]
    found = judge(window.reference, window.rows, limits, people)
    _show(found, terminal)
    _keep(found, log, _write(found, out), terminal)
    if found.drifted:
        said = "\n".join(f"- {check.title} {check.sentence}" for check in found.drifted)
        raise GateError(f"{found.named}: drift\n{said}\n`fracture feedback {window.log}` chooses answers to check.")
    if found.not_compared:
        raise ConfigError(f"{found.named}: whether the images drift is not known: {found.not_compared}")
    return found


def _named_reference(name: str) -> Reference | None:
    """The reference that ``--against`` names.

    Raises:
        ConfigError: it names none that there is, or something else.
    """
    if re.fullmatch(r"[0-9a-f]{4,31}", name):
        query.run_of(name)  # the beginning of an id is answered with the whole
    if not (_RUN.fullmatch(name) or name.startswith("models:/") or name.endswith(".json")):
        raise ConfigError(f"--against {name}: Allowed: the id of a run, models:/NAME@ALIAS, or a reference.json")
    return find_reference(name)


def _served(row: Record) -> tuple[str, str, str]:
    """Which model answered: versions of the same weights may decide by other thresholds."""
    return row.model, row.version, row.weights


def _own_reference(row: Record) -> Reference | None:
    """The reference of the model that gave an answer.

    Raises:
        ConfigError: the model is gone, or its reference is, or what has its name here is another model.
    """
    try:
        found = find_reference(_named(row))
        if found and found.weights_sha256 != row.weights:
            raise ConfigError(
                f"{_named(row)} in {store.shown()} has the weights {found.weights_sha256[:12]}, the answers are of "
                f"{row.weights[:12]}: set MLFLOW_TRACKING_URI to the registry of the server that answered."
            )
    except ConfigError as error:
        raise ConfigError(
            f"{error}\nThe answers name that model; --against names another one: a RUN or a reference.json."
        ) from error
    return found


def _answered_most(rows: Sequence[Record], images: Collection[str]) -> Sequence[Record]:
    """The rows on some images by the model that answered most of them; all rows where there is none."""
    own = [row for row in rows if row.image in images]
    answered = Counter(served for _, served in {(row.image, _served(row)) for row in own})
    return [row for row in own if answered[_served(row)] == max(answered.values())] or rows


def _named(row: Record) -> str:
    """How a row's model is named on the command line."""
    return f"models:/{row.model}/{row.version}" if row.version else row.model


def _show(found: Drift, terminal: Terminal) -> None:
    rows = [[check.title, check.status, check.sentence] for check in found.checks]
    title = f"{found.named}: {found.answers:,} answers since {found.first[:16]}, against {found.against}"
    terminal.table(title, ["question", "status", "answer"], rows)
    if found.moved:
        first = "; ".join(
            f"{words(one.trait)}, {figure(one.trait, one.before)} to {figure(one.trait, one.now)}"
            for one in found.moved[:5]
        )
        terminal.say(f"{len(found.moved)} traits differ (medians of the reference and now), most of all: {first}")
    terminal.say(f"{found.verdict.capitalize()}.")


def _write(found: Drift, out: Path) -> list[Path]:
    files = [out / "drift.json", out / "drift.html"]
    write_json(files[0], found.to_dict())
    with replacing(files[1]) as part:
        part.write_text(render(found), encoding="utf-8")
    return files


def _keep(found: Drift, log: str, files: Sequence[Path], terminal: Terminal) -> None:
    """The same as a run: figures by name, both files, and the verdict as a tag."""
    run = TrackedRun.begin(f"drift of {found.named}", "drift", watched=False)
    try:
        _fill(run, found, log, files)
    except BaseException as error:
        run.end("FAILED", str(error))
        raise
    run.end("FINISHED")
    terminal.say(f"Run {run.id}: {', '.join(str(path) for path in files)}")


def _fill(run: TrackedRun, found: Drift, log: str, files: Sequence[Path]) -> None:
    run.params({"log": log, "first": found.first, "last": found.last, "against": found.against})
    values: dict[str, float | None] = {"answers": found.answers, "images": found.images}
    values |= {"drift_auc": found.probe.auc, "drift_auc_low": found.probe.low} if found.probe else {}
    values |= {f"share_{name}": one.now.value for name, one in found.labels.items()}
    values |= {"referred_share": found.referred.now.value} if found.referred else {}
    values |= {"mean_confidence": found.confidence.now.value} if found.confidence else {}
    values |= {f"latency_{name}": value for name, value in found.latency.items()}
    run.metrics({name: float(value) for name, value in values.items() if value is not None}, step=0)
    tags = {"fracture.kind": "drift", "fracture.drift": found.verdict, "fracture.weights_sha256": found.weights}
    attached.keep(run.id, files, tags)
