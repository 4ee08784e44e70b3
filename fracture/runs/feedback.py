"""Answers for a person to look at, and what their labels say of the model in use, kept with its version."""

import re
import shlex
from collections import Counter
from collections.abc import Collection, Sequence
from pathlib import Path

from fracture.data.prepare import reviewed
from fracture.data.prepare.reviewed import Reviewed
from fracture.errors import ConfigError, DataError
from fracture.evidence import metric_title
from fracture.monitoring import feedback, use
from fracture.monitoring.record import Record
from fracture.monitoring.use import TAG, InUse
from fracture.progress import Terminal
from fracture.runs.drift import Window
from fracture.runs.in_use import tags_of
from fracture.tables import shown
from fracture.tracking import attached, query
from fracture.tracking.run import TrackedRun

_DIGEST = re.compile(r"[0-9a-f]{64}")
_SHOWN = 20


def ask(window: Window, out: Path, count: int, seed: int, images: Path | None, terminal: Terminal) -> None:
    """Write review.csv.

    Raises:
        ConfigError: the file is there already, perhaps with labels in it.
        DataError: there is no image to look at.
    """
    if out.exists():
        raise ConfigError(f"--out {out}: exists already, and may have labels; name another file")
    said = {row.image: row.label for row in window.rows}
    wrong = [image for image, one in window.corrected.items() if one.label != said[image]]
    choices = feedback.choose(window.rows, window.reference, count, seed, wrong)
    if not choices:
        raise DataError(f"none of {len(window.rows):,} answers is to an image that could be read")
    feedback.write(choices, out, images, window.corrected)
    reasons = Counter(reason for choice in choices for reason in choice.reasons)
    why = ", ".join(f"{number} {reason}" for reason, number in reasons.items())
    known = sum(choice.row.image in window.corrected for choice in choices)
    labelled = f" Labels that readers gave on the page: {known}." if known else ""
    terminal.say(f"Images to look at: {len(choices)} ({why}).{labelled} Fill in the column label: {out}")
    file = shlex.quote(str(out))
    learn = file if images else f"NEW --corrections {file}"
    terminal.say(
        f"Then: fracture feedback {window.log} --corrected {file}, and to learn from them: "
        f"fracture prepare OLD.csv {learn} --test-fraction 0"
    )


def read(corrected: Path) -> list[Reviewed]:
    """The rows of a review.csv that comes back.

    Raises:
        ConfigError: no such file.
        DataError: it is none.
    """
    if not corrected.is_file():
        raise ConfigError(f"--corrected {corrected}: no such file")
    return reviewed.read(corrected)


def take(window: Window, said: Sequence[Reviewed], corrected: Path, terminal: Terminal) -> InUse:
    """Hold answers against the labels of a review.csv, show what they say and keep it with the model's version.

    Where a row has none, what a reader said on the page counts.

    Args:
        window: the answers of the model.
        said: the file's rows.
        corrected: the file.
        terminal: shows it.

    Raises:
        DataError: it has no label of an image that was drawn at random, or rows that cannot count; all of them at once.
    """
    labels = _labels(said, {name for row in window.rows for name in row.probabilities})
    answered = {row.image for row in window.rows}
    if strange := [row.where for row in said if row.label and row.sha256 not in answered]:
        terminal.warn(f"{len(strange)} labels are of no image that this model has answered, the first at {strange[0]}.")
    drawn = {row.sha256 for row in said if feedback.RANDOM in row.reason}
    labels = {image: one.label for image, one in window.corrected.items()} | labels
    found = use.measure(window.rows, labels, drawn, window.reference)
    stated = max((int(row.drawn) for row in said if row.drawn.isdecimal()), default=0)  # rows may have been taken out
    found = found.model_copy(update={"drawn": max(found.drawn, stated)})
    rows = [[metric_title(name), shown(value), str(value.n)] for name, value in found.metrics.items()]
    terminal.table(f"In use, {found.reviewed} of {found.drawn} images drawn at random", ["", "", "n"], rows)
    if found.reviewed < found.drawn:
        terminal.warn(
            "Not all images that were drawn at random have a label: if only easy ones have one, the figures are too "
            "high."
        )
    _keep(found, window.rows[-1], corrected, terminal)
    return found


def _labels(said: Sequence[Reviewed], classes: Collection[str]) -> dict[str, str]:
    """The label of each image that has one, by its digest.

    Raises:
        DataError: a label is of no image or no class, or an image has two; every such row at once.
    """
    labels: dict[str, str] = {}
    problems = []
    for row in (one for one in said if one.label):
        if not _DIGEST.fullmatch(row.sha256):
            problems.append(f"{row.where}: sha256 is {row.sha256 or 'empty'}, not the 64 digits that name its answer")
        elif classes and row.label not in classes:
            problems.append(f"{row.where}: label {row.label} is no class of the model")
        elif labels.setdefault(row.sha256, row.label) != row.label:
            problems.append(f"{row.where}: is {labels[row.sha256]} elsewhere and {row.label} here; one label an image")
    if problems:
        more = [f"... and {len(problems) - _SHOWN} more"] if len(problems) > _SHOWN else []
        allowed = f"Classes: {', '.join(sorted(classes))}. " if classes else ""
        raise DataError(
            problems[:_SHOWN] + more,
            f"{allowed}Leave a label empty where nobody knows it; copy sha256 from the review.csv that was written.",
        )
    return labels


def _keep(found: InUse, row: Record, corrected: Path, terminal: Terminal) -> None:
    """As a run, and as a tag of the version that answered."""
    run = TrackedRun.begin(f"feedback on {row.model} {row.version}".strip(), "feedback", watched=False)
    try:
        run.params({"first": found.first, "last": found.last, "drawn": found.drawn, "reviewed": found.reviewed})
        run.metrics({f"in_use_{name}": one.value for name, one in found.metrics.items() if one.value is not None}, 0)
        attached.keep(run.id, [corrected], {"fracture.kind": "feedback", "fracture.weights_sha256": row.weights})
    except BaseException as error:
        run.end("FAILED", str(error))
        raise
    run.end("FINISHED")
    if row.version and tags_of(row) is not None:
        query.tag_version(row.model, row.version, {TAG: found.model_dump_json()})
        terminal.say(f"Kept with {row.model} version {row.version}, and as run {run.id}")
    else:
        terminal.say(f"Kept as run {run.id} only: the model that answered is no version of {row.model} here")
