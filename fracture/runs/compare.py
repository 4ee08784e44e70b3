"""The runs of an experiment side by side, and whether the best two really differ."""

import csv
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from fracture.allowed_values import names_in
from fracture.errors import ConfigError
from fracture.evaluation import predictions
from fracture.evaluation.config import CompareConfig
from fracture.evaluation.figures.costs import Point, cost_figure
from fracture.evaluation.figures.style import png
from fracture.evaluation.paired import Paired, compare
from fracture.evaluation.predictions import Predictions
from fracture.evaluation.sample import Decisions, Sample
from fracture.evidence import Estimate, Judged
from fracture.evidence.healthy import NONE
from fracture.files import replacing, write_json
from fracture.progress import LOG, Terminal
from fracture.runs import compare_folds
from fracture.tables import DOUBTED, counted, shown
from fracture.tracking import artifacts, query
from fracture.tracking.query import Found

KINDS = ("train", "ensemble", "evaluate")
_COSTS = {
    "images_per_second": "train img/s", "epoch_seconds": "epoch s", "peak_memory_gib": "peak GiB",
    "latency_ms": "image ms", "checkpoint_mib": "file MiB",
}  # fmt: skip
_UNITS = (
    "train img/s: training images a second; epoch s: seconds an epoch; peak GiB: most memory, of 2^30 bytes; image ms: "
    "one image through the model; file MiB: the weights, of 2^20 bytes."
)
_NAMES = ("results.json", "predictions_test.csv")
_ABSENT = Estimate(value=None, low=None, high=None, n=0, groups=0, reason="not evaluated on this split")


@dataclass(frozen=True)
class Entry:
    """One run of a comparison.

    Attributes:
        run: as the store holds it.
        results: what it showed.
        folder: where its evidence lies for now.
    """

    run: Found
    results: Judged
    folder: Path

    @property
    def name(self) -> str:
        """Short and unlike that of other runs."""
        return f"{self.run.name} ({self.run.id[:6]})"

    def answers(self) -> Predictions:
        """Its answers to the test split.

        Raises:
            DataError: they are damaged.
        """
        with artifacts.named(self.folder, f"run {self.run.id}"):
            return predictions.read(self.folder / "predictions_test.csv")

    def parameter(self, name: str) -> str:
        """What the run was trained with: the recipe's choice, where it chose."""
        return self.run.params.get(f"recipe.{name}") or self.run.params.get(name, "")

    def estimate(self, split: str, metric: str) -> Estimate:
        """A metric of a split, absent where it was not judged."""
        found = self.results.splits.get(split)
        return (found.metrics.get(metric) if found else None) or _ABSENT

    def of_studies(self, metric: str) -> Estimate:
        """A metric with one answer a study, absent where each image is one."""
        found = self.results.studies
        return (found.metrics.get(metric) if found else None) or _ABSENT

    def row(self, config: CompareConfig) -> dict[str, Any]:
        """The run as a row of the table."""
        test, val = (self.estimate(split, config.metric) for split in ("test", "val"))
        return {
            "run": self.run.id, "name": self.run.name, "kind": self.run.kind, "model": self.results.model,
            "parent": compare_folds.parent_of(self.run),
            f"val_{config.metric}": val.value,
            f"test_{config.metric}": test.value, f"test_{config.metric}_low": test.low,
            f"test_{config.metric}_high": test.high,
            "healthy": self.results.healthy,
            "test_n": test.n, "test_groups": test.groups,
            f"study_{config.metric}": self.of_studies(config.metric).value, "studies": self.of_studies(config.metric).n,
            **{name: self.parameter(name) for name in names(config)},
            **{name: self.run.metrics.get(name) for name in _COSTS},
            "data_digest": self.results.data_digest, "test_digest": self.results.test_digest,
        }  # fmt: skip


def names(config: CompareConfig) -> list[str]:
    """The parameters that the table shows."""
    return names_in(config.parameters)


def compare_runs(run_ids: Sequence[str], config: CompareConfig, out: Path, terminal: Terminal) -> list[Path]:
    """Compare runs, by default all finished ones of the current experiment; returns the files written.

    Runs judged on different test data come in tables of their own; named one by one, they are refused. The folds of
    a cross-validation are below their parent, whose id names all of them.

    Raises:
        ConfigError: no such run, none at all, one named twice or without results, or runs of different test data.
    """
    query.check_distinct(run_ids)
    with tempfile.TemporaryDirectory() as folder:
        entries, folds = _collect(run_ids, Path(folder), terminal)
        tables = _by_test_data(entries, config)
        if run_ids and len(tables) > 1:
            listed = "\n".join(f"- {entry.run.id}: test data {entry.results.test_digest}" for entry in entries)
            raise ConfigError(
                f"these runs were evaluated on different test data, so their scores cannot be ranked:\n{listed}\n"
                "Evaluate them on the same data first: fracture evaluate RUN --data DATA"
            )
        found = [_report(table, config, terminal) for table in tables]
        if folds:
            _check_metric(folds, config.metric)
        parents = compare_folds.show(compare_folds.by_parent(folds), config, terminal) if folds else []
        return _write(found, parents, [entry.row(config) for entry in folds], config, out)


def _collect(run_ids: Sequence[str], folder: Path, terminal: Terminal) -> tuple[list[Entry], list[Entry]]:
    """The runs that are no folds, and the folds of cross-validations."""
    runs = [query.run_of(run_id) for run_id in run_ids] if run_ids else query.finished(KINDS)
    folds = [run for run in runs if compare_folds.parent_of(run)] if not run_ids else compare_folds.below(runs)
    apart = {run.id for run in folds} | {run.id for run in runs if compare_folds.is_parent(run)}
    entries: dict[str, Entry] = {}
    for run in [run for run in runs if run.id not in apart] + folds:
        try:
            entries[run.id] = _entry(run, folder / run.id)
        except ConfigError as error:
            if run_ids:
                raise
            terminal.say(f"left out: {error}")
    if not entries:
        raise ConfigError("no finished run with results in this experiment; `fracture train` makes one")
    below = {run.id for run in folds}
    return [entries[run] for run in entries if run not in below], [entries[run] for run in entries if run in below]


def _entry(run: Found, folder: Path) -> Entry:
    folder.mkdir()
    if len(artifacts.fetch(run.id, _NAMES, folder)) < len(_NAMES):
        raise ConfigError(f"run {run.id} ({run.name}): has no {' and '.join(_NAMES)}")
    try:
        # what is its own of a training run or an ensemble does not matter here
        results = Judged.model_validate_json((folder / "results.json").read_bytes(), extra="ignore")
    except ValidationError as error:
        why = "its results were written by another version of this project"
        raise ConfigError(f"run {run.id} ({run.name}): {why}") from error
    return Entry(run, results, folder)


def _by_test_data(entries: Sequence[Entry], config: CompareConfig) -> list[list[Entry]]:
    """The runs by test data, each table sorted by the metric on validation, the best first."""
    digests = dict.fromkeys(entry.results.test_digest for entry in entries)
    lower = config.metric in ("log_loss", "brier", "ece", "ece_debiased")

    def key(entry: Entry) -> tuple[bool, float]:
        value = entry.estimate("val", config.metric).value
        return (value is None, 0.0 if value is None else value if lower else -value)

    return [sorted((e for e in entries if e.results.test_digest == digest), key=key) for digest in digests]


def _report(table: list[Entry], config: CompareConfig, terminal: Terminal) -> dict[str, Any]:
    digest, metric = table[0].results.test_digest, config.metric
    _check_metric(table, metric)
    differing = [name for name in names(config) if len({entry.parameter(name) for entry in table}) > 1]
    same = [
        f"{name} {table[0].parameter(name)}"
        for name in names(config)
        if name not in differing and table[0].parameter(name)
    ]
    columns = ["run", "model", f"val {metric}", f"test {metric}", "images", *differing, *_COSTS.values()]
    runs = "1 run" if len(table) == 1 else f"{len(table)} runs, sorted by val {metric}"
    doubted = any(entry.estimate("test", metric).caution for entry in table)
    title = f"Test data {digest}: {runs}; intervals are 95%, by group" + (f"; {DOUBTED}" if doubted else "")
    alike = f"{'The same in all runs' if len(table) > 1 else 'Settings'}: {', '.join(same)}. " if same else ""
    terminal.table(title, columns, [_cells(entry, config.metric, differing) for entry in table], alike + _UNITS)
    _show_studies(table, metric, terminal)
    _same_healthy(table, terminal)
    pair = _paired(table[0], table[1]) if len(table) > 1 else None
    if pair is not None:
        _show_pair(table[0], table[1], pair, terminal)
    return {
        "test_digest": digest, "metric": metric, "runs": [entry.row(config) for entry in table],
        "best_two": None if pair is None else {"first": table[0].run.id, "second": table[1].run.id, **pair.to_dict()},
        "points": [_point(entry, metric) for entry in table],
    }  # fmt: skip


def _check_metric(table: Sequence[Entry], metric: str) -> None:
    """See that some run has the metric.

    Raises:
        ConfigError: none has; the message names those that there are.
    """
    if all(entry.estimate("test", metric).value is None for entry in table):
        known = ", ".join(sorted(table[0].results.splits["test"].metrics))
        raise ConfigError(f"metric={metric}: not among the results. Allowed: {known}")


def _show_studies(table: Sequence[Entry], metric: str, terminal: Terminal) -> None:
    """The same metric with one answer a study, where the images have studies."""
    rows = [
        [entry.name, found.by, shown(entry.of_studies(metric)), str(found.n), str(found.several)]
        for entry in table
        if (found := entry.results.studies)
    ]
    if rows:
        terminal.table(f"One answer a study: test {metric}", ["run", "by", metric, "n", "of several images"], rows)


def _same_healthy(table: Sequence[Entry], terminal: Terminal) -> None:
    """Warn where runs take different classes for healthy: what they call a fracture is then not the same."""
    healthy = {entry.name: entry.results.healthy or NONE for entry in table}
    if len(set(healthy.values())) > 1:
        listed = ", ".join(f"{one} in {name}" for name, one in healthy.items())
        terminal.warn(f"The healthy class differs: {listed}. Their any_fracture metrics cannot be compared.")


def _cells(entry: Entry, metric: str, parameters: Sequence[str]) -> list[str]:
    val, test = (entry.estimate(split, metric) for split in ("val", "test"))
    costs = [entry.run.metrics.get(name) for name in _COSTS]
    return [
        entry.name, entry.results.model.split(".")[0], "" if val.value is None else f"{val.value:.3f}", shown(test),
        str(test.n), *(entry.parameter(name) for name in parameters),
        *("" if cost is None else f"{cost:,.0f}" if cost >= 1000 else f"{cost:.3g}" for cost in costs),
    ]  # fmt: skip


def _point(entry: Entry, metric: str) -> Point:
    return Point(entry.name, entry.estimate("test", metric), entry.results.latency_ms, entry.results.checkpoint_mib)


def _paired(first: Entry, second: Entry) -> Paired | None:
    """The two on the images that both have judged, in one order."""
    one, other = first.answers(), second.answers()
    place = {digest: i for i, digest in enumerate(other.sha256)}
    if one.classes != other.classes or any(digest not in place for digest in one.sha256):
        LOG.warning("%s and %s have different classes or images: not compared", first.name, second.name)
        return None
    order = [place[digest] for digest in one.sha256]
    groups = [group or f"alone {i}" for i, group in enumerate(one.groups)]
    samples = [
        Sample(answers.logits[rows], answers.labels[rows], answers.classes, Decisions.of(entry.results))
        for answers, rows, entry in ((one, list(range(len(order))), first), (other, order, second))
    ]
    return compare(samples[0], samples[1], groups)


def _show_pair(first: Entry, second: Entry, pair: Paired, terminal: Terminal) -> None:
    rows = [
        [name, f"{d.value:+.3f}", f"{d.low:+.3f} to {d.high:+.3f}", "yes" if d.clear else "no"]
        for name, d in pair.differences.items()
    ]
    basis = f"{counted(pair.n, 'image')}, {counted(pair.groups, 'group')}"
    title = f"{first.name} minus {second.name}: {basis}, paired bootstrap"
    terminal.table(title, ["test metric", "difference", "95% interval", "clear of 0"], rows)
    chance = "< 0.001" if pair.mcnemar < 0.001 else f"= {pair.mcnemar:.3f}"
    terminal.say(
        f"Only the first is right on {counted(pair.only_first, 'image')}, only the second on {pair.only_second}: "
        f"McNemar p {chance} (exact; assumes independent images)."
    )
    terminal.say("Sorted by validation: the test split must not be used for choosing.")


def _write(
    found: list[dict[str, Any]], parents: list[dict[str, Any]], folds: list[dict[str, Any]], config: CompareConfig,
    out: Path,
) -> list[Path]:  # fmt: skip
    out.mkdir(parents=True, exist_ok=True)
    files = [out / "compare.json", out / "compare.csv"]
    pictures = [one.pop("points") for one in found]
    write_json(files[0], {"schema_version": 1, "tables": found, "folds": parents})
    rows = [row for one in found for row in one["runs"]] + folds
    with replacing(files[1]) as part, part.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    for number, points in enumerate(pictures):
        files.append(out / ("compare.png" if number == 0 else f"compare-{number + 1}.png"))
        files[-1].write_bytes(png(cost_figure(points, config.metric)))
    return files
