"""The backbones: names, what timm says of them, and how one is built."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

import timm
import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from fracture.allowed_values import names_in, nearest
from fracture.config import TrainConfig
from fracture.errors import ConfigError
from fracture.models import sizes
from fracture.models.adapt import adapt
from fracture.models.pyramid import SCALES, Pyramid, why_unsuitable

NICKNAMES = {
    "convnextv2": "convnextv2_base.fcmae_ft_in22k_in1k",
    "efficientnetv2": "tf_efficientnetv2_s.in21k_ft_in1k",
    "maxvit": "maxvit_tiny_tf_224.in1k",
    "swin": "swin_tiny_patch4_window7_224.ms_in1k",
}
DEFAULT_SIZE = 224


@dataclass(frozen=True)
class Backbone:
    """What is known of a backbone before it is built.

    Attributes:
        nickname: what the user typed.
        name: timm's name with its tag.
        own_size: side of the images that its weights were trained on.
        fixed_size: whether it is built for one size, which may be another than its own.
        mean, std: of its inputs, per channel, for pixels in 0 to 1.
        license: of timm's pretrained weights, as timm states it.
    """

    nickname: str
    name: str
    own_size: int
    fixed_size: bool
    mean: tuple[float, ...]
    std: tuple[float, ...]
    license: str

    def image_size(self, wanted: int | str) -> int:
        """The side of the images it is trained on: ``wanted``, or 224, or its own where it is built for one.

        Raises:
            ConfigError: it cannot be built for the size that is wanted; the message names those near it.
        """
        if wanted == "auto":
            return self.own_size if self.fixed_size else DEFAULT_SIZE
        if self.fixed_size and (reason := sizes.refusal(self.name, self.own_size, int(wanted))):
            raise ConfigError(f"image_size={wanted}: {reason}; or leave image_size at auto")
        return int(wanted)

    def scales(self, features: str) -> tuple[float, ...]:
        """At which scales ``features=pyramid`` reads an image; none at all with the backbone's own head."""
        if features == "backbone":
            return ()
        return SCALES[:1] if self.fixed_size else SCALES


def split_names(model: str) -> list[str]:
    """The backbones that ``model`` names: one, several with commas, or all four of `NICKNAMES`.

    Raises:
        ConfigError: none at all.
    """
    names = names_in(model)
    if not names:
        raise ConfigError(f"model={model}: names no backbone. Allowed: {', '.join(NICKNAMES)}, all, or any timm name.")
    return list(dict.fromkeys(n for name in names for n in (NICKNAMES if name == "all" else [name])))


def find(nickname: str) -> Backbone:
    """Look a backbone up by its nickname or timm name.

    Raises:
        ConfigError: unknown, with the nearest names.
    """
    name = NICKNAMES.get(nickname, nickname)
    try:
        cfg = timm.get_pretrained_cfg(name, allow_unregistered=False) if timm.is_model(name) else None
    except RuntimeError:
        cfg = None
    if cfg is None:
        known = [*NICKNAMES, *timm.list_models(), *timm.list_pretrained()]
        raise ConfigError(
            f"model={nickname}: no such backbone. {nearest(nickname, known)}\n"
            f"Allowed: {', '.join(NICKNAMES)}, all, or any name that timm.list_models() knows."
        )
    tagged = f"{cfg.architecture}.{cfg.tag}" if cfg.tag else str(cfg.architecture)
    return Backbone(
        nickname, tagged, cfg.input_size[-1], bool(cfg.fixed_input_size), tuple(cfg.mean), tuple(cfg.std),
        cfg.license or "not stated",
    )  # fmt: skip


def build(
    backbone: Backbone,
    classes: int,
    *,
    size: int | None = None,
    scales: tuple[float, ...] = (),
    drop_path: float = 0.0,
    weights: Mapping[str, torch.Tensor] | None = None,
    checkpointing: bool = False,
) -> nn.Module:
    """Build a backbone with a new head for ``classes`` outputs.

    Args:
        backbone: from `find`.
        classes: number of outputs.
        size: side of the images; None is the backbone's own. It matters where `Backbone.fixed_size` is true.
        scales: those that a `Pyramid` reads; none is the backbone's own head.
        drop_path: stochastic depth rate.
        weights: a state dict for it as `adapt` takes it: it must fit but for the head, which is replaced.
        checkpointing: recompute activations in the backward pass.

    Raises:
        ConfigError: the weights do not fit, or the backbone knows no stochastic depth or checkpointing.
    """
    options = _sized(backbone, size)
    try:  # 0 is said too: some, as Swin, have another default
        model = _create(backbone, classes, weights, options | {"drop_path_rate": drop_path})
    except TypeError as error:
        if drop_path:
            raise ConfigError(f"drop_path={drop_path}: {backbone.name} does not take it; use 0") from error
        model = _create(backbone, classes, weights, options)
    if scales:
        model = Pyramid(model, classes, scales)
    if checkpointing:
        try:
            model.set_grad_checkpointing(True)
        except (AssertionError, AttributeError) as error:
            raise ConfigError(f"checkpointing=true: {backbone.name} does not support it; use false") from error
    return cast(nn.Module, model)


def check(backbone: Backbone, config: TrainConfig) -> None:
    """See that a backbone knows what a configuration wants of it, without taking memory for its weights.

    Raises:
        ConfigError: it knows no stochastic depth, no checkpointing, no pyramid, no linear probe or no batch statistics.
    """
    checkpointing = config.checkpointing is True
    if config.drop_path or checkpointing:
        with torch.device("meta"):
            build(backbone, 2, drop_path=config.drop_path, checkpointing=checkpointing)
    if config.features == "pyramid" and (reason := _no_pyramid(backbone)):
        raise ConfigError(f"features=pyramid: {backbone.name} cannot be read so ({reason}); use features=backbone")
    if config.head == "probe" and config.features not in solvable(backbone):
        raise ConfigError(f"head=probe: the last layer of {backbone.name} is not linear; use head=random")
    if config.batch_norm == "mixed":
        with torch.device("meta"):
            model = build(backbone, 2)
        if not normalises_batches(model):
            raise ConfigError(
                f"batch_norm=mixed: {backbone.name} has no batch normalisation; use batch_norm=pretrained"
            )


def solvable(backbone: Backbone) -> tuple[str, ...]:
    """The values of ``features`` with which a head can be fitted, the best first."""
    with torch.device("meta"):
        linear = last_layer(build(backbone, 2)) is not None
    found = {"pyramid": not _no_pyramid(backbone), "backbone": linear}
    return tuple(name for name, can in found.items() if can)


def _no_pyramid(backbone: Backbone) -> str:
    with torch.device("meta"):
        return why_unsuitable(build(backbone, 2), backbone.own_size)


def batch_norms(model: nn.Module) -> list[_BatchNorm]:
    """The layers of batch normalisation in a model."""
    return [module for module in model.modules() if isinstance(module, _BatchNorm)]


def normalises_batches(model: nn.Module) -> bool:
    """Whether there is batch normalisation in a model."""
    return bool(batch_norms(model))


def last_layer(model: nn.Module) -> nn.Linear | None:
    """The last layer of a timm model where it is linear on pooled features, else None."""
    found = model.get_classifier() if hasattr(model, "get_classifier") else None  # type: ignore[operator]
    return found if isinstance(found, nn.Linear) and hasattr(model, "forward_head") else None


def template(backbone: Backbone, size: int | None = None) -> nn.Module:
    """The backbone with its own head, for its names and shapes only: it takes no memory for its weights."""
    with torch.device("meta"):
        return cast(nn.Module, timm.create_model(backbone.name, **_sized(backbone, size)))


def _sized(backbone: Backbone, size: int | None) -> dict[str, Any]:
    return {"img_size": size} if size and backbone.fixed_size else {}


def _create(
    backbone: Backbone, classes: int, weights: Mapping[str, torch.Tensor] | None, options: dict[str, Any]
) -> Any:
    if weights is None:
        return timm.create_model(backbone.name, num_classes=classes, **options)
    try:
        state = adapt(weights, template(backbone, options.get("img_size"))).state
        outputs = _outputs(backbone, state)
        overlay = {"state_dict": state, "num_classes": outputs, "label_offset": 0, "custom_load": False}
        model = timm.create_model(  # as many outputs as the state dict has, so that timm loads it strictly
            backbone.name, pretrained=True, num_classes=outputs, pretrained_cfg_overlay=overlay, **options
        )
    except (RuntimeError, KeyError, ValueError) as error:
        reason = " ".join(str(error).split())[:300]
        raise ConfigError(f"the weights do not fit {backbone.name}: {reason}") from error
    model.reset_classifier(classes)
    return model


def _outputs(backbone: Backbone, weights: Mapping[str, torch.Tensor]) -> int:
    cfg = timm.get_pretrained_cfg(backbone.name)
    head = cfg.classifier if isinstance(cfg.classifier, str) else (cfg.classifier or ("",))[0]
    weight = weights.get(f"{head}.weight")
    return int(cfg.num_classes) if weight is None else int(weight.shape[0])
