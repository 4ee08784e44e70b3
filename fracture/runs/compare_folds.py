"""Cross-validations side by side: each parent with its mean, its folds below it."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from fracture.evaluation.config import CompareConfig
from fracture.progress import Terminal
from fracture.tables import DOUBTED, shown
from fracture.tracking import query
from fracture.tracking.query import Found

if TYPE_CHECKING:
    from fracture.runs.compare import Entry


def parent_of(run: Found) -> str:
    """The id of the parent whose fold a run is; empty of any other run."""
    return run.tags.get("mlflow.parentRunId", "") if run.params.get("folds", "1") != "1" else ""


def is_parent(run: Found) -> bool:
    """Whether a run is the parent of folds."""
    return run.kind == "group" and run.params.get("folds", "1") != "1"


def below(runs: Sequence[Found]) -> list[Found]:
    """The finished folds of those of the runs that are parents of some."""
    children = [child for run in runs if is_parent(run) for child in query.children(run.id, "train")]
    return [child for child in children if child.status == "FINISHED"]


def by_parent(entries: "Sequence[Entry]") -> "dict[str, list[Entry]]":
    """The folds of each cross-validation, by the id of their parent, in order."""
    found: dict[str, list[Entry]] = {}
    for entry in sorted(entries, key=lambda entry: int(entry.run.params.get("fold", "0"))):
        found.setdefault(parent_of(entry.run), []).append(entry)
    return found


def show(families: "dict[str, list[Entry]]", config: CompareConfig, terminal: Terminal) -> list[dict[str, Any]]:
    """Print a parent a row with its folds below it; returns the same as plain values."""
    metric, rows, found = config.metric, [], []
    columns = ["run", "model", f"val {metric}", f"test {metric}", "images"]
    for parent_id, folds in families.items():
        parent, n = query.run_of(parent_id), sum(fold.estimate("test", metric).n for fold in folds)
        mean, low, high = (parent.metrics.get(f"test_{metric}{end}") for end in ("", "_low", "_high"))
        vals = [value for fold in folds if (value := fold.estimate("val", metric).value) is not None]
        val = float(np.mean(vals)) if len(vals) == len(folds) else None
        rows.append([
            f"{parent.name} ({parent_id[:6]})", folds[0].results.model.split(".")[0], _figure(val),
            _figure(mean) + (f" [{low:.3f}, {high:.3f}]" if low is not None and high is not None else ""), str(n),
        ])  # fmt: skip
        rows += [
            [
                f"  fold {fold.run.params.get('fold', '')} ({fold.run.id[:6]})", "",
                _figure(fold.estimate("val", metric).value), shown(fold.estimate("test", metric)),
                str(fold.estimate("test", metric).n),
            ]
            for fold in folds
        ]  # fmt: skip
        found.append({
            "parent": parent_id, "name": parent.name, "status": parent.status, f"val_{metric}": val,
            f"test_{metric}": mean, f"test_{metric}_low": low, f"test_{metric}_high": high, "test_n": n,
            "folds": [fold.run.id for fold in folds],
        })  # fmt: skip
    every = [fold.estimate("test", metric) for folds in families.values() for fold in folds]
    doubted = any(one.caution for one in every)
    terminal.table(
        "Cross-validation: each parent with its folds", columns, rows,
        "In brackets 95% intervals: of a parent over its folds (corrected resampled t-test), of a fold by group. Only "
        "parents of the same data and folds can be compared." + (f" {DOUBTED}." if doubted else ""),
    )  # fmt: skip
    return found


def _figure(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"
