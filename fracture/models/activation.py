"""Where in an image a model's answer comes from."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional


def activation_maps(model: nn.Module, inputs: Tensor, classes: Sequence[int]) -> Tensor:
    """Gradient-weighted activations of the last spatial features, brought to the size of the input.

    Each feature is weighted by its own gradient (HiResCAM, Draelos and Carin 2020), which for a model that averages its
    last features and ends linearly is Grad-CAM (Selvaraju et al. 2017), and is exact: the map sums up to the part of
    the answer that comes from there. Works for every timm model with ``forward_features`` and ``forward_head``, whether
    its features are [n, c, h, w], [n, h, w, c] or tokens.

    Args:
        model: in evaluation mode.
        inputs: prepared images, [n, 3, size, size].
        classes: the class asked about, for each image.

    Returns:
        float [n, size, size] in 0 to 1, each scaled by its own maximum; all 0 where nothing speaks for the class.

    Raises:
        ValueError: the model's last features are not spatial.
    """
    with torch.enable_grad():
        features = model.forward_features(inputs).detach().requires_grad_(True)  # type: ignore[operator]
        logits = model.forward_head(features)  # type: ignore[operator]
        chosen = logits[torch.arange(len(inputs)), torch.as_tensor(list(classes), device=logits.device)]
        (gradient,) = torch.autograd.grad(chosen.sum(), features)
    evidence = _spatial(model, (gradient * features).detach().float()).sum(dim=1, keepdim=True).relu()
    maps = functional.interpolate(evidence, inputs.shape[-2:], mode="bilinear", align_corners=False).squeeze(1)
    return maps / maps.amax(dim=(1, 2), keepdim=True).clamp_min(1e-12)


def _spatial(model: nn.Module, features: Tensor) -> Tensor:
    """Features as [n, c, h, w]."""
    if features.ndim == 4:
        return features.permute(0, 3, 1, 2) if getattr(model, "output_fmt", "") == "NHWC" else features
    if features.ndim == 3:
        tokens = features[:, int(getattr(model, "num_prefix_tokens", 0)) :]
        side = math.isqrt(tokens.shape[1])
        if side * side == tokens.shape[1]:
            return tokens.transpose(1, 2).reshape(len(tokens), -1, side, side)
    raise ValueError(f"features of shape {tuple(features.shape)} are not spatial")
