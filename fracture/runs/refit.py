"""New decisions about a model's answers, taken on labelled images of the place where it is to be used."""

from dataclasses import dataclass
from pathlib import Path

from fracture.errors import DataError
from fracture.evaluation.decide import Answers, Fitted, cross_fitted, describe, fit_decisions
from fracture.evaluation.sample import Decisions
from fracture.evidence import Decided
from fracture.models import checkpoint
from fracture.models.checkpoint import Sidecar
from fracture.rules import Wanted
from fracture.runs.target import Target


@dataclass(frozen=True)
class Refit:
    """New decisions.

    Attributes:
        fitted: those that all images decide together, which the model goes on with.
        crossed: for each image those that the images of other groups decide, under which it is judged.
        decided: what they rest on, and what is to be expected of them.
    """

    fitted: Fitted
    crossed: Decisions
    decided: Decided

    def sidecar(self, before: Sidecar) -> Sidecar:
        """The model's sidecar with the new decisions."""
        one = self.fitted
        return before.decided_by(one.calibration, one.operating_point, one.referral, self.decided, one.healthy)


def refit(answers: Answers, wanted: Wanted, seen: int | None) -> Refit:
    """Take new decisions.

    Args:
        answers: to the local images.
        wanted: of the decisions.
        seen: images that the model has learned from or was chosen by, None where nobody knows.

    Raises:
        DataError: there are some of those, or all images are of one group.
    """
    if seen:
        raise DataError(
            f"{seen} of {len(answers.labels)} images were used in training or selection: thresholds fitted on them "
            "would promise too much",
            "Leave them out: images of other patients, or --split test of the data it was trained on",
        )
    crossed = cross_fitted(answers, wanted)
    if crossed is None:
        raise DataError(
            f"all {len(answers.labels)} images are of one group: cross-fitting needs two groups or more",
            "Label images of more patients; a useful interval needs ten groups or more",
        )
    fitted = fit_decisions(answers, wanted)
    return Refit(fitted, crossed, describe(answers, fitted, "local", wanted))


def write(target: Target, found: Refit, folder: Path) -> None:
    """Write the same weights with the new decisions beside them, as best.pth and best.json."""
    checkpoint.save(folder / "best.pth", target.model.state_dict(), found.sidecar(target.sidecar))
