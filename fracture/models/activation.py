"""Where in an image a model's answer comes from."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from fracture.models.ensemble import Ensemble
from fracture.models.joined import Joined
from fracture.models.pyramid import Pyramid
from fracture.models.spatial import spatial


def activation_maps(model: nn.Module, inputs: Tensor, classes: Sequence[int]) -> Tensor:
    """Gradient-weighted activations of the last spatial features, brought to the size of the input.

    Each feature is weighted by its own gradient (HiResCAM, Draelos and Carin 2020), which for a model that averages its
    last features and ends linearly is Grad-CAM (Selvaraju et al. 2017), and is exact: the map sums up to the part of
    the answer that comes from there. That of an ensemble is the weighted mean of its members' maps, that of joined
    classes the map of the most probable one. Works for every timm model with ``forward_features`` and ``forward_head``,
    whether its features are [n, c, h, w], [n, h, w, c] or tokens.

    Args:
        model: in evaluation mode.
        inputs: prepared images, [n, 3, size, size].
        classes: the class that is explained, for each image.

    Returns:
        float [n, size, size] in 0 to 1, each scaled by its own maximum; all 0 where nothing speaks for the class.

    Raises:
        ValueError: the model's last features are not spatial.
    """
    if isinstance(model, Joined):
        return activation_maps(model.model, inputs, model.most_probable(inputs, classes))
    if isinstance(model, Ensemble):
        return _averaged(model, inputs, classes)
    evidence = _evidence(model, inputs, classes)
    if isinstance(model, Pyramid):  # half of its answer is that to the mirror image
        evidence = evidence + _evidence(model, inputs.flip(-1), classes).flip(-1)
    return _scaled(evidence.relu())


def _scaled(maps: Tensor) -> Tensor:
    return maps / maps.amax(dim=(1, 2), keepdim=True).clamp_min(1e-12)


def _averaged(model: Ensemble, inputs: Tensor, classes: Sequence[int]) -> Tensor:
    """The members' maps, each at its own size, as one."""
    side, total = inputs.shape[-2:], torch.zeros(len(inputs), *inputs.shape[-2:], device=inputs.device)
    for network, member in zip(model.networks, model.members, strict=True):
        maps = activation_maps(network, model.seen(inputs, member), classes).unsqueeze(1)
        total += member.weight * functional.interpolate(maps, side, mode="bilinear", align_corners=False).squeeze(1)
    return _scaled(total)


def _evidence(model: nn.Module, inputs: Tensor, classes: Sequence[int]) -> Tensor:
    """What speaks for a class and against it, by place: float [n, size, size]."""
    with torch.enable_grad():
        found = model.forward_features(inputs)  # type: ignore[operator]
        features = [found] if isinstance(found, Tensor) else list(found)
        features = [one.detach().requires_grad_(True) for one in features]
        logits = model.forward_head(features[0] if isinstance(found, Tensor) else features)  # type: ignore[operator]
        chosen = logits[torch.arange(len(inputs)), torch.as_tensor(list(classes), device=logits.device)]
        gradients = torch.autograd.grad(chosen.sum(), features)
    source = model.backbone if isinstance(model, Pyramid) else model
    maps = [_map(source, one.detach() * by, inputs) for one, by in zip(features, gradients, strict=True)]
    return torch.stack(maps).sum(dim=0)


def _map(model: nn.Module, evidence: Tensor, inputs: Tensor) -> Tensor:
    """Evidence in the shape of the features, summed over them and brought to the size of the input.

    Negative evidence is left in, so that what one scale says against a class weighs against what another says for it.
    """
    summed = spatial(model, evidence.float()).sum(dim=1, keepdim=True)
    share = summed.shape[-1] * summed.shape[-2] / (inputs.shape[-1] * inputs.shape[-2])  # a sum stays the same sum
    return functional.interpolate(summed * share, inputs.shape[-2:], mode="bilinear", align_corners=False).squeeze(1)
