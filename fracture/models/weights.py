"""Where a backbone's initial weights come from: the hub's cache, a Python package, the hub, a file, or nowhere."""

import contextlib
import hashlib
import os
import queue
import threading
import urllib.error
import urllib.request
import warnings
from dataclasses import dataclass, replace
from http.client import HTTPException
from pathlib import Path

import timm
import torch
from huggingface_hub import constants, hf_hub_download, try_to_load_from_cache
from huggingface_hub.errors import HfHubHTTPError

from fracture.errors import ConfigError
from fracture.files import expanded
from fracture.models.adapt import adapt
from fracture.models.backbones import Backbone, build, template
from fracture.models.packaged import LICENSE, find_packaged, hint
from fracture.models.state_files import read_state

HUB_PATIENCE = 4.0  # seconds; with no network, timm's own download tries for 47
WORDS = ("auto", "hub", "none")  # any other value is a file
HUB_FILES = ("model.safetensors", "pytorch_model.bin")
NOT_STATED = "not stated"


@dataclass(frozen=True)
class Weights:
    """Initial weights, found but not yet read.

    Attributes:
        origin: ``hub``, ``package``, ``file`` or ``random``.
        path: the local file, None for random ones.
        description: where they come from, for people.
        license: as stated for them; ``none`` for random ones, for a file what the user states.
        warning: what the user must know, empty when it is as wished.
        changes: sentences on what of the file was dropped or changed, once `check` has looked.
    """

    origin: str
    path: Path | None
    description: str
    license: str
    warning: str = ""
    changes: tuple[str, ...] = ()

    def sha256(self) -> str:
        """Digest of the file, empty for random weights."""
        if self.path is None:
            return ""
        with self.path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()


def find(wanted: str, backbone: Backbone, license_: str = "auto") -> Weights:
    """Find the weights that ``wanted`` asks for: ``auto``, ``hub``, ``none`` or a file.

    Args:
        wanted: which.
        backbone: whose.
        license_: what the user states for a file; ``auto`` is nothing.

    Raises:
        ConfigError: no such file, or the hub is named and has nothing or does not answer; or a licence is stated
            where none can be.
    """
    if license_ != "auto" and wanted in WORDS:
        raise ConfigError(
            f"weights_license={license_}: states the licence of a file, but weights={wanted} is none; those of the hub "
            f"have the one that timm states ({backbone.license}).\nLeave it out, or pass weights=FILE."
        )
    if wanted == "none":
        return Weights("random", None, "random initialisation", "none")
    if wanted not in WORDS:
        return _from_file(wanted, NOT_STATED if license_ == "auto" else license_)
    repository = repository_of(backbone)
    if not repository:
        return _without(wanted, backbone, f"timm names no weights for {backbone.name}")
    path = _cached(repository)
    if path is None and wanted == "auto" and (packaged := find_packaged(backbone)):
        return Weights("package", packaged[0], packaged[1], LICENSE)
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
    """The tensors of a weights file, by its own names; None for random weights. Nothing is unpickled but tensors.

    Raises:
        ConfigError: the file is damaged or holds something else.
    """
    return None if weights.path is None else _read(weights.path)[0]


def check(weights: Weights, backbone: Backbone, size: int | None = None) -> Weights:
    """See that weights can be read and are the backbone's, before anything that takes time is begun.

    Args:
        weights: from `find`.
        backbone: whose they should be.
        size: side of the images; None is the backbone's own.

    Returns:
        The same with what has to be dropped or changed of them.

    Raises:
        ConfigError: they cannot or are not, with the file's name.
    """
    if weights.path is None:
        return weights
    state, changes = _read(weights.path)
    try:
        _try(state, backbone, size)
        changes += adapt(state, template(backbone, size)).changes
    except ConfigError as error:
        other = backbone.fixed_size and size not in (None, backbone.own_size)
        hint = f", or leave image_size at auto ({backbone.own_size}): timm cannot resample all weights" if other else ""
        raise ConfigError(f"weights={weights.path}: {error}\nGive the file of this model{hint}.") from error
    return replace(weights, changes=changes)


def _read(path: Path) -> tuple[dict[str, torch.Tensor], tuple[str, ...]]:
    try:
        return read_state(path)
    except ValueError as error:
        raise ConfigError(f"weights={path}: {error}") from error


def _try(state: dict[str, torch.Tensor], backbone: Backbone, size: int | None) -> None:
    with contextlib.suppress(ConfigError), torch.device("meta"), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch warns of every tensor that it compares and does not copy
        build(backbone, 2, size=size, weights=state)
        return
    build(backbone, 2, size=size, weights=state)  # in memory: timm resizes some positions, which needs their contents


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


def _from_file(wanted: str, license_: str) -> Weights:
    path = expanded(wanted)
    if not path.is_file():
        raise ConfigError(
            f"weights={wanted}: no such file\nAllowed: auto, hub, none, or a .safetensors, .pth or .bin file."
        )
    return Weights("file", path.resolve(), f"file {path.name}", license_)


def _cached(repository: str) -> Path | None:
    found = (try_to_load_from_cache(repository, name) for name in HUB_FILES)
    return next((Path(path) for path in found if isinstance(path, str)), None)


def _download(repository: str) -> Path:
    if _offline():
        raise OSError(f"HF_HUB_OFFLINE is set and the hub's cache does not hold {repository}")
    if not hub_answers():
        raise OSError(f"the hub does not answer within {HUB_PATIENCE:g} s")
    failure: Exception = OSError(f"{repository} has no weights file")
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
        f"{hint(backbone)}Put the weights into the hub's cache on a machine with network, or pass "
        "weights=/path/model.safetensors."
    )
    return Weights("random", None, "random initialisation (no pretrained weights found)", "none", warning)
