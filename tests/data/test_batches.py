"""Augmentation: reproducible, in range, and nothing of an image gets lost."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from fracture.data import batches
from fracture.data.batches import Normalize, augment, to_float


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def pixels() -> Tensor:
    return torch.from_numpy(np.random.default_rng(0).integers(0, 256, (8, 48, 48), dtype=np.uint8))


def test_a_generator_gives_the_same_batch_whatever_was_drawn_before(pixels: Tensor) -> None:
    torch.manual_seed(1)
    first = augment(pixels, generator(3))
    torch.manual_seed(2)
    torch.rand(100)
    state = torch.get_rng_state()
    second = augment(pixels, generator(3))
    assert torch.equal(first, second)
    assert torch.equal(torch.get_rng_state(), state)


def test_seeds_and_images_differ(pixels: Tensor) -> None:
    assert not torch.equal(augment(pixels, generator(0)), augment(pixels, generator(1)))
    same = augment(pixels[:1].expand(4, -1, -1), generator())
    assert all(not torch.equal(a, b) for a, b in itertools.combinations(same, 2))


def test_what_goes_in_is_not_changed(pixels: Tensor) -> None:
    before = pixels.clone()
    augment(pixels, generator())
    to_float(pixels)
    assert torch.equal(pixels, before)


@settings(deadline=None, max_examples=40)
@given(st.integers(1, 5), st.integers(8, 40), st.integers(0, 2**31), st.sampled_from([0, 255, None]))
def test_values_stay_in_range_and_shape(n: int, side: int, seed: int, value: int | None) -> None:
    if value is None:
        pixels = torch.randint(0, 256, (n, side, side), dtype=torch.uint8, generator=generator(seed))
    else:
        pixels = torch.full((n, side, side), value, dtype=torch.uint8)
    result = augment(pixels, generator(seed))
    assert (result.dtype, result.shape) == (torch.float32, (n, 1, side, side))
    assert result.isfinite().all()
    assert result.min() >= 0
    assert result.max() <= 1


def test_black_padding_stays_black_on_exposure(pixels: Tensor) -> None:
    pixels = pixels.clamp(min=1)
    pixels[:, :10] = 0
    for seed in range(20):
        exposed = batches._expose(pixels, generator(seed))
        assert (exposed[:, :, :10] == 0).all()


def test_exposure_keeps_the_order_of_greys() -> None:
    ramp = torch.arange(256, dtype=torch.uint8).view(1, 16, 16).repeat(32, 1, 1)
    exposed = batches._expose(ramp, generator()).view(32, 256)
    assert (exposed.diff(dim=1)[:, 1:] >= 0).all()
    assert (exposed[:, 128] - 128 / 255).abs().max() < 0.4
    assert (exposed[:, 128] - 128 / 255).abs().mean() > 0.02


def test_exposure_is_right_on_average() -> None:
    grey = torch.full((2000, 1, 1), 110, dtype=torch.uint8)
    assert abs(float(batches._expose(grey, generator()).mean()) - 110 / 255) < 0.01


def test_half_of_the_images_are_mirrored() -> None:
    left = torch.zeros(2000, 16, 16, dtype=torch.uint8)
    left[:, :, :8] = 255
    result = augment(left, generator())
    mirrored = result[..., 8:].mean((1, 2, 3)) > result[..., :8].mean((1, 2, 3))
    assert 0.45 < float(mirrored.float().mean()) < 0.55


def test_nothing_is_turned_upside_down() -> None:
    top = torch.zeros(500, 24, 24, dtype=torch.uint8)
    top[:, :12] = 255
    result = augment(top, generator())
    assert (result[:, :, :12].mean((1, 2, 3)) > result[:, :, 12:].mean((1, 2, 3))).all()


def test_moves_are_small_and_centred() -> None:
    blob = torch.zeros(1000, 1, 48, 48)
    blob[:, :, 22:26, 22:26] = 1
    moved = batches._move(blob, generator())
    place = torch.arange(48.0) - 23.5
    mass = moved.sum((1, 2, 3))
    x = (moved.sum((1, 2)) * place).sum(1) / mass
    y = (moved.sum((1, 3)) * place).sum(1) / mass
    limit = 48 * batches.SHIFT * (1 + batches.ZOOM_OUT) * 1.42  # turned shifts mix both directions
    for offsets in (x, y):
        assert float(offsets.abs().max()) < limit
        assert abs(float(offsets.mean())) < 0.2
        assert float(offsets.std()) > 0.5


@settings(deadline=None, max_examples=12)
@given(st.integers(7, 40), st.integers(7, 40), st.integers(0, 2**31))
def test_no_finding_is_lost(row: int, column: int, seed: int) -> None:
    """A bright spot anywhere but in a rim of an eighth of the side is in every augmented image."""
    spot = torch.zeros(32, 48, 48, dtype=torch.uint8)
    spot[:, row - 1 : row + 2, column - 1 : column + 2] = 200
    result = augment(spot, generator(seed))
    assert (result.amax((1, 2, 3)) > 0.25).all()
    assert (batches._move(to_float(spot), generator(seed)).sum((1, 2, 3)) > 0.6 * 9 * 200 / 255).all()


def test_most_of_every_image_is_kept() -> None:
    """Of an all white square at most a rim leaves, and at most a rim comes in black."""
    white = torch.full((500, 1, 48, 48), 1.0)
    assert float(batches._move(white, generator()).mean((1, 2, 3)).min()) > 0.7
    rim = torch.zeros(500, 1, 48, 48)
    rim[:, :, 8:40, 8:40] = 1
    assert float(batches._move(rim, generator()).sum((1, 2, 3)).min()) > 0.8 * 32 * 32


def test_blur_and_noise_are_light() -> None:
    flat = torch.full((400, 1, 32, 32), 0.5)
    noisy = batches._noise(flat.clone(), generator())
    assert float(noisy.std((1, 2, 3)).max()) < batches.NOISE * 1.2
    edge = torch.zeros(400, 1, 32, 32)
    edge[..., 16:] = 1
    blurred = batches._blur(edge.clone(), generator())
    changed = (blurred != edge).any(-1).any(-1).any(-1)
    assert 0.2 < float(changed.float().mean()) < 0.4
    assert (blurred.diff(dim=-1) >= 0).all()


def test_no_image_is_blurred() -> None:
    chosen = next(seed for seed in range(100) if float(torch.rand(1, generator=generator(seed))) > batches.BLUR)
    one = torch.rand(1, 1, 16, 16)
    assert torch.equal(batches._blur(one.clone(), generator(chosen)), one)


def test_to_float_is_exact(pixels: Tensor) -> None:
    result = to_float(pixels)
    assert result.shape == (8, 1, 48, 48)
    assert torch.equal((result.squeeze(1) * 255).round().to(torch.uint8), pixels)
    assert to_float(torch.tensor([[[0, 255]]], dtype=torch.uint8)).flatten().tolist() == [0.0, 1.0]


def test_normalising_gives_three_channels() -> None:
    normalize = Normalize((0.5, 0.4, 0.0), (0.5, 0.2, 1.0))
    result = normalize(torch.full((2, 1, 4, 4), 0.5))
    assert result.shape == (2, 3, 4, 4)
    torch.testing.assert_close(result[0, :, 0, 0], torch.tensor([0.0, 0.5, 0.5]))
