"""Memory that was freed goes back to the machine."""

import psutil
import pytest

from fracture import heap


@pytest.mark.skipif(heap._trim() is None, reason="the C library is not glibc")
def test_holes_in_the_heap_go_back_to_the_machine() -> None:
    process = psutil.Process()
    blocks = [b"x" * 100_000 for _ in range(1000)]
    last = b"x" * 100_000  # keeps the heap's end where it is
    full = process.memory_info().rss
    del blocks
    heap.give_back()
    assert process.memory_info().rss < full - 80e6
    assert len(last) == 100_000
