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
    """Whether trees tell the images from the reference's, and what they could have told."""
    title = "Can the images be told from the reference's by size, file, border and histogram?"
    if not before:
        return Check(
            "probe", title, "unknown", "the reference holds no traits; --against RUN makes one, with its images"
        )
    wanted = f"{able['needed']:,} are needed" if able["needed"] else "the reference is too small for any number"
    sees = f"so many show an AUC of {limits.power.auc} with a probability of {able['power']:.0%}"
    enough = f"for {limits.power.wanted:.0%} {wanted}"
    if found is None:
        return Check("probe", title, "too few", f"{images} independent images, the probe takes {FEWEST}; {enough}")
    said = (
        f"AUC {found.auc:.2f} [{found.low:.2f}, {found.high:.2f}] on {images:,} images and {before:,} of the reference"
    )
    if found.low > limits.probe.auc:
        return Check("probe", title, "drift", f"{said}; the lower end is above {limits.probe.auc}")
    if float(able["power"] or 0) < limits.power.wanted:
        return Check("probe", title, "too few", f"{said}; {sees}, {enough}")
    return Check("probe", title, "ok", f"{said}; {sees}")


def of_sources(sources: Sequence[Source], limits: Limits) -> Check:
    """The same of each source."""
    title = "Can the images of one station or device be told from the reference's?"
    known = [source for source in sources if source.probe]
    if not known:
        return Check("sources", title, "unknown", f"no DICOM source with {OF_SOURCE} answers or more")
    said = [
        f"{one.name}: {one.probe.auc:.2f} [{one.probe.low:.2f}, {one.probe.high:.2f}]" for one in known if one.probe
    ]
    drifted = any(one.probe.low > limits.probe.auc for one in known if one.probe)
    return Check("sources", title, "drift" if drifted else "ok", "; ".join(said))


def of_features(reference: Reference, rows: Sequence[Record], limits: Limits) -> Check:
    """Whether features moved away."""
    title = "Are more images far from the reference's features?"
    known = [row for row in rows if row.distance is not None]
    if not known or not reference.distance_quantiles:
        return Check("features", title, "unknown", "the log or the reference holds no distances")
    bound = reference.distance_quantiles[_UNLIKE]
    far = np.array([float(row.distance or 0) > bound for row in known])
    found = share(far, np.ones(len(known), np.bool_), [row.group for row in known])
    return _of_level(
        "features", title, found, limits.probe.unlike, f"farther than {bound:.2f}, of which 5% are expected"
    )


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
        f"{_shown(found.before)} before, {_shown(found.now)} now, a change of {change:+.3f} "
        f"[{found.low:+.3f}, {found.high:+.3f}]"
    )
    if abs(found.nearer) > limit:
        status: Literal["drift", "too few", "ok"] = "drift"
    elif (found.high - found.low) / 2 > 2 * limit:
        status, said = "too few", f"{said}; an interval of at most ± {2 * limit:g} is needed"
    else:
        status = "ok"
    return Check(name, title, status, f"{said}; it is drift where the whole interval is beyond {limit:g}")


def of_errors(rows: Sequence[Record], limits: Limits) -> Check:
    """Whether files cannot be read."""
    bad = np.array([bool(row.error) for row in rows])
    found = share(bad, np.ones(len(rows), np.bool_), [row.group for row in rows])
    return _of_level(
        "errors", "Share of files that cannot be read", found, limits.answers.errors, "that cannot be read"
    )


def of_repeated(rows: Sequence[Record], limits: Limits) -> Check:
    """Whether the same images come again and again."""
    images = [row.image for row in rows if row.image]
    again, n = len(images) - len(set(images)), max(1, len(images))
    low, high = wilson(again / n, n)
    found = Estimate(value=again / n, low=low, high=high, n=len(images), groups=len(images))
    title = "Share of answers to images that were answered before"
    return _of_level("repeated", title, found, limits.answers.repeated, "answered before")


def of_corrections(rows: Sequence[Record], corrected: Mapping[str, Correction]) -> Check:
    """How many answers readers have corrected; no error rate, so that it never is drift."""
    title = "What did readers of the answers say?"
    said = {row.image: row.label for row in rows if row.image in corrected}
    if not said:
        return Check("corrections", title, "unknown", "no answer was corrected or confirmed")
    other = sum(corrected[image].label != label for image, label in said.items())
    return Check(
        "corrections", title, "ok", f"{len(said):,} images were looked at by a reader, {other:,} are of another class "
        "than was said; readers choose what they correct, so this is no error rate",
    )  # fmt: skip


def _of_level(name: str, title: str, found: Estimate, limit: float, what: str) -> Check:
    beyond = (found.low or 0) > limit
    said = f"{_shown(found)} of {found.n:,} {what}; it is drift where the whole interval is above {limit:g}"
    return Check(name, title, "drift" if beyond else "ok", said)


def _shown(found: Estimate) -> str:
    return f"{found.value:.3f} [{found.low:.3f}, {found.high:.3f}]"
