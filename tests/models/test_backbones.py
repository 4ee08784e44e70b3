"""Backbones: names, sizes, options and weights, with the parameter counts of the four that the project is about."""

import dataclasses

import pytest
import timm
import torch

from fracture.config import TrainConfig
from fracture.errors import ConfigError
from fracture.models.backbones import NICKNAMES, build, check, find, split_names

PARAMETERS = {"convnextv2": 87_695_875, "efficientnetv2": 20_181_331, "maxvit": 30_405_067, "swin": 27_521_661}
SMALL = ["test_efficientnet", "test_convnext2", "test_vit", "test_resnet", "test_maxvit"]


def meta(name: str, classes: int = 3, **options: object) -> torch.nn.Module:
    """Built without memory for its weights."""
    with torch.device("meta"):
        return build(find(name), classes, **options)  # type: ignore[arg-type]


def drop_rates(model: torch.nn.Module) -> list[float]:
    """Rates of stochastic depth in the order of the layers; layers without are left out."""
    return [float(m.drop_prob) for m in model.modules() if type(m).__name__.startswith("DropPath")]


@pytest.mark.parametrize(("nickname", "count"), PARAMETERS.items())
def test_the_four_are_what_they_are_said_to_be(nickname: str, count: int) -> None:
    """Their exact parameter counts, and no stochastic depth unless asked for, whatever timm's default is."""
    model = meta(nickname)
    assert sum(p.numel() for p in model.parameters()) == count
    assert all(p.requires_grad for p in model.parameters())
    assert not any(drop_rates(model))


@pytest.mark.parametrize("name", ["swin", *SMALL])
def test_stochastic_depth_rises_to_the_rate(name: str) -> None:
    rates = drop_rates(meta(name, drop_path=0.2))
    assert 0.15 < max(rates) <= 0.2 + 1e-6
    assert rates[0] <= 0.1


@pytest.mark.parametrize("name", ["vgg11", "densenet121"])
def test_models_without_stochastic_depth(name: str) -> None:
    assert drop_rates(meta(name)) == []
    with pytest.raises(ConfigError, match=rf"drop_path=0.1: {name}\S* does not take it; use 0"):
        meta(name, drop_path=0.1)


@pytest.mark.parametrize("name", ["vgg11"])
def test_models_without_checkpointing(name: str) -> None:
    with pytest.raises(ConfigError, match=rf"checkpointing=true: {name}\S* does not support it; use false"):
        meta(name, checkpointing=True)


@pytest.mark.parametrize("name", ["test_efficientnet", "test_convnext2", "test_vit"])
def test_checkpointing_gives_the_same_gradients(name: str) -> None:
    backbone = find(name)
    size = backbone.own_size if backbone.fixed_size else 64
    pixels = torch.rand(2, 3, size, size, generator=torch.Generator().manual_seed(0))
    torch.manual_seed(0)
    plain = build(backbone, 3)
    saving = build(backbone, 3, checkpointing=True)
    saving.load_state_dict(plain.state_dict())
    for model in (plain, saving):
        model.eval()(pixels).square().sum().backward()
    for a, b in zip(plain.parameters(), saving.parameters(), strict=True):
        torch.testing.assert_close(a.grad, b.grad)


def test_batch_statistics_are_asked_of_those_that_have_some() -> None:
    asked = TrainConfig(batch_norm="mixed", head="probe")
    check(find("test_efficientnet"), asked)
    with pytest.raises(ConfigError, match=r"test_convnext\S* has no batch normalisation; use batch_norm=pretrained"):
        check(find("test_convnext"), asked)


@pytest.mark.parametrize(("nickname", "name"), NICKNAMES.items())
def test_nicknames_name_weights_too(nickname: str, name: str) -> None:
    backbone = find(nickname)
    assert (backbone.nickname, backbone.name) == (nickname, name)
    assert backbone.image_size("auto") == 224
    assert find(name).name == name
    assert len(backbone.mean) == len(backbone.std) == 3


@pytest.mark.parametrize(
    ("name", "full"), [("test_vit", "test_vit.r160_in1k"), ("convnextv2_base", NICKNAMES["convnextv2"])]
)
def test_a_bare_name_gets_its_default_tag(name: str, full: str) -> None:
    assert find(name).name == full


def test_licences_are_told() -> None:
    assert find("convnextv2").license == "cc-by-nc-4.0"
    assert find("test_vit").license == "apache-2.0"


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("convnextv", "convnextv2"),
        ("swni", "swin"),
        ("efficientnet_v2", "efficientnetv2"),
        ("convnextv2_base.nope", "convnextv2_base.fcmae"),
        ("hf-hub:timm/whatever", ""),
        ("", ""),
        ("../weights.pth", ""),
    ],
)
def test_unknown_names_offer_the_nearest(name: str, near: str) -> None:
    with pytest.raises(ConfigError) as caught:
        find(name)
    message = str(caught.value)
    assert message.startswith(f"model={name}: no such backbone.")
    assert near in message.splitlines()[0]
    assert "Allowed: convnextv2, efficientnetv2, maxvit, swin, all" in message


@pytest.mark.parametrize(("wanted", "size"), [("auto", 224), (64, 64), (320, 320)])
def test_sizes_of_models_that_take_any(wanted: int | str, size: int) -> None:
    assert find("test_efficientnet").image_size(wanted) == size


@pytest.mark.parametrize("name", ["swin", "maxvit", "test_vit", "vit_small_patch14_dinov2.lvd142m"])
def test_models_that_are_built_for_one_size_keep_their_own_unless_asked(name: str) -> None:
    backbone = find(name)
    assert backbone.fixed_size
    assert backbone.image_size("auto") == backbone.image_size(backbone.own_size) == backbone.own_size


def test_models_whose_only_size_is_their_own() -> None:
    with pytest.raises(ConfigError, match=r"image_size=256: efficientformer_l1\S* takes 224 only; or leave"):
        find("efficientformer_l1").image_size(256)


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("swin", ["swin"]),
        ("all", list(NICKNAMES)),
        ("swin, test_vit,,swin", ["swin", "test_vit"]),
        ("swin test_vit", ["swin", "test_vit"]),
        ("swin,all", ["swin", "convnextv2", "efficientnetv2", "maxvit"]),
    ],
)
def test_several_backbones(text: str, names: list[str]) -> None:
    assert split_names(text) == names


@pytest.mark.parametrize("text", ["", " , "])
def test_no_backbone_at_all(text: str) -> None:
    with pytest.raises(ConfigError, match="names no backbone"):
        split_names(text)


@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize("outputs", [1000, 3, 7])
def test_weights_fit_whatever_head_they_have(name: str, outputs: int) -> None:
    torch.manual_seed(0)
    given = timm.create_model(name, num_classes=outputs)
    model = build(find(name), 3, weights=given.state_dict())
    head = given.get_classifier()
    own = {id(p) for p in head.parameters()}
    state = model.state_dict()
    body = {key: value for key, value in given.named_parameters() if id(value) not in own}
    assert body
    assert all(torch.equal(state[key], value) for key, value in body.items())
    assert model.get_classifier().out_features == 3  # type: ignore[operator]


@pytest.mark.parametrize(
    "change",
    [
        lambda state: timm.create_model("test_vit").state_dict(),
        lambda state: {key: value for key, value in state.items() if "blocks.1" not in key},
        lambda state: state | {"stray.weight": torch.zeros(1)},
        lambda state: state | {"conv_stem.weight": torch.zeros(1, 3, 3, 3)},
        lambda state: {"weight": torch.zeros(1)},
    ],
    ids=["another model", "layers missing", "too much", "wrong shape", "nothing of it"],
)
def test_weights_that_do_not_fit(change: object) -> None:
    state = timm.create_model("test_efficientnet").state_dict()
    with pytest.raises(ConfigError, match=r"the weights do not fit test_efficientnet\.r160_in1k: "):
        build(find("test_efficientnet"), 3, weights=change(state))  # type: ignore[operator]


def test_a_seed_gives_the_same_weights() -> None:
    states = []
    for _ in range(2):
        torch.manual_seed(5)
        states.append(build(find("test_convnext2"), 3).state_dict())
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])


def test_a_backbone_cannot_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        find("swin").own_size = 1  # type: ignore[misc]
