"""Splitting: groups are never torn, shares are kept as near as groups allow, and a seed fixes it all."""

import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fracture.data.split import assign

ROOT = Path(__file__).parents[2]
SHARES = st.sampled_from([(0.7, 0.15, 0.15), (0.8, 0.1, 0.1), (0.5, 0.5), (0.2,) * 5, (1.0,)])
STRATA = st.sampled_from(["simple", "comminuted", "none"])


@given(st.lists(st.tuples(STRATA, st.integers(0, 30)), max_size=120), SHARES, st.integers(0, 5))
def test_no_group_is_torn(images: list[tuple[str, int]], shares: tuple[float, ...], seed: int) -> None:
    strata, groups = [s for s, _ in images], [g for _, g in images]
    parts = assign(strata, groups, shares, seed)
    assert len(parts) == len(images)
    assert all(0 <= part < len(shares) for part in parts)
    assert len(set(zip(groups, parts, strict=True))) == len(set(groups))


@given(st.lists(st.tuples(STRATA, st.integers(1, 7)), min_size=1, max_size=40), SHARES, st.integers(0, 5))
def test_shares_of_every_stratum_are_off_by_few_of_its_groups(
    sizes: list[tuple[str, int]], shares: tuple[float, ...], seed: int
) -> None:
    strata = [stratum for stratum, size in sizes for _ in range(size)]
    groups = [i for i, (_, size) in enumerate(sizes) for _ in range(size)]
    found = Counter(zip(strata, assign(strata, groups, shares, seed), strict=True))
    for stratum, total in Counter(strata).items():
        largest = max(size for name, size in sizes if name == stratum)
        for part, share in enumerate(shares):
            assert abs(found[stratum, part] - share * total) < len(shares) * largest + 1e-9


@given(st.lists(STRATA, min_size=1, max_size=200), SHARES)
def test_images_that_stand_alone_are_split_to_the_last_one(strata: list[str], shares: tuple[float, ...]) -> None:
    found = Counter(zip(strata, assign(strata, range(len(strata)), shares, 0), strict=True))
    for stratum, total in Counter(strata).items():
        if min(shares) * total >= 1:  # fewer are given to every part first
            for part, share in enumerate(shares):
                assert abs(found[stratum, part] - share * total) < 1 + 1e-9


@given(st.lists(st.tuples(STRATA, st.integers(1, 7)), min_size=1, max_size=30), SHARES, st.integers(0, 3))
def test_every_part_gets_something_where_groups_suffice(
    sizes: list[tuple[str, int]], shares: tuple[float, ...], seed: int
) -> None:
    strata = [stratum for stratum, size in sizes for _ in range(size)]
    groups = [i for i, (_, size) in enumerate(sizes) for _ in range(size)]
    found = Counter(zip(strata, assign(strata, groups, shares, seed), strict=True))
    for stratum, count in Counter(stratum for stratum, _ in sizes).items():
        if count >= len(shares):
            assert all(found[stratum, part] for part in range(len(shares)))


@given(st.lists(st.tuples(STRATA, st.integers(0, 20)), min_size=1, max_size=60), st.integers(0, 3))
def test_a_seed_gives_the_same_split(images: list[tuple[str, int]], seed: int) -> None:
    strata, groups = [s for s, _ in images], [g for _, g in images]
    assert assign(strata, groups, (0.7, 0.15, 0.15), seed) == assign(strata, groups, (0.7, 0.15, 0.15), seed)


def test_names_of_groups_and_strata_do_not_matter() -> None:
    strata, groups = list("aabbcc" * 10), [i // 2 for i in range(60)]
    renamed = assign([s.upper() for s in strata], [f"patient {g}" for g in groups], (0.5, 0.5), 3)
    assert assign(strata, groups, (0.5, 0.5), 3) == renamed


def test_seeds_differ() -> None:
    splits = {tuple(assign(["a"] * 50, range(50), (0.5, 0.5), seed)) for seed in range(5)}
    assert len(splits) == 5


def test_the_same_in_another_process() -> None:
    """Nothing hangs on Python's random hashes of strings."""
    code = (
        "from fracture.data.split import assign\n"
        "print(assign(['a', 'b', 'c'] * 30, [f'p{i // 4}' for i in range(90)], (0.7, 0.15, 0.15), 1))"
    )
    outputs = {
        subprocess.run(
            [sys.executable, "-c", code], cwd=ROOT, env={"PYTHONHASHSEED": seed}, capture_output=True, check=True
        ).stdout
        for seed in ("1", "2")
    }
    assert len(outputs) == 1


def test_small_classes_reach_every_part() -> None:
    strata = ["rare"] * 6 + ["common"] * 94
    found = Counter(zip(strata, assign(strata, range(100), (0.7, 0.15, 0.15), 0), strict=True))
    assert all(found["rare", part] for part in range(3))


@pytest.mark.parametrize(
    ("strata", "groups", "shares", "message"),
    [
        (["a"], [1, 2], (0.5, 0.5), "1 strata for 2 groups"),
        (["a"], [1], (0.5, 0.6), "add up to 1"),
        (["a"], [1], (1.5, -0.5), "positive"),
        (["a"], [1], (1.0, 0.0), "positive"),
    ],
)
def test_what_makes_no_sense_is_refused(
    strata: list[str], groups: list[int], shares: tuple[float, ...], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        assign(strata, groups, shares, 0)


def test_nothing_to_split() -> None:
    assert assign([], [], (0.7, 0.3), 0) == []
