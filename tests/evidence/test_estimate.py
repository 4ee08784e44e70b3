"""The score interval of a share."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fracture.evidence import wilson


@pytest.mark.parametrize(("hits", "n", "low", "high"), [(0, 10, 0.0, 0.2775), (5, 10, 0.2366, 0.7634), (0, 0, 0, 1)])
def test_wilson(hits: int, n: int, low: float, high: float) -> None:
    assert wilson(hits / max(1, n), n) == pytest.approx((low, high), abs=1e-4)


@given(st.integers(1, 10**6), st.floats(0, 1))
def test_a_share_lies_in_its_interval_which_is_mirrored_with_it(n: int, share: float) -> None:
    low, high = wilson(share, n)
    assert 0 <= low <= share + 1e-12
    assert share - 1e-12 <= high <= 1
    assert low < high
    assert wilson(1 - share, n) == pytest.approx((1 - high, 1 - low), abs=1e-9)
