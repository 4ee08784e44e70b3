"""What `fracture drift` sees of planted shifts, and how often it cries wolf: draws of real images, by group.

    python -m tests.benchmarks.drift FOLDER [DRAWS] [FALSE_DRAWS] [N,N,...]

FOLDER holds SOURCES.csv (``file,cls,group`` or ``file,cls``); ``demo:N`` is N rendered images instead, for sizes that
no folder has. What a folder has too few images for is left out. Every image is written anew as PNG, so that no shift is
told by its file format. A draw takes 300 images as the reference and n others as the stream. Answers are made up: the
true class with probability 0.8, so the checks of shares and confidence are seen at work without a model.
"""

import csv
import hashlib
import io
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import sklearn
from PIL import Image

from fracture.data import demo
from fracture.data.audit import traits
from fracture.data.images import Grey, decode
from fracture.evidence.verdict import Rule, decide
from fracture.monitoring import drift, limits
from fracture.monitoring.record import Record
from fracture.monitoring.reference import build
from tests.benchmarks.machine import machine

REFERENCE = 300


def _border(grey: Grey) -> Grey:
    height, width = grey.shape
    framed = grey.copy()
    across, along = max(1, height // 25), max(1, width // 25)
    framed[:across] = framed[-across:] = 0
    framed[:, :along] = framed[:, -along:] = 0
    return framed


SHIFTS: dict[str, Callable[[Grey], Grey]] = {
    "none": lambda grey: grey,
    "another border": _border,
    "inverted": lambda grey: 255 - grey,
    "gamma 1.2": lambda grey: (255 * (grey / 255.0) ** 1.2).round().astype(np.uint8),
    "half size": lambda grey: cv2.resize(grey, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA),
}
STREAMS = (*[name for name in SHIFTS if name != "none"], "another class mix", "duplicated stream", "none")


def measured(folder: Path) -> tuple[list[str], list[str], dict[str, np.ndarray]]:
    """Class and group of each image, and its traits under each shift: [images, traits]."""
    with next(path for path in (folder / "SOURCES.csv", folder / "manifest.csv") if path.exists()).open() as file:
        rows = [{"file": row.get("path"), "cls": row.get("label"), **row} for row in csv.DictReader(file)]
    found: dict[str, list[np.ndarray]] = {name: [] for name in SHIFTS}
    for row in rows:
        grey = decode((folder / row["file"]).read_bytes())
        for name, shift in SHIFTS.items():
            pixels, buffer = shift(grey), io.BytesIO()
            Image.fromarray(pixels).save(buffer, "PNG", compress_level=1)
            found[name].append(traits.measure(buffer.getvalue(), pixels))
    values = {name: np.array(one) for name, one in found.items()}
    return [row["cls"] for row in rows], [row.get("group") or row["file"] for row in rows], values


def draw(
    labels: list[str], groups: list[str], values: dict[str, np.ndarray], stream: str, n: int, seed: int
) -> tuple[str, list[str]]:
    """The verdict and the checks that said drift, of one draw."""
    rng = np.random.default_rng(seed)
    names = sorted(set(labels))
    order = {group: place for place, group in enumerate(rng.permutation(sorted(set(groups))))}
    ranked = sorted(range(len(labels)), key=lambda i: (order[groups[i]], i))
    own, rest = ranked[:REFERENCE], [i for i in ranked[REFERENCE:] if groups[i] != groups[ranked[REFERENCE - 1]]]
    if stream == "another class mix":  # twice as many of the first class as there were
        first = [i for i in rest if labels[i] == names[0]]
        share = min(0.95, 2 * np.mean([labels[i] == names[0] for i in own]))
        others = [i for i in rest if labels[i] != names[0]]
        rest = [*first[: round(n * share)], *others[: n - round(n * share)]]
    if len(rest) < n:
        return "too few images", []
    chosen = [rest[i] for i in rng.permutation(len(rest))[:n]]
    if stream == "duplicated stream":
        chosen = [chosen[i % max(1, n // 2)] for i in range(n)]
    rule, shares = Rule(tuple(names), None, None, 0.6), _answers(labels, names, rng)
    table = values.get(stream, values["none"])
    reference = build(
        rule, "w", "a draw", shares[own], [groups[i] for i in own], [values["none"][i].tolist() for i in own]
    )
    rows = [_row(rule, shares[i], table[i], groups[i], place) for place, i in enumerate(chosen)]
    found = drift.judge(reference, rows, limits.read())
    return found.verdict, [check.name for check in found.drifted]


def _answers(labels: list[str], names: list[str], rng: np.random.Generator) -> np.ndarray:
    """Probabilities of each class, [images, classes]: that of the true one is the largest in 80% of the images."""
    said = [names.index(one) if rng.random() < 0.8 else int(rng.integers(len(names))) for one in labels]
    scores = rng.normal(size=(len(labels), len(names))) + 3 * np.eye(len(names))[said]
    return np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)


def _row(rule: Rule, shares: np.ndarray, seen: np.ndarray, group: str, place: int) -> Record:
    verdict = decide(rule, shares.tolist())
    image = hashlib.sha256(seen.tobytes() + group.encode()).hexdigest()
    return Record(
        f"2026-01-01T00:{place // 60 % 60:02d}:{place % 60:02d}.000Z", str(place), image, "m", "1", "w",
        verdict.decision, verdict.label, verdict.fracture, None, dict(zip(rule.classes, shares.tolist(), strict=True)),
        float(shares.max()), bool(verdict.reason), verdict.reason, "", 0.1,
        traits.rounded(seen), patient=group,
    )  # fmt: skip


def main(folder: str, draws: int = 10, false_draws: int = 200, sizes: str = "50,100,200,500") -> None:
    """Print a row for each stream and size."""
    drift._FAMILIES = {}  # probed alone for the page only: no verdict rests on them
    with tempfile.TemporaryDirectory() as made:
        if folder.startswith("demo:"):
            demo.write_demo(Path(made) / "demo", int(folder.removeprefix("demo:")), seed=0)
        labels, groups, values = measured(Path(made) / "demo" if folder.startswith("demo:") else Path(folder))
    print(f"{machine()}, scikit-learn {sklearn.__version__}")
    print(f"{folder}: {len(labels)} images, {len(set(groups))} groups, {dict(Counter(labels))}")
    print("| stream | n | draws | drift | too few answers | by |\n|---|---|---|---|---|---|", flush=True)
    for stream in STREAMS:
        for n in (int(size) for size in sizes.split(",")):
            count, began = false_draws if stream == "none" else draws, time.perf_counter()
            if not count:
                continue
            found = [draw(labels, groups, values, stream, n, seed) for seed in range(count)]
            if any(verdict == "too few images" for verdict, _ in found):
                continue
            said, by = Counter(verdict for verdict, _ in found), Counter(name for _, names in found for name in names)
            parts = ", ".join(f"{name} {times}" for name, times in by.most_common(4)) or "-"
            seconds = (time.perf_counter() - began) / count
            row = [stream, n, count, said["drift"], said["too few answers"], f"{parts} ({seconds:.1f} s each)"]
            print(f"| {' | '.join(map(str, row))} |", flush=True)


if __name__ == "__main__":
    main(sys.argv[1], *[int(one) for one in sys.argv[2:4]], *sys.argv[4:5])
