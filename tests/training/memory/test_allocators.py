"""The models of the allocators, against the rules of the real ones."""

import pytest

from fracture.training.memory.allocators import MIB, CachingAllocator, Heap


@pytest.mark.parametrize(
    ("sizes", "allocated", "reserved"),
    [
        ([1], 512, 2 * MIB),
        ([0], 0, 0),
        ([513], 1024, 2 * MIB),
        ([MIB], MIB, 2 * MIB),
        ([MIB, MIB, 1], 2 * MIB + 512, 4 * MIB),  # a small segment is full
        ([MIB + 1], MIB + 512, 20 * MIB),  # a medium one shares 20 MiB
        ([9 * MIB, 9 * MIB], 18 * MIB, 20 * MIB),
        ([10 * MIB], 10 * MIB, 10 * MIB),
        ([11 * MIB], 12 * MIB, 12 * MIB),  # a rest of 1 MiB is not split off
        ([11 * MIB - 512], 11 * MIB - 512, 12 * MIB),
    ],
)
def test_cuda_rounds_and_takes_segments(sizes: list[int], allocated: int, reserved: int) -> None:
    allocator = CachingAllocator()
    for size in sizes:
        allocator.take(size)
    assert (allocator.allocated, allocator.reserved) == (allocated, reserved)


def test_cuda_keeps_what_is_freed_and_takes_the_best_fit() -> None:
    allocator = CachingAllocator()
    large, small = allocator.take(100 * MIB), allocator.take(30 * MIB)
    allocator.give(large)
    allocator.give(small)
    assert (allocator.allocated, allocator.reserved) == (0, 130 * MIB)
    allocator.take(25 * MIB)  # from the 30, so that the 100 are still whole
    allocator.take(100 * MIB)
    assert allocator.reserved == 130 * MIB


def test_cuda_merges_free_neighbours_of_one_segment_only() -> None:
    allocator = CachingAllocator()
    pieces = [allocator.take(5 * MIB) for _ in range(4)]  # one segment of 20 MiB
    for piece in (pieces[0], pieces[2], pieces[1], pieces[3]):
        allocator.give(piece)
    allocator.take(9 * MIB)
    allocator.take(9 * MIB)
    assert allocator.reserved == 20 * MIB
    allocator.take(19 * MIB)
    assert allocator.reserved == 40 * MIB


def test_the_heap_shrinks_at_its_end_only() -> None:
    heap = Heap()
    first, second = heap.take(MIB), heap.take(MIB)
    heap.give(first)
    assert (heap.allocated, heap.reserved) == (MIB, 2 * MIB)
    heap.give(second)
    assert (heap.allocated, heap.reserved) == (0, 0)


def test_the_heap_maps_large_blocks_apart() -> None:
    heap = Heap()
    mapped, _ = heap.take(40 * MIB), heap.take(MIB)
    assert heap.reserved == 41 * MIB
    heap.give(mapped)
    assert heap.reserved == MIB


@pytest.mark.parametrize("kind", [CachingAllocator, Heap])
def test_what_is_taken_and_given_in_any_order_leaves_nothing(kind: type[CachingAllocator] | type[Heap]) -> None:
    import random

    allocator, rng, blocks = kind(), random.Random(0), []
    for _ in range(2000):
        if blocks and rng.random() < 0.5:
            allocator.give(blocks.pop(rng.randrange(len(blocks))))
        else:
            blocks.append(allocator.take(rng.choice([100, 5000, MIB, 3 * MIB, 50 * MIB])))
        assert allocator.reserved >= allocator.allocated
    for block in blocks:
        allocator.give(block)
    assert allocator.allocated == 0
    assert kind is CachingAllocator or allocator.reserved == 0
