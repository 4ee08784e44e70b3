"""Sizes of images that a backbone with a fixed one can be built for; timm resamples the positions of its weights."""

from functools import lru_cache
from itertools import chain, islice
from math import gcd

import timm
import torch
from torch import nn

_STEPS = 4  # how far nearer sizes are looked for, on either side


def takes(name: str, size: int) -> bool:
    """Whether timm builds ``name`` for images of ``size`` pixels and every one of those pixels is read."""
    return not _lack(name, size)


def nearest(name: str, size: int) -> list[int]:
    """The sizes below and above ``size`` that ``name`` can be built for, where there are some near."""
    step = _step(name)
    below = islice(range(size // step * step, 0, -step), _STEPS)
    above = islice(range((size // step + 1) * step, 2 * size, step), _STEPS)
    found = (next((near for near in side if takes(name, near)), None) for side in (below, above))
    return [near for near in found if near is not None]


def refusal(name: str, own: int, size: int) -> str:
    """Why ``name`` does not take images of ``size`` pixels, and which it takes; empty where it does."""
    if size == own or takes(name, size):
        return ""
    others = [near for near in dict.fromkeys(chain(nearest(name, size), [own])) if near != size]
    if others == [own]:
        return f"{name} takes {own} only"
    return f"{name} cannot be built for it ({_lack(name, size)}); it takes {', '.join(map(str, others))}"


@lru_cache(maxsize=256)
def _lack(name: str, size: int) -> str:
    """Why not, empty where it can be built and called; without memory for its weights."""
    step = _step(name)
    if size % step:
        return f"not a multiple of {step}"
    try:
        with torch.device("meta"), torch.inference_mode():
            timm.create_model(name, img_size=size, num_classes=2).eval()(torch.empty(1, 3, size, size))
    except Exception as error:  # noqa: BLE001 - sizes that do not fit fail in as many ways as there are families
        return (str(error).splitlines() or [""])[0][:120] or type(error).__name__
    return ""


@lru_cache(maxsize=64)
def _step(name: str) -> int:
    """Side of its patches: what is left over at the edge would not be read. Where it has none, what divides 32."""
    with torch.device("meta"):
        model: nn.Module = timm.create_model(name, num_classes=2)
    patches = getattr(model, "patch_embed", None)
    if patches is not None and hasattr(patches, "feat_ratio"):
        return int(patches.feat_ratio())
    side = getattr(patches, "patch_size", None)
    side = side[0] if isinstance(side, tuple | list) else side
    return side if isinstance(side, int) and side > 0 else gcd(32, timm.get_pretrained_cfg(name).input_size[-1])
