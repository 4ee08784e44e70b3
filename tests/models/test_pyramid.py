"""The pyramid head: what it reads of every family, that it explains itself exactly, and that it can be saved."""

import copy
from pathlib import Path

import pytest
import torch
from timm.utils import ModelEmaV3
from torch import Tensor, nn

from fracture.config import TrainConfig
from fracture.errors import ConfigError
from fracture.models import backbones, checkpoint
from fracture.models.activation import activation_maps
from fracture.models.pyramid import SCALES, Pyramid, why_unsuitable
from fracture.models.spatial import spatial
from fracture.training.optim import make_optimizer
from tests.models.test_checkpoint import sidecar

FAMILIES = ("test_efficientnet", "test_convnext2", "test_resnet", "test_vit3", "test_mambaout")  # shapes of features


def build(name: str = "test_efficientnet", scales: tuple[float, ...] = SCALES, **options: object) -> Pyramid:
    torch.manual_seed(0)
    found = backbones.build(backbones.find(name), 3, scales=scales, **options)  # type: ignore[arg-type]
    assert isinstance(found, Pyramid)
    return found.eval()


def images(size: int = 160) -> Tensor:
    return torch.rand(2, 3, size, size, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("name", FAMILIES)
def test_every_family_can_be_read(name: str) -> None:
    scales = backbones.find(name).scales("pyramid")
    model = build(name, scales)
    x = images()
    found = model.forward_head(model.forward_features(x), pre_logits=True)
    places = spatial(model.backbone, model.backbone.forward_features(x)).flatten(2)  # type: ignore[operator]
    own = model.backbone.forward_head(model.backbone.forward_features(x), pre_logits=True)  # type: ignore[operator]
    width = own.shape[1] + 2 * places.shape[1]
    assert found.shape == (2, len(scales) * width)
    torch.testing.assert_close(found[:, : own.shape[1]], own)
    torch.testing.assert_close(found[:, own.shape[1] : width][:, -places.shape[1] :], places.amax(2))
    torch.testing.assert_close(
        found[:, own.shape[1] :][:, : places.shape[1]], places.std(2, correction=0), atol=2e-3, rtol=0.01
    )
    assert "pyramid" in backbones.solvable(backbones.find(name))


@pytest.mark.parametrize("name", ["convnextv2", "efficientnetv2", "maxvit", "swin", "tf_efficientnet_lite0"])
def test_the_backbones_of_the_readme_can_be_read(name: str) -> None:
    backbone = backbones.find(name)
    with torch.device("meta"):
        assert why_unsuitable(backbones.build(backbone, 2), backbone.own_size) == ""
    assert backbone.scales("backbone") == ()
    assert backbone.scales("pyramid") == (SCALES[:1] if name in ("maxvit", "swin") else SCALES)


def test_an_image_and_its_mirror_image_get_the_same_answer() -> None:
    model, x = build(), images()
    torch.testing.assert_close(model(x), model(x.flip(-1)))
    single = model.forward_head(model.forward_features(x))
    assert not torch.allclose(model(x), single)
    assert torch.equal(model.train().forward_head(model.eval().forward_features(x)), single)


def test_the_answer_is_linear_in_what_is_read_and_exact_in_half_precision() -> None:
    model, x = build(), images()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        maps = model.forward_features(x)
        found = model.forward_head(maps, pre_logits=True)
        logits = model.forward_head(maps)
    assert found.dtype == logits.dtype == torch.float32
    torch.testing.assert_close(logits, found @ model.classifier.weight.T + model.classifier.bias)


def test_it_answers_in_half_precision_throughout() -> None:
    """As an exported model of half the size does."""
    model, x = build(), images()
    whole = model(x)
    half = model.to(torch.bfloat16)(x.to(torch.bfloat16))
    assert half.dtype == torch.float32
    torch.testing.assert_close(half, whole, atol=0.05, rtol=0.05)


def test_the_map_sums_up_to_the_answer() -> None:
    model, x = build(), images(320)
    with torch.no_grad():
        model.classifier.weight.abs_()  # nothing speaks against the class, so that no map is cut off at zero
        model.classifier.bias.zero_()
    model.backbone.act2 = nn.ReLU()
    maps = activation_maps(model, x, [0, 1])
    assert maps.shape == (2, 320, 320)
    assert maps.amin() >= 0
    assert maps.amax(dim=(1, 2)).tolist() == pytest.approx([1, 1])
    torch.testing.assert_close(activation_maps(model, x.flip(-1), [0, 1]), maps.flip(-1), atol=1e-4, rtol=1e-4)


def test_a_bright_spot_is_where_the_map_is() -> None:
    model = build()
    x = torch.zeros(1, 3, 320, 320)
    x[:, :, 32:96, 224:288] = 4
    blank = model(torch.zeros(1, 3, 320, 320))
    chosen = int((model(x) - blank).argmax())
    heat = activation_maps(model, x, [chosen])[0]
    assert heat.max() == pytest.approx(1)


def test_it_comes_back_from_a_file(tmp_path: Path) -> None:
    model = build()
    facts = sidecar(model, scales=SCALES)
    checkpoint.save(tmp_path / "best.pth", model.state_dict(), facts)
    again, found = checkpoint.load(tmp_path / "best.pth")
    assert found.scales == SCALES
    assert torch.equal(again(images()), model(images()))
    assert type(torch.load(tmp_path / "best.pth", weights_only=True)) is dict


def statistics(model: Pyramid) -> dict[str, Tensor]:
    """What is found in a state dict of the second scale alone."""
    return {name: value for name, value in model.state_dict().items() if name.startswith("twins.")}


def test_only_batch_statistics_are_apart() -> None:
    model = build()
    own = statistics(model)
    assert own
    assert all(name.rsplit(".", 1)[1] in ("running_mean", "running_var", "num_batches_tracked") for name in own)
    assert sum(p.numel() for p in model.parameters()) == sum(p.numel() for p in build(scales=(1.0,)).parameters()) + (
        model.classifier.weight.numel() // 2
    )


def test_statistics_apart_come_back_from_a_state_dict() -> None:
    model, again = build(), build()
    x = images()
    for name, value in model.twins.named_buffers():
        if name.endswith("running_mean"):
            value += 0.3
    assert not torch.equal(model(x), again(x))
    again.load_state_dict(model.state_dict())
    assert torch.equal(model(x), again(x))
    moved = copy.deepcopy(model)
    moved.load_state_dict(
        {name: value * 1.01 for name, value in model.state_dict().items() if value.is_floating_point()}, strict=False
    )
    assert torch.equal(moved.twins[0].conv_stem.weight, moved.backbone.conv_stem.weight)  # type: ignore[union-attr]
    assert not torch.equal(moved(x), model(x))


def test_a_state_dict_without_them_gives_both_scales_the_same() -> None:
    model, again = build(), build()
    for name, value in model.backbone.named_buffers():
        if name.endswith("running_mean"):
            value += 0.3
    again.load_state_dict({name: value for name, value in model.state_dict().items() if name not in statistics(model)})
    buffers = dict(again.backbone.named_buffers())
    assert all(torch.equal(value, buffers[name]) for name, value in again.twins[0].named_buffers())
    missing = {name: value for name, value in model.state_dict().items() if name != "backbone.bn1.bias"}
    with pytest.raises(RuntimeError, match=r"backbone\.bn1\.bias"):
        again.load_state_dict(missing)


def test_a_step_moves_what_is_shared_and_an_average_follows() -> None:
    model = build().train()
    average = ModelEmaV3(model, decay=0.5)
    weight = model.backbone.conv_stem.weight
    before = weight.detach().clone()
    model(images()).sum().backward()
    torch.optim.SGD(model.parameters(), lr=0.1).step()
    average.update(model)
    followed = average.module
    assert followed.twins[0].conv_stem.weight is followed.backbone.conv_stem.weight
    torch.testing.assert_close(followed.backbone.conv_stem.weight, (before + weight) / 2)
    assert not torch.equal(model.backbone.bn1.running_mean, model.twins[0].bn1.running_mean)  # type: ignore[union-attr]


@pytest.mark.parametrize("name", ["test_efficientnet", "test_convnext2", "test_vit3"])
def test_layers_of_the_backbone_learn_slower(name: str) -> None:
    model = build(name, SCALES[:1])
    optimizer = make_optimizer(model, TrainConfig(layer_decay=0.5, weight_decay=0.1, optimizer="adamw"))
    rates = {id(p): group["lr"] for group in optimizer.param_groups for p in group["params"]}
    assert set(rates) == {id(p) for p in model.parameters()}
    head, stem = (
        rates[id(model.classifier.weight)],
        rates[id(next(p for n, p in model.named_parameters() if "stem" in n or "patch_embed" in n))],
    )
    assert head == max(rates.values())
    assert stem == min(rates.values()) < head / 2


def test_pretrained_weights_are_kept() -> None:
    state = backbones.build(backbones.find("test_efficientnet"), 7).state_dict()
    model = build(weights=state, checkpointing=True)
    assert torch.equal(model.backbone.state_dict()["conv_stem.weight"], state["conv_stem.weight"])
    assert not [name for name in model.state_dict() if name.startswith("backbone.classifier")]


def test_what_has_no_map_is_said() -> None:
    class Flat(nn.Module):
        head_hidden_size = num_features = 4

        def reset_classifier(self, classes: int) -> None: ...

        def forward_features(self, x: Tensor) -> Tensor:
            return x.mean((2, 3))

        def forward_head(self, features: Tensor, pre_logits: bool = False) -> Tensor:
            return features

    assert "not spatial" in why_unsuitable(Flat(), 64)
    assert why_unsuitable(nn.Linear(2, 2), 64)


def test_a_backbone_without_one_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    backbone = backbones.find("test_efficientnet")
    asked = TrainConfig(features="pyramid")
    backbones.check(backbone, asked)
    monkeypatch.setattr(backbones, "why_unsuitable", lambda *_: "it is flat")
    assert backbones.solvable(backbone) == ("backbone",)
    with pytest.raises(
        ConfigError, match=r"features=pyramid: test_efficientnet.* \(it is flat\); use features=backbone"
    ):
        backbones.check(backbone, asked)
