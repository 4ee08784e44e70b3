"""Where a backbone's first weights come from: the hub's cache, the hub, a file, or nowhere."""

import contextlib
import hashlib
import os
import queue
import threading
import urllib.error
import urllib.request
import warnings
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path

import timm
import torch
from huggingface_hub import constants, hf_hub_download, try_to_load_from_cache
from huggingface_hub.errors import HfHubHTTPError

from fracture.errors import ConfigError
from fracture.models.backbones import Backbone, build

HUB_PATIENCE = 4.0  # seconds; with no network, timm's own download tries for 47
WORDS = ("auto", "hub", "none")  # any other value is a file
HUB_FILES = ("model.safetensors", "pytorch_model.bin")


@dataclass(frozen=True)
class Weights:
    """First weights, found but not yet read.

    Attributes:
        origin: ``hub``, ``file`` or ``random``.
        path: the local file, None for random ones.
        description: where they come from, for people.
        license: as stated for them; ``none`` for random ones, ``not stated`` for a file.
        warning: what the user must know, empty when it is as wished.
    """

    origin: str
    path: Path | None
    description: str
    license: str
    warning: str = ""

    def sha256(self) -> str:
        """Digest of the file, empty for random weights."""
        if self.path is None:
            return ""
        with self.path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()


def find(wanted: str, backbone: Backbone) -> Weights:
    """Find the weights that ``wanted`` asks for: ``auto``, ``hub``, ``none`` or a file.

    Raises:
        ConfigError: no such file, or the hub is asked for and has nothing or does not answer.
    """
    if wanted == "none":
        return Weights("random", None, "random initialisation", "none")
    if wanted not in WORDS:
        return _from_file(wanted)
    repository = repository_of(backbone)
    if not repository:
        return _without(wanted, backbone, f"timm names no weights for {backbone.name}")
    path = _cached(repository)
    if path is None:
        try:
            path = _download(repository)
        except (OSError, HfHubHTTPError) as error:
            return _without(wanted, backbone, _first_line(error))
    return Weights("hub", path, f"{repository} on the Hugging Face hub", backbone.license)


def repository_of(backbone: Backbone) -> str:
    """The hub's repository of a backbone's weights, empty where timm names none."""
    return str(timm.get_pretrained_cfg(backbone.name).hf_hub_id or "")


def read(weights: Weights) -> dict[str, torch.Tensor] | None:
    """The tensors of a weights file, by name; None for random weights. Nothing is unpickled but tensors.

    Raises:
        ConfigError: the file is damaged or holds something else.
    """
    if weights.path is None:
        return None
    try:
        state = timm.models.load_state_dict(str(weights.path), weights_only=True)
    except Exception as error:  # a damaged file fails in as many ways as there are formats
        raise ConfigError(f"weights={weights.path}: cannot be read as weights: {_first_line(error)}") from error
    if not state or not all(isinstance(value, torch.Tensor) for value in state.values()):
        raise ConfigError(f"weights={weights.path}: holds no state dict (tensors by name)")
    return dict(state)


def check(weights: Weights, backbone: Backbone) -> None:
    """See that weights can be read and are the backbone's, before anything that takes time is begun.

    Raises:
        ConfigError: they cannot or are not, with the file's name.
    """
    state = read(weights)
    if state is None:
        return
    with contextlib.suppress(ConfigError), torch.device("meta"), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch warns of every tensor that it compares and does not copy
        build(backbone, 2, weights=state)
        return
    try:  # in memory: timm resizes the tables of positions of some, which needs their contents
        build(backbone, 2, weights=state)
    except ConfigError as error:
        raise ConfigError(f"weights={weights.path}: {error}\nGive the file of this model.") from error


def hub_answers(patience: float = HUB_PATIENCE) -> bool:
    """Whether the hub answers within ``patience`` seconds, name look-up included."""
    if _offline():
        return False
    answers: queue.SimpleQueue[bool] = queue.SimpleQueue()

    def ask() -> None:
        try:
            request = urllib.request.Request(constants.ENDPOINT, method="HEAD")
            urllib.request.urlopen(request, timeout=patience).close()
            answers.put(True)
        except urllib.error.HTTPError:
            answers.put(True)  # an error page is an answer
        except (OSError, ValueError, HTTPException):
            answers.put(False)

    threading.Thread(target=ask, daemon=True).start()  # a name look-up cannot be given a time limit
    try:
        return answers.get(timeout=patience)
    except queue.Empty:
        return False


def _offline() -> bool:
    return bool(constants.HF_HUB_OFFLINE) or os.environ.get("HF_HUB_OFFLINE", "").lower() in ("1", "true", "yes", "on")


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


def _from_file(wanted: str) -> Weights:
    path = Path(wanted).expanduser()
    if not path.is_file():
        raise ConfigError(
            f"weights={wanted}: no such file\nAllowed: auto, hub, none, or a .safetensors, .pth or .bin file."
        )
    return Weights("file", path.resolve(), f"file {path.name}", "not stated")


def _cached(repository: str) -> Path | None:
    found = (try_to_load_from_cache(repository, name) for name in HUB_FILES)
    return next((Path(path) for path in found if isinstance(path, str)), None)


def _download(repository: str) -> Path:
    if _offline():
        raise OSError(f"HF_HUB_OFFLINE is set and the hub's cache does not hold {repository}")
    if not hub_answers():
        raise OSError(f"the hub does not answer within {HUB_PATIENCE:g} s")
    failure: Exception = OSError(f"{repository} holds no weights file")
    for name in HUB_FILES:
        try:
            return Path(hf_hub_download(repository, name))
        except (OSError, HfHubHTTPError) as error:
            failure = error
    raise failure


def _without(wanted: str, backbone: Backbone, reason: str) -> Weights:
    if wanted == "hub":
        raise ConfigError(
            f"weights=hub: {reason}.\nPass a local file (weights=/path/model.safetensors), weights=none for random "
            "initialisation, or weights=auto to fall back to it."
        )
    warning = (
        f"{backbone.name} starts from RANDOM weights, because {reason}. Expect scores near chance on small data. "
        "Put the weights into the hub's cache on a machine with network, or pass weights=/path/model.safetensors."
    )
    return Weights("random", None, "random initialisation (no pretrained weights found)", "none", warning)
