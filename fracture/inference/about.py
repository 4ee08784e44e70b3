"""What is known of a model beside its weights, for whoever reads its answers."""

from dataclasses import asdict, dataclass
from typing import Any

from fracture.evidence import Judged
from fracture.evidence.verdict import coverage_explained, explained
from fracture.inference.log import Served
from fracture.models.checkpoint import Sidecar

_SHOWN = {
    "any_fracture_sensitivity": "Sensitivity: fractures that are reported",
    "any_fracture_specificity": "Specificity: images without a fracture that are not reported",
    "accuracy": "Accuracy: the most probable class is right",
    "balanced_accuracy": "Balanced accuracy: the same, every class counted alike",
    "answered_share": "Answered without referral",
    "answered_accuracy": "Accuracy among those answered without referral",
}


@dataclass(frozen=True)
class Figure:
    """One figure of the test, a share.

    Attributes:
        name: in words.
        value, low, high: with its 95% interval.
        n: images.
        caution: why the interval cannot be taken at its word, empty where it can.
    """

    name: str
    value: float
    low: float
    high: float
    n: int
    caution: str


@dataclass(frozen=True)
class About:
    """Where a model comes from and how well it did.

    Attributes:
        name: of the registered model, else of what was named.
        version: of the registered model, empty for others.
        date: of the version, or of the end of the run, as ``2026-01-31``; empty where nobody knows.
        run: id of the run that it is from, empty where nobody knows.
        data: what it was trained on, in words; empty where nobody knows.
        tested: on what its figures are, in words.
        figures: of the test; none where nobody knows.
    """

    name: str = ""
    version: str = ""
    date: str = ""
    run: str = ""
    data: str = ""
    tested: str = ""
    figures: tuple[Figure, ...] = ()

    @property
    def title(self) -> str:
        """The name with its version."""
        return f"{self.name} version {self.version}" if self.version else self.name


def figures_of(results: Judged) -> tuple[Figure, ...]:
    """What a reader of answers must know of the test, the decision's figures first."""
    found = results.splits["test"].metrics
    known = [(words, found[name]) for name, words in _SHOWN.items() if name in found]
    return tuple(
        Figure(words, one.value, one.low, one.high, one.n, one.caution)
        for words, one in known
        if one.value is not None and one.low is not None and one.high is not None
    )


def served(about: About, sidecar: Sidecar) -> Served:
    """What the answers of a model are counted and logged as."""
    name = about.name if about.version else about.run or about.name or sidecar.model
    return Served(name, about.version, sidecar.weights_sha256)


def page(about: About, sidecar: Sidecar) -> dict[str, Any]:
    """All that is said of a model, as JSON has it."""
    return {
        **asdict(about), "title": about.title or sidecar.model, "model": sidecar.model,
        "weights_sha256": sidecar.weights_sha256, "classes": sidecar.classes, "healthy_class": sidecar.healthy,
        "fracture_threshold": sidecar.fracture_threshold, "refer_below": sidecar.refer_below,
        "rule": explained(sidecar.rule), "coverage": coverage_explained(sidecar.rule), "decided": sidecar.decided,
        "synthetic": sidecar.synthetic, "image_size": sidecar.image_size, "license": sidecar.license,
    }  # fmt: skip
