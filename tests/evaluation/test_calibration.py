"""Temperatures, calibration errors and their expectation, by hand and by simulation."""

import numpy as np
import pytest

from fracture.evaluation import calibration
from fracture.evaluation.metrics import log_loss, softmax


def calibrated(n: int, seed: int = 0, sharpness: float = 2.0) -> tuple[np.ndarray, np.ndarray]:
    """Logits whose probabilities are the truth: labels are drawn from them."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, sharpness, (n, 3))
    shares = softmax(logits)
    return logits, (rng.random((n, 1)) > np.cumsum(shares, 1)).sum(1).clip(0, 2)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_a_known_temperature_is_found(temperature: float) -> None:
    logits, labels = calibrated(4000)
    found = calibration.fit_temperature(logits * temperature, labels)
    assert found.temperature == pytest.approx(temperature, rel=0.1)
    assert found.log_loss_after <= found.log_loss_before
    assert found.log_loss_after == pytest.approx(log_loss(logits * temperature / found.temperature, labels))
    assert found.note in ("", "no temperature is better on validation")


@pytest.mark.parametrize(
    ("logits", "labels", "note"),
    [
        (np.eye(3) * 2, [0, 1, 2], "without errors"),
        (np.eye(3) * 2, [1, 2, 0], "say nothing"),
        (np.zeros((4, 3)), [0, 1, 2, 1], "no temperature is better"),
    ],
    ids=["always right", "always wrong", "all alike"],
)
def test_where_validation_tells_no_temperature_it_is_one(logits: np.ndarray, labels: list[int], note: str) -> None:
    found = calibration.fit_temperature(logits, np.array(labels))
    assert found.temperature == 1.0
    assert found.log_loss_after == found.log_loss_before
    assert note in found.note


def test_few_images_are_said() -> None:
    logits, labels = calibrated(30)
    assert calibration.fit_temperature(logits * 4, labels).note == "fitted on only 30 images"


def test_the_error_by_hand() -> None:
    confidence = np.array([0.95, 0.95, 0.55, 0.55])
    correct = np.array([True, False, True, True])
    table = calibration.bin_table(confidence, correct).sum(0)
    assert calibration.error_of(table) == pytest.approx(2 / 4 * abs(0.5 - 0.95) + 2 / 4 * abs(1 - 0.55))
    low, high = calibration.reliability(confidence, correct)
    assert (low.n, low.accuracy, low.confidence) == (2, 1.0, pytest.approx(0.55))
    assert (high.low, high.high, high.accuracy) == (14 / 15, 1.0, 0.5)


def test_the_expected_error_is_what_calibrated_models_show() -> None:
    """As measured elsewhere: n = 490 with 15 bins shows about 0.037 although nothing is wrong."""
    shown, expected = [], []
    for seed in range(40):
        logits, labels = calibrated(490, seed)
        shares = softmax(logits)
        table = calibration.bin_table(shares.max(1), shares.argmax(1) == labels).sum(0)
        shown.append(float(calibration.error_of(table)))
        expected.append(calibration.expected_error(shares.max(1)))
    assert np.mean(shown) == pytest.approx(np.mean(expected), rel=0.1)
    assert 0.02 < np.mean(expected) < 0.05


def test_brier_is_between_nothing_and_two() -> None:
    sure = np.eye(3)[[0, 1]]
    assert calibration.brier(sure, np.array([0, 2])).tolist() == [0.0, 2.0]
