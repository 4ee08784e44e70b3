"""Near-duplicates among radiographs: flipped, turned, cropped, brightened, recompressed, written on or inverted copies.

Two stages, candidates and verification. How much they find, at what price in false pairs and seconds, is measured by
``python -m tests.benchmarks.near_duplicates`` and written down in docs/near-duplicates.md.
"""

import math
import multiprocessing
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from itertools import combinations
from pathlib import Path
from tempfile import TemporaryDirectory

import cv2
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from fracture.data.near_duplicates.candidates import Index
from fracture.data.near_duplicates.packed import Indexed, PackedSignatures, pack
from fracture.data.near_duplicates.signatures import ORDERS, Signature
from fracture.data.near_duplicates.verification import MIN_INLIERS, Frame

NEIGHBOURS = 8  # candidates an image; with 5 one planted copy in a thousand more is lost
REVIEW_MARGIN = 0.05

_EXHAUSTIVE = 32  # images up to which every pair is verified: too few to learn from, and quick
_BLOCK = 512  # images searched at once: their similarities to 20,000 others take 40 MB
_CHUNK = 64  # images verified in one go
_SERIAL = 512  # images below which other processes take longer to start than they save

Progress = Callable[[int, int], None]
Links = Mapping[int, Sequence[tuple[int, str]]]  # image: later images it may be a copy of, and under which transform


@dataclass(frozen=True, slots=True)
class Pair:
    """Two images that show the same exposure, or may do so.

    Attributes:
        first, second: positions in what was searched, the lower one first.
        score: agreement of fine detail and of keypoints where the one covers the other, at most 1.
        transform: ``identity``, ``mirror``, ``invert`` or ``mirror+invert``, besides any shift, turn, zoom or crop.
        inliers: keypoints that agree on that.
    """

    first: int
    second: int
    score: float
    transform: str
    inliers: int


@dataclass(frozen=True)
class NearDuplicates:
    """What a search found; pairs in order of their score, highest first.

    Attributes:
        duplicates: pairs at or above ``threshold``: the same exposure, or (rarely) two of the same patient in one pose.
        review: pairs from ``review_threshold`` up to ``threshold``, for a person to look at; they refuse nothing.
        threshold, review_threshold: scores, see `duplicate_threshold`.
        pool: how many images were searched.
        featureless: images with fewer than five keypoints, blank ones above all: nothing can be said of them.
    """

    duplicates: tuple[Pair, ...]
    review: tuple[Pair, ...]
    threshold: float
    review_threshold: float
    pool: int
    featureless: tuple[int, ...]


def duplicate_threshold(pool: int) -> float:
    """Return the score from which a pair of a pool of so many images counts as a duplicate.

    Every image meets more strangers in a larger pool, so false pairs per 1,000 images grow with it. Their highest
    scores fall off about exponentially, so the threshold rises with the logarithm of the pool: 0.84 up to 2,000
    images, 0.88 from 20,000.
    """
    return 0.84 + 0.04 * min(1.0, max(0.0, math.log10(max(1, pool) / 2_000)))


def find_near_duplicates(
    signatures: Sequence[Signature],
    *,
    workers: int = 1,
    progress: Progress | None = None,
    threshold: float | None = None,
) -> NearDuplicates:
    """Find the pairs of images of which one is a copy of the other.

    The same signatures in the same order give the same result, whatever the number of workers.

    Args:
        signatures: of the images, `fracture.data.near_duplicates.signatures.signature`.
        workers: processes; small pools are searched in this one.
        progress: called with how many steps of how many are done.
        threshold: score from which a pair is a duplicate; by default that of the pool's size.

    Raises:
        ValueError: fewer than one worker, or a threshold outside 0 to 1.
    """
    if workers < 1 or (threshold is not None and not 0 <= threshold <= 1):
        raise ValueError(f"workers={workers}, threshold={threshold}: need at least 1, and 0 to 1")
    threshold = duplicate_threshold(len(signatures)) if threshold is None else threshold
    usable = [i for i, s in enumerate(signatures) if len(s.descriptors) >= MIN_INLIERS]
    known = set(usable)
    found = _search([signatures[i] for i in usable], workers, threshold - REVIEW_MARGIN, progress or _quiet)
    pairs = [replace(pair, first=usable[pair.first], second=usable[pair.second]) for pair in found]
    pairs.sort(key=lambda pair: (-pair.score, pair.first, pair.second))
    return NearDuplicates(
        duplicates=tuple(pair for pair in pairs if pair.score >= threshold),
        review=tuple(pair for pair in pairs if pair.score < threshold),
        threshold=threshold,
        review_threshold=max(0.0, threshold - REVIEW_MARGIN),
        pool=len(signatures),
        featureless=tuple(i for i in range(len(signatures)) if i not in known),
    )


def _quiet(done: int, total: int) -> None:
    del done, total


def _search(signatures: Sequence[Signature], workers: int, least: float, progress: Progress) -> list[Pair]:
    total = 2 * len(signatures)
    links = _links(signatures, lambda done: progress(done, total))
    images = sorted(links)
    chunks = [{i: links[i] for i in images[start : start + _CHUNK]} for start in range(0, len(images), _CHUNK)]
    found: list[Pair] = []
    with _verifier(signatures, workers if len(signatures) >= _SERIAL else 1) as verify:
        for number, pairs in enumerate(verify(chunks), start=1):
            found += [pair for pair in pairs if pair.score >= least]
            progress(len(signatures) + len(signatures) * number // len(chunks), total)
    progress(total, total)
    return found


def _links(signatures: Sequence[Signature], progress: Callable[[int], None]) -> dict[int, list[tuple[int, str]]]:
    """The pairs to verify, by the earlier image of each."""
    if len(signatures) <= _EXHAUSTIVE:
        pairs = {(*pair, name) for pair in combinations(range(len(signatures)), 2) for name in ORDERS}
    else:
        pairs = _near(signatures, progress)
    links: dict[int, list[tuple[int, str]]] = {}
    for first, second, name in sorted(pairs):
        links.setdefault(first, []).append((second, name))
    return links


def _near(signatures: Sequence[Signature], progress: Callable[[int], None]) -> set[tuple[int, int, str]]:
    index, pairs = Index(signatures), set()
    for start in range(0, len(signatures), _BLOCK):
        block = signatures[start : start + _BLOCK]
        for image, others in enumerate(index.nearest(block, NEIGHBOURS, start), start=start):
            pairs |= {(min(image, other), max(image, other), name) for other, name in others}
        progress(start + len(block))
    return pairs


@contextmanager
def _verifier(
    signatures: Sequence[Signature], workers: int
) -> Iterator[Callable[[Sequence[Links]], Iterator[list[Pair]]]]:
    """What verifies chunks of links, here or in other processes, which see the signatures through a mapped file."""
    if workers == 1:
        with threadpool_limits(1):  # matrices this small only wait for a second thread
            yield partial(map, partial(_verify, signatures))
        return
    with (
        TemporaryDirectory(prefix="fracture-signatures-") as folder,
        ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), _start_worker, (folder,)) as processes,
    ):
        pack(signatures, Path(folder))
        yield partial(processes.map, _verify_shared)


def _verify(signatures: Indexed, links: Links) -> list[Pair]:
    """The best pair of every two linked images that any transform aligns."""
    best: dict[tuple[int, int], Pair] = {}
    for first, others in links.items():
        frame = Frame(signatures[first])
        for second, name in others:
            match = frame.match(signatures[second], name)
            if match is None:
                continue
            pair = Pair(first, second, match.score, name, match.inliers)
            held = best.setdefault((first, second), pair)
            if pair.score > held.score:
                best[first, second] = pair
    return list(best.values())


_shared: PackedSignatures  # of a worker process, set when it starts


def _start_worker(folder: str) -> None:
    global _shared
    cv2.setNumThreads(1)
    threadpool_limits(1)
    _shared = PackedSignatures(Path(folder))


def _verify_shared(links: Links) -> list[Pair]:
    return _verify(_shared, links)
