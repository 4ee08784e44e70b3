"""What chooses the best epoch: the metrics of validation."""

from collections.abc import Sequence

import numpy as np

from fracture.errors import DataError
from fracture.evaluation.metrics import Floats, Integers, balanced_log_loss, confusion, log_loss, scores
from fracture.evaluation.ranking import auroc


def validation_metrics(
    logits: Floats, labels: Integers, classes: Sequence[str], healthy: int | None
) -> dict[str, float]:
    """Every metric of `fracture.evidence.EPOCH_METRICS` that validation tells.

    Args:
        logits: [n, classes].
        labels: [n].
        classes: names in the order of the logits.
        healthy: position of the healthy class, None where none is known.

    Returns:
        Without ``val_auroc`` where it is not defined.
    """
    found = scores(confusion(labels, logits.argmax(1), len(classes)), classes)
    area = auroc(logits, labels, healthy)
    return {
        "val_loss": log_loss(logits, labels),
        **{f"val_{name}": float(found[name]) for name in ("accuracy", "balanced_accuracy", "macro_f1")},
        **({"val_auroc": area} if np.isfinite(area) else {}),
        "val_balanced_log_loss": balanced_log_loss(logits, labels),
    }


def check_selection(select_metric: str, labels: Integers, healthy: int | None) -> None:
    """See to it that validation can tell what chooses the epoch.

    Raises:
        DataError: it holds only one side of ``val_auroc``.
    """
    sides = labels if healthy is None else labels != healthy
    if select_metric == "val_auroc" and len(np.unique(sides)) < 2:
        what = "one class" if healthy is None else "one of fractured and not"
        raise DataError(
            f"select_metric=val_auroc: validation holds only {what}, so there is no area under a curve",
            "Choose another select_metric, or another split",
        )
