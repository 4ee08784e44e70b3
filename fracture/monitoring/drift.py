"""Whether what is answered now is like what the model was judged on: pure, rows and a reference in, checks out."""

from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from fracture.data.audit import confound, traits
from fracture.data.audit.confound import PairProbe
from fracture.evaluation.intervals import share
from fracture.monitoring import checks
from fracture.monitoring.change import Change, Moved, change, mean, moved
from fracture.monitoring.checks import FEWEST, OF_SOURCE, Check, Source
from fracture.monitoring.limits import Limits
from fracture.monitoring.power import needed, power
from fracture.monitoring.record import Record
from fracture.monitoring.reference import Reference

VERSION = 1  # of drift.json
Verdict = Literal["drift", "too few answers", "images not compared", "no drift seen"]
OF_IMAGES = ("probe", "features")  # the checks that compare images, not answers
MOST = 2000  # answers, drawn at random, that intervals are computed from: more narrow them no further than anyone needs
_SOURCES = 4  # that are probed, those with the most answers
_FAMILIES = {name: traits.columns(name) for name in traits.FAMILIES}


@dataclass(frozen=True)
class Drift:
    """What was found.

    Attributes:
        model, version, weights: that answered.
        against: what the reference is of.
        first, last: time of the first and the last answer.
        answers, images: answers, and different images among them.
        checks: the questions.
        probe: of the traits; None where there are too few.
        moved: traits that changed.
        labels: share of each class.
        referred, confidence: change of the share of referrals and of the mean confidence.
        latency: seconds, by quantile.
        sources: by station and device, where DICOM files name them.
        power: of the probe with so many images, what it would see, and how many are needed.
        limits: the thresholds.
    """

    model: str
    version: str
    weights: str
    against: str
    first: str
    last: str
    answers: int
    images: int
    checks: tuple[Check, ...]
    probe: PairProbe | None
    moved: tuple[Moved, ...]
    labels: dict[str, Change]
    referred: Change | None
    confidence: Change | None
    latency: dict[str, float]
    sources: tuple[Source, ...]
    power: dict[str, float | int | None]
    limits: Limits

    @property
    def named(self) -> str:
        """The model and its version, which one that is not registered has not."""
        return f"{self.model} version {self.version}" if self.version else self.model

    @property
    def drifted(self) -> tuple[Check, ...]:
        """The checks that found drift."""
        return tuple(check for check in self.checks if check.status == "drift")

    @property
    def verdict(self) -> Verdict:
        """Drift where any check says so; no drift only where the images were compared and enough could be seen."""
        if self.drifted:
            return "drift"
        if any(check.status == "too few" for check in self.checks):
            return "too few answers"
        of_images = [check for check in self.checks if check.name in OF_IMAGES]
        return "images not compared" if all(one.status == "unknown" for one in of_images) else "no drift seen"

    @property
    def not_compared(self) -> str:
        """Why the images were not compared with the reference's; empty where they were."""
        said = [f"{one.title} {one.sentence}" for one in self.checks if one.name in OF_IMAGES]
        return "; ".join(said) if self.verdict == "images not compared" else ""

    def to_dict(self) -> dict[str, Any]:
        """As plain values, as drift.json holds it."""
        plain = {name: _plain(value) for name, value in vars(self).items()}
        return {"schema_version": VERSION, "verdict": self.verdict, **plain}


def judge(reference: Reference, rows: Sequence[Record], limits: Limits, more: Sequence[Check] = ()) -> Drift:
    """Compare answers with a reference.

    Args:
        reference: of the model.
        rows: of the log, one or more, of one model.
        limits: from when on a difference is drift.
        more: what was found out elsewhere.
    """
    ordered = sorted(rows, key=lambda row: (row.time, row.image, row.request))
    drawn = np.random.default_rng(0).permutation(len(ordered))[:MOST]
    some = [ordered[i] for i in np.sort(drawn)]
    answered = [row for row in some if not row.error]
    unique = _measured(answered)
    before, now = reference.matrix, _matrix(unique)
    found = _probe(reference, before, unique, now, _FAMILIES)
    sources = _by_source(reference, before, answered)
    labels, referred, confidence = _answers(reference, answered)
    groups = len({row.group for row in unique})
    able = _power(groups, len(set(reference.sample.groups)), limits)
    found_out = (
        checks.of_probe(found, len(before), groups, able, limits), checks.of_sources(sources, limits),
        checks.of_features(reference, answered, limits), *checks.of_labels(labels, limits),
        checks.of_change("referred", "Share that a person must look at", referred, limits.answers.referred),
        checks.of_change("confidence", "Mean confidence", confidence, limits.answers.confidence),
        checks.of_errors(some, limits), checks.of_repeated(ordered, limits), *more,
    )  # fmt: skip
    times = [row.latency for row in ordered]
    last = ordered[-1]
    return Drift(
        last.model, last.version, last.weights, reference.basis, ordered[0].time, last.time, len(ordered),
        len({row.image for row in ordered}), found_out, found,
        moved(before, now, traits.NAMES) if min(len(before), len(now)) >= FEWEST else (), labels, referred, confidence,
        {f"p{q}": round(float(np.percentile(times, q)), 4) for q in (50, 95, 99)}, sources, able, limits,
    )  # fmt: skip


def _measured(rows: Sequence[Record]) -> list[Record]:
    """One row an image, of those with the traits of this version: others can be held against nothing."""
    return list({row.image: row for row in rows if len(row.traits) == len(traits.NAMES)}.values())


def _matrix(rows: Sequence[Record]) -> npt.NDArray[np.float32]:
    return np.array([row.traits for row in rows], np.float32).reshape(len(rows), len(traits.NAMES))


def _probe(
    reference: Reference,
    before: npt.NDArray[np.float32],
    rows: Sequence[Record],
    now: npt.NDArray[np.float32],
    families: dict[str, list[int]],
) -> PairProbe | None:
    """The audit's probe, between the reference's images and these; None where either are too few."""
    known: list[Hashable] = [("before", group) for group in reference.sample.groups[: len(before)]]
    same = {line.tobytes(): group for line, group in zip(before, known, strict=True)}  # the reference's own images
    groups = known + [same.get(line.tobytes(), ("now", row.group)) for line, row in zip(now, rows, strict=True)]
    labels = ["reference"] * len(before) + ["now"] * len(now)
    found = confound.probe(np.concatenate([before, now]), families, labels, groups)
    return found.pairs[0] if found.pairs else None


def _answers(
    reference: Reference, rows: Sequence[Record]
) -> tuple[dict[str, Change], Change | None, Change | None]:  # fmt: skip
    """How the shares of classes and referrals and the mean confidence changed."""
    if not rows:
        return {}, None, None
    groups, everyone = [row.group for row in rows], np.ones(len(rows), np.bool_)
    said = np.array([row.label for row in rows])
    changes = {
        name: change(reference.labels[name], share(said == name, everyone, groups)) for name in reference.classes
    }
    referred = share(np.array([row.refer for row in rows]), everyone, groups)
    sure = [(row.confidence, row.group) for row in rows if row.confidence is not None]
    before = np.array(reference.confidence)
    confidence = change(
        mean(before, range(len(before))), mean(np.array([one for one, _ in sure]), [group for _, group in sure])
    )
    return {n: found for n, found in changes.items() if found}, change(reference.referred, referred), confidence


def _by_source(
    reference: Reference, before: npt.NDArray[np.float32], rows: Sequence[Record]
) -> tuple[Source, ...]:  # fmt: skip
    names = [" / ".join(part for part in (row.station, row.device) if part) for row in rows]
    found = []
    for place, (name, count) in enumerate(Counter(name for name in names if name).most_common()):
        own = [row for row, of in zip(rows, names, strict=True) if of == name]
        sure = [row.confidence for row in own if row.confidence is not None]
        source = Source(
            name, count,
            share(np.array([row.refer for row in own]), np.ones(count, np.bool_), [row.group for row in own]),
            float(np.mean(sure)) if sure else None,
        )  # fmt: skip
        if place < _SOURCES and count >= OF_SOURCE:
            unique = _measured(own)
            source = replace(source, probe=_probe(reference, before, unique, _matrix(unique), {}))
        found.append(source)
    return tuple(found)


def _power(images: int, before: int, limits: Limits) -> dict[str, float | int | None]:
    auc, floor, wanted = limits.power.auc, limits.probe.auc, limits.power.wanted
    return {
        "images": images, "reference": before, "auc": auc, "wanted": wanted,
        "power": round(power(images, before, auc, floor), 3), "needed": needed(before, auc, floor, wanted),
    }  # fmt: skip


def _plain(value: Any) -> Any:
    """Dataclasses and models as dictionaries, however deep."""
    if isinstance(value, dict):
        return {key: _plain(one) for key, one in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(one) for one in value]
    if hasattr(value, "model_dump"):
        return value.model_dump(mode="json")
    if hasattr(value, "__dataclass_fields__"):
        return {name: _plain(getattr(value, name)) for name in value.__dataclass_fields__}
    return value
