"""The report of a run: pictures, controls and the page, made at the end of training and by `fracture evaluate`."""

import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import torch
from matplotlib.figure import Figure
from torch import nn

from fracture.data.batches import augment
from fracture.evaluation import explain
from fracture.evaluation.figures.calibration import rejection_figure, reliability_figure, score_figure
from fracture.evaluation.figures.confusion import confusion_figure
from fracture.evaluation.figures.images import Tile, grid_figure, short
from fracture.evaluation.figures.rankings import ranking_figure
from fracture.evaluation.figures.style import png
from fracture.evaluation.figures.training import training_figure
from fracture.evaluation.metrics import Floats, Integers
from fracture.evaluation.report.page import Contents, render
from fracture.evaluation.review import SHOWN, Review
from fracture.evidence import Controls, Judged, Results
from fracture.evidence.verdict import decide
from fracture.files import replacing, write_json
from fracture.models import checkpoint
from fracture.progress import LOG, Terminal
from fracture.runs.map_hits import find_hits
from fracture.runs.review import review_folder, tiles
from fracture.runs.subject import Subject

Made = TypeVar("Made")

_MAPS = 4  # right ones, and as many wrong ones
_MISTAKES = 8
_AUGMENTED = 8
_CONTROLLED = 64  # images that controls are tried on; each goes through the model twice more


def make_report(subject: Subject, folder: Path, terminal: Terminal, beat: Callable[[], object] = lambda: None) -> Path:
    """Write report.html, controls.json and figures/ into ``folder``; returns the page.

    A picture that cannot be made is named on the page and on the screen; the run does not fail for it.

    Args:
        subject: what the report is about.
        folder: where it is written.
        terminal: shows how far it is.
        beat: called before each part, as of `fracture.training.watch.Watch`; what it raises ends the report.
    """
    began = time.perf_counter()
    pictures: dict[str, bytes] = {}
    problems: list[str] = []
    drawers = _drawers(subject)
    with terminal.working() as progress:

        def step(number: int) -> None:
            beat()
            progress("report", number, len(drawers) + 3)

        for number, (name, draw) in enumerate(drawers.items()):
            step(number)
            if picture := _tried(name, partial(_drawn, draw), problems):
                pictures[name] = picture
        step(len(drawers))
        random = _random_weights(subject)
        controls = _tried("controls", lambda: _controls(subject, random), problems)
        step(len(drawers) + 1)
        hits = _tried("boxes", lambda: find_hits(subject, random), problems)
        controls = controls.model_copy(update={"boxes": hits}) if controls else None
        step(len(drawers) + 2)
        reviewed = _tried("label review", lambda: review_folder(folder), problems)
        if reviewed:
            gallery = _tried("label_review", partial(_drawn, partial(_doubtful, subject, reviewed)), problems)
            pictures |= {"label_review": gallery} if gallery else {}
    if problems:
        terminal.warn("Missing from the report: " + "; ".join(problems))
    page = _write(subject, folder, pictures, controls, problems, reviewed.sentence if reviewed else "")
    size, seconds = page.stat().st_size / 2**20, time.perf_counter() - began
    terminal.say(f"Report: {len(pictures)} pictures, {size:.1f} MiB, {seconds:.1f} s")
    return page


def _tried(name: str, make: Callable[[], Made | None], problems: list[str]) -> Made | None:
    """What ``make`` makes; where it fails that is a problem of the report's: no run must be lost for a picture."""
    try:
        return make()
    except Exception as error:  # noqa: BLE001 - as said
        problems.append(f"{name}: {error or type(error).__name__}")
        LOG.warning("report: %s", name, exc_info=True)
        return None


def _drawn(draw: Callable[[], Figure | None]) -> bytes | None:
    """The picture, where there is something to show."""
    found = draw()
    return None if found is None else png(found)


def _random_weights(subject: Subject) -> nn.Module:
    """The same architecture, untrained."""
    torch.manual_seed(0)
    return subject.plan.place(checkpoint.build(subject.sidecar)).eval()


def _write(
    subject: Subject, folder: Path, pictures: Mapping[str, bytes], controls: Controls | None, problems: Sequence[str],
    review: str,
) -> Path:  # fmt: skip
    (folder / "figures").mkdir(parents=True, exist_ok=True)
    for name, picture in pictures.items():
        (folder / "figures" / f"{name}.png").write_bytes(picture)
    if controls is not None:
        write_json(folder / "controls.json", controls.model_dump(mode="json"))
    contents = Contents(
        subject.title, subject.results, pictures, controls, subject.trained, subject.audit, subject.facts,
        subject.settings, subject.reproduce, problems, review,
    )  # fmt: skip
    with replacing(folder / "report.html") as part:
        part.write_text(render(contents), encoding="utf-8")
    return folder / "report.html"


def _drawers(subject: Subject) -> dict[str, Callable[[], Figure | None]]:
    """What draws each picture, in the order of the page; some have nothing to show."""
    results, shares = subject.results, subject.probabilities
    correct = shares.argmax(axis=1) == subject.labels
    return {
        **answer_figures(results, shares, subject.labels, subject.groups),
        "mistakes": lambda: _mistakes(subject),
        "maps_correct": lambda: _map_grid(subject, _surest(subject, correct)),
        "maps_wrong": lambda: _map_grid(subject, _surest(subject, ~correct)),
        "training": lambda: (
            training_figure(results.history, results.best_epoch) if isinstance(results, Results) else None
        ),
        "augmented": lambda: _augmented(subject),
    }


def answer_figures(
    results: Judged, shares: Floats, labels: Integers, groups: list[str]
) -> dict[str, Callable[[], Figure]]:
    """What draws the pictures that need no image: of probabilities [n, classes], true labels [n] and groups [n]."""
    test = results.splits["test"]
    correct = shares.argmax(axis=1) == labels
    return {
        "confusion": lambda: confusion_figure(test.confusion, results.classes),
        "rankings": lambda: ranking_figure(shares, labels, groups, results.classes, test.metrics),
        "reliability": lambda: reliability_figure(test, results.calibration.temperature),
        "rejection": lambda: rejection_figure(shares.max(axis=1), correct, results.referral),
        "scores": lambda: score_figure(shares, labels, results.classes),
    }


def _surest(subject: Subject, among: npt.NDArray[np.bool_], count: int = _MAPS) -> list[int]:
    """Of the images that ``among`` marks, those that the model was surest of, of every true class in turn."""
    confidence = subject.probabilities.max(axis=1)
    ranked = [int(i) for i in np.argsort(-confidence, kind="stable") if among[i]]
    turns: dict[int, int] = {}
    keyed = []
    for i in ranked:
        label = int(subject.labels[i])
        turns[label] = turns.get(label, 0) + 1
        keyed.append((turns[label], -confidence[i], i))
    return [i for *_, i in sorted(keyed)[:count]]


def _title(subject: Subject, i: int) -> str:
    """What is said of the image, its kind with the probability and the true class, and the file's name."""
    classes, shares = subject.results.classes, subject.probabilities[i].tolist()
    found = decide(subject.results.rule, shares)
    manifest = subject.dataset.manifest
    name = short(Path(manifest.relative(manifest.rows[subject.indices[i]])).name)
    true = classes[int(subject.labels[i])]
    kind = f"{found.label} {shares[classes.index(found.label)]:.0%}" if found.label else "no numbers"
    return f"{found.decision}\n{kind}\ntrue: {true}\n{name}"


def _mistakes(subject: Subject) -> Figure | None:
    wrong = subject.probabilities.argmax(axis=1) != subject.labels
    chosen = [int(i) for i in np.argsort(-subject.probabilities.max(axis=1), kind="stable") if wrong[i]][:_MISTAKES]
    if not chosen:
        return None
    pixels = subject.dataset.pixels(subject.indices[chosen])
    return grid_figure([Tile(square, _title(subject, i)) for square, i in zip(pixels, chosen, strict=True)])


def _map_grid(subject: Subject, chosen: list[int]) -> Figure | None:
    """Each image beside itself with the map of its predicted class."""
    if not chosen:
        return None
    predicted = subject.probabilities.argmax(axis=1)
    maps = subject.maps(chosen, [int(predicted[i]) for i in chosen])
    pixels = subject.dataset.pixels(subject.indices[chosen])
    tiles = []
    for square, heat, i in zip(pixels, maps, chosen, strict=True):
        tiles += [Tile(square, _title(subject, i)), Tile(square, "\n\n\n", heat)]
    return grid_figure(tiles)


def _doubtful(subject: Subject, reviewed: Review) -> Figure | None:
    """The images whose labels are most doubtful."""
    wanted = {reviewed.answers.sha256[i] for i in reviewed.order[:SHOWN]}
    rows = subject.dataset.manifest.rows
    places = np.array([i for i, row in enumerate(rows) if row.sha256 in wanted], np.int64)
    if not len(places):
        return None
    squares = subject.dataset.pixels(places)
    return grid_figure(tiles(reviewed, {rows[i].sha256: square for i, square in zip(places, squares, strict=True)}))


def _augmented(subject: Subject) -> Figure | None:
    if not len(subject.train):
        return None
    pixels = torch.from_numpy(subject.dataset.pixels(subject.train[:_AUGMENTED]))
    grey = augment(pixels, torch.Generator().manual_seed(0)).squeeze(1).numpy()
    return grid_figure([Tile(square, "") for square in grey])


def _controls(subject: Subject, random: nn.Module) -> Controls:
    correct = subject.probabilities.argmax(axis=1) == subject.labels
    rng = np.random.default_rng(0)
    tried = np.sort(rng.permutation(len(subject.indices))[:_CONTROLLED])
    shown = _surest(subject, correct) + _surest(subject, ~correct)
    predicted = subject.probabilities.argmax(axis=1)
    classes = [int(predicted[i]) for i in shown]
    try:
        maps = subject.maps(shown, classes)
        random_maps = subject.maps(shown, classes, random)
    except ValueError:  # no spatial features: controls of the answers still tell something
        maps = random_maps = np.zeros((0, 1, 1))
    case = explain.ControlImages(
        subject.dataset.pixels(subject.indices[tried]), subject.labels[tried], [subject.groups[i] for i in tried],
        subject.results.classes, subject.decisions,
    )  # fmt: skip
    return explain.try_controls(subject.answers, case, subject.logits[tried], maps, random_maps)
