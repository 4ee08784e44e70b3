"""How many planted copies the near-duplicate search finds, and how many pairs it claims that are none.

python -m tests.benchmarks.near_duplicates POOL... [--pictures sheet.png]     # without POOL: 1,500 demo images
python -m tests.benchmarks.near_duplicates_scale --images 1000 5000 20530      # seconds and memory
"""

import argparse
import csv
import multiprocessing
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image

from fracture.data.demo import write_demo
from fracture.data.images import decode
from fracture.data.near_duplicates.candidates import Index
from fracture.data.near_duplicates.duplicates import (
    NEIGHBOURS,
    REVIEW_MARGIN,
    NearDuplicates,
    Pair,
    duplicate_threshold,
    find_near_duplicates,
)
from fracture.data.near_duplicates.signatures import Signature, signature
from fracture.data.near_duplicates.verification import Frame
from fracture.evidence import wilson
from tests.benchmarks.machine import machine
from tests.planted import CHANGES, planted_copy

GOALS = {
    **dict.fromkeys(("flip_horizontal", "flip_vertical", "rotate_90", "rotate_180", "rotate_270", "invert"), 99),
    **dict.fromkeys(("brightness_30", "contrast_30", "jpeg_40", "half_size"), 99),
    **dict.fromkeys(("rotate_3_to_15", "rotate_15", "gamma", "affine"), 98),
    **dict.fromkeys(("aspect", "text"), 97),
    **dict.fromkeys(("crop_sides_10", "crop_random_10", "noise"), 96),
    "two_at_once": 93,
}
LARGE_POOL = 20_000
DEMO_IMAGES = 1_500
JUDGED = Path(__file__).with_name("judged_pairs.csv")
SUFFIXES = {".jpg", ".jpeg", ".png"}


@dataclass(frozen=True)
class Picture:
    """An image of the pool; those with the same truth show the same exposure or the same patient."""

    path: Path
    truth: str


def main() -> None:
    """Measure and print."""
    options = parse()
    with tempfile.TemporaryDirectory() as folder:
        pictures = read_pool(options.pools or [demo_pool(Path(folder) / "demo", options.seed)])
        with sign_pool(options.workers) as pool:
            signatures = list(pool.map(sign, [p.path for p in pictures], chunksize=32))
            planted = plant(pool, pictures, options.queries, options.seed)
            print(f"{machine()}, OpenCV {cv2.__version__}, scikit-learn {version('scikit-learn')}")
            print_recall(planted, signatures, options)
        found = find_near_duplicates(signatures, workers=options.workers, threshold=0.75)
        print_claims(found, pictures)
        print_growth(found, signatures, pictures, options)
        if options.pictures:
            sheet(unlinked(found, pictures)[: options.show], pictures).save(options.pictures, optimize=True)


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "pools", nargs="*", type=Path, metavar="POOL", help="folders of images, with SOURCES.csv or not"
    )
    parser.add_argument("--queries", type=int, default=300, help="images that a copy is planted of, for each change")
    parser.add_argument("--seed", type=int, default=2026)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--pictures", type=Path, help="write the best-scoring pairs that nothing links, to look at")
    parser.add_argument("--show", type=int, default=36, help="how many of them")
    return parser.parse_args()


def demo_pool(folder: Path, seed: int) -> Path:
    """Render a pool; patients are known by their file names."""
    return write_demo(folder, DEMO_IMAGES, seed).parent


def read_pool(folders: Sequence[Path]) -> list[Picture]:
    """List the images of all folders. A SOURCES.csv tells which are one: column `group`, and the original's hash."""
    pictures: list[Picture] = []
    originals: dict[str, str] = {}
    for folder in folders:
        known = {row["file"]: row for row in rows(folder / "SOURCES.csv")}
        for path in sorted(p for p in folder.rglob("*") if p.suffix.lower() in SUFFIXES):
            name = path.relative_to(folder).as_posix()
            row = known.get(name, {})
            truth = row.get("group") or originals.get(row.get("sha256_of_original", ""))
            pictures.append(Picture(path, truth or path.stem.partition("_view")[0]))
            originals[row.get("sha256", path.name)] = pictures[-1].truth
    return pictures


def rows(path: Path) -> list[dict[str, str]]:
    """Rows of a CSV file, none without the file."""
    if not path.is_file():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def sign_pool(workers: int) -> ProcessPoolExecutor:
    """Processes that decode and sign; not forked, which hangs once OpenCV has started threads here."""
    return ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), cv2.setNumThreads, (1,))


def sign(path: Path) -> Signature:
    """Decode and sign."""
    return signature(decode(path.read_bytes()))


def sign_copy(task: tuple[Path, str, int]) -> Signature:
    """Decode, change and sign."""
    path, change, seed = task
    return signature(planted_copy(decode(path.read_bytes()), change, np.random.default_rng(seed)))


Planted = dict[str, list[tuple[int, Signature]]]


def plant(pool: ProcessPoolExecutor, pictures: Sequence[Picture], queries: int, seed: int) -> Planted:
    """For each change, copies of the same random images and the position of the image that each is a copy of."""
    chosen = np.random.default_rng(seed).permutation(len(pictures))[:queries].tolist()
    planted = {}
    for number, change in enumerate(CHANGES):
        tasks = [(pictures[i].path, change, seed * 1_000_003 + i * 31 + number) for i in chosen]
        planted[change] = list(zip(chosen, pool.map(sign_copy, tasks, chunksize=16), strict=True))
    return planted


def print_recall(planted: Planted, signatures: Sequence[Signature], options: argparse.Namespace) -> None:
    """One row a change: share of copies found at three thresholds."""
    usual, large = duplicate_threshold(len(signatures)), duplicate_threshold(LARGE_POOL)
    index = Index(signatures)
    print(f"\nPool of {len(signatures):,} images, {options.queries} copies a change, seed {options.seed}\n")
    print(f"| change | n | found, t = {usual:.2f} [95%] | review list too, t = {usual - REVIEW_MARGIN:.2f} |", end="")
    print(f" t of 20,000 images = {large:.2f} | goal | |\n|---|---|---|---|---|---|---|")
    for change, copies in planted.items():
        scores = list(own_scores(copies, index, signatures))
        shares = [np.mean(np.array(scores) >= t) for t in (usual, usual - REVIEW_MARGIN, large)]
        low, high = wilson(sum(s >= usual for s in scores) / len(scores), len(scores))
        goal = GOALS[change]
        print(f"| {change} | {len(scores)} | {shares[0]:.1%} [{low:.1%}, {high:.1%}] | {shares[1]:.1%} |", end="")
        print(f" {shares[2]:.1%} | {goal}% | {'met' if 100 * shares[0] >= goal else '**missed**'} |", flush=True)


def own_scores(
    copies: Sequence[tuple[int, Signature]], index: Index, signatures: Sequence[Signature]
) -> Iterator[float]:
    """Score of every copy against its original: 0 where it is no candidate. Only the copy searches, so this is low."""
    for start in range(0, len(copies), 256):
        block = copies[start : start + 256]
        for (own, copy), near in zip(block, index.nearest([s for _, s in block], NEIGHBOURS), strict=True):
            frame = Frame(copy)
            matches = [frame.match(signatures[image], name) for image, name in near if image == own]
            yield max((m.score for m in matches if m), default=0.0)


def unlinked(found: NearDuplicates, pictures: Sequence[Picture]) -> list[Pair]:
    """Pairs that the pool's own labels do not explain, best first."""
    pairs = found.duplicates + found.review
    return [p for p in pairs if pictures[p.first].truth != pictures[p.second].truth]


def print_claims(found: NearDuplicates, pictures: Sequence[Picture]) -> None:
    """What is claimed without planting anything, and what a person says of what the labels do not explain."""
    verdicts = {frozenset((r["first"], r["second"])): r["verdict"] for r in rows(JUDGED)}
    usual = duplicate_threshold(len(pictures))
    for name, low, high in (("duplicates", usual, 2.0), ("review", usual - REVIEW_MARGIN, usual)):
        pairs = [p for p in found.duplicates + found.review if low <= p.score < high]
        strange = [p for p in unlinked(replace(found, review=()), pictures) if low <= p.score < high]
        names = [frozenset((pictures[p.first].path.name, pictures[p.second].path.name)) for p in strange]
        counts = Counter(verdicts.get(n, "not judged") for n in names)
        told = ", ".join(f"{count} {verdict}" for verdict, count in counts.most_common()) or "none"
        linked = len(pairs) - len(strange)
        print(f"\n{name}, t = {low:.2f}: {len(pairs)} pairs; {linked} linked by labels, {len(strange)} not: {told}")
        wrong = sum(c for v, c in counts.items() if v in ("different", "not judged"))
        least, most = wilson(wrong / len(pictures), len(pictures))
        print(
            f"false pairs per 1,000 images: {1000 * wrong / len(pictures):.2f} [{1000 * least:.2f}, {1000 * most:.2f}]"
        )
        for pair, both in zip(strange, names, strict=True):
            verdict = verdicts.get(both, "not judged")
            print(f"  {pair.score:.3f} {pair.transform} {pair.inliers} {' '.join(sorted(both))}: {verdict}")


def print_growth(
    found: NearDuplicates, signatures: Sequence[Signature], pictures: Sequence[Picture], options: argparse.Namespace
) -> None:
    """How pairs between strangers grow with the pool: counts in a quarter, a half and the whole of it."""
    verdicts = {frozenset((r["first"], r["second"])): r["verdict"] for r in rows(JUDGED)}
    thresholds = (0.70, 0.75, 0.78, 0.80, 0.82, 0.84)
    print("\n| images | " + " | ".join(f"t = {t:.2f}" for t in thresholds) + " |\n|" + "---|" * (len(thresholds) + 1))
    order = np.random.default_rng(options.seed).permutation(len(pictures))
    for share in (4, 2, 1):
        part = sorted(order[: len(order) // share].tolist())
        some = [pictures[i] for i in part]
        result = found if share == 1 else find_near_duplicates([signatures[i] for i in part], threshold=0.75)
        strange = [
            p for p in unlinked(result, some)
            if verdicts.get(frozenset((some[p.first].path.name, some[p.second].path.name)), "different") == "different"
        ]  # fmt: skip
        counts = [sum(p.score >= t for p in strange) for t in thresholds]
        print(f"| {len(part):,} | " + " | ".join(f"{c} ({1000 * c / len(part):.1f} per 1,000)" for c in counts) + " |")


def sheet(pairs: Sequence[Pair], pictures: Sequence[Picture], side: int = 200, columns: int = 4) -> Image.Image:
    """Pairs side by side with their score, to be looked at."""
    lines = -(-len(pairs) // columns)
    page = np.full((max(1, lines) * (side + 4), columns * (2 * side + 12)), 60, np.uint8)
    for number, pair in enumerate(pairs):
        top, left = number // columns * (side + 4), number % columns * (2 * side + 12)
        for step, position in enumerate((pair.first, pair.second)):
            small = fitted(decode(pictures[position].path.read_bytes()), side)
            x = left + step * (side + 2)
            page[top : top + small.shape[0], x : x + small.shape[1]] = small
        label = f"{number} {pair.score:.3f} {pair.transform}"
        cv2.putText(page, label, (left + 4, top + side - 6), cv2.FONT_HERSHEY_SIMPLEX, 0.5, 255, 1)
    return Image.fromarray(page)


def fitted(pixels: npt.NDArray[np.uint8], side: int) -> npt.NDArray[np.uint8]:
    """Shrink to the side."""
    scale = side / max(pixels.shape)
    size = max(1, int(pixels.shape[1] * scale)), max(1, int(pixels.shape[0] * scale))
    return np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), np.uint8)


if __name__ == "__main__":
    main()
