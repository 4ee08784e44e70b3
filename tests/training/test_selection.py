"""What validation tells of an epoch, against scikit-learn, and what cannot choose."""

import numpy as np
import pytest
from sklearn.metrics import log_loss, roc_auc_score
from sklearn.utils.class_weight import compute_sample_weight

from fracture.errors import DataError
from fracture.evaluation.metrics import softmax
from fracture.training.selection import check_selection, validation_metrics

CLASSES = ("comminuted", "none", "simple")


def case(n: int = 200) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    labels = rng.choice(3, n, p=(0.1, 0.6, 0.3))
    return rng.normal(size=(n, 3)) + np.eye(3)[labels], labels


def test_areas_and_losses_are_those_of_scikit_learn() -> None:
    logits, labels = case()
    shares = softmax(logits)
    known, unknown = (validation_metrics(logits, labels, CLASSES, healthy) for healthy in (1, None))
    assert known["val_auroc"] == pytest.approx(roc_auc_score(labels != 1, 1 - shares[:, 1]))
    assert unknown["val_auroc"] == pytest.approx(roc_auc_score(labels, shares, multi_class="ovr", average="macro"))
    weights = compute_sample_weight("balanced", labels)
    assert known["val_balanced_log_loss"] == pytest.approx(log_loss(labels, shares, sample_weight=weights))
    assert known["val_loss"] == pytest.approx(log_loss(labels, shares))


@pytest.mark.parametrize(
    ("present", "healthy", "refused"),
    [((0, 1, 2), 1, False), ((0, 2), 1, True), ((1,), 1, True), ((0, 2), None, False), ((2,), None, True)],
)
def test_one_side_alone_chooses_nothing(present: tuple[int, ...], healthy: int | None, refused: bool) -> None:
    logits, labels = case()
    kept = np.isin(labels, present)
    found = validation_metrics(logits[kept], labels[kept], CLASSES, healthy)
    assert ("val_auroc" in found) is not refused
    assert all(np.isfinite(value) for value in found.values())
    check_selection("val_loss", labels[kept], healthy)
    if refused:
        with pytest.raises(DataError, match="validation holds only one"):
            check_selection("val_auroc", labels[kept], healthy)
    else:
        check_selection("val_auroc", labels[kept], healthy)
