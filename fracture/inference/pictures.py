"""Pictures for people: the radiograph as it was decoded, and where the answer comes from, in the same frame."""

import io

import cv2
import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import nn

from fracture.data.batches import Normalize, to_float
from fracture.data.images import Grey
from fracture.models.activation import activation_maps

SIDE = 1024  # pixels of the longer side of a picture at most


def framed(grey: Grey) -> Grey:
    """The whole radiograph, made smaller where it is larger than a picture."""
    height, width = grey.shape
    scale = SIDE / max(height, width)
    if scale >= 1:
        return grey
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return np.asarray(Image.fromarray(grey).resize(size, Image.Resampling.BICUBIC, reducing_gap=3.0))


def png(pixels: npt.NDArray[np.uint8]) -> bytes:
    """The bytes of a PNG of grey [height, width] or red, green, blue [height, width, 3]."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG", compress_level=3)
    return buffer.getvalue()


def heat_png(module: nn.Module, normalize: Normalize, square: Grey, frame: Grey, chosen: int) -> bytes:
    """A PNG of a radiograph with the evidence for class number ``chosen`` laid over it.

    Args:
        module: the model.
        normalize: its normalisation.
        square: what it sees, [size, size].
        frame: the same radiograph without the black around it, [height, width]: the size of the picture.
        chosen: number of the class.

    Raises:
        ValueError: the model's last features are not spatial.
    """
    inputs = normalize(to_float(torch.from_numpy(square[None])))
    heat = _unpadded(activation_maps(module, inputs, [chosen])[0].numpy(), frame.shape)
    colours = cv2.applyColorMap((heat * 255).astype(np.uint8), cv2.COLORMAP_INFERNO)[..., ::-1]
    share = (heat * 0.6)[..., None]
    return png((frame[..., None] * (1 - share) + colours * share).round().astype(np.uint8))


def _unpadded(heat: npt.NDArray[np.float32], shape: tuple[int, ...]) -> npt.NDArray[np.float32]:
    """A map of a letterboxed square, in the frame of the radiograph: what `letterbox` does, backwards."""
    size, (height, width) = len(heat), shape
    scale = size / max(height, width)
    high, wide = max(1, round(height * scale)), max(1, round(width * scale))
    top, left = (size - high) // 2, (size - wide) // 2
    inner = np.ascontiguousarray(heat[top : top + high, left : left + wide])
    return np.clip(cv2.resize(inner, (width, height), interpolation=cv2.INTER_LINEAR), 0, 1)
