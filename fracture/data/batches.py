"""Batches on the device: augmentation and normalisation of grey uint8 squares, whole batches at a time.

Nothing here can delete a fracture: no cropping, no erasing, hardly any zoom into the image. What may leave it is the
rim: 4% of the side at an edge and 10% in a corner at worst. Every random number comes from the generator given, so
that a batch is the same whatever was drawn before. Nothing here waits for a GPU.
"""

import math
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor
from torch.nn import functional

ROTATION = 8.0  # degrees
ZOOM_IN, ZOOM_OUT = 0.02, 0.10  # mostly out, so that what is turned and shifted stays in the image
SHIFT = 0.03  # of the side
BRIGHTNESS = 0.12  # of the full range
CONTRAST = 0.2
GAMMA = 0.2  # in powers of two
NOISE = 0.02  # largest standard deviation, of the full range
BLUR = 0.3  # share of the images that are lightly blurred


@dataclass(frozen=True)
class Normalize:
    """Turns grey values in 0 to 1 into a backbone's input: three equal channels, mean subtracted, divided by std."""

    mean: tuple[float, ...]
    std: tuple[float, ...]

    def __call__(self, grey: Tensor) -> Tensor:
        """Float [n, 1, s, s] to float [n, 3, s, s]."""
        channels = _channels if grey.device.type == "cpu" else _kept_channels
        return (grey - channels(self.mean, grey.device)) / channels(self.std, grey.device)


def _channels(values: tuple[float, ...], device: torch.device) -> Tensor:
    """Float [1, channels, 1, 1]."""
    with torch.inference_mode(False):  # of use to learning too, whoever asks first
        return torch.tensor(values, device=device).view(1, -1, 1, 1)


_kept_channels = lru_cache(maxsize=16)(_channels)  # a copy from the host waits for a GPU


def generator_on(device: torch.device, seed: int) -> torch.Generator:
    """Random numbers of one batch, drawn where the batch is; a GPU's are counter-based (Philox), so seeding is free."""
    return torch.Generator(device).manual_seed(seed)


def to_float(pixels: Tensor) -> Tensor:
    """uint8 [n, s, s] to float [n, 1, s, s] in 0 to 1."""
    return pixels.unsqueeze(1).float().div_(255)


def augment(pixels: Tensor, generator: torch.Generator) -> Tensor:
    """Expose, move, blur and add noise to a batch.

    Args:
        pixels: uint8 [n, s, s].
        generator: on the device of ``pixels``.

    Returns:
        float [n, 1, s, s] in 0 to 1, on the same device.
    """
    moved = _move(_expose(pixels, generator), generator)
    return _noise(_blur(moved, generator), generator).clamp_(0, 1)


def _uniform(n: int, low: float, high: float, generator: torch.Generator) -> Tensor:
    return torch.empty(n, device=generator.device).uniform_(low, high, generator=generator)


def _move(grey: Tensor, generator: torch.Generator) -> Tensor:
    """Horizontal flip, rotation, scale and shift in one interpolation; what comes in from outside is black."""
    n = len(grey)
    angle = _uniform(n, -math.radians(ROTATION), math.radians(ROTATION), generator)
    scale = 1 + _uniform(n, -ZOOM_IN, ZOOM_OUT, generator)
    flip = torch.where(_uniform(n, 0, 1, generator) < 0.5, -1.0, 1.0)
    shift = [_uniform(n, -2 * SHIFT, 2 * SHIFT, generator) for _ in range(2)]
    cos, sin = torch.cos(angle) * scale, torch.sin(angle) * scale
    rows = [torch.stack([cos * flip, -sin, shift[0]], 1), torch.stack([sin * flip, cos, shift[1]], 1)]
    grid = functional.affine_grid(torch.stack(rows, 1), list(grey.shape), align_corners=False)
    return functional.grid_sample(grey, grid, align_corners=False)


def _expose(pixels: Tensor, generator: torch.Generator) -> Tensor:
    """Gamma, contrast and brightness as one table of 256 values an image; black, the padding, stays black."""
    n, device = len(pixels), pixels.device
    gamma = torch.exp2(_uniform(n, -GAMMA, GAMMA, generator))
    contrast = 1 + _uniform(n, -CONTRAST, CONTRAST, generator)
    brightness = _uniform(n, -BRIGHTNESS, BRIGHTNESS, generator)
    values = torch.linspace(0, 1, 256, device=device).unsqueeze(0)
    table = (values.pow(gamma.unsqueeze(1)) * contrast.unsqueeze(1) + brightness.unsqueeze(1)).clamp_(0, 1)
    table[:, 0] = 0
    return table.gather(1, pixels.reshape(n, -1).long()).view(n, 1, *pixels.shape[1:])


def _blur(grey: Tensor, generator: torch.Generator) -> Tensor:
    """Half of a 3 x 3 mean, on some of the images; may change ``grey``."""
    blurred = _uniform(len(grey), 0, 1, generator) < BLUR
    if grey.device.type != "cpu":  # to count the images would wait for the GPU, where all of them cost little
        return torch.where(blurred.view(-1, 1, 1, 1), _softened(grey), grey)
    chosen = torch.nonzero(blurred).squeeze(1)
    grey[chosen] = _softened(grey[chosen])
    return grey


def _softened(grey: Tensor) -> Tensor:
    return (grey + functional.avg_pool2d(functional.pad(grey, (1, 1, 1, 1), mode="replicate"), 3, stride=1)) / 2


def _noise(grey: Tensor, generator: torch.Generator) -> Tensor:
    strength = _uniform(len(grey), 0, NOISE, generator).view(-1, 1, 1, 1)
    return torch.addcmul(grey, strength, torch.randn(grey.shape, generator=generator, device=grey.device))
