"""The pooled features that a model's last layer is linear on, caught while it answers."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from torch import Tensor, nn

from fracture.models import backbones
from fracture.models.pyramid import Pyramid


@contextmanager
def pooled(model: nn.Module) -> Iterator[list[Tensor]]:
    """While this thread asks the model, its pooled features [n, d], an entry a pass; none without such a layer."""
    layer = model.pooled if isinstance(model, Pyramid) else backbones.last_layer(model)
    found: list[Tensor] = []
    if layer is None:
        yield found
        return
    me = threading.get_ident()  # another thread may be drawing heat maps

    def catch(_: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        if threading.get_ident() == me:
            found.append(inputs[0].detach().float())

    handle = layer.register_forward_pre_hook(catch)
    try:
        yield found
    finally:
        handle.remove()
