"""What small disturbances cost: JPEG, brightness, rotation and size, on validation images, at promotion."""

import io
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image, ImageEnhance

from fracture.data.images import decode
from fracture.inference.predictor import Predictor
from fracture.models import checkpoint
from fracture.tracking import artifacts
from registry import validation

IMAGES = 200  # of validation at most: a hint of a sentence, not a study
Disturb = Callable[[Image.Image], Image.Image]


def _jpeg(image: Image.Image) -> Image.Image:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=40)
    return Image.open(io.BytesIO(buffer.getvalue())).convert("L")


DISTURBANCES: dict[str, Disturb] = {
    "none": lambda image: image,
    "jpeg 40": _jpeg,
    "brightness 0.8": lambda image: ImageEnhance.Brightness(image).enhance(0.8),
    "brightness 1.2": lambda image: ImageEnhance.Brightness(image).enhance(1.2),
    "rotation +10": lambda image: image.rotate(10, Image.Resampling.BILINEAR),
    "rotation -10": lambda image: image.rotate(-10, Image.Resampling.BILINEAR),
    "half size": lambda image: image.resize((max(1, image.width // 2), max(1, image.height // 2))),
}


def measure(run_id: str) -> dict[str, float]:
    """Accuracy of a run's model on validation images under each disturbance, on squares as the model sees them.

    Raises:
        ConfigError: the run's images are no longer where they were.
    """
    with tempfile.TemporaryDirectory() as folder:
        artifacts.fetch(run_id, ("best.pth", "best.json"), Path(folder))
        with artifacts.named(Path(folder), f"run {run_id}"):
            predictor = Predictor(*checkpoint.load(Path(folder) / "best.pth"))
    known = validation.read(run_id, IMAGES)
    images = [Image.fromarray(decode(path.read_bytes())) for path in known.paths]
    found = {}
    for name, disturb in DISTURBANCES.items():
        answers = predictor.predict([disturb(image) for image in images])
        right = [
            max(answer.probabilities, key=answer.probabilities.__getitem__) == label
            for answer, label in zip(answers, known.labels, strict=True)
        ]
        found[name] = float(np.mean(right))
    return found
