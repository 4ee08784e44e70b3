"""The report as one HTML page that needs nothing else: a summary, the data, the numbers, the pictures, the limits."""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fracture.evaluation.report.looks import looks_at_the_bone, maps_hit_the_fracture
from fracture.evaluation.report.words import limits, summary
from fracture.evidence import (
    CLASS_METRICS,
    METRICS,
    Controls,
    Estimate,
    FoldEstimate,
    FoldResults,
    Judged,
    metric_title,
)
from fracture.files import page_template

if TYPE_CHECKING:
    from jinja2 import Template

_TEMPLATE = Path(__file__).with_name("page.html")


@dataclass(frozen=True)
class Contents:
    """What a report shows.

    Attributes:
        title: of the page.
        results: of the run.
        pictures: PNG bytes by name, see `CAPTIONS`.
        controls: of the maps, None where there are none.
        trained: training images by class, empty where they are not at hand.
        audit: audit.json, None where nobody has looked.
        facts: of the run, by name: weights, plan, versions.
        settings: the settings that differ from their defaults.
        reproduce: commands.
        problems: what of the report could not be made, and why.
        review: how labels were looked at again, or why not; empty where there was nothing to do it by.
        folds: what the folds of a cross-validation say together, where the results are of all their answers.
    """

    title: str
    results: Judged
    pictures: Mapping[str, bytes]
    controls: Controls | None = None
    trained: Mapping[str, int] = field(default_factory=dict)
    audit: Mapping[str, Any] | None = None
    facts: Mapping[str, str] = field(default_factory=dict)
    settings: Mapping[str, str] = field(default_factory=dict)
    reproduce: Sequence[str] = ()
    problems: Sequence[str] = ()
    review: str = ""
    folds: FoldResults | None = None


CAPTIONS = {
    "training": "Training, epoch by epoch; the dotted line is the selected epoch.",
    "confusion": "Confusion matrix: true classes in rows, the most probable class in columns. The operating point may "
    "decide otherwise.",
    "rankings": "How well each class is separated from the others, at every threshold. Bands are 95%, by group.",
    "reliability": "Whether a probability of 80% is right in 80 of 100 cases: on the dotted line it is. Areas are "
    "numbers of images.",
    "rejection": "What is gained by referring the images of the lowest confidence to a person: share right among the "
    "others.",
    "scores": "The probabilities given to each class, for the images of each true class.",
    "mistakes": "The mistakes with the highest confidence.",
    "maps_correct": "Where right answers come from: brighter spoke for the class.",
    "maps_wrong": "Where wrong answers come from: brighter spoke for the class that was predicted.",
    "label_review": "Labels that may be wrong: the least probable, by models that had not seen the image. "
    "label_review.csv has all of them in this order.",
    "augmented": "What training sees: images of the training split after augmentation.",
}
LABELLED = frozenset({"mistakes", "maps_correct", "maps_wrong", "label_review"})  # small words stand in them

_PLACES = {
    "short": "In short", "data": "The data", "folds": "The folds", "numbers": "The numbers",
    "bone": "Does it look at the bone?", "pictures": "The pictures", "limits": "Limits",
    "reproduce": "How to reproduce",
}  # fmt: skip


def render(contents: Contents) -> str:
    """The page, as HTML."""
    results, controls = contents.results, contents.controls
    looks = looks_at_the_bone(controls, len(results.classes)) if controls else ""
    absent = {place for place, found in (("bone", controls), ("folds", contents.folds)) if found is None}
    return template(_TEMPLATE).render(
        c=contents, r=results, test=results.splits["test"], captions=CAPTIONS, labelled=LABELLED, meanings=METRICS,
        class_meanings=CLASS_METRICS, limits=limits(results, contents.audit), looks=looks,
        summary=summary(results, contents.audit) + ([f"Does it look at the bone? {looks}"] if looks else []),
        hit=maps_hit_the_fracture(controls.boxes) if controls and controls.boxes else "",
        runs=[run[:8] for run in contents.folds.runs] if contents.folds else [], zip=zip,
        places=[(place, title) for place, title in _PLACES.items() if place not in absent],
    )  # fmt: skip


def template(path: Path) -> "Template":
    """A page on results, with what writes their names and figures."""
    return page_template(
        path, shown=shown, data_url=_data_url, plain=_plain, metric=metric_title, over_folds=over_folds
    )


def shown(found: Estimate) -> str:
    """A metric with its interval, or why there is none; a dagger where the interval is too narrow to be believed."""
    if found.value is None:
        return f"not defined: {found.reason}"
    return f"{found.value:z.3f} [{found.low:z.3f}, {found.high:z.3f}]" + (" †" if found.caution else "")


def over_folds(found: FoldEstimate) -> str:
    """A metric's mean over folds, with its interval where the folds are enough for one."""
    mean = "-" if found.value is None else f"{found.value:z.3f}"
    return mean if found.low is None else f"{mean} [{found.low:z.3f}, {found.high:z.3f}]"


def _plain(name: object) -> str:
    return str(name).replace("_", " ")


def _data_url(picture: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(picture).decode()
