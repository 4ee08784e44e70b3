"""Heat maps: where in an image the answer comes from, as a picture."""

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from fracture.data.batches import Normalize, to_float
from fracture.models.activation import activation_maps


def heat_png(module: nn.Module, normalize: Normalize, square: npt.NDArray[np.uint8], chosen: int) -> bytes:
    """A PNG of the square [size, size] with the evidence for class number ``chosen`` laid over it.

    Raises:
        ValueError: the model's last features are not spatial.
    """
    inputs = normalize(to_float(torch.from_numpy(square[None])))
    heat = activation_maps(module, inputs, [chosen])[0].numpy()
    colours = cv2.applyColorMap((heat * 255).astype(np.uint8), cv2.COLORMAP_INFERNO)
    share = (heat * 0.6)[..., None]
    mixed = square[..., None] * (1 - share) + colours * share
    return bytes(cv2.imencode(".png", mixed.round().astype(np.uint8))[1].tobytes())
