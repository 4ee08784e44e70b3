"""The merging of links into groups: images that share a patient, an original or a near-duplicate belong together."""

from collections import defaultdict
from collections.abc import Hashable, Iterable, Sequence
from typing import TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


def grouped(pairs: Iterable[tuple[K, V]]) -> dict[K, list[V]]:
    """The second of each pair by the first, both in order."""
    found: dict[K, list[V]] = defaultdict(list)
    for key, value in pairs:
        found[key].append(value)
    return dict(found)


def merge(keys: Iterable[Sequence[Hashable]]) -> list[int]:
    """Number the groups of images that are linked by a shared key, directly or through others.

    Args:
        keys: what each image is known by (a patient, an original image, a cluster of near-duplicates); none for an
            image that is alone.

    Returns:
        The group of each image, numbered from 0 in the order of first appearance.
    """
    parent: list[int] = []
    owner: dict[Hashable, int] = {}
    for image, own in enumerate(keys):
        parent.append(image)
        for key in own:
            first, second = _root(parent, owner.setdefault(key, image)), _root(parent, image)
            parent[max(first, second)] = min(first, second)
    numbers: dict[int, int] = {}
    return [numbers.setdefault(_root(parent, image), len(numbers)) for image in range(len(parent))]


def _root(parent: list[int], image: int) -> int:
    while parent[image] != image:
        parent[image] = parent[parent[image]]
        image = parent[image]
    return image
