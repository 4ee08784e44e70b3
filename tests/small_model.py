"""A small model that answers, with random weights, and small pictures for it."""

import io
from typing import Any

import numpy as np
import torch
from PIL import Image

from fracture.inference.predictor import Predictor
from fracture.models import backbones, checkpoint

CLASSES = ("comminuted_fracture", "no_fracture", "simple_fracture")


def small(seed: int = 0, batch_size: int = 16, **decided: Any) -> Predictor:
    """A model of three classes; ``decided`` are other values of its sidecar."""
    torch.manual_seed(seed)
    backbone = backbones.find("test_resnet")
    model = backbones.build(backbone, len(CLASSES))
    fixed: dict[str, Any] = {
        "model": backbone.name, "classes": CLASSES, "image_size": 64, "mean": backbone.mean, "std": backbone.std,
        "parameters": 1, "weights_sha256": checkpoint.weights_sha256(model.state_dict()), "epoch": 1,
        "synthetic": True, "license": "none", "fracture_threshold": 0.5, "refer_below": 0.3,
    }  # fmt: skip
    return Predictor(model, checkpoint.Sidecar(**fixed | decided), batch_size)


def encoded(pixels: np.ndarray) -> bytes:
    """As the bytes of a PNG."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def png(seed: int = 0, size: int = 100) -> bytes:
    """A picture of noise."""
    return encoded(np.random.default_rng(seed).integers(0, 255, (size, size), np.uint8))
