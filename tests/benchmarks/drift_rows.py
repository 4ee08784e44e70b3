"""Seconds that `fracture drift` takes to read and judge a log of many rows, without the store.

python -m tests.benchmarks.drift_rows [ROWS]
"""

import resource
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

from fracture.data.audit.traits import NAMES, rounded
from fracture.evidence.verdict import Rule
from fracture.monitoring import limits
from fracture.monitoring.drift import judge
from fracture.monitoring.folder import FolderLog
from fracture.monitoring.record import Record
from fracture.monitoring.reference import MOST, build
from tests.benchmarks.machine import machine

CLASSES = ("comminuted_fracture", "no_fracture", "simple_fracture")


def main(count: int = 100_000) -> None:
    """Write rows of noise, read and judge them."""
    rng = np.random.default_rng(0)
    shares, seen = rng.dirichlet(np.ones(3), count), rng.normal(size=(count, len(NAMES)))
    base = build(
        Rule(CLASSES, "no_fracture", 0.5, 0.5), "w", "noise", shares[:MOST], range(MOST), seen[:MOST].tolist(), [1.0]
    )
    row = Record("", "", "", "m", "1", "w", "fracture reported", "", True, 0.9, {}, 0.9, False, "", "", 0.1)
    rows = [
        replace(
            row, time=f"2026-01-{1 + i % 28:02d}T12:00:00.000Z", image=f"{i:064x}", request=f"{i:016x}",
            label=CLASSES[int(shares[i].argmax())],
            probabilities=dict(zip(CLASSES, shares[i].round(6).tolist(), strict=True)),
            confidence=float(shares[i].max()), traits=rounded(seen[i]), distance=1.0,
        )
        for i in range(count)
    ]  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        log = FolderLog(Path(folder), make=True)
        for start in range(0, count, 1000):
            log.write(rows[start : start + 1000])
        size = sum(path.stat().st_size for path in Path(folder).iterdir()) / 2**20
        del rows
        began, busy = time.perf_counter(), time.process_time()
        read = list(log.read())
        middle = time.perf_counter()
        found = judge(base, read, limits.read())
        ended, busy = time.perf_counter(), time.process_time() - busy
    print(machine())
    print(f"{count:,} rows, {size:.0f} MiB, {found.verdict}")
    print(f"read {middle - began:.1f} s, judged {ended - middle:.1f} s, {busy:.1f} s of processor time in all")
    print(f"largest resident memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10:,.0f} MiB")


if __name__ == "__main__":
    main(*[int(one) for one in sys.argv[1:2]])
