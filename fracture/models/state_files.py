"""Files that hold a state dict, whatever it is wrapped in; nothing is unpickled but tensors and plain values."""

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor

# what training scripts keep a state dict under, the moving average of the weights first: it is what they evaluate
NESTS = (
    "state_dict_ema", "model_ema", "ema_state_dict", "state_dict", "model_state_dict", "model", "module", "net",
    "network", "weights", "params",
)  # fmt: skip
_DEEP = 4  # nests within nests
_SCALAR = np.float64(0).__reduce__()[0]  # what unpickles a best score of numpy's beside the weights
_SAFE: list[Any] = [
    argparse.Namespace, np.dtype, *(type(np.dtype(kind)) for kind in ("f8", "f4", "i8", "i4", "?")),
    *((_SCALAR, f"numpy.{core}.multiarray.scalar") for core in ("core", "_core")),
]  # fmt: skip


def read_state(path: Path) -> tuple[dict[str, Tensor], tuple[str, ...]]:
    """The tensors of a file by name, and what was left aside on the way to them.

    Raises:
        ValueError: the file is damaged, holds something else, or would run code.
    """
    found, where = _load(path), []
    for _ in range(_DEEP):
        inner = next((name for name in NESTS if _holds_tensors(found.get(name))), None)
        if inner is None:
            break
        found = found[inner]
        where.append(inner)
    state = {str(name): value for name, value in found.items() if isinstance(value, Tensor)}
    if not state:
        raise ValueError(f"has no state dict (tensors by name){_held(found)}")
    changes = [f"taken from its {'/'.join(where)}"] if where else []
    if others := [str(name) for name in found if str(name) not in state]:
        changes.append(f"{', '.join(others[:3])}{' and more' if len(others) > 3 else ''} ignored: no tensors")
    return state, tuple(changes)


def _load(path: Path) -> Mapping[Any, Any]:
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        with torch.serialization.safe_globals(_SAFE):
            found = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged file fails in as many ways as there are formats
        raise ValueError(f"cannot be read as weights: {_why(error)}") from error
    if not isinstance(found, Mapping):
        raise ValueError(f"has no state dict (tensors by name) but {type(found).__name__}")
    return found


def _why(error: Exception) -> str:
    first = (str(error).splitlines() or [type(error).__name__])[0]
    if "weights_only" in str(error).lower() or "Unsupported" in first:
        return "it holds Python objects, which are never unpickled; save model.state_dict() alone"
    return first


def _holds_tensors(value: object, deep: int = _DEEP) -> bool:
    """Whether a value is a state dict or a nest around one."""
    if not isinstance(value, Mapping) or not deep:
        return False
    return any(isinstance(one, Tensor) or _holds_tensors(one, deep - 1) for one in value.values())


def _held(found: Mapping[Any, Any]) -> str:
    names = [str(name) for name in found][:5]
    return f" but {', '.join(names)}" if names else ""
