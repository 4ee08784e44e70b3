"""State dicts that people have: headless, wrapped, grey, among other parts; what is dropped or changed is said."""

from argparse import Namespace
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from fracture.errors import ConfigError
from fracture.models.adapt import adapt
from fracture.models.backbones import build, find, template
from fracture.models.weights import check, read
from fracture.models.weights import find as find_weights

State = dict[str, torch.Tensor]
NAME, HEAD = "test_efficientnet", "classifier."
FAMILIES = ["test_efficientnet", "test_convnext", "test_vit", "test_resnet", "test_maxvit"]


@pytest.fixture(scope="module")
def state() -> State:
    torch.manual_seed(0)
    return dict(timm.create_model(NAME).state_dict())


def below(prefix: str, state: State) -> State:
    return {prefix + name: value for name, value in state.items()}


def headless(state: State) -> State:
    return {name: value for name, value in state.items() if not name.startswith(HEAD)}


def grey(state: State) -> State:
    return state | {"conv_stem.weight": state["conv_stem.weight"].sum(1, keepdim=True)}


def body_is_loaded(given: State, state: State) -> bool:
    """Whether a model with these weights has the tensors of the backbone."""
    loaded = build(find(NAME), 3, weights=given).state_dict()
    return all(torch.equal(loaded[name], value) for name, value in headless(state).items())


@pytest.mark.parametrize("prefix", ["module.", "backbone.", "model.", "encoder.", "module.model.backbone.", "net.0."])
@pytest.mark.parametrize("change", [lambda state: state, headless], ids=["with its head", "headless"])
def test_a_common_prefix(prefix: str, change: Callable[[State], State], state: State) -> None:
    given = below(prefix, change(state))
    assert body_is_loaded(given, state)
    assert f"read below {prefix}" in adapt(given, template(find(NAME))).changes


@pytest.mark.parametrize("name", FAMILIES)
def test_a_file_without_a_head_of_any_family(name: str) -> None:
    torch.manual_seed(0)
    whole = timm.create_model(name)
    heads = whole.pretrained_cfg["classifier"]
    given = {key: value for key, value in whole.state_dict().items() if not key.startswith(f"{heads}.")}
    loaded = build(find(name), 3, weights=given)
    assert all(torch.equal(loaded.state_dict()[key], value) for key, value in given.items())
    assert "without a head, which is new" in adapt(given, template(find(name))).changes


@pytest.mark.parametrize("outputs", [1, 5, 1000])
def test_any_head_is_dropped_and_said(outputs: int, state: State) -> None:
    given = state | {"classifier.weight": torch.zeros(outputs, 256), "classifier.bias": torch.zeros(outputs)}
    assert body_is_loaded(given, state)
    assert adapt(given, template(find(NAME))).changes == (
        "its head dropped (classifier.weight, classifier.bias) for a new one",
    )


def test_a_head_made_otherwise(state: State) -> None:
    given = headless(state) | {"classifier.1.weight": torch.zeros(3, 9), "classifier.0.norm.bias": torch.zeros(4)}
    assert body_is_loaded(given, state)


OTHERS = {
    "a classifier beside the backbone": ("backbone.", {"classifier.weight": torch.zeros(2), "fc.bias": torch.zeros(2)}),
    "what lightning keeps": ("model.", {"criterion.weight": torch.zeros(3)}),
    "a decoder and a projection": ("", {"decoder_embed.weight": torch.zeros(2), "projector.0.bias": torch.zeros(1)}),
    "a counter of averages": ("module.", {"n_averaged": torch.tensor(7)}),
    "a head of another name": ("", {"fc.weight": torch.zeros(2, 2), "head_dist.bias": torch.zeros(2)}),
}


@pytest.mark.parametrize(("prefix", "others"), OTHERS.values(), ids=OTHERS)
def test_other_parts_of_a_checkpoint_are_dropped_and_said(prefix: str, others: State, state: State) -> None:
    given = below(prefix, state) | others
    assert body_is_loaded(given, state)
    said = "; ".join(adapt(given, template(find(NAME))).changes)
    assert all(name in said for name in others)


def test_two_models_in_one_file_are_refused_unless_they_are_one(state: State) -> None:
    changed = {name: value + 1 for name, value in state.items()}
    with pytest.raises(ConfigError, match=r"holds 2 such models with different weights, below \w+\., \w+\.; save the"):
        build(find(NAME), 3, weights=below("student.", state) | below("teacher.", changed))
    assert body_is_loaded(below("online.", state) | below("target.", dict(state)), state)


@settings(max_examples=20, deadline=None)
@given(prefix=st.from_regex(r"([a-z][a-z0-9_]{0,6}\.){0,4}", fullmatch=True))
def test_whatever_the_prefix_the_same_tensors_come_out(prefix: str) -> None:
    model = timm.create_model("test_resnet")
    state = dict(model.state_dict())
    found = adapt(below(prefix, state), model).state
    assert found.keys() == state.keys()
    assert all(found[name] is value for name, value in state.items() if not name.startswith("fc."))


def test_one_input_channel_answers_to_grey_images_as_before(state: State) -> None:
    given = grey(state)
    found = adapt(given, template(find(NAME)))
    assert "conv_stem.weight spread from 1 input channel over 3" in found.changes
    model = build(find(NAME), 3, weights=given)
    x = torch.rand(1, 1, 32, 32)
    seen = torch.nn.functional.conv2d(x, given["conv_stem.weight"])
    now = torch.nn.functional.conv2d(x.expand(-1, 3, -1, -1), model.conv_stem.weight)  # type: ignore[arg-type]
    torch.testing.assert_close(now, seen)


def test_one_channel_of_patches() -> None:
    state = dict(timm.create_model("test_vit", in_chans=1).state_dict())
    model = build(find("test_vit"), 2, weights=state)
    second = model.patch_embed.proj.weight[:, 1]  # type: ignore[union-attr, index]
    torch.testing.assert_close(second, state["patch_embed.proj.weight"][:, 0] / 3)


MISFITS = {
    "a layer is missing": lambda s: {k: v for k, v in s.items() if not k.startswith("blocks.1.0.")},
    "a layer is missing below a prefix": lambda s: {
        f"backbone.{k}": v for k, v in s.items() if not k.startswith("blocks.1.0.")
    },
    "a layer too many": lambda s: s | {"blocks.9.0.weight": torch.zeros(1)},
    "something unknown": lambda s: s | {"stray.weight": torch.zeros(1)},
    "a token of another kind of backbone": lambda s: s | {"cls_token": torch.zeros(1, 1, 4)},
    "four channels": lambda s: s | {"conv_stem.weight": torch.zeros(16, 4, 3, 3)},
    "only a head": lambda s: {"classifier.weight": s["classifier.weight"]},
}


@pytest.mark.parametrize("change", MISFITS.values(), ids=MISFITS)
def test_what_is_not_the_whole_backbone_is_refused(change: Callable[[State], State], state: State) -> None:
    with pytest.raises(ConfigError, match=r"the weights do not fit test_efficientnet\.r160_in1k: "):
        build(find(NAME), 3, weights=change(state))


NESTS: dict[str, Callable[[State], object]] = {
    "state_dict": lambda s: {"state_dict": s, "epoch": 3},
    "model": lambda s: {"model": s, "optimizer": {"state": {0: {"step": torch.ones(1)}}, "param_groups": []}},
    "model/state_dict": lambda s: {"model": {"state_dict": s}},
    "model_state_dict": lambda s: {"model_state_dict": s, "loss": 0.1},
    "state_dict_ema": lambda s: {"state_dict": {k: v * 0 for k, v in s.items()}, "state_dict_ema": s},
}


@pytest.mark.parametrize("name", NESTS)
def test_nested_state_dicts(name: str, state: State, tmp_path: Path) -> None:
    torch.save(NESTS[name](below("module.", headless(state))), tmp_path / "a.pth.tar")
    backbone = find(NAME)
    found = check(find_weights(str(tmp_path / "a.pth.tar"), backbone), backbone)
    assert found.changes[:2] == (f"taken from its {name}", "read below module.")
    assert body_is_loaded(read(found) or {}, state)


def test_what_training_scripts_keep_beside_the_weights(state: State, tmp_path: Path) -> None:
    """As timm's and other scripts do: their arguments, and a score of numpy's."""
    args = {"args": Namespace(lr=0.1, out=None), "metric": np.float64(0.7), "epoch": np.int64(3)}
    torch.save({"state_dict": state, "arch": NAME, **args}, tmp_path / "last.ckpt")
    assert body_is_loaded(read(find_weights(str(tmp_path / "last.ckpt"), find(NAME))) or {}, state)


def test_a_pickled_model_is_refused_with_the_way_out(tmp_path: Path) -> None:
    torch.save(timm.create_model("test_resnet"), tmp_path / "model.pth")
    with pytest.raises(ConfigError, match=r"holds Python objects, which are never unpickled; save model\.state_dict"):
        read(find_weights(str(tmp_path / "model.pth"), find("test_resnet")))


def test_a_checkpoint_of_our_own_gives_its_backbone(tmp_path: Path) -> None:
    torch.manual_seed(0)
    trained = build(find("test_resnet"), 2, scales=(1.0, 0.6))
    save_file({k: v.contiguous() for k, v in trained.state_dict().items()}, tmp_path / "own.safetensors")
    backbone = find("test_resnet")
    found = check(find_weights(str(tmp_path / "own.safetensors"), backbone), backbone)
    assert found.changes[0] == "read below backbone."
    loaded = build(backbone, 3, weights=read(found)).state_dict()
    own = trained.backbone.state_dict()  # type: ignore[union-attr, operator]
    assert all(torch.equal(loaded[name], value) for name, value in own.items())


@pytest.mark.parametrize(("stated", "kept"), [("auto", "not stated"), ("CC-BY-4.0", "CC-BY-4.0")])
def test_the_licence_of_a_file_is_as_stated(stated: str, kept: str, state: State, tmp_path: Path) -> None:
    save_file(state, tmp_path / "a.safetensors")
    assert find_weights(str(tmp_path / "a.safetensors"), find(NAME), stated).license == kept


@pytest.mark.parametrize("wanted", ["auto", "hub", "none"])
def test_a_licence_is_stated_for_a_file_only(wanted: str) -> None:
    with pytest.raises(ConfigError, match=rf"weights_license=mit: .*weights={wanted} is none; .*\(apache-2.0\)"):
        find_weights(wanted, find(NAME), "mit")
