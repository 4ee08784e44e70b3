"""What drift is measured against: how a model answered to images that it had not learned from, and their traits."""

from collections.abc import Hashable, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from fracture.data.audit import traits
from fracture.errors import ConfigError
from fracture.evaluation.intervals import share
from fracture.evidence import Estimate
from fracture.evidence.verdict import Rule, decide

NAME = "reference.json"
MOST = 1000  # images whose traits are kept one by one
QUANTILES = (0.0, 0.05, 0.25, 0.5, 0.75, 0.95, 1.0)
BINS = 20  # of the confidence, from 0 to 1


class Sample(BaseModel):
    """Some of the images, one entry each: joint traits, which quantiles alone would lose; neither pixels nor names."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    traits: tuple[tuple[float, ...], ...] = Field((), description="[n, traits], in the order of their names")
    groups: tuple[int, ...] = Field((), description="numbers of the groups (patients, originals)")


class Reference(BaseModel):
    """reference.json, beside the weights of a packaged model."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_version: Literal[1] = 1
    basis: str = Field(description="which images, in words")
    images: int
    groups: int
    weights_sha256: str
    classes: tuple[str, ...]
    healthy: str | None = Field(description="the class without a fracture")
    fracture_threshold: float | None
    refer_below: float | None
    labels: dict[str, Estimate] = Field(description="share of each class among what was said")
    referred: Estimate = Field(description="share of images that a person must look at")
    confidence: tuple[float, ...] = Field(description="largest probability, of `MOST` images at most")
    confidence_histogram: tuple[int, ...] = Field(description="of all images, bins of equal width from 0 to 1")
    trait_names: tuple[str, ...] = Field((), description="empty where the images were not there")
    trait_quantiles: dict[str, tuple[float, ...]] = Field({}, description="at 0, 5, 25, 50, 75, 95 and 100%")
    distance_quantiles: tuple[float, ...] = Field((), description="likewise, of the features' distance, cross-fitted")
    sample: Sample = Sample()

    @property
    def matrix(self) -> npt.NDArray[np.float32]:
        """Traits [n, traits]; n = 0 where there are none, or they are those of another version."""
        known = self.sample.traits if self.trait_names == traits.NAMES else ()
        return np.array(known, np.float32).reshape(len(known), len(traits.NAMES))


def build(
    rule: Rule,
    weights_sha256: str,
    basis: str,
    probabilities: npt.NDArray[np.float64],
    groups: Sequence[Hashable],
    measured: Sequence[Sequence[float]],
    distances: npt.NDArray[Any] | Sequence[float] = (),
) -> Reference:
    """The reference of a model.

    Args:
        rule: what it decides by.
        weights_sha256: its weights.
        basis: which images, in words.
        probabilities: calibrated, [n, classes].
        groups: [n].
        measured: traits of each image, empty where nobody knows: [n].
        distances: of some images' features, cross-fitted.
    """
    verdicts = [decide(rule, row.tolist()) for row in probabilities]
    everyone, confidence = np.ones(len(verdicts), np.bool_), probabilities.max(axis=1)
    said = np.array([verdict.label for verdict in verdicts])
    order = np.random.default_rng(0).permutation(len(verdicts))
    kept = [i for i in order if len(measured[i])][:MOST]
    values = np.array([measured[i] for i in kept], np.float64).reshape(len(kept), len(traits.NAMES))
    numbers = {group: number for number, group in enumerate(dict.fromkeys(groups))}
    return Reference(
        basis=basis, images=len(verdicts), groups=len(numbers), weights_sha256=weights_sha256, classes=rule.classes,
        healthy=rule.healthy, fracture_threshold=rule.fracture_threshold, refer_below=rule.refer_below,
        labels={name: share(said == name, everyone, groups) for name in rule.classes},
        referred=share(np.array([bool(verdict.reason) for verdict in verdicts]), everyone, groups),
        confidence=tuple(round(float(confidence[i]), 4) for i in order[:MOST]),
        confidence_histogram=tuple(np.histogram(confidence, BINS, (0, 1))[0].tolist()),
        trait_names=traits.NAMES if kept else (),
        trait_quantiles={
            name: found for i, name in enumerate(traits.NAMES) if (found := _quantiles(values[:, i]))
        },
        distance_quantiles=_quantiles(distances),
        sample=Sample(
            traits=tuple(traits.rounded(row) for row in values),
            groups=tuple(numbers[groups[i]] for i in kept),
        ),
    )  # fmt: skip


def write(reference: Reference, folder: Path) -> None:
    """Write it into a folder."""
    (folder / NAME).write_text(reference.model_dump_json() + "\n", encoding="utf-8")


def read(folder: Path) -> Reference | None:
    """The reference in a file, or somewhere below a folder; None where there is none.

    Raises:
        ConfigError: it is damaged or of another version.
    """
    path = folder if folder.is_file() else next(folder.rglob(NAME), None)
    if path is None:
        return None
    try:
        return Reference.model_validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        raise ConfigError(f"{path}: is no reference of this version: {str(error).splitlines()[0]}") from error


def _quantiles(values: npt.NDArray[Any] | Sequence[float]) -> tuple[float, ...]:
    return tuple(_short(value) for value in np.quantile(values, QUANTILES)) if len(values) else ()


def _short(value: float) -> float:
    return float(f"{value:.5g}")
