"""A head that reads more of a backbone than its mean: an image pyramid, pooled by mean, spread and largest value.

What it adds to the backbone's own pooling is how unevenly a feature fires over the image (statistics pooling, Snyder et
al. 2018) and where it fires most, at two sizes of the image, of the image and its mirror image. The answer stays linear
in all of that, so that it can be fitted on frozen features and explained exactly.
"""

import copy
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from fracture.models.spatial import spatial

SCALES = (1.0, 0.6)  # of the image's side: 384 pixels and, by whole strides, 224
_STRIDE = 32  # sides are multiples of what a backbone divides them by
_EPSILON = 1e-6


class Pyramid(nn.Module):
    """A timm backbone with one linear layer on the pooled features of all scales.

    It has the parts of a timm model that this project uses, so that nothing else has to tell them apart. Evaluated,
    its logits are the mean of those of the image and of its mirror image.

    Every scale but the first is read by a twin of the backbone, which shares its parameters and has batch statistics of
    its own: those of a network depend on how large it sees things. A state dict holds what is shared once; one without
    a twin's statistics gives it the backbone's.

    Attributes:
        scales: sides at which an image is read, as shares of the input's.
        backbone: what reads the first of them.
        twins: what reads the others.
    """

    def __init__(self, backbone: nn.Module, classes: int, scales: Sequence[float]) -> None:
        """Take a timm model, whose own classifier is dropped.

        Raises:
            AttributeError: it is not made like a timm model.
        """
        super().__init__()
        backbone.reset_classifier(0)  # type: ignore[operator]
        self.scales = tuple(scales)
        self.backbone = backbone
        self.twins = nn.ModuleList(_twin(backbone) for _ in self.scales[1:])
        self.register_state_dict_post_hook(_leave_out_shared)  # type: ignore[no-untyped-call]
        self.register_load_state_dict_pre_hook(_fill_in_shared)  # type: ignore[no-untyped-call]
        width = int(backbone.head_hidden_size) + 2 * int(backbone.num_features)  # type: ignore[arg-type]
        self.pooled = nn.Identity()  # for whoever wants to catch what the linear layer is given
        self.classifier = nn.Linear(len(self.scales) * width, classes)

    @property
    def readers(self) -> list[nn.Module]:
        """The backbone and its twins, scale by scale."""
        return [self.backbone, *self.twins]

    def forward(self, x: Tensor) -> Tensor:
        """Images [n, 3, s, s] to logits [n, classes], in fp32."""
        logits = self.forward_head(self.forward_features(x))
        if self.training:
            return logits
        return (logits + self.forward_head(self.forward_features(x.flip(-1)))) / 2

    def forward_features(self, x: Tensor) -> list[Tensor]:
        """The backbone's last features of one view, scale by scale, in whatever shape it has them."""
        pairs = zip(self.readers, self.scales, strict=True)
        return [reader.forward_features(_resized(x, scale)) for reader, scale in pairs]  # type: ignore[operator]

    def forward_head(self, features: Sequence[Tensor], pre_logits: bool = False) -> Tensor:
        """Pool what `forward_features` gave: logits, or with ``pre_logits`` what they are linear in; in fp32."""
        found = torch.cat([_pooled(*pair) for pair in zip(self.readers, features, strict=True)], dim=1)
        if pre_logits:
            return found
        with torch.autocast(found.device.type, enabled=False):  # bf16 would round small differences of large features
            return functional.linear(self.pooled(found), self.classifier.weight.float(), self.classifier.bias.float())

    def get_classifier(self) -> nn.Linear:
        """The linear layer."""
        return self.classifier

    def set_grad_checkpointing(self, enable: bool = True) -> None:
        """As the backbone's."""
        for reader in self.readers:
            reader.set_grad_checkpointing(enable)  # type: ignore[operator]

    def group_matcher(self, coarse: bool = False) -> dict[str, object]:
        """Layers of the backbone for timm's optimisers, the linear layer above them."""
        layers = self.backbone.group_matcher(coarse=coarse)  # type: ignore[operator]
        return {name: _below(patterns) for name, patterns in layers.items()}

    def no_weight_decay(self) -> set[str]:
        """Parameters that the backbone wants no decay of."""
        undecayed = getattr(self.backbone, "no_weight_decay", set)
        return {f"backbone.{name}" for name in undecayed()}


def why_unsuitable(backbone: nn.Module, size: int) -> str:
    """Why a timm model, built on the meta device, cannot be read as a pyramid; empty where it can."""
    try:
        with torch.device("meta"), torch.inference_mode():
            model = Pyramid(backbone, 2, SCALES[:1]).eval()
            model.forward_head(model.forward_features(torch.empty(2, 3, size, size)), pre_logits=True)
            model.group_matcher()
    except Exception as error:  # noqa: BLE001 - models that do not fit fail in as many ways as there are families
        return (str(error).splitlines() or [type(error).__name__])[0][:120]
    return ""


def _pooled(reader: nn.Module, features: Tensor) -> Tensor:
    """[n, width]: what the backbone's own head reads, and spread and largest value of every feature."""
    places = spatial(reader, features).float().flatten(2)
    spread = (places.var(dim=2, unbiased=False) + _EPSILON).sqrt()
    own = reader.forward_head(features, pre_logits=True)  # type: ignore[operator]
    return torch.cat([own.float(), spread, places.amax(dim=2)], dim=1)


def _twin(backbone: nn.Module) -> nn.Module:
    """A copy with the same parameters, not with equal ones."""
    return copy.deepcopy(backbone, {id(parameter): parameter for parameter in backbone.parameters()})


def _leave_out_shared(model: nn.Module, state: dict[str, Any], prefix: str, _: object) -> None:
    for name, _parameter in model.twins.named_parameters(remove_duplicate=False):  # type: ignore[union-attr]
        del state[f"{prefix}twins.{name}"]


def _fill_in_shared(model: nn.Module, state: dict[str, Any], prefix: str, *_: object) -> None:
    known = {name: state[name] for name in state if name.startswith(f"{prefix}backbone.")}
    for number in range(len(model.twins)):  # type: ignore[arg-type]
        for name, value in known.items():
            state.setdefault(name.replace("backbone.", f"twins.{number}.", 1), value)


def _resized(x: Tensor, scale: float) -> Tensor:
    if scale == 1:
        return x
    side = max(_STRIDE, round(scale * x.shape[-1] / _STRIDE) * _STRIDE)
    small = functional.interpolate(
        x.float(), (side, side), mode="bicubic", antialias=True
    )  # torch has no other on CPUs
    return small.to(x.dtype)


def _below(patterns: object) -> object:
    """A pattern of parameter names, or a list of patterns with their orders, one level down."""
    if isinstance(patterns, str):
        return rf"^backbone\.(?:{patterns.replace('^', '')})"
    return [(_below(pattern), order) for pattern, order in patterns]  # type: ignore[attr-defined]
