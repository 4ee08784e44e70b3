"""Which split and fold each image goes to: a user's own splits are kept, what is missing is filled in by group."""

from collections import Counter, defaultdict
from collections.abc import Hashable, Sequence

from fracture.data.manifest import SPLITS
from fracture.data.prepare.config import PrepareConfig
from fracture.data.split import assign
from fracture.errors import ConfigError

Strata = Sequence[Hashable]


def assign_splits(
    strata: Strata, groups: Sequence[str], given: Sequence[str], config: PrepareConfig
) -> tuple[list[str], list[str]]:
    """A split for every image.

    Images without a split follow their group where that has one, and are split among themselves where it has none. A
    data set that comes with train and test but no val gets its val from train, and likewise for test.

    Args:
        strata: what to stratify by, one an image.
        groups: what must stay together, one an image.
        given: the data's own splits, empty where it names none.
        config: shares and seed.

    Returns:
        The splits, and sentences on what was done beyond splitting everything.

    Raises:
        ConfigError: nothing would be in the test split.
    """
    splits = _follow(groups, given)
    notes = []
    free = [i for i, split in enumerate(splits) if not split]
    if any(given):
        notes.append(f"{len(given) - given.count('')} of {len(given)} images keep the split that the data names")
    if joined := sum(split == "test" and not own for split, own in zip(splits, given, strict=True)):
        notes.append(f"{joined} images joined the test split that the data names, since it holds others of their group")
    shares = (1 - config.val_fraction - config.test_fraction, config.val_fraction, config.test_fraction)
    for image, part in _among(free, strata, groups, [share for share in shares if share], config.seed):
        splits[image] = SPLITS[part]
    if not config.test_fraction and "test" not in splits:
        raise ConfigError("test_fraction=0: no image is in a test split; a source must name one, or give it a share")
    for split, share in (("val", config.val_fraction), ("test", config.test_fraction)):
        if any(given) and split not in splits:
            train = [i for i, own in enumerate(splits) if own == "train"]
            for image, part in _among(train, strata, groups, (1 - share, share), config.seed):
                splits[image] = split if part else "train"
            if taken := splits.count(split):
                notes.append(f"the data names no {split}: {taken:,} images of train were taken for it, by group")
    return splits, notes


def assign_folds(strata: Strata, groups: Sequence[str], splits: Sequence[str], config: PrepareConfig) -> list[str]:
    """The fold of every image that is not in the test split, as text; empty for the test split."""
    rows = [i for i, split in enumerate(splits) if split != "test"]
    folds = [""] * len(splits)
    for image, part in _among(rows, strata, groups, (1 / config.folds,) * config.folds, config.seed):
        folds[image] = str(part)
    return folds


def _follow(groups: Sequence[str], given: Sequence[str]) -> list[str]:
    """Give images without a split the one that most of their group has."""
    held: dict[str, Counter[str]] = defaultdict(Counter)
    for group, split in zip(groups, given, strict=True):
        if split:
            held[group][split] += 1
    return [
        split or (held[group].most_common(1)[0][0] if group in held else "")
        for group, split in zip(groups, given, strict=True)
    ]


def _among(
    images: Sequence[int], strata: Strata, groups: Sequence[str], shares: Sequence[float], seed: int
) -> list[tuple[int, int]]:
    """Each of some images and its part."""
    if not images:
        return []
    parts = assign([strata[i] for i in images], [groups[i] for i in images], shares, seed)
    return list(zip(images, parts, strict=True))
