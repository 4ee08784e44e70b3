"""Rows of a log for tests, and a small model that answers."""

import io
from typing import Any

import numpy as np
import torch
from PIL import Image

from fracture.inference.log import Served
from fracture.inference.predictor import Predictor
from fracture.models import backbones, checkpoint
from fracture.monitoring.record import Record

CLASSES = ("comminuted_fracture", "no_fracture", "simple_fracture")
SERVED = Served("bones", "3", "w" * 64)


def predictor() -> Predictor:
    backbone = backbones.find("test_resnet")
    torch.manual_seed(0)
    model = backbones.build(backbone, 3)
    sidecar = checkpoint.Sidecar(
        model=backbone.name, classes=CLASSES, image_size=64, mean=backbone.mean, std=backbone.std, parameters=1,
        weights_sha256=checkpoint.weights_sha256(model.state_dict()), epoch=1, synthetic=True, license="none",
        fracture_threshold=0.5, refer_below=0.3,
    )  # fmt: skip
    return Predictor(model, sidecar)


def png(seed: int = 0, size: int = 100) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.random.default_rng(seed).integers(0, 255, (size, size), np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


def record(number: int = 0, **values: Any) -> Record:
    fixed: dict[str, Any] = {
        "time": f"2026-01-31T12:{number // 60 % 60:02d}:{number % 60:02d}.000Z", "request": f"r{number}",
        "image": f"{number:064x}", "model": "bones", "version": "3", "weights": "w" * 64,
        "decision": "fracture reported", "label": "simple_fracture", "fracture": True, "fracture_probability": 0.9,
        "probabilities": {"comminuted_fracture": 0.2, "no_fracture": 0.1, "simple_fracture": 0.7}, "confidence": 0.7,
        "refer": False, "reason": "", "error": "", "latency": 0.1,
    }  # fmt: skip
    return Record(**fixed | values)
