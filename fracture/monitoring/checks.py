"""The questions about drift, each answered in a sentence."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from fracture.data.audit import confound
from fracture.data.audit.confound import PairProbe
from fracture.evaluation.intervals import share
from fracture.evidence import Estimate, wilson
from fracture.monitoring.change import Change
from fracture.monitoring.correction import Correction
from fracture.monitoring.limits import Limits
from fracture.monitoring.record import Record
from fracture.monitoring.reference import QUANTILES, Reference
from fracture.tables import counted

FEWEST = 2 * confound.FOLDS  # independent images that a probe needs
OF_SOURCE = 50  # answers of a source that is probed
_UNLIKE = QUANTILES.index(0.95)


@dataclass(frozen=True)
class Check:
    """One question and its answer.

    Attributes:
        name, title: which.
        status: ``drift``, ``ok``, ``too few``, or ``unknown`` where the reference or the log does not say.
        sentence: the answer.
    """

    name: str
    title: str
    status: Literal["drift", "ok", "too few", "unknown"]
    sentence: str


@dataclass(frozen=True)
class Source:
    """The answers to the images of one station or device.

    Attributes:
        name: as DICOM files say.
        answers: how many.
        referred: share that a person must look at.
        confidence: its mean.
        probe: whether its images can be told from the reference's; None where nobody looked.
    """

    name: str
    answers: int
    referred: Estimate
    confidence: float | None
    probe: PairProbe | None = None


def of_probe(
    found: PairProbe | None, before: int, images: int, able: dict[str, float | int | None], limits: Limits
) -> Check:
    """Whether a classifier of traits tells the images from the reference images, and what it could have told."""
    title = "Do the images differ from the reference images in size, file format, border or brightness?"
    if not before:
        return Check("probe", title, "unknown", "the reference has no traits; --against RUN makes one, with its images")
    too_small = "no number is enough, because the reference is too small"
    wanted = f"{able['needed']:,} are needed" if able["needed"] else too_small
    sees = f"so many show an AUC of {limits.power.auc} with a probability of {able['power']:.0%}"
    if found is None:
        said = (
            f"{images:,} independent images, {able['reference']:,} in the reference: the comparison takes {FEWEST} of "
            f"each; to show an AUC of {limits.power.auc} with a probability of {limits.power.wanted:.0%} {wanted}"
        )
        return Check("probe", title, "too few", said)
    said = (
        f"a classifier tells them apart by these with an AUC of {_auc(found)}, on {images:,} images and {before:,} "
        f"reference images"
    )
    if found.low > limits.probe.auc:
        return Check("probe", title, "drift", f"{said}; drift where the whole interval is above {limits.probe.auc}")
    if float(able["power"] or 0) < limits.power.wanted:
        return Check("probe", title, "too few", f"{said}; {sees}, for {limits.power.wanted:.0%} {wanted}")
    return Check("probe", title, "ok", f"{said}; {sees}")


def of_sources(sources: Sequence[Source], limits: Limits) -> Check:
    """The same of each source."""
    title = "Do the images of one station or device differ from the reference images?"
    known = [source for source in sources if source.probe]
    if not known:
        return Check("sources", title, "unknown", f"no DICOM source with {OF_SOURCE} answers or more")
    said = [f"{one.name}: AUC {_auc(one.probe)}" for one in known if one.probe]
    drifted = any(one.probe.low > limits.probe.auc for one in known if one.probe)
    return Check("sources", title, "drift" if drifted else "ok", "; ".join(said))


def of_features(reference: Reference, rows: Sequence[Record], limits: Limits) -> Check:
    """Whether features moved away."""
    title = "Are more images unlike the reference images, as the model sees them?"
    known = [row for row in rows if row.distance is not None]
    if not known or not reference.distance_quantiles:
        return Check("features", title, "unknown", "the log or the reference has no distances")
    bound = reference.distance_quantiles[_UNLIKE]
    far = np.array([float(row.distance or 0) > bound for row in known])
    found = share(far, np.ones(len(known), np.bool_), [row.group for row in known])
    what = f"images are at a distance above {bound:.2f}, as 5% of the reference images are"
    return _of_level("features", title, found, limits.probe.unlike, what)


def of_labels(labels: dict[str, Change], limits: Limits) -> list[Check]:
    """Whether the share of a class changed."""
    return [
        of_change(f"share of {name}", f"Share of {name.replace('_', ' ')}", found, limits.answers.labels)
        for name, found in labels.items()
    ]


def of_change(name: str, title: str, found: Change | None, limit: float) -> Check:
    """Whether a figure changed by more than ``limit``; too few where its interval is wider than ± twice that."""
    if found is None or found.now.groups < FEWEST:
        return Check(
            name, title, "too few", f"{found.now.groups if found else 0} independent answers, {FEWEST} are needed"
        )
    change = found.now.value - found.before.value  # type: ignore[operator]
    said = (
        f"{_shown(found.now)} now, {_shown(found.before)} in the reference, a change of {100 * change:+.1f} points "
        f"({100 * found.low:+.1f} to {100 * found.high:+.1f})"
    )
    if abs(found.nearer) > limit:
        status: Literal["drift", "too few", "ok"] = "drift"
    elif (found.high - found.low) / 2 > 2 * limit:
        status, said = "too few", f"{said}; an interval of at most ± {200 * limit:g} points is needed"
    else:
        status = "ok"
    return Check(name, title, status, f"{said}; drift where the whole interval is beyond {100 * limit:g} points")


def of_errors(rows: Sequence[Record], limits: Limits) -> Check:
    """Whether files cannot be read."""
    bad = np.array([bool(row.error) for row in rows])
    found = share(bad, np.ones(len(rows), np.bool_), [row.group for row in rows])
    return _of_level("errors", "Share of files that cannot be read", found, limits.answers.errors, "files")


def of_repeated(rows: Sequence[Record], limits: Limits) -> Check:
    """Whether the same images come again and again."""
    images = [row.image for row in rows if row.image]
    again, n = len(images) - len(set(images)), max(1, len(images))
    low, high = wilson(again / n, n)
    found = Estimate(value=again / n, low=low, high=high, n=len(images), groups=len(images))
    title = "Share of answers to images that were answered before"
    return _of_level("repeated", title, found, limits.answers.repeated, "answers")


def of_corrections(rows: Sequence[Record], corrected: Mapping[str, Correction]) -> Check:
    """How many answers readers have corrected; no error rate, so that it never is drift."""
    title = "What did readers say of the answers?"
    said = {row.image: row.label for row in rows if row.image in corrected}
    if not said:
        return Check("corrections", title, "unknown", "no answer was corrected or confirmed")
    other = sum(corrected[image].label != label for image, label in said.items())
    looked = f"they looked at {counted(len(said), 'image')} and corrected {other:,}"
    return Check("corrections", title, "ok", f"{looked}; they choose what they look at, so this is no error rate")


def _of_level(name: str, title: str, found: Estimate, limit: float, what: str) -> Check:
    beyond = (found.low or 0) > limit
    said = f"{_shown(found)} of {found.n:,} {what}; drift where the whole interval is above {100 * limit:g}%"
    return Check(name, title, "drift" if beyond else "ok", said)


def _shown(found: Estimate) -> str:
    return f"{100 * found.value:.1f}% ({100 * found.low:.1f} to {100 * found.high:.1f})"  # type: ignore[operator]


def _auc(found: PairProbe) -> str:
    return f"{found.auc:.2f} ({found.low:.2f} to {found.high:.2f})"
