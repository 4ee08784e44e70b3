"""Backbones that are built for one size: built for another, with positions resampled, or refused with a near one."""

from pathlib import Path

import pytest
import timm
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from fracture.errors import ConfigError
from fracture.models import checkpoint, sizes
from fracture.models.backbones import build, find
from fracture.models.weights import check
from fracture.models.weights import find as find_weights


@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("swin", 448),
        ("swin", 280),
        ("swin", 384),
        ("maxvit", 320),
        ("test_vit", 320),
        ("vit_small_patch14_dinov2", 392),
        ("hiera_tiny_224", 256),
    ],
)
def test_sizes_that_timm_builds(name: str, size: int) -> None:
    backbone = find(name)
    assert backbone.image_size(size) == size
    with torch.device("meta"), torch.inference_mode():
        model = build(backbone, 3, size=size).eval()
        assert model(torch.empty(1, 3, size, size)).shape == (1, 3)


@pytest.mark.parametrize(
    ("name", "size", "near"),
    [
        ("swin", 226, "224, 228"),
        ("maxvit", 300, "288, 320, 224"),
        ("test_vit", 225, "224, 240, 160"),
        ("vit_small_patch14_dinov2", 384, "378, 392, 518"),  # 6 of 384 pixels would not be read
        ("hiera_tiny_224", 280, "256, 288, 224"),
    ],
)
def test_other_sizes_are_refused_with_those_near(name: str, size: int, near: str) -> None:
    with pytest.raises(ConfigError, match=rf"^image_size={size}: \S+ cannot be .*; it takes {near}; or leave"):
        find(name).image_size(size)


@settings(max_examples=15, deadline=None)
@given(size=st.integers(32, 256))
def test_what_is_offered_is_taken_and_lies_on_either_side(size: int) -> None:
    offered = sizes.nearest("test_vit", size)
    assert offered
    assert all(sizes.takes("test_vit", near) for near in offered)
    assert abs(offered[0] - size) < 16 or abs(offered[-1] - size) <= 16


def weights_file(folder: Path, **options: object) -> tuple[Path, dict[str, torch.Tensor]]:
    torch.manual_seed(0)
    state = dict(timm.create_model("test_vit", **options).state_dict())
    save_file(state, folder / "own.safetensors")
    return folder / "own.safetensors", state


def test_positions_are_resampled_and_said(tmp_path: Path) -> None:
    backbone = find("test_vit")
    path, state = weights_file(tmp_path)
    found = check(find_weights(str(path), backbone), backbone, 96)
    assert any("pos_embed resampled by timm for the size" in change for change in found.changes)
    model = build(backbone, 3, size=96, weights=state)
    assert model(torch.zeros(1, 3, 96, 96)).shape == (1, 3)
    ours = timm.create_model("test_vit", img_size=96, pretrained=True, pretrained_cfg_overlay={"file": str(path)})
    assert torch.equal(model.pos_embed, ours.pos_embed)
    assert not any("resampled" in change for change in check(find_weights(str(path), backbone), backbone).changes)


def test_weights_of_another_size_are_brought_to_the_own(tmp_path: Path) -> None:
    backbone = find("test_vit")
    path, _ = weights_file(tmp_path, img_size=224)
    assert any("resampled" in change for change in check(find_weights(str(path), backbone), backbone).changes)


def test_weights_that_timm_cannot_resample_are_refused_with_the_way_out(tmp_path: Path) -> None:
    backbone = find("pit_ti_224.in1k")
    save_file(dict(timm.create_model(backbone.name).state_dict()), tmp_path / "pit.safetensors")
    found = find_weights(str(tmp_path / "pit.safetensors"), backbone)
    check(found, backbone)
    with pytest.raises(
        ConfigError, match=r"do not fit(.|\n)*or leave image_size at auto \(224\): timm cannot resample"
    ):
        check(found, backbone, backbone.image_size(256))


def test_a_saved_model_is_built_for_its_size_again(tmp_path: Path) -> None:
    backbone = find("test_vit")
    torch.manual_seed(0)
    model = build(backbone, 2, size=96).eval()
    facts = checkpoint.Sidecar(
        model=backbone.name, classes=("a", "b"), image_size=96, mean=backbone.mean, std=backbone.std, parameters=1,
        weights_sha256=checkpoint.weights_sha256(model.state_dict()), epoch=1, synthetic=True, license="none",
    )  # fmt: skip
    checkpoint.save(tmp_path / "best.pth", model.state_dict(), facts)
    pixels = torch.rand(2, 3, 96, 96)
    with torch.inference_mode():
        assert torch.equal(checkpoint.load(tmp_path / "best.pth")[0](pixels), model(pixels))
