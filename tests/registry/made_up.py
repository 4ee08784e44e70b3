"""Evidence of a run that does not exist."""

from typing import Any

import numpy as np

from fracture.evaluation.decide import Answers, fit_decisions
from fracture.evaluation.judge import judge, judge_slices
from fracture.evidence import EPOCH_METRICS, Results
from registry.evidence import Evidence

CLASSES = ("comminuted_fracture", "no_fracture", "simple_fracture")
DISTURBED = {"none": 0.8, "jpeg 40": 0.78, "rotation +10": 0.75}


def two_classes(classes: tuple[str, str], healthy: str | None, skill: float = 2.5) -> Results:
    """Results on a data set of two classes."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 600)
    logits = rng.normal(size=(600, 2)) + skill * np.eye(2)[labels]
    fitted = fit_decisions(Answers(logits, labels, [""] * len(labels), classes, healthy))
    split = judge(logits, labels, [str(i) for i in range(600)], classes, fitted.decisions)
    return results(
        2.5, classes=classes, healthy=healthy, operating_point=fitted.operating_point,
        splits={"val": split, "test": split},
    )  # fmt: skip


def results(skill: float, **values: Any) -> Results:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, 600)
    logits = rng.normal(size=(600, 3)) + skill * np.eye(3)[labels]
    groups = [str(i) for i in range(600)]
    fitted = fit_decisions(Answers(logits, labels, [""] * len(labels), CLASSES, "no_fracture"))
    split = judge(logits, labels, groups, CLASSES, fitted.decisions)
    halves = {"source": ["a" if i < 300 else "b" for i in range(600)]}
    fixed: dict[str, Any] = {
        "model": "test_resnet", "classes": CLASSES, "synthetic": False, "data": "bones", "data_digest": "d",
        "test_digest": "t", "weights_sha256": "w" * 64, "calibration": fitted.calibration, "referral": fitted.referral,
        "operating_point": fitted.operating_point, "splits": {"val": split, "test": split}, "weights_origin": "hub",
        "select_metric": "val_macro_f1", "best_epoch": 1, "epochs": 1, "stopped_early": False, "seconds": 1.0,
        "history": (dict.fromkeys(EPOCH_METRICS, 0.5),), "latency_ms": 20.0, "checkpoint_mib": 13.0,
        "slices": judge_slices(halves, logits, labels, groups, CLASSES, fitted.decisions),
    }  # fmt: skip
    return Results(**fixed | values)


GOOD = Evidence(
    "r", "run", "FINISHED", results(2.5), audit="clean", licence="apache-2.0", commit="c", selected_on="val_macro_f1",
    test_uses=1, robustness=DISTURBED, package_difference=1e-6, package_problem="", latency_ms=20.0, memory_mib=900.0,
)  # fmt: skip
