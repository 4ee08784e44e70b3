"""Work on many files in processes, so that a decoder that crashes takes one file with it and not the program."""

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from pathlib import Path
from typing import TypeVar

import cv2

FEW = 400  # so many files are worked on sooner than a pool of processes has started
_CHUNK = 32
R = TypeVar("R")


def processors() -> int:
    """How many processors this process may use; Windows and macOS know only how many there are."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def workers_of(wanted: int | str) -> int:
    """The number wanted; ``auto`` is one a processor, eight at most, for more of them wait for the disk."""
    return min(8, processors()) if wanted == "auto" else int(wanted)


def each(work: Callable[[Path], R], paths: Sequence[Path], workers: int, crashed: Callable[[Path], R]) -> Iterator[R]:
    """``work`` of each path, in order; of one that kills its process, what ``crashed`` makes of it.

    Few files, or one worker, are worked on in this process. New processes are spawned, never forked: whoever calls may
    have threads or a device in use.
    """
    if workers < 2 or len(paths) < FEW:
        yield from map(work, paths)
        return
    left = list(paths)
    while left:
        done = 0
        try:
            with _processes(workers) as pool:
                for result in pool.map(work, left, chunksize=_CHUNK):
                    yield result
                    done += 1
        except BrokenProcessPool:
            suspects, left = left[done : done + _CHUNK], left[done + _CHUNK :]
            for path in suspects:
                yield _alone(work, path, crashed)
        else:
            return


def _alone(work: Callable[[Path], R], path: Path, crashed: Callable[[Path], R]) -> R:
    """Work on one suspect in a process of its own."""
    with _processes(1) as pool:
        try:
            return pool.submit(work, path).result()
        except BrokenProcessPool:
            return crashed(path)


def _processes(workers: int) -> ProcessPoolExecutor:
    return ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=cv2.setNumThreads, initargs=(1,))
