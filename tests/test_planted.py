"""Copies as augmentation tools make them."""

import numpy as np
import pytest

from tests.planted import CHANGES, planted_copy


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("shape", [(120, 90), (7, 5)])
def test_a_copy_is_grey_and_repeatable(change: str, shape: tuple[int, int]) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    before = pixels.copy()
    one, two = (planted_copy(pixels, change, np.random.default_rng(5)) for _ in range(2))
    assert one.dtype == np.uint8
    assert one.ndim == 2
    assert one.size > 0
    np.testing.assert_array_equal(one, two)
    np.testing.assert_array_equal(pixels, before)


def test_an_unknown_change_names_those_that_exist() -> None:
    with pytest.raises(ValueError, match=r"Unknown change: 'melt'. Must be one of: flip_horizontal, "):
        planted_copy(np.zeros((4, 4), np.uint8), "melt", np.random.default_rng(0))
