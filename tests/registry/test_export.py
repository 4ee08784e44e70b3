"""Export: the same answers in another format, or none; on the images that the run was validated on."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from fracture.data.images import decode, letterbox
from fracture.errors import ConfigError, GateError
from fracture.inference.predictor import Predictor
from fracture.models import backbones, checkpoint
from fracture.models.pyramid import SCALES
from registry import export, onnx
from registry.validation import Validation

CLASSES = ("comminuted_fracture", "no_fracture", "simple_fracture")
pytestmark = pytest.mark.slow


MADE = {
    "backbone": ("test_resnet", 32, ()),
    "pyramid": ("test_resnet", 32, SCALES),
    "another size than its own": ("test_vit", 96, ()),
}


@pytest.fixture(
    params=[pytest.param(made, marks=() if name == "pyramid" else pytest.mark.long) for name, made in MADE.items()],
    ids=MADE,
)
def predictor(request: pytest.FixtureRequest) -> Predictor:
    name, size, scales = request.param
    backbone = backbones.find(name)
    torch.manual_seed(0)
    model = backbones.build(backbone, 3, size=size, scales=scales)
    sidecar = checkpoint.Sidecar(
        model=backbone.name, classes=CLASSES, image_size=size, scales=scales, mean=backbone.mean, std=backbone.std,
        parameters=1,
        weights_sha256=checkpoint.weights_sha256(model.state_dict()), epoch=1, synthetic=True, license="none",
    )  # fmt: skip
    return Predictor(model, sidecar)


@pytest.fixture
def known(images: Path, monkeypatch: pytest.MonkeyPatch) -> Validation:
    """Images of a run that does not exist."""
    paths = tuple(sorted(images.rglob("*.png")))
    found = Validation(paths, tuple(path.parent.name for path in paths))
    monkeypatch.setattr("registry.validation.read", lambda run, most: found)
    return found


def asked(out: Path, form: str) -> Callable[[np.ndarray], np.ndarray]:
    if form == "onnx":
        return onnx.runner(out / "model.onnx")
    loaded = torch.export.load(out / "model.pt2").module()
    return lambda squares: loaded(torch.from_numpy(squares)).detach().numpy()


@pytest.mark.parametrize("form", ["onnx", "pt2"])
def test_what_is_exported_answers_as_the_torch_model_to_any_number_of_images(
    predictor: Predictor, known: Validation, form: str, tmp_path: Path
) -> None:
    if form == "onnx":
        pytest.importorskip("onnxruntime", reason="needs the extra [export]")
    about = export.export(predictor, "run", form, "fp32", 0.0, tmp_path)
    size = predictor.sidecar.image_size
    squares = np.stack([letterbox(decode(path.read_bytes()), size) for path in known.paths])
    ask = asked(tmp_path, form)
    for count in (1, 2, 7, 30):
        np.testing.assert_allclose(ask(squares[:count]), predictor.logits(squares[:count]), atol=export.TOLERANCE)
    assert (about.images, about.agreement, about.balanced_accuracy) == (30, 1.0, about.balanced_accuracy_torch)
    assert json.loads((tmp_path / "export.json").read_text())["weights_sha256"] == predictor.sidecar.weights_sha256
    assert json.loads((tmp_path / "model.json").read_text())["classes"] == list(CLASSES)


def made_once(make: Callable[..., export.Ask]) -> Callable[..., export.Ask]:
    """What is written and asked takes seconds to make, and is the same whatever is allowed."""
    kept: list[tuple[export.Ask, bytes]] = []

    def made(predictor: Predictor, variant: str, squares: np.ndarray, path: Path) -> export.Ask:
        if not kept:
            kept.append((make(predictor, variant, squares, path), path.read_bytes()))
        ask, content = kept[0]
        path.write_bytes(content)
        return ask

    return made


@pytest.mark.parametrize(("form", "variant"), [("onnx", "int8"), ("pt2", "bf16")])
def test_a_variant_is_given_away_only_within_its_bound(
    predictor: Predictor, known: Validation, form: str, variant: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if form == "onnx":
        pytest.importorskip("onnxruntime", reason="needs the extra [export]")
    monkeypatch.setattr(export, f"_{form}", made_once(getattr(export, f"_{form}")))
    lost = export.export(predictor, "run", form, variant, 1.0, tmp_path / "any")
    worse = lost.balanced_accuracy_torch - lost.balanced_accuracy
    predictor.module.float()
    with pytest.raises(GateError, match=f"{form} {variant}: balanced accuracy on 30 images of validation"):
        export.export(predictor, "run", form, variant, worse - 0.01, tmp_path / "none")
    assert not (tmp_path / "none").exists()


def test_what_is_not_offered_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match=r"--format pt2 --variant int8: not offered\. Allowed: onnx: fp32, int8; pt2"):
        export.check_variant("pt2", "int8")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"needs onnx, onnxruntime, onnxscript: pip install -e '.*\[export\]'"):
        export.check_variant("onnx", "fp32")


def test_another_answer_is_not_exported() -> None:
    about = export.Exported("onnx", "fp32", 30, 0.1, 1.0, 0.5, 0.5, 1.0, "w")
    with pytest.raises(GateError, match=r"differ by 0\.1 from the torch model's on 30 images, 0\.001 is allowed"):
        export._judge(about, 1.0)
