"""Maps against boxes: planted maps hit or miss as planted, and the controls are what they should be."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fracture.evaluation.pointing import CENTRE, MODEL, RANDOM, TOLERANCE, Mapped, energy_inside, judge_maps, point_hits

SIZE, N = 96, 40
GROUPS = [f"patient {i // 2}" for i in range(N)]


def planted(left: int = 4, top: int = 4, side: int = 12) -> np.ndarray:
    masks = np.zeros((N, SIZE, SIZE), np.bool_)
    masks[:, top : top + side, left : left + side] = True
    return masks


def judged(masks: np.ndarray, maps: np.ndarray, others: np.ndarray | None = None):  # type: ignore[no-untyped-def]
    noise = np.random.default_rng(0).random(maps.shape) if others is None else others
    return judge_maps(Mapped(masks, np.ones_like(masks), maps, noise, GROUPS, ("fracture",)))


def test_a_map_of_the_box_beats_random_weights_and_the_centre() -> None:
    masks = planted()
    found = judged(masks, masks.astype(float))
    assert (found.n, found.groups, found.labels) == (N, N // 2, ("fracture",))
    assert found.pointing[MODEL].value == found.energy[MODEL].value == 1
    assert found.pointing[MODEL].low < 1, "20 groups do not make it certain"
    assert found.pointing[CENTRE].value == 0
    assert found.energy[RANDOM].value == pytest.approx(found.area, abs=0.01)
    for table in (found.pointing, found.energy):
        for other in (RANDOM, CENTRE):
            assert table[f"{MODEL} - {other}"].low > 0.5
            assert table[f"{MODEL} - {other}"].n == N


def test_a_map_of_elsewhere_misses() -> None:
    found = judged(planted(), planted(60, 60).astype(float))
    assert found.pointing[MODEL].value == found.energy[MODEL].value == 0


def test_a_fracture_in_the_middle_is_hit_by_looking_at_the_middle() -> None:
    """A model that always looks there proves nothing: the difference says so."""
    masks = planted(42, 42)
    found = judged(masks, masks.astype(float))
    assert found.pointing[CENTRE].value == 1
    difference = found.pointing[f"{MODEL} - {CENTRE}"]
    assert difference.value == difference.low == difference.high == 0


def test_a_map_alike_random_weights_gains_nothing() -> None:
    maps = np.random.default_rng(1).random((N, SIZE, SIZE))
    difference = judged(planted(), maps).energy[f"{MODEL} - {RANDOM}"]
    assert difference.low < 0 < difference.high


def test_a_model_for_which_nothing_speaks_misses() -> None:
    masks = planted(0, 0)  # where argmax of an empty map would be
    found = judged(masks, np.zeros((N, SIZE, SIZE)))
    assert found.pointing[MODEL].value == found.energy[MODEL].value == 0


@pytest.mark.parametrize(("beside", "hit"), [(0, True), (round(TOLERANCE * SIZE), True), (6, False)])
def test_just_beside_a_box_counts(beside: int, hit: bool) -> None:
    maps = np.zeros((1, SIZE, SIZE))
    maps[0, 30, 41 + beside] = 1
    masks = np.zeros((1, SIZE, SIZE), np.bool_)
    masks[0, 25:35, 30:42] = True
    assert point_hits(maps, masks).tolist() == [hit]


def test_few_groups_are_marked() -> None:
    masks = planted()[:4]
    found = judge_maps(Mapped(masks, np.ones_like(masks), masks * 1.0, masks * 1.0, ["a", "b"] * 2, ("x",)))
    assert found.pointing[MODEL].caution
    assert found.energy[MODEL].caution


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), scale=st.floats(1e-6, 1e6))
def test_energy_is_a_share_whatever_the_scale(seed: int, scale: float) -> None:
    rng = np.random.default_rng(seed)
    maps, masks = rng.random((3, 20, 20)), rng.random((3, 20, 20)) < 0.3
    inside = energy_inside(maps, masks)
    np.testing.assert_allclose(inside, energy_inside(maps * scale, masks))
    np.testing.assert_allclose(inside + energy_inside(maps, ~masks), 1)
