"""Export: a registered model as ONNX or torch.export's pt2, checked against the torch model before it is given away."""

import json
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from fracture.data.batches import Normalize, to_float
from fracture.data.images import decode, letterbox
from fracture.errors import ConfigError, GateError
from fracture.files import replacing
from fracture.inference.predictor import SIDECAR, Predictor
from registry import onnx, validation

IMAGES = 200  # of validation at most
TOLERANCE = 1e-3  # of a logit, of an exported model in full precision against the torch model
VARIANTS = {"onnx": ("fp32", "int8"), "pt2": ("fp32", "bf16")}
_CALIBRATION = 64  # of those images, for the ranges of int8

Squares = npt.NDArray[np.uint8]
Logits = npt.NDArray[np.float32]
Ask = Callable[[Squares], Logits]


class FromSquares(nn.Module):
    """The model with its normalisation before it: grey squares uint8 [n, size, size] to logits float [n, classes]."""

    def __init__(self, predictor: Predictor, dtype: torch.dtype) -> None:
        """Compute in ``dtype``; what comes out is float32."""
        super().__init__()
        self.module, self.dtype = predictor.module.to(dtype), dtype
        self.normalize = Normalize(predictor.sidecar.mean, predictor.sidecar.std)

    def forward(self, squares: Tensor) -> Tensor:
        """Logits."""
        found: Tensor = self.module(self.normalize(to_float(squares)).to(self.dtype))
        return found.float()


@dataclass(frozen=True)
class Exported:
    """What was exported and how it compares; written beside the model as export.json.

    Attributes:
        format, variant: as wanted.
        images: of validation that both models answered.
        difference: largest difference of a logit.
        agreement: share of images with the same label.
        balanced_accuracy, balanced_accuracy_torch: on those images, of the exported and the torch model.
        mib: size of the file.
        weights_sha256: of the torch model.
    """

    format: str
    variant: str
    images: int
    difference: float
    agreement: float
    balanced_accuracy: float
    balanced_accuracy_torch: float
    mib: float
    weights_sha256: str


def export(predictor: Predictor, run_id: str, form: str, variant: str, bound: float, out: Path) -> Exported:
    """Write ``model.<form>`` into ``out``, its sidecar and export.json beside it; nothing where it is not as good.

    Args:
        predictor: the model; one that is exported in another precision is used up.
        run_id: its run, on whose validation images both are compared.
        form: onnx or pt2.
        variant: fp32, int8 (onnx) or bf16 (pt2).
        bound: balanced accuracy that a variant may lose.
        out: a folder.

    Raises:
        ConfigError: no such variant, a package is missing, or the run's images are not there.
        GateError: it answers otherwise than the torch model, or a variant loses more than ``bound``.
    """
    check_variant(form, variant)
    known = validation.read(run_id, IMAGES)
    squares = np.stack([letterbox(decode(path.read_bytes()), predictor.sidecar.image_size) for path in known.paths])
    expected = _in_parts(predictor.logits, squares)
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder) / f"model.{form}"
        ask = _onnx(predictor, variant, squares, made) if form == "onnx" else _pt2(predictor, variant, squares, made)
        one = ask(squares[:1])
        found = _in_parts(ask, squares)
        if variant == "fp32" and not np.allclose(one, found[:1], atol=TOLERANCE):
            raise GateError(f"{form}: one image alone is answered otherwise than among others")
        labels = [predictor.sidecar.classes.index(label) for label in known.labels]
        about = _compare(predictor, (form, variant), (found, expected), labels, made)
        _judge(about, bound)
        _hand_over(made, predictor, about, out)
    return about


def check_variant(form: str, variant: str) -> None:
    """See to it that a variant is offered and what it needs is there.

    Raises:
        ConfigError: it is not.
    """
    if variant not in VARIANTS.get(form, ()):
        allowed = "; ".join(f"{name}: {', '.join(known)}" for name, known in VARIANTS.items())
        raise ConfigError(f"--format {form} --variant {variant}: not offered. Allowed: {allowed}")
    if form == "onnx":
        onnx.require()


def _onnx(predictor: Predictor, variant: str, squares: Squares, made: Path) -> Ask:
    onnx.write(FromSquares(predictor, torch.float32), torch.from_numpy(squares[:2]), made)
    if variant == "int8":
        onnx.quantize(made, squares[:: max(1, len(squares) // _CALIBRATION)])
    return onnx.runner(made)


def _pt2(predictor: Predictor, variant: str, squares: Squares, made: Path) -> Ask:
    model = FromSquares(predictor, torch.bfloat16 if variant == "bf16" else torch.float32).eval()
    shapes = ({0: torch.export.Dim("images")},)
    with torch.no_grad():
        torch.export.save(torch.export.export(model, (torch.from_numpy(squares[:2]),), dynamic_shapes=shapes), made)
    loaded = torch.export.load(made).module()

    def ask(some: Squares) -> Logits:
        with torch.inference_mode():
            return np.asarray(loaded(torch.from_numpy(some)).numpy())

    return ask


def _in_parts(ask: Ask, squares: Squares, size: int = 16) -> Logits:
    return np.concatenate([ask(squares[start : start + size]) for start in range(0, len(squares), size)])


def _compare(
    predictor: Predictor, kind: tuple[str, str], answers: tuple[Logits, Logits], labels: list[int], made: Path
) -> Exported:
    found, expected = answers
    return Exported(
        *kind, len(found), float(np.abs(found - expected).max()),
        float((found.argmax(1) == expected.argmax(1)).mean()), _balanced(found, labels), _balanced(expected, labels),
        made.stat().st_size / 2**20, predictor.sidecar.weights_sha256,
    )  # fmt: skip


def _balanced(logits: Logits, labels: list[int]) -> float:
    """Mean recall over the classes that occur."""
    right, truth = logits.argmax(1) == labels, np.asarray(labels)
    return float(np.mean([right[truth == label].mean() for label in set(labels)]))


def _judge(about: Exported, bound: float) -> None:
    if about.variant == "fp32" and (about.difference > TOLERANCE or about.agreement < 1):
        raise GateError(
            f"{about.format}: its logits differ by {about.difference:.2g} from the torch model's on {about.images} "
            f"images, {TOLERANCE:g} is allowed; nothing is exported"
        )
    lost = about.balanced_accuracy_torch - about.balanced_accuracy
    if lost > bound:
        raise GateError(
            f"{about.format} {about.variant}: balanced accuracy on {about.images} images of validation falls from "
            f"{about.balanced_accuracy_torch:.3f} to {about.balanced_accuracy:.3f}, by more than --bound {bound:g}; "
            "nothing is exported"
        )


def _hand_over(made: Path, predictor: Predictor, about: Exported, out: Path) -> None:
    """Write all three files or none."""
    out.mkdir(parents=True, exist_ok=True)
    with (
        replacing(out / "export.json") as note,
        replacing(out / SIDECAR) as beside,
        replacing(out / made.name) as model,
    ):
        note.write_text(json.dumps(asdict(about), indent=1, allow_nan=False) + "\n", encoding="utf-8")
        beside.write_text(predictor.sidecar.model_dump_json(indent=1) + "\n", encoding="utf-8")
        model.write_bytes(made.read_bytes())
