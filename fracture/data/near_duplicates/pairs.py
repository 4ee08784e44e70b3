"""Near-duplicates among files; what was found is kept by content hash, so that a second search takes seconds.

A search learns from its pool, so that the weakest pairs differ from pool to pool. What was found among some files is
therefore taken for most of them too: leaving an image out never brings a new pair up.
"""

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from fracture.data.contents import Progress
from fracture.data.images import decode
from fracture.data.inspection.pool import each
from fracture.data.near_duplicates import candidates, duplicates, signatures, verification
from fracture.data.near_duplicates.store import SignatureStore
from fracture.files import write_json

_VERSION = 1
_LOOKED_AT = 20  # earlier searches
_MOST = 0.95  # of the files of an earlier search: for so many its result is taken
_SMALL = 2000  # files whose matrices are so small that threads only wait for each other
_WORDS = {
    "identity": "not mirrored",
    "mirror": "mirrored",
    "invert": "inverted",
    "mirror+invert": "mirrored and inverted",
}


@dataclass(frozen=True, slots=True)
class NearPair:
    """Two files that show the same image.

    Attributes:
        first, second: positions in the list that was searched.
        score: similarity, 1 for pixels that agree perfectly.
        transform: how the one became the other, in words.
    """

    first: int
    second: int
    score: float
    transform: str


@dataclass(frozen=True)
class NearPairs:
    """What a search found.

    Attributes:
        duplicates: pairs at or above ``threshold``.
        review: pairs between ``review_threshold`` and ``threshold``, for a person to look at.
        threshold, review_threshold: the scores that were wanted, 0 where nothing was searched.
        featureless: positions of files with too little detail to be compared, blank ones above all.
    """

    duplicates: tuple[NearPair, ...]
    review: tuple[NearPair, ...]
    threshold: float
    review_threshold: float
    featureless: tuple[int, ...] = ()

    @classmethod
    def none(cls) -> "NearPairs":
        """The outcome where nothing was searched."""
        return cls((), (), 0.0, 0.0)

    def renumbered(self, positions: Sequence[int]) -> "NearPairs":
        """The same pairs with position ``i`` becoming ``positions[i]``."""

        def move(pair: NearPair) -> NearPair:
            first, second = sorted((positions[pair.first], positions[pair.second]))
            return replace(pair, first=first, second=second)

        return replace(
            self,
            duplicates=tuple(map(move, self.duplicates)),
            review=tuple(map(move, self.review)),
            featureless=tuple(positions[i] for i in self.featureless),
        )


def near_duplicates(
    files: Sequence[tuple[str, Path]], cache_dir: Path, workers: int, progress: Progress | None = None
) -> NearPairs:
    """Find near-duplicates among files; of files with the same bytes the first stands for all.

    Args:
        files: content hash and path of each, all of them decodable.
        cache_dir: where signatures and results are kept.
        workers: processes.
        progress: called with what is being done.
    """
    first: dict[str, int] = {}
    for position, (digest, _) in enumerate(files):
        first.setdefault(digest, position)
    order = sorted(first)  # the result must not depend on the order of the files
    if len(order) < 2:
        return NearPairs.none()
    key = hashlib.sha256("\n".join([_version(), *order]).encode()).hexdigest()[:24]
    kept = cache_dir / "near" / f"{key}.json"
    found = _read(kept, order)
    if found is None:
        named = [(digest, files[first[digest]][1]) for digest in order]
        found = _among_more(kept.parent, order) or _search(named, cache_dir, workers, progress)
        write_json(kept, _as_dict(found, order))
    return found.renumbered([first[digest] for digest in order])


def _among_more(folder: Path, order: Sequence[str]) -> NearPairs | None:
    """What an earlier search found among these files and a few others, if there was one; the newest counts."""
    for path in sorted(folder.glob("*.json"), key=lambda path: path.stat().st_mtime, reverse=True)[:_LOOKED_AT]:
        if (found := _read(path, order)) is not None:
            return found
    return None


@cache
def _version() -> str:
    """A digest of the search's own source, so that results of an earlier version are never taken for its own."""
    modules = (candidates, duplicates, signatures, verification)
    source = b"".join(Path(str(module.__file__)).read_bytes() for module in modules)
    return f"near {_VERSION} {hashlib.sha256(source).hexdigest()}"


def _search(files: Sequence[tuple[str, Path]], cache_dir: Path, workers: int, progress: Progress | None) -> NearPairs:
    report = progress or (lambda *_: None)
    with SignatureStore(cache_dir) as store:
        known = store.get_many([digest for digest, _ in files])
        missing = {path: digest for digest, path in files if digest not in known}
        for done, (path, made) in enumerate(each(_sign, list(missing), workers, _featureless), start=1):
            known[missing[path]] = made
            store.put(missing[path], made)
            report("signing", done, len(missing))
    listed = [known[digest] for digest, _ in files]
    with threadpool_limits(1 if len(files) < _SMALL else None):
        found = duplicates.find_near_duplicates(
            listed, workers=workers, progress=lambda done, total: report("comparing", done, total)
        )
    pairs, review = (
        tuple(NearPair(p.first, p.second, round(p.score, 5), _WORDS.get(p.transform, p.transform)) for p in some)
        for some in (found.duplicates, found.review)
    )
    return NearPairs(pairs, review, found.threshold, found.review_threshold, found.featureless)


def _sign(path: Path) -> tuple[Path, signatures.Signature]:
    return path, signatures.signature(decode(path.read_bytes()))


def _featureless(path: Path) -> tuple[Path, signatures.Signature]:
    """What a file is given whose signature cannot be made: it is nobody's duplicate."""
    return path, signatures.signature(np.zeros((1, 1), np.uint8))


def _as_dict(found: NearPairs, order: Sequence[str]) -> dict[str, object]:
    def rows(pairs: tuple[NearPair, ...]) -> list[list[object]]:
        return [[p.first, p.second, p.score, p.transform] for p in pairs]

    return {
        "version": _version(), "files": list(order), "duplicates": rows(found.duplicates), "review": rows(found.review),
        "threshold": found.threshold, "review_threshold": found.review_threshold,
        "featureless": found.featureless,
    }  # fmt: skip


def _read(path: Path, order: Sequence[str]) -> NearPairs | None:
    """What a search that was kept says of these files; None if there is none, it is damaged, or was of others."""
    try:
        held = json.loads(path.read_text(encoding="utf-8"))
        place = {digest: i for i, digest in enumerate(order)}
        positions = [place.get(digest) for digest in held["files"]]
        known = len(positions) - positions.count(None)
        if held["version"] != _version() or known < len(order) or known < _MOST * len(positions):
            return None
        pairs, review = (tuple(_kept(held[name], positions)) for name in ("duplicates", "review"))
        limits = float(held["threshold"]), float(held["review_threshold"])
        featureless = tuple(p for i in held["featureless"] if (p := positions[i]) is not None)
        return NearPairs(pairs, review, *limits, featureless)
    except (OSError, ValueError, KeyError, TypeError, IndexError):
        return None


def _kept(rows: Sequence[Sequence[Any]], positions: Sequence[int | None]) -> Iterator[NearPair]:
    """The pairs of which both files are still there, at their new positions."""
    for first, second, score, transform in rows:
        here, there = positions[first], positions[second]
        if here is not None and there is not None:
            yield NearPair(min(here, there), max(here, there), float(score), str(transform))
