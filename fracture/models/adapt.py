"""From the state dict that people have to the one that a backbone takes, and what was dropped or changed on the way."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import timm
import torch
from torch import Tensor, nn

from fracture.models.efficientnet_names import as_timm

State = dict[str, Tensor]

_SHOWN = 3  # names in a sentence
_WRAPPERS = ("module.", "_orig_mod.", "model.", "backbone.", "encoder.")
_OTHER_PARTS = re.compile(  # of a checkpoint; names such as cls_token or fc_norm are of a backbone, and not here
    r"heads?|\w+_heads?|head_\w+|fc|classif\w*|project\w*|predict\w*|decoder\w*|criterion|loss\w*|queue\w*|mask_token"
    r"|logit_scale|n_averaged|last_layer"
)


@dataclass(frozen=True)
class Adapted:
    """A state dict for a backbone.

    Attributes:
        state: tensors by the backbone's names; those of its head are there, but have no meaning.
        changes: sentences on what was dropped or changed.
    """

    state: State
    changes: tuple[str, ...] = ()


def adapt(state: Mapping[str, Tensor], model: nn.Module) -> Adapted:
    """Take the part of ``state`` that is ``model``'s, whatever it lies under and whatever head is on it.

    Nothing of the backbone is ever left out or made up: what does not fit is for `load_state_dict` to refuse. A state
    dict with other names than timm's is left as it is but for a common prefix, since timm knows some of those.

    Args:
        state: tensors by name.
        model: a timm model with a head, on whatever device, as large as wanted.

    Raises:
        ValueError: it holds several different ones.
    """
    own = {name: value for name, value in model.state_dict().items() if not name.endswith("num_batches_tracked")}
    heads = _heads(model)
    body = {name for name in own if not name.startswith(heads)}
    prefix = _prefix(state, body)
    inner = {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}
    inner = as_timm(inner, own)
    outside = [name for name in state if not name.startswith(prefix)]
    changes = [f"read below {prefix}"] if prefix else []
    if not body <= inner.keys():
        return Adapted(inner, tuple(changes + _dropped(outside)))
    outside += [name for name in inner if name not in own and not name.startswith(heads) and _is_other_part(name, body)]
    changes += [*_dropped(outside), _head(inner, heads)]
    kept = {name: value for name, value in inner.items() if name not in outside and not name.startswith(heads)}
    changes += _widen_inputs(kept, own, _first_layers(model)) + _resampled(kept, own)
    made = {name: torch.zeros(value.shape, dtype=value.dtype) for name, value in own.items() if name.startswith(heads)}
    return Adapted(kept | made, tuple(change for change in changes if change))


def _heads(model: nn.Module) -> tuple[str, ...]:
    """What the names of the tensors of its last layers begin with."""
    return tuple(f"{name}." for name in _listed(model.pretrained_cfg.get("classifier")))  # type: ignore[operator, union-attr]


def _first_layers(model: nn.Module) -> list[str]:
    return [f"{name}.weight" for name in _listed(model.pretrained_cfg.get("first_conv"))]  # type: ignore[operator, union-attr]


def _listed(names: str | Sequence[str] | None) -> list[str]:
    return [names] if isinstance(names, str) else list(names or ())


def _prefix(state: Mapping[str, Tensor], body: set[str]) -> str:
    """What the names of the backbone's tensors begin with in ``state``; the one below which most of them are found.

    Raises:
        ValueError: there are several such, with different tensors.
    """
    found = Counter(start for name in state for start in _starts(name) if name[len(start) :] in body)
    most = max(found.values(), default=0)
    if 2 * most <= len(body):
        return _common_wrapper(state)
    best = sorted((start for start, count in found.items() if count == most), key=len)
    if best[0] and any(not _same(state, best[0], other, body) for other in best[1:]):
        raise ValueError(
            f"it holds {len(best)} such models with different weights, below {', '.join(best)}; save the one that is "
            "wanted alone"
        )
    return best[0]


def _starts(name: str) -> list[str]:
    """Nothing, and every part of a dotted name that ends with a dot."""
    return ["", *(name[: match.end()] for match in re.finditer(r"\.", name))]


def _common_wrapper(state: Mapping[str, Tensor]) -> str:
    prefix = ""
    while wrapper := next((w for w in _WRAPPERS if all(name.startswith(prefix + w) for name in state)), ""):
        prefix += wrapper
    return prefix


def _same(state: Mapping[str, Tensor], one: str, other: str, body: set[str]) -> bool:
    pairs = [(state.get(one + name), state.get(other + name)) for name in body]
    return all(a is not None and b is not None and torch.equal(a, b) for a, b in pairs if a is not b)


def _is_other_part(name: str, body: set[str]) -> bool:
    """Whether a tensor that the model does not have is of another part of a checkpoint, not of another backbone."""
    first = name.split(".")[0]
    return _OTHER_PARTS.fullmatch(first) is not None and not any(known.split(".")[0] == first for known in body)


def _dropped(names: list[str]) -> list[str]:
    return [f"{_several(names)} dropped: not the backbone's"] if names else []


def _head(state: Mapping[str, Tensor], heads: tuple[str, ...]) -> str:
    """What becomes of the head: a new one is made in any case."""
    if not heads:
        return ""
    held = [name for name in state if name.startswith(heads)]
    return f"its head dropped ({_several(held)}) for a new one" if held else "without a head, which is new"


def _widen_inputs(state: State, own: Mapping[str, Tensor], names: Iterable[str]) -> list[str]:
    """Spread a first layer for one grey channel over three; on three equal channels the answer stays the same."""
    changes = []
    for name in names:
        value, wanted = state.get(name), own.get(name)
        if value is None or wanted is None or value.ndim != 4 or value.shape[1] != 1 or wanted.shape[1] != 3:
            continue
        state[name] = _spread(value)
        changes.append(f"{name} spread from 1 input channel over 3")
    return changes


def _spread(weight: Tensor) -> Tensor:
    try:
        spread: Tensor = timm.models.adapt_input_conv(3, weight, base_chans=1)
    except TypeError:  # earlier ones adapt from three channels only
        spread = (weight.float().repeat(1, 3, 1, 1) / 3).to(weight.dtype)
    return spread


def _resampled(state: State, own: Mapping[str, Tensor]) -> list[str]:
    """What timm brings to the shape that the model has at its size; whatever it cannot bring there it refuses."""
    changed = [name for name in state if name in own and state[name].shape != own[name].shape]
    return [f"{_several(changed)} resampled by timm for the size of the images"] if changed else []


def _several(names: list[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
