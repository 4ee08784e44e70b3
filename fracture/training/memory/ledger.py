"""The ledger: notes when each tensor's memory is taken and given back, as operations run."""

import weakref
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import groupby
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

_CAST = torch.ops.aten._to_copy.default


def in_order(events: Sequence[int]) -> list[int]:
    """The same with deaths in a row sorted: autocast gives its copies back in the order of their addresses."""
    runs = (sorted(run, reverse=True) if dead else run for dead, run in groupby(events, lambda event: event < 0))
    return [event for run in runs for event in run]


class Ledger(TorchDispatchMode):
    """A mode that writes down births and deaths of storages; it works on fake tensors, which take no memory.

    Attributes:
        sizes: bytes of each block of memory, by its number.
        kinds: what it is part of, by its number; one of `fracture.training.memory.spec.PARTS`.
        events: ``n + 1`` where block n is born, ``-(n + 1)`` where it dies, in order.
    """

    def __init__(self) -> None:
        """Begin with an empty ledger."""
        super().__init__()  # type: ignore[no-untyped-call]
        self.sizes: list[int] = []
        self.kinds: list[str] = []
        self.events: list[int] = []
        self._alive: dict[int, tuple[int, weakref.ref[Any]]] = {}

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Run one operation and note the storages that are new in its results."""
        out = func(*args, **(kwargs or {}))
        kind = "temporaries"
        if func is _CAST and self._kind_of(args[0]) == "weights":
            kind = "copies"
        for leaf in (out,) if isinstance(out, Tensor) else tree_leaves(out):
            if isinstance(leaf, Tensor):
                self._see(leaf, kind)
        return out

    def label(self, tensors: Iterable[Tensor | None], kind: str) -> list[int]:
        """Say what tensors are part of; returns the numbers of their blocks."""
        numbers = []
        for tensor in tensors:
            if tensor is not None:
                numbers.append(self._see(tensor, kind))
                self.kinds[numbers[-1]] = kind
        return numbers

    def label_alive(self, since: int, kind: str) -> None:
        """Say what the blocks are part of that were born after event ``since``, live now, and are nothing else yet."""
        born = {event - 1 for event in self.events[since:] if event > 0}
        for number, _ in self._alive.values():
            if number in born and self.kinds[number] == "temporaries":
                self.kinds[number] = kind

    @contextmanager
    def chapter(self) -> Iterator[list[int]]:
        """A list that holds the events of the block when it ends."""
        events: list[int] = []
        start = len(self.events)
        yield events
        events.extend(in_order(self.events[start:]))

    def _kind_of(self, tensor: Tensor) -> str:
        entry = self._alive.get(tensor.untyped_storage()._cdata)
        return self.kinds[entry[0]] if entry else ""

    def _see(self, tensor: Tensor, kind: str) -> int:
        storage = tensor.untyped_storage()
        key = storage._cdata
        known = self._alive.get(key)
        if known is not None:
            return known[0]
        number = len(self.sizes)
        self.sizes.append(storage.nbytes())
        self.kinds.append(kind)
        self.events.append(number + 1)
        self._alive[key] = (number, weakref.ref(storage, partial(self._die, key, number)))
        return number

    def _die(self, key: int, number: int, _: object) -> None:
        del self._alive[key]
        self.events.append(-(number + 1))
