"""Controls tell a model that looks at the bone from one that looks at the frame."""

import numpy as np
import pytest

from fracture.evaluation.explain import BORDER, ControlImages, hide_border, hide_centre, try_controls
from fracture.evaluation.sample import Decisions

CLASSES = ("comminuted_fracture", "no_fracture", "simple_fracture")
LABELS = np.arange(30) % 3


def radiographs(place: tuple[slice, slice]) -> np.ndarray:
    """Squares whose class is told by the brightness of one place."""
    pixels = np.full((30, 50, 50), 100, np.uint8)
    for square, label in zip(pixels, LABELS, strict=True):
        square[place] = 30 + 90 * label
    return pixels


def reader(place: tuple[slice, slice]):  # type: ignore[no-untyped-def]
    def answers(pixels: np.ndarray) -> np.ndarray:
        brightness = pixels[(slice(None), *place)].mean((1, 2))
        return -np.abs(brightness[:, None] - np.array([30, 120, 210])) / 10

    return answers


def controls_of(place: tuple[slice, slice]):  # type: ignore[no-untyped-def]
    pixels = radiographs(place)
    answers = reader(place)
    case = ControlImages(pixels, LABELS, [""] * 30, CLASSES, Decisions())
    maps = np.zeros((2, 50, 50))
    maps[(slice(None), *place)] = 1
    return try_controls(answers, case, answers(pixels), maps, np.random.default_rng(0).random((2, 50, 50)))


CENTRE, CORNER = (slice(20, 30), slice(20, 30)), (slice(0, 6), slice(0, 6))


def test_a_model_of_the_bone_needs_the_centre() -> None:
    found = controls_of(CENTRE)
    assert found.whole["accuracy"].value == found.border_hidden["accuracy"].value == 1
    assert found.centre_hidden["accuracy"].value == pytest.approx(1 / 3)
    assert found.border_share == 0
    assert found.maps == 2


def test_a_model_of_the_frame_does_not() -> None:
    found = controls_of(CORNER)
    assert found.centre_hidden["accuracy"].value == 1
    assert found.border_hidden["accuracy"].value == pytest.approx(1 / 3)
    assert found.border_share == 1


def test_probabilities_of_controls_are_shares() -> None:
    found = controls_of(CENTRE)
    for shares in (found.centre_hidden_probability, found.blank_probability):
        assert set(shares) == set(CLASSES)
        assert sum(shares.values()) == pytest.approx(1)
    assert found.random_weights_correlation is not None
    assert abs(found.random_weights_correlation) < 0.5


def test_hiding_keeps_the_rest() -> None:
    pixels = np.random.default_rng(0).integers(1, 255, (2, 100, 100), np.uint8)
    rim = round(BORDER * 100)
    np.testing.assert_array_equal(hide_centre(pixels) + hide_border(pixels), pixels)
    assert not hide_centre(pixels)[:, rim:-rim, rim:-rim].any()
    assert hide_border(pixels)[:, rim:-rim, rim:-rim].all()
