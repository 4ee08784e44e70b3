"""Rows of a log for tests."""

from typing import Any

from fracture.inference.log import Served
from fracture.monitoring.correction import Correction
from fracture.monitoring.record import Record

SERVED = Served("bones", "3", "w" * 64)
SAID = Correction("2026-01-31T12:00:00.000Z", "a" * 64, "no_fracture", "Dr. Ünal, radiology", "bones", "3", "w" * 64)


def record(number: int = 0, **values: Any) -> Record:
    fixed: dict[str, Any] = {
        "time": f"2026-01-31T12:{number // 60 % 60:02d}:{number % 60:02d}.000Z", "request": f"r{number}",
        "image": f"{number:064x}", "model": "bones", "version": "3", "weights": "w" * 64,
        "decision": "fracture reported", "label": "simple_fracture", "fracture": True, "fracture_probability": 0.9,
        "probabilities": {"comminuted_fracture": 0.2, "no_fracture": 0.1, "simple_fracture": 0.7}, "confidence": 0.7,
        "refer": False, "reason": "", "error": "", "latency": 0.1,
    }  # fmt: skip
    return Record(**fixed | values)
