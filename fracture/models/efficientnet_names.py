"""Names of EfficientNet-PyTorch's state dicts, which many packages and files have, as timm's."""

from collections.abc import Iterable, Mapping

from torch import Tensor

_OUTER = {"_conv_stem": "conv_stem", "_bn0": "bn1", "_conv_head": "conv_head", "_bn1": "bn2", "_fc": "classifier"}
_INNER = {
    "_expand_conv": "conv_pw", "_bn0": "bn1", "_depthwise_conv": "conv_dw", "_bn1": "bn2", "_project_conv": "conv_pwl",
    "_bn2": "bn3", "_se_reduce": "se.conv_reduce", "_se_expand": "se.conv_expand",
}  # fmt: skip
_NOT_EXPANDED = _INNER | {"_bn1": "bn1", "_project_conv": "conv_pw", "_bn2": "bn2"}  # the blocks of the first stage


def as_timm(state: Mapping[str, Tensor], own: Iterable[str]) -> dict[str, Tensor]:
    """The tensors of ``state`` by timm's names; ``state`` as it is where it is not named by EfficientNet-PyTorch.

    That numbers its blocks through (``_blocks.5._bn0.weight``), timm by stage (``blocks.2.2.bn1.weight``), in the same
    order.

    Args:
        state: tensors by name, without a prefix.
        own: names of the backbone's tensors, in order.
    """
    if "_conv_stem.weight" not in state:
        return dict(state)
    places = list(dict.fromkeys(".".join(name.split(".")[:3]) for name in own if name.startswith("blocks.")))
    expanded = {name.split(".")[1] for name in state if "._expand_conv." in name}
    return {_named(name, places, expanded): value for name, value in state.items()}


def _named(name: str, places: list[str], expanded: set[str]) -> str:
    """The name as timm has it; one that it has not stays, and is refused by whoever loads it."""
    first, _, rest = name.partition(".")
    if first in _OUTER:
        return f"{_OUTER[first]}.{rest}"
    number, _, inner = rest.partition(".")
    layer, _, leaf = inner.partition(".")
    names = _INNER if number in expanded else _NOT_EXPANDED
    if first != "_blocks" or not number.isdigit() or int(number) >= len(places) or layer not in names:
        return name
    return f"{places[int(number)]}.{names[layer]}.{leaf}"
