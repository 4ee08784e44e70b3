"""The findings of an audit, as values: images, pairs to look at, answers, and how they are written down."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from fracture.data.audit.confound import Probe
from fracture.data.audit.distributions import Distributions
from fracture.data.audit.image import Image

Status = Literal["ok", "note", "warning", "leak", "skipped"]
VERSION = 1  # of audit.json


@dataclass(frozen=True, slots=True)
class Evidence:
    """Two images to look at.

    Attributes:
        first, second: positions in the report's images.
        kind: ``same bytes``, ``near-duplicate``, ``to review`` or ``same group``.
        score: similarity, 1 for the same bytes, 0 where none was computed.
        transform: how the one became the other, in words.
    """

    first: int
    second: int
    kind: str
    score: float = 0.0
    transform: str = ""


@dataclass(frozen=True)
class Check:
    """The answer to one of the eight questions.

    Attributes:
        number, name, title: which question.
        status: ``ok``, ``note``, ``warning``, ``leak`` (refuses training) or ``skipped``.
        sentence: the answer in words, with its counts.
        count: how many things were found.
        evidence: pairs of images to look at, the clearest first.
    """

    number: int
    name: str
    title: str
    status: Status
    sentence: str
    count: int = 0
    evidence: tuple[Evidence, ...] = ()


@dataclass(frozen=True)
class Inflation:
    """How many images of a split have a relative in train: the share of its accuracy that memory can earn.

    Attributes:
        split: ``val`` or ``test``.
        related, total: images with a relative in train, and all.
        share, low, high: the share with its 95% Wilson interval.
    """

    split: str
    related: int
    total: int
    share: float
    low: float
    high: float


@dataclass(frozen=True)
class AuditReport:
    """The findings of an audit.

    Attributes:
        name, digest: of the manifest.
        images: what was audited.
        checks: the seven answers, and one on unreadable files.
        probe: the source probe.
        distributions: labels and sizes per split, and sources per label.
        inflation: of val and test.
        thresholds: every threshold that was applied, by name.
    """

    name: str
    digest: str
    images: tuple[Image, ...]
    checks: tuple[Check, ...]
    probe: Probe
    distributions: Distributions
    inflation: tuple[Inflation, ...]
    thresholds: Mapping[str, float] = field(default_factory=dict)

    @property
    def leaks(self) -> tuple[Check, ...]:
        """The checks that refuse training."""
        return tuple(check for check in self.checks if check.status == "leak")

    @property
    def confounded(self) -> bool:
        """Whether what is not anatomy tells a pair of classes apart."""
        return self.probe.confounded

    @property
    def verdict(self) -> str:
        """``leaking``, ``confounded`` or ``clean``, the worst that holds."""
        return "leaking" if self.leaks else "confounded" if self.confounded else "clean"

    def problems(self) -> list[str]:
        """One sentence for each leak."""
        return [f"{check.title}: {check.sentence}" for check in self.leaks]

    def to_dict(self) -> dict[str, Any]:
        """The report as plain values, as audit.json holds it."""
        return {
            "version": VERSION, "name": self.name, "digest": self.digest, "images": len(self.images),
            "verdict": self.verdict, "leaks": [check.name for check in self.leaks], "confounded": self.confounded,
            "checks": [self._check_dict(check) for check in self.checks],
            "probe": {**asdict(self.probe), "chance": 0.5},
            "distributions": asdict(self.distributions),
            "inflation": [asdict(one) for one in self.inflation],
            "thresholds": dict(self.thresholds),
            "unreadable": {image.path: image.error for image in self.images if image.error},
        }  # fmt: skip

    def _check_dict(self, check: Check) -> dict[str, Any]:
        pairs = [
            {
                "first": self.images[e.first].path, "second": self.images[e.second].path, "kind": e.kind,
                "score": round(e.score, 4), "transform": e.transform,
            }
            for e in check.evidence
        ]  # fmt: skip
        return {**{k: v for k, v in asdict(check).items() if k != "evidence"}, "evidence": pairs}
