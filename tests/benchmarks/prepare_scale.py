"""Seconds and memory of `fracture prepare` and `fracture audit`, as typed, against the number of images.

    python -m tests.benchmarks.prepare_scale --images 1000 5000 20530 --folder /somewhere/to/keep/20,000/renders

Demo images with 5% planted copies, each beside its original's class. Every command is a process of its own, the
first with an empty cache; the audit reads what prepare has kept; "again" repeats both with the cache as it is.
"""

import argparse
import json
import math
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import psutil

from fracture.data.demo import write_demo
from tests.benchmarks.near_duplicates_scale import COPIES, plant

HEADER = ("images", "prepare s", "audit s", "both s", "peak GiB", "prepare again s", "audit again s", "verdict")


def main() -> None:
    """Measure and print one row a size."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, nargs="+", default=[1_000, 5_000, 20_530])
    parser.add_argument("--folder", type=Path, help="where demo images are, or are rendered to and stay")
    parser.add_argument("--seed", type=int, default=11)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        most = math.ceil(max(options.images) / (1 + COPIES))
        manifest = write_demo(options.folder or Path(scratch) / "demo", most, options.seed)
        originals = sorted(manifest.parent.rglob("*.png"), key=lambda path: path.name)  # patients, in order
        print("| " + " | ".join(HEADER) + " |\n|" + "---|" * len(HEADER))
        for count in options.images:
            folder = Path(scratch) / f"{count}"
            spread(originals[: round(count / (1 + COPIES))], count, folder / "data", options.seed)
            print(row(folder, count), flush=True)
    from tests.benchmarks.machine import machine  # late: it imports torch

    print(f"\n{machine()}")


def spread(originals: Sequence[Path], count: int, folder: Path, seed: int) -> None:
    """A folder of classes: links to the originals, and the changed copies among them."""
    for path in originals:
        place = folder / path.parent.name / path.name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.symlink_to(path)
    scratch = folder.parent / "copies"
    scratch.mkdir()
    for position, copy in plant(originals, count - len(originals), scratch, seed):
        copy.rename(folder / originals[position].parent.name / copy.name)


def row(folder: Path, count: int) -> str:
    """Prepare, audit, and both again; one row of the table."""
    prepare_command = ["prepare", "data", "--group-pattern", "(demo-\\d+)_view", "--out", "manifest.csv"]
    commands = (prepare_command, ["audit", "manifest.csv", "--out", "audit.json"])
    first, again = ([timed(command, folder) for command in commands] for _ in range(2))
    (prepare, one), (audit, two) = first
    verdict = json.loads((folder / "audit.json").read_text())["verdict"]
    return (
        f"| {count:,} | {prepare:.0f} | {audit:.0f} | {prepare + audit:.0f} | {max(one, two) / 2**30:.2f} "
        f"| {again[0][0]:.0f} | {again[1][0]:.0f} | {verdict} |"
    )


def timed(command: Sequence[str], folder: Path) -> tuple[float, int]:
    """Seconds and peak bytes (PSS of the process and its children, sampled twice a second) of one command."""
    env = os.environ | {"FRACTURE_CACHE_DIR": str(folder / "cache")}
    began, peak = time.perf_counter(), 0
    with subprocess.Popen(
        [sys.executable, "-m", "fracture", *command], cwd=folder, env=env, stdout=subprocess.DEVNULL
    ) as process:
        while process.poll() is None:
            peak = max(peak, memory(process.pid))
            time.sleep(0.5)
    if process.returncode not in (0, 3):
        sys.exit(f"fracture {' '.join(command)} ended with {process.returncode}")
    return time.perf_counter() - began, peak


def memory(pid: int) -> int:
    """Bytes that a process and its children hold; pages that they share count once, where the system tells."""
    total = 0
    try:
        family = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
    except psutil.NoSuchProcess:
        return 0
    for process in family:
        try:
            info = process.memory_full_info()
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
        total += getattr(info, "pss", info.rss)
    return total


if __name__ == "__main__":
    main()
