"""Where the threshold of the source probe comes from: classes of one source, of two, and labels that mean nothing.

    python -m tests.benchmarks.source_probe --data FRACATLAS --sources MIXED

FRACATLAS is one data set with two classes (columns ``file,cls,group`` in its SOURCES.csv), MIXED has classes of several
sources (``file,cls,source,source_label``). Every AUC below is that of the audit's own probe.
"""

import argparse
import csv
import platform
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import sklearn

from fracture.data.audit import traits
from fracture.data.audit.confound import THRESHOLD, probe
from fracture.data.cache import default_folder
from fracture.data.inspection.inspect import inspect

FAMILIES = {family: traits.columns(family) for family in traits.FAMILIES}
Rows = list[dict[str, str]]
Traits = npt.NDArray[np.float32]


def main() -> None:
    """Print one line a pair of classes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of one source, with SOURCES.csv")
    parser.add_argument("--sources", type=Path, required=True, help="folder of several sources, with SOURCES.csv")
    options = parser.parse_args()
    processor = platform.processor() or platform.machine()
    print(f"threshold {THRESHOLD}, scikit-learn {sklearn.__version__}, {processor}")
    print("| what is told apart | classes | n | AUC [95%] | confounded |\n|---|---|---|---|---|")
    rows, values = _load(options.data)
    labels, groups = [row["cls"] for row in rows], [row["group"] for row in rows]
    for seed in range(3):
        shuffled = np.random.default_rng(seed).permutation(labels).tolist()
        _show(f"labels shuffled, seed {seed}", values, shuffled, groups)
    _show("one source, two classes", values, labels, groups)
    for part in ("hand", "leg"):
        kept = [
            i
            for i, row in enumerate(rows)
            if [k for k in ("hand", "leg", "hip", "shoulder") if row[k] == "1"] == [part]
        ]
        _show(f"the same, {part} only", values[kept], [labels[i] for i in kept], [groups[i] for i in kept])
    rows, values = _load(options.sources)
    files = [row["file"] for row in rows]
    _show("classes of several sources", values, [row["cls"] for row in rows], files)
    _show("the sources themselves", values, [row["source"] for row in rows], files)


def _load(folder: Path) -> tuple[Rows, Traits]:
    with (folder / "SOURCES.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    found = inspect([folder / row["file"] for row in rows], default_folder(), 1)
    flattest = min(one.spread for one in found)
    print(f"| grey levels of the flattest image | all | {len(rows)} | spread {flattest:.1f} | |")
    return rows, np.array([one.traits for one in found], np.float32)


def _show(title: str, values: Traits, labels: Sequence[str], groups: Sequence[str]) -> None:
    for pair in probe(values, FAMILIES, labels, groups).pairs:
        interval = f"{pair.auc:.3f} [{pair.low:.3f}, {pair.high:.3f}]"
        count = f"{pair.n_first} + {pair.n_second}"
        verdict = "yes" if pair.confounded else "no"
        print(f"| {title} | {pair.first}, {pair.second} | {count} | {interval} | {verdict} |", flush=True)


if __name__ == "__main__":
    main()
