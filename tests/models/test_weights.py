"""Initial weights: from the hub's cache, a file or nowhere, without surprise and without waiting for a network."""

import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from huggingface_hub import constants
from safetensors.torch import save_file

from fracture.data.batches import Normalize, to_float
from fracture.data.images import decode, letterbox
from fracture.errors import ConfigError
from fracture.models import backbones, weights
from fracture.models.backbones import Backbone
from fracture.models.weights import Weights, check, find, hub_answers, read

NAME = "test_efficientnet"
REPOSITORY = "timm/test_efficientnet.r160_in1k"


@pytest.fixture(autouse=True)
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty hub cache, and no hub; huggingface_hub has read the environment when it was imported."""
    place = tmp_path / "hf" / "hub"
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(place))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    return place


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("the network was asked")

    for name in ("connect", "connect_ex", "sendto"):
        monkeypatch.setattr(socket.socket, name, refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(threading, "Thread", refuse)


@pytest.fixture
def online(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HF_HUB_OFFLINE")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)


@pytest.fixture
def backbone() -> Backbone:
    return backbones.find(NAME)


@pytest.fixture
def state() -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    return dict(timm.create_model(NAME).state_dict())


def stand_in(hub: Path, name: str, state: dict[str, torch.Tensor]) -> Path:
    """A repository in the hub's cache as huggingface_hub lays it out: blobs, a snapshot that links them, a ref."""
    revision, repository = "0123456789abcdef0123456789abcdef01234567", hub / f"models--{REPOSITORY.replace('/', '--')}"
    blob, link = repository / "blobs" / "feed", repository / "snapshots" / revision / name
    for folder in (blob.parent, link.parent, repository / "refs"):
        folder.mkdir(parents=True)
    save_file(state, blob) if name.endswith(".safetensors") else torch.save(state, blob)
    link.symlink_to(blob)
    (repository / "refs" / "main").write_text(revision)
    return link


@pytest.fixture
def server() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening


def point_at(server: socket.socket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "ENDPOINT", f"http://127.0.0.1:{server.getsockname()[1]}")


def answer(server: socket.socket, text: bytes) -> threading.Thread:
    """Answer one request."""

    def serve() -> None:
        connection, _ = server.accept()
        with connection:
            connection.recv(4096)
            connection.sendall(text)

    thread = threading.Thread(target=serve)
    thread.start()
    return thread


def test_none_is_random_and_as_wished(backbone: Backbone, no_network: None) -> None:
    found = find("none", backbone)
    assert (found.origin, found.path, found.license, found.warning) == ("random", None, "none", "")
    assert read(found) is None
    assert found.sha256() == ""


def test_auto_without_hub_warns_and_asks_no_network(backbone: Backbone, no_network: None) -> None:
    found = find("auto", backbone)
    assert (found.origin, found.path, found.license) == ("random", None, "none")
    for words in (backbone.name, "RANDOM weights", "hub", "weights=/path/model.safetensors"):
        assert words in found.warning


def test_hub_without_hub_is_refused(backbone: Backbone, no_network: None) -> None:
    with pytest.raises(ConfigError) as caught:
        find("hub", backbone)
    for words in ("weights=hub: ", "HF_HUB_OFFLINE", "weights=none", "weights=auto"):
        assert words in str(caught.value)


@pytest.mark.parametrize("wanted", ["auto", "hub"])
def test_models_that_timm_has_no_weights_of(wanted: str, no_network: None) -> None:
    backbone = backbones.find("test_vit4")
    if wanted == "auto":
        assert "timm names no weights for test_vit4" in find(wanted, backbone).warning
    else:
        with pytest.raises(ConfigError, match="timm names no weights for test_vit4"):
            find(wanted, backbone)


@pytest.mark.parametrize("wanted", ["auto", "hub"])
@pytest.mark.parametrize("name", ["model.safetensors", "pytorch_model.bin"])
def test_the_hubs_cache_is_used_without_network(
    wanted: str, name: str, hub: Path, backbone: Backbone, state: dict[str, torch.Tensor], no_network: None
) -> None:
    link = stand_in(hub, name, state)
    found = find(wanted, backbone)
    assert (found.origin, found.path, found.license, found.warning) == ("hub", link, "apache-2.0", "")
    assert REPOSITORY in found.description
    loaded = read(found)
    assert loaded is not None
    model = backbones.build(backbone, 3, weights=loaded)
    torch.testing.assert_close(model.state_dict()["conv_stem.weight"], state["conv_stem.weight"])


def test_the_hub_is_asked_only_where_the_cache_has_nothing(
    backbone: Backbone, online: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    asked: list[tuple[str, str]] = []

    def download(repository: str, name: str) -> str:
        asked.append((repository, name))
        if name == "model.safetensors":
            raise FileNotFoundError(name)
        return str(tmp_path / name)

    monkeypatch.setattr(weights, "_offline", lambda: False)
    monkeypatch.setattr(weights, "hub_answers", lambda: True)
    monkeypatch.setattr(weights, "hf_hub_download", download)
    found = find("auto", backbone)
    assert (found.origin, found.path) == ("hub", tmp_path / "pytorch_model.bin")
    assert asked == [(REPOSITORY, "model.safetensors"), (REPOSITORY, "pytorch_model.bin")]


def test_a_download_that_fails_falls_back_with_the_reason(backbone: Backbone, monkeypatch: pytest.MonkeyPatch) -> None:
    def download(*_: str) -> str:
        raise ConnectionError("connection reset\nby someone")

    monkeypatch.setattr(weights, "_offline", lambda: False)
    monkeypatch.setattr(weights, "hub_answers", lambda: True)
    monkeypatch.setattr(weights, "hf_hub_download", download)
    assert "because connection reset." in find("auto", backbone).warning


def test_a_hub_that_never_answers_is_given_up(
    server: socket.socket, online: None, backbone: Backbone, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The socket accepts and stays silent as long as the test lasts."""
    point_at(server, monkeypatch)
    assert not hub_answers(0.2)
    monkeypatch.setattr(weights, "hub_answers", lambda: hub_answers(0.2))
    assert "does not answer within 4 s" in find("auto", backbone).warning
    with pytest.raises(ConfigError, match="does not answer within 4 s"):
        find("hub", backbone)


def test_a_name_that_is_never_looked_up_is_given_up(online: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """A resolver has no time limit of its own."""
    over = threading.Event()

    def look_up(*_: object, **__: object) -> Any:
        over.wait(60)
        raise socket.gaierror("no such name")

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    try:
        assert not hub_answers(0.2)
    finally:
        over.set()


def test_patience_is_for_silence_only(server: socket.socket, online: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nobody listens the answer is no at once: the test would take an hour otherwise."""
    point_at(server, monkeypatch)
    server.close()
    assert not hub_answers(3600)


@pytest.mark.parametrize(
    ("text", "answers"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", True),
        (b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n", True),
        (b"SSH-2.0-something else\r\n", False),
        (b"", False),
    ],
)
def test_what_counts_as_an_answer(
    text: bytes, answers: bool, server: socket.socket, online: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    point_at(server, monkeypatch)
    serving = answer(server, text)
    assert hub_answers(60) is answers
    serving.join()


@pytest.mark.parametrize("value", ["1", "true", "YES", "on"])
def test_offline_is_obeyed(value: str, online: None, no_network: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", value)
    assert not hub_answers(60)


@pytest.mark.parametrize("suffix", [".safetensors", ".pth", ".bin"])
def test_weights_from_a_file(
    suffix: str, backbone: Backbone, state: dict[str, torch.Tensor], tmp_path: Path, no_network: None
) -> None:
    path = tmp_path / f"mine{suffix}"
    save_file(state, path) if suffix == ".safetensors" else torch.save(state, path)
    found = find(str(path), backbone)
    assert (found.origin, found.path, found.description) == ("file", path, f"file mine{suffix}")
    assert (found.license, found.warning, len(found.sha256())) == ("not stated", "", 64)
    loaded = read(found)
    assert loaded is not None
    assert loaded.keys() == state.keys()
    assert all(torch.equal(loaded[key], state[key]) for key in state)


@pytest.mark.parametrize("wrapped", ["state_dict", "model"])
def test_state_dicts_inside_a_checkpoint(wrapped: str, state: dict[str, torch.Tensor], tmp_path: Path) -> None:
    torch.save({wrapped: state, "epoch": 3}, tmp_path / "a.pth")
    loaded = read(Weights("file", tmp_path / "a.pth", "", ""))
    assert loaded is not None
    assert loaded.keys() == state.keys()


@pytest.mark.parametrize("wanted", ["missing.safetensors", "/nowhere/a.pth", "Auto", "folder"])
def test_a_file_that_is_not_there(wanted: str, backbone: Backbone, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(ConfigError) as caught:
        find(wanted, backbone)
    assert f"weights={wanted}: no such file" in str(caught.value)
    assert "Allowed: auto, hub, none, or a .safetensors, .pth or .bin file." in str(caught.value)


class Trap:
    """Unpickling it would run code."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path("sprung").touch, ())


def damaged(name: str, content: object, folder: Path) -> Path:
    path = folder / name
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        torch.save(content, path)
    return path


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("empty.safetensors", b""),
        ("text.safetensors", b"this is a text of some length"),
        ("cut.safetensors", b"\xff" * 8 + b"{}"),
        ("empty.pth", b""),
        ("text.pth", b"this is a text"),
        ("zip.pth", b"PK\x03\x04" + bytes(100)),
        ("list.pth", [torch.zeros(1)]),
        ("numbers.pth", {"a": 1.0}),
        ("nothing.pth", {}),
        ("code.pth", {"a": Trap()}),
    ],
)
def test_damaged_files_are_refused(name: str, content: object, tmp_path: Path) -> None:
    path = damaged(name, content, tmp_path)
    with pytest.raises(ConfigError, match=r"cannot be read as weights|has no state dict") as caught:
        read(Weights("file", path, "", ""))
    assert str(path) in str(caught.value)
    assert not Path("sprung").exists()


def test_weights_of_another_model(backbone: Backbone, tmp_path: Path) -> None:
    path = tmp_path / "vit.safetensors"
    save_file(timm.create_model("test_vit").state_dict(), path)
    with pytest.raises(ConfigError, match=r"the weights do not fit test_efficientnet\.r160_in1k"):
        backbones.build(backbone, 3, weights=read(find(str(path), backbone)))
    with pytest.raises(ConfigError, match=r"^weights=\S+vit\.safetensors: the weights do not fit(.|\n)*of this model"):
        check(find(str(path), backbone), backbone)


@pytest.mark.parametrize("classes", [3, 7, 1000])
def test_weights_with_any_head_pass_the_check(
    classes: int, backbone: Backbone, tmp_path: Path, recwarn: pytest.WarningsRecorder
) -> None:
    path = tmp_path / "own.safetensors"
    save_file(timm.create_model(backbone.name, num_classes=classes).state_dict(), path)
    check(find(str(path), backbone), backbone)
    check(find("none", backbone), backbone)
    assert not recwarn.list


@pytest.mark.filterwarnings("ignore::UserWarning:timm")
def test_weights_for_another_size_pass_the_check_where_timm_resizes_them(tmp_path: Path) -> None:
    """That takes their contents, which tensors on the meta device do not have."""
    found = backbones.find("maxvit_pico_rw_256")
    path = tmp_path / "larger.safetensors"
    save_file(timm.create_model(found.name, img_size=320, num_classes=3).state_dict(), path)
    check(find(str(path), found), found)


def features(model: torch.nn.Module, squares: np.ndarray, backbone: Backbone) -> torch.Tensor:
    """Unit vectors [n, features]."""
    inputs = Normalize(backbone.mean, backbone.std)(to_float(torch.from_numpy(squares)))
    with torch.inference_mode():
        found = model.eval().forward_head(model.forward_features(inputs), pre_logits=True)  # type: ignore[operator]
    return torch.nn.functional.normalize(found)


def test_features_of_real_weights_see_more_than_random_ones(real_weights: Path, real_data: Path) -> None:
    """With ImageNet weights an image and its mirror image are nearer to each other than different images are."""
    backbone = backbones.find("tf_efficientnet_lite0")
    model = backbones.build(backbone, 3, weights=read(find(str(real_weights), backbone)))
    plain = timm.create_model(
        "tf_efficientnet_lite0", pretrained=True, pretrained_cfg_overlay={"file": str(real_weights)}
    )
    files = sorted((real_data / "xray3" / "simple_fracture").glob("*.jpg"))[::25]
    squares = np.stack([letterbox(decode(path.read_bytes()), 96) for path in files])
    own, mirrored = (features(model, s, backbone) for s in (squares, squares[:, :, ::-1].copy()))
    torch.testing.assert_close(own, features(plain, squares, backbone))
    likeness = own @ mirrored.T
    assert (likeness.argmax(1) == torch.arange(len(files))).float().mean() > 0.9
