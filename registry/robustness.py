"""What small disturbances cost: JPEG, brightness, rotation and size, on validation images, at promotion."""

import io
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image, ImageEnhance

from fracture.data.images import decode
from fracture.data.manifest import Manifest, read_csv
from fracture.errors import ConfigError
from fracture.inference.predictor import Predictor
from fracture.models import checkpoint
from fracture.runs.record import Record
from fracture.tracking import artifacts

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
        place = Path(folder)
        artifacts.fetch(run_id, ("best.pth", "best.json", "manifest.csv", "config.json"), place)
        module, sidecar = checkpoint.load(place / "best.pth")
        manifest = read_csv(place / "manifest.csv")
        root = Path(Record.model_validate_json((place / "config.json").read_bytes()).data_root)
    rows = [row for row in manifest.rows if row.split == "val"][:IMAGES]
    paths = [_find(root, manifest, row.path) for row in rows]
    predictor = Predictor(module, sidecar)
    labels = [row.label for row in rows]
    images = [Image.fromarray(decode(path.read_bytes())) for path in paths]
    found = {}
    for name, disturb in DISTURBANCES.items():
        answers = predictor.predict([disturb(image) for image in images])
        found[name] = float(np.mean([answer.label == label for answer, label in zip(answers, labels, strict=True)]))
    return found


def _find(root: Path, manifest: Manifest, path: Path) -> Path:
    relative = path.relative_to(manifest.root) if path.is_relative_to(manifest.root) else path
    found = relative if relative.is_absolute() else root / relative
    if not found.is_file():
        raise ConfigError(
            f"{found}: the image that the run was validated on is not there, so robustness cannot be measured.\n"
            "Bring the data back, or waive it: --waive robustness --reason ... --by ..."
        )
    return found
