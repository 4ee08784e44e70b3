"""Saved models: back as they were, and refused when the file is not the one that its sidecar names."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from fracture.errors import ConfigError
from fracture.models import backbones, checkpoint
from fracture.models.checkpoint import Sidecar, load, read_sidecar, save, weights_sha256

NAME = "test_efficientnet"


@pytest.fixture
def model() -> torch.nn.Module:
    torch.manual_seed(0)
    model = backbones.build(backbones.find(NAME), 3)
    with torch.no_grad():
        model(torch.rand(4, 3, 64, 64))  # moves the batch statistics, which are saved too
    return model.eval()


def sidecar(model: torch.nn.Module, **more: Any) -> Sidecar:
    backbone = backbones.find(NAME)
    values: dict[str, Any] = {
        "model": backbone.name,
        "classes": ("a", "b", "c"),
        "image_size": 64,
        "mean": backbone.mean,
        "std": backbone.std,
        "parameters": sum(p.numel() for p in model.parameters()),
        "weights_sha256": weights_sha256(model.state_dict()),
        "epoch": 3,
        "synthetic": True,
        "license": backbone.license,
    }
    return Sidecar(**(values | more))


@pytest.fixture
def saved(model: torch.nn.Module, tmp_path: Path) -> Path:
    path = tmp_path / "best.pth"
    save(path, model.state_dict(), sidecar(model))
    return path


def test_a_model_comes_back(saved: Path, model: torch.nn.Module) -> None:
    loaded, facts = load(saved)
    pixels = torch.rand(2, 3, 64, 64)
    with torch.inference_mode():
        assert torch.equal(loaded(pixels), model(pixels))
    assert not loaded.training
    assert facts == sidecar(model)
    assert facts.preprocessing_version == checkpoint.PREPROCESSING_VERSION


def test_models_of_version_1_load_as_only_wrongly_decoded_files_changed(model: torch.nn.Module, tmp_path: Path) -> None:
    path = tmp_path / "best.pth"
    save(path, model.state_dict(), sidecar(model, preprocessing_version=1))
    assert load(path)[1].preprocessing_version == 1
    assert checkpoint.PREPROCESSING_VERSION in checkpoint.SAME_PREPROCESSING, "which models may go on is to be said"


@pytest.mark.parametrize("version", [0, 4, 99])
def test_models_of_other_preprocessing_are_refused(version: int, model: torch.nn.Module, tmp_path: Path) -> None:
    path = tmp_path / "best.pth"
    save(path, model.state_dict(), sidecar(model, preprocessing_version=version))
    with pytest.raises(ConfigError, match=f"made for preprocessing {version}, this is 3: its answers would be off"):
        load(path)


def test_any_program_can_read_the_files(saved: Path, model: torch.nn.Module) -> None:
    state = torch.load(saved, weights_only=True)
    assert type(state) is dict
    assert state.keys() == model.state_dict().keys()
    facts = json.loads(saved.with_suffix(".json").read_text(encoding="utf-8"))
    assert facts["classes"] == ["a", "b", "c"]
    assert facts["schema_version"] == 1


def test_saving_replaces_both_and_leaves_nothing_else(saved: Path, model: torch.nn.Module) -> None:
    with torch.no_grad():
        next(model.parameters()).add_(1)
    save(saved, model.state_dict(), sidecar(model, epoch=4))
    assert load(saved)[1].epoch == 4
    assert sorted(path.name for path in saved.parent.iterdir()) == ["best.json", "best.pth"]


def test_shared_and_strided_tensors_are_saved_plainly(model: torch.nn.Module, tmp_path: Path) -> None:
    state = model.to(memory_format=torch.channels_last).state_dict()
    save(tmp_path / "a.pth", state, sidecar(model))
    held = torch.load(tmp_path / "a.pth", weights_only=True)
    assert all(tensor.is_contiguous() for tensor in held.values())
    assert load(tmp_path / "a.pth")[1].weights_sha256 == weights_sha256(state)


def tampered(path: Path) -> None:
    state = torch.load(path, weights_only=True)
    state["classifier.bias"][0] += 1e-6
    torch.save(state, path)


def edited(**values: Any) -> Callable[[Path], object]:
    def edit(path: Path) -> None:
        place = path.with_suffix(".json")
        place.write_text(json.dumps(json.loads(place.read_text()) | values))

    return edit


DAMAGE = {
    "sidecar of another model": (edited(model="test_resnet"), "not of the test_resnet of 3 classes"),
    "sidecar of fewer classes": (edited(classes=["a", "b"]), "not of the test_efficientnet.r160_in1k of 2 classes"),
    "sidecar of no model": (edited(model="nonsense"), "a model that cannot be built: model=nonsense: no such backbone"),
    "no side": (edited(image_size=0), "image_size"),
    "a side that no memory holds": (edited(image_size=10**7), "image_size"),
    "one channel": (edited(mean=[0.5]), "mean"),
    "a deviation of zero": (edited(std=[0, 1, 1]), "std"),
    "a temperature of zero": (edited(temperature=0), "temperature"),
    "a value changed": (tampered, "holds weights .*, its sidecar names"),
    "weights gone": (lambda path: path.unlink(), "no such file"),
    "weights cut": (lambda path: path.write_bytes(path.read_bytes()[:-5000]), "cannot be read as weights"),
    "weights empty": (lambda path: path.write_bytes(b""), "cannot be read as weights"),
    "weights no dict": (lambda path: torch.save([1, 2], path), "cannot be read as weights"),
    "weights with code": (lambda path: torch.save({"a": Path("x")}, path), "cannot be read as weights"),
    "sidecar gone": (lambda path: path.with_suffix(".json").unlink(), "missing; a checkpoint is a .pth with a .json"),
    "sidecar cut": (lambda path: path.with_suffix(".json").write_text('{"model": "te'), "not a sidecar"),
    "sidecar of something else": (lambda path: path.with_suffix(".json").write_text("{}"), "not a sidecar"),
    "sidecar of a later version": (
        lambda path: path.with_suffix(".json").write_text(
            json.dumps(json.loads(path.with_suffix(".json").read_text()) | {"schema_version": 2})
        ),
        "not a sidecar of this version",
    ),
}


@pytest.mark.parametrize(("damage", "message"), DAMAGE.values(), ids=DAMAGE.keys())
def test_what_is_not_whole_is_refused(damage: Any, message: str, saved: Path) -> None:
    damage(saved)
    with pytest.raises(ConfigError, match=message) as caught:
        load(saved)
    assert str(saved.with_suffix("")) in str(caught.value)


def test_sidecars_hold_nothing_unknown(model: torch.nn.Module) -> None:
    with pytest.raises(ValidationError):
        sidecar(model, accuracy=0.99)


@pytest.mark.parametrize(
    ("classes", "counted"), [(("a", "no_fracture", "b"), "no_fracture"), (("a", "fractured", "normal"), None)]
)
def test_a_sidecar_from_before_the_healthy_class_was_recorded_counts_as_it_did(
    saved: Path, classes: tuple[str, ...], counted: str | None
) -> None:
    path = saved.with_suffix(".json")
    facts = json.loads(path.read_text()) | {"classes": classes}
    del facts["healthy"]
    path.write_text(json.dumps(facts))
    assert load(saved)[1].healthy == counted


def test_a_sidecar_keeps_its_healthy_class(saved: Path, model: torch.nn.Module) -> None:
    for healthy in ("b", None):
        save(saved, model.state_dict(), sidecar(model, classes=("a", "b", "no_fracture"), healthy=healthy))
        assert read_sidecar(saved).healthy == healthy
    saved.with_suffix(".json").write_text(saved.with_suffix(".json").read_text().replace("null", '"gone"', 1))
    with pytest.raises(ConfigError, match="healthy=gone is none of the classes a, b, no_fracture"):
        read_sidecar(saved)


def test_the_sidecar_alone_can_be_read(saved: Path) -> None:
    saved.unlink()
    assert read_sidecar(saved).classes == ("a", "b", "c")


TENSORS = st.dictionaries(st.text(max_size=5), st.lists(st.integers(-5, 5), max_size=4).map(torch.tensor), max_size=4)


@settings(deadline=None, max_examples=50)
@given(TENSORS, st.randoms(use_true_random=False))
def test_the_digest_is_independent_of_order(state: dict[str, torch.Tensor], random: Any) -> None:
    items = list(state.items())
    random.shuffle(items)
    assert weights_sha256(dict(items)) == weights_sha256(state)


def test_the_digest_is_independent_of_layout(model: torch.nn.Module) -> None:
    before = weights_sha256(model.state_dict())
    assert weights_sha256(model.to(memory_format=torch.channels_last).state_dict()) == before
    assert (
        weights_sha256({k: v.detach().requires_grad_(v.is_floating_point()) for k, v in model.state_dict().items()})
        == before
    )


@pytest.mark.parametrize(
    "other",
    [
        {"a": torch.tensor([1.0, 2.0, 3.0, 5.0])},
        {"b": torch.tensor([1.0, 2.0, 3.0, 4.0])},
        {"a": torch.tensor([[1.0, 2.0], [3.0, 4.0]])},
        {"a": torch.tensor([1.0, 2.0, 3.0, 4.0], dtype=torch.float64)},
        {"a": torch.tensor([1.0, 2.0, 3.0, 4.0], dtype=torch.bfloat16)},
        {"a": torch.tensor([1.0, 2.0, 3.0, 4.0]), "c": torch.zeros(0)},
        {},
    ],
)
def test_the_digest_is_of_names_types_shapes_and_values(other: dict[str, torch.Tensor]) -> None:
    assert weights_sha256({"a": torch.tensor([1.0, 2.0, 3.0, 4.0])}) != weights_sha256(other)


def test_the_digest_takes_every_kind_of_tensor() -> None:
    state = {
        "count": torch.tensor(3),
        "flag": torch.tensor([True, False]),
        "half": torch.ones(3, dtype=torch.bfloat16),
        "empty": torch.zeros(0, 4),
    }
    assert len(weights_sha256(state)) == 64
