"""The last features of a timm model as a map, whatever shape its family gives them."""

import math

from torch import Tensor, nn


def spatial(model: nn.Module, features: Tensor) -> Tensor:
    """Features [n, c, h, w], [n, h, w, c] or tokens [n, t, c] of ``model`` as [n, c, h, w].

    Raises:
        ValueError: they are not spatial.
    """
    if features.ndim == 4:
        return features.permute(0, 3, 1, 2) if getattr(model, "output_fmt", "") == "NHWC" else features
    if features.ndim == 3:
        tokens = features[:, int(getattr(model, "num_prefix_tokens", 0)) :]
        side = math.isqrt(tokens.shape[1])
        if side * side == tokens.shape[1]:
            return tokens.transpose(1, 2).reshape(len(tokens), -1, side, side)
    raise ValueError(f"features of shape {tuple(features.shape)} are not spatial")
