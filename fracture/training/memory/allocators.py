"""Models of the two allocators that a training step meets: torch's caching one on CUDA, and the C library's on a CPU.

Not modelled, and part of the allowances of `predict`: cuDNN's workspaces; on a CPU the interpreter and the libraries.
"""

from bisect import bisect_left, insort
from dataclasses import dataclass, field
from typing import Protocol

MIB = 2**20

_ROUND = 512  # kMinBlockSize of c10/cuda/CUDACachingAllocator.cpp, as the other constants
_SMALL = MIB  # kSmallSize: larger ones are in the large pool
_SMALL_SEGMENT = 2 * MIB  # kSmallBuffer
_MEDIUM = 10 * MIB  # kMinLargeAlloc: smaller ones share a segment of kLargeBuffer
_LARGE_SEGMENT = 20 * MIB  # kLargeBuffer
_SEGMENT_ROUND = 2 * MIB  # kRoundLarge

_MAPPED = 32 * MIB  # DEFAULT_MMAP_THRESHOLD_MAX of glibc
_ALIGN = 64  # gAlignment of c10/core/alignment.h
_NOWHERE = -1  # address of a mapping of its own


class Allocator(Protocol):
    """Takes and gives back memory that is not there."""

    allocated: int
    reserved: int

    def take(self, size: int) -> "Block | None":
        """A block of ``size`` bytes."""

    def give(self, block: "Block | None") -> None:
        """Free what `take` gave."""


@dataclass(eq=False)
class Block:
    """A piece of a segment; its neighbours in the segment are linked."""

    address: int
    size: int
    pool: list[tuple[int, int, "Block"]]
    free: bool = False
    before: "Block | None" = None
    after: "Block | None" = None
    wanted: int = 0


@dataclass
class CachingAllocator:
    """torch's allocator on CUDA in its default settings: best fit, split, merged, and never returned to the driver."""

    allocated: int = 0
    reserved: int = 0
    _small: list[tuple[int, int, Block]] = field(default_factory=list)
    _large: list[tuple[int, int, Block]] = field(default_factory=list)

    def take(self, size: int) -> Block | None:
        """The smallest free block that is large enough, or a piece of a new segment."""
        size = max(_ROUND, -(-size // _ROUND) * _ROUND) if size else 0
        if not size:
            return None
        small = size <= _SMALL
        pool = self._small if small else self._large
        place = bisect_left(pool, (size, -1))
        block = pool.pop(place)[2] if place < len(pool) else self._segment(size, pool)
        block.free = False
        rest = block.size - size
        if rest >= _ROUND if small else rest > _SMALL:
            _split(block, size)
        self.allocated += block.size
        return block

    def give(self, block: Block | None) -> None:
        """Free a block and merge it with its free neighbours."""
        if block is None:
            return
        self.allocated -= block.size
        _free(block)

    def _segment(self, size: int, pool: list[tuple[int, int, Block]]) -> Block:
        if size <= _SMALL:
            length = _SMALL_SEGMENT
        else:
            length = _LARGE_SEGMENT if size < _MEDIUM else -(-size // _SEGMENT_ROUND) * _SEGMENT_ROUND
        block = Block(self.reserved, length, pool)
        self.reserved += length
        return block


@dataclass
class Heap:
    """The C library's on Linux: large blocks mapped and unmapped one by one, the rest best fit in one growing heap.

    glibc raises its threshold with each mapped block that is freed, up to 32 MiB (mallopt(3), M_MMAP_THRESHOLD); a
    training step soon reaches that, so it is taken as it ends up. The free end of the heap is given back.
    """

    allocated: int = 0
    reserved: int = 0
    _pool: list[tuple[int, int, Block]] = field(default_factory=list)
    _last: Block | None = None

    def take(self, size: int) -> Block | None:
        """A mapping of its own for a large block, else the smallest free piece of the heap."""
        if not size:
            return None
        self.allocated += size
        if size >= _MAPPED:
            self.reserved += size
            return Block(_NOWHERE, size, self._pool, wanted=size)
        needed = -(-size // _ALIGN) * _ALIGN
        place = bisect_left(self._pool, (needed, -1))
        block = self._pool.pop(place)[2] if place < len(self._pool) else self._grow(needed)
        block.free, block.wanted = False, size
        if block.size > needed:
            _split(block, needed)
        return block

    def give(self, block: Block | None) -> None:
        """Free a block; the heap shrinks where its end is free."""
        if block is None:
            return
        self.allocated -= block.wanted
        if block.address == _NOWHERE:
            self.reserved -= block.size
            return
        free = _free(block)
        if free.after is None:
            self._pool.pop(bisect_left(self._pool, (free.size, free.address)))
            self.reserved -= free.size
            self._last = free.before
            if self._last is not None:
                self._last.after = None

    def _grow(self, size: int) -> Block:
        address = 0 if self._last is None else self._last.address + self._last.size
        block = Block(address, size, self._pool, before=self._last)
        if self._last is not None:
            self._last.after = block
        self._last = block
        self.reserved += size
        return block


def _split(block: Block, size: int) -> None:
    rest = Block(block.address + size, block.size - size, block.pool, True, block, block.after)
    if block.after is not None:
        block.after.before = rest
    block.after, block.size = rest, size
    insort(block.pool, (rest.size, rest.address, rest))


def _free(block: Block) -> Block:
    """Mark a block as free and merge it with its free neighbours; returns what it became."""
    block.free = True
    for first, second in ((block, block.after), (block.before, block)):
        if first is not None and second is not None and first.free and second.free:
            for one in (first, second):
                if one is not block:
                    one.pool.pop(bisect_left(one.pool, (one.size, one.address)))
            first.size += second.size
            first.after = second.after
            if second.after is not None:
                second.after.before = first
            block = first
    insort(block.pool, (block.size, block.address, block))
    return block
