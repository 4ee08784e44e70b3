"""How often a model is right in use: its logged answers held against labels that a person gave to a random part."""

import json
from collections.abc import Collection, Mapping, Sequence
from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from fracture.errors import ConfigError, DataError
from fracture.evaluation.intervals import believable, estimate, share, wilson_low
from fracture.evaluation.sample import Decisions
from fracture.evidence import Estimate
from fracture.monitoring.record import Record
from fracture.monitoring.reference import Reference

TAG, FLOORS = "fracture.in_use", "fracture.floors"  # of a model version
_KEPT = ("accuracy", "balanced_accuracy", "any_fracture_sensitivity", "any_fracture_specificity")


class InUse(BaseModel):
    """What the tag of a model version holds."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_version: Literal[1] = 1
    first: str = Field(description="time of the first answer that counts")
    last: str = Field(description="of the last one")
    drawn: int = Field(description="images that were drawn at random")
    reviewed: int = Field(description="those of them that have a label now; the figures are of these")
    metrics: dict[str, Estimate]

    def below(self, floors: Mapping[str, float]) -> list[str]:
        """What begins below its floor, a sentence each; nothing of what too few images say."""
        found = []
        for name, floor in floors.items():
            for metric, value in self.metrics.items():
                if metric != name and not (name == "recall" and metric.startswith("recall_")):
                    continue
                if floor > 0 and value.groups and believable(value) and (low := lower_end(metric, value)) < floor:
                    found.append(
                        f"{metric.replace('_', ' ')} in use is {value.value:.3f}, its interval begins at {low:.3f}, "
                        f"below {floor:g} ({value.n} images, {value.groups} groups, {self.first[:10]} to "
                        f"{self.last[:10]})"
                    )
        return found


def lower_end(name: str, found: Estimate) -> float:
    """Lower end of an interval; of a share the lower one of the bootstrap's and Wilson's, as promotion takes it."""
    low, value = found.low or 0.0, found.value or 0.0
    return low if name == "balanced_accuracy" else min(low, wilson_low(value, max(1, found.groups)))


def read(text: str) -> InUse:
    """What the tag `TAG` of a version holds.

    Raises:
        ConfigError: somebody has edited it.
    """
    try:
        return InUse.model_validate_json(text)
    except ValidationError as error:
        again = "`fracture feedback LOG --corrected FILE` writes it again"
        raise ConfigError(f"the tag {TAG} was edited by hand and cannot be read; {again}") from error


def floors_of(text: str) -> dict[str, float]:
    """The floors that a version was promoted above, as its tag `FLOORS` holds them.

    Raises:
        ConfigError: somebody has edited it.
    """
    try:
        return {name: float(value) for name, value in json.loads(text).items()}
    except (AttributeError, TypeError, ValueError) as error:
        again = "`python -m registry verify --repair` writes it again"
        raise ConfigError(f"the tag {FLOORS} was edited by hand and cannot be read; {again}") from error


def measure(
    rows: Sequence[Record], labels: Mapping[str, str], drawn: Collection[str], reference: Reference | None
) -> InUse:
    """Accuracy and the like in use.

    Args:
        rows: of the log, of one model.
        labels: the true class of images, by their digest.
        drawn: digests of the images that were drawn at random.
        reference: of the model, whose decisions count; None where there is none: no sensitivity then.

    Raises:
        DataError: no image that was drawn at random has a label, or one that the model does not know.
    """
    wanted = set(drawn)
    answers = {row.image: row for row in sorted(rows, key=lambda row: row.time) if not row.error}
    own = [row for image, row in answers.items() if image in wanted and image in labels]
    if not own:
        raise DataError(
            "no image that was drawn at random has a label and an answer of this model",
            "Fill in the column label of the rows with the reason 'drawn at random': the others do not count.",
        )
    classes = tuple(own[0].probabilities)
    if unknown := sorted({labels[row.image] for row in own} - set(classes)):
        raise DataError(f"label {' or '.join(unknown)}: no class of the model. Allowed: {', '.join(classes)}")
    logits = np.log(np.maximum([[row.probabilities[name] for name in classes] for row in own], 1e-6))
    truth = np.array([classes.index(labels[row.image]) for row in own])
    decisions = Decisions(
        1.0, reference.fracture_threshold, reference.refer_below, reference.healthy
    ) if reference else Decisions()  # fmt: skip
    groups = [row.group for row in own]
    found = estimate(logits, truth, groups, classes, decisions)
    right = np.array([row.label == labels[row.image] for row in own])
    found["accuracy"] = share(right, np.ones(len(own), np.bool_), groups)  # of what was said, as a reader sees it
    kept = {name: value for name, value in found.items() if name in _KEPT or name.startswith("recall_")}
    return InUse(
        first=min(row.time for row in own), last=max(row.time for row in own), drawn=len(wanted), reviewed=len(own),
        metrics={name: value for name, value in kept.items() if value.value is not None},
    )  # fmt: skip
