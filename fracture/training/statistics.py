"""Batch normalisation that has seen radiographs: its statistics, mixed with those of the training images.

Statistics of photographs shift every feature of a radiograph, and those of a few hundred radiographs alone forget what
the weights were learned with; a mixture of both is better than either (Schneider et al. 2020, "Improving robustness
against common corruptions by covariate shift adaptation").
"""

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from fracture.models.backbones import batch_norms

SHARE = 0.5  # of the training images' statistics; docs/recipe-measurements.md has what others are worth


def mix_statistics(model: nn.Module, batches: Iterable[Tensor], share: float = SHARE) -> None:
    """Move the running statistics of batch normalisation towards those of some images.

    Args:
        model: a timm model or a `Pyramid`; it is left in evaluation mode, and nothing else in it changes.
        batches: inputs [n, 3, s, s] with n of at least 2, in an order that mixes classes; each counts alike.
        share: of what the batches say, the rest is what the model knew.
    """
    model.eval()
    norms = [norm for norm in batch_norms(model) if norm.track_running_stats]
    known = [{name: value.clone() for name, value in norm.named_buffers()} for norm in norms]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the mean over all batches
        norm.train()
    with torch.no_grad():
        for batch in batches:
            model.forward_head(model.forward_features(batch), pre_logits=True)  # type: ignore[operator]
    model.eval()
    for norm, old, momentum in zip(norms, known, momenta, strict=True):
        norm.momentum = momentum
        found = dict(norm.named_buffers())
        for name in ("running_mean", "running_var"):
            found[name].lerp_(old[name], 1 - share)
        found["num_batches_tracked"].copy_(old["num_batches_tracked"])
