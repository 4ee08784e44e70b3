"""Seconds and memory of the near-duplicate search against the number of images: demo images with 5% planted copies.

python -m tests.benchmarks.near_duplicates_scale --images 1000 5000 20530 --folder /somewhere/to/keep/20,000/renders
"""

import argparse
import math
import multiprocessing
import resource
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import psutil

from fracture.data.demo import write_demo
from fracture.data.images import decode
from fracture.data.near_duplicates.duplicates import NearDuplicates, find_near_duplicates
from fracture.data.near_duplicates.signatures import Signature, signature
from fracture.data.near_duplicates.store import SignatureStore
from tests.planted import CHANGES, planted_copy

COPIES = 0.05
HEADER = (
    "images", "signing wall s", "CPU s", "searching wall s", "CPU s", "both wall s", "peak memory GiB",
    "second time, signatures read, s", "copies found", "false pairs", "per 1,000", "to review",
)  # fmt: skip


@dataclass
class Cost:
    """Of one stage: seconds of the clock, of all processors, and memory of all processes, shared pages counted once."""

    wall: float = 0.0
    cpu: float = 0.0
    peak: int = 0


def main() -> None:
    """Measure and print one row a size."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, nargs="+", default=[1_000, 5_000, 20_530])
    parser.add_argument("--folder", type=Path, help="where demo images are, or are rendered to and stay")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--seed", type=int, default=11)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        most = math.ceil(max(options.images) / (1 + COPIES))
        manifest = write_demo(options.folder or Path(scratch) / "demo", most, options.seed)
        originals = sorted(manifest.parent.rglob("*.png"), key=lambda path: path.name)  # patients, in order
        print("| " + " | ".join(HEADER) + " |\n|" + "---|" * len(HEADER))
        for count in options.images:
            some = originals[: round(count / (1 + COPIES))]
            folder = Path(scratch) / f"{count}"
            folder.mkdir()
            copies = plant(some, count - len(some), folder, options.seed)
            print(row(some, copies, options.workers, folder), flush=True)
    from tests.benchmarks.machine import machine  # late: it imports torch, whose memory is none of the search's

    print(f"\n{machine()}, OpenCV {cv2.__version__}; {options.workers} processes")


def plant(originals: Sequence[Path], count: int, folder: Path, seed: int) -> list[tuple[int, Path]]:
    """Write changed copies of random images, every change as often; the position of each one's original beside it."""
    rng = np.random.default_rng(seed)
    names, copies = list(CHANGES), []
    for number, position in enumerate(rng.choice(len(originals), count, replace=False).tolist()):
        change = names[number % len(names)]
        path = folder / f"{number:05}_{change}.png"
        cv2.imwrite(str(path), planted_copy(decode(originals[position].read_bytes()), change, rng))
        copies.append((position, path))
    return copies


def row(originals: Sequence[Path], copies: Sequence[tuple[int, Path]], workers: int, folder: Path) -> str:
    """Sign, keep, search, read again; one row of the table."""
    paths = [*originals, *(path for _, path in copies)]
    with measured() as signing, SignatureStore(folder) as store:
        signatures = sign_all(paths, workers, store)
    with measured() as searching:
        found = find_near_duplicates(signatures, workers=workers)
    del signatures
    with measured() as reading, SignatureStore(folder) as store:
        kept = len(store.get_many(path.name for path in paths))
    hits, wrong = judge(found, originals, copies)
    return (
        f"| {len(paths):,} | {signing.wall:.0f} | {signing.cpu:.0f} | {searching.wall:.0f} | {searching.cpu:.0f} "
        f"| {signing.wall + searching.wall:.0f} | {max(signing.peak, searching.peak) / 2**30:.2f} "
        f"| {reading.wall:.1f} ({kept:,}) | {hits} of {len(copies)} = {hits / len(copies):.1%} "
        f"| {wrong} | {1000 * wrong / len(paths):.2f} | {len(found.review)} |"
    )


def sign_all(paths: Sequence[Path], workers: int, store: SignatureStore) -> list[Signature]:
    """Decode, sign and keep, 500 at a time."""
    made: list[Signature] = []
    with sign_pool(workers) as pool:
        for one in pool.map(sign, paths, chunksize=32):
            made.append(one)
            if len(made) % 500 == 0 or len(made) == len(paths):
                start = (len(made) - 1) // 500 * 500
                store.put_many({path.name: s for path, s in zip(paths[start:], made[start:], strict=False)})
    return made


def sign_pool(workers: int) -> ProcessPoolExecutor:
    """Processes that decode and sign; not forked, which hangs once OpenCV has started threads here."""
    return ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), cv2.setNumThreads, (1,))


def sign(path: Path) -> Signature:
    """Decode and sign."""
    return signature(decode(path.read_bytes()))


def judge(found: NearDuplicates, originals: Sequence[Path], copies: Sequence[tuple[int, Path]]) -> tuple[int, int]:
    """How many copies are paired with their original, and how many pairs show two different patients."""
    origin = [*range(len(originals)), *(position for position, _ in copies)]
    patient = [originals[position].stem.partition("_view")[0] for position in origin]
    pairs = {(pair.first, pair.second) for pair in found.duplicates}
    hits = sum((position, len(originals) + number) in pairs for number, (position, _) in enumerate(copies))
    return hits, sum(patient[first] != patient[second] for first, second in pairs)


@contextmanager
def measured() -> Iterator[Cost]:
    """Measure what the block and its processes take; memory is sampled twice a second."""
    cost, stop = Cost(), threading.Event()

    def watch() -> None:
        while not stop.wait(0.5):
            cost.peak = max(cost.peak, memory())

    watcher = threading.Thread(target=watch)
    watcher.start()
    wall, cpu = time.perf_counter(), processor()
    try:
        yield cost
    finally:
        cost.wall, cost.cpu = time.perf_counter() - wall, processor() - cpu
        stop.set()
        watcher.join()


def processor() -> float:
    """Seconds of processor time of this process and of those it has waited for."""
    uses = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(use.ru_utime + use.ru_stime for use in uses)


def memory() -> int:
    """Bytes that this process and its children hold: pages that they share count once (PSS), where the system tells."""
    total = 0
    me = psutil.Process()
    for process in [me, *me.children(recursive=True)]:
        try:
            info = process.memory_full_info()
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
        total += getattr(info, "pss", info.rss)
    return total


if __name__ == "__main__":
    main()
