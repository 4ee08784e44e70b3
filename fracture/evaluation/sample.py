"""One split under the decisions taken before, laid out so that thousands of resamplings are a few products."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import numpy.typing as npt

from fracture.evaluation import calibration
from fracture.evaluation.metrics import Floats, Integers, losses, ratio, scores, softmax
from fracture.evaluation.ranking import Ranking
from fracture.evaluation.sets import members
from fracture.evidence import Judged
from fracture.evidence.verdict import Rule

Masks = dict[str, npt.NDArray[np.bool_]]


@dataclass(frozen=True)
class Decisions:
    """What was fitted on other images, or settled before, and is applied to a split.

    Each is one number for all images, or in cross-fitting one an image: [n].

    Attributes:
        temperature: logits are divided by it.
        fracture_threshold: on the probability of any fracture; None where there is none.
        refer_below: probability of the predicted class below which a person must look; None where there is none.
        healthy: the class without a fracture; None where none is known.
        sets: of each class, the probability from which it remains possible: [classes], or in cross-fitting [n,
            classes]; None where there are none.
    """

    temperature: float | Floats = 1.0
    fracture_threshold: float | Floats | None = None
    refer_below: float | Floats | None = None
    healthy: str | None = None
    sets: Floats | None = None

    @classmethod
    def of(cls, results: Judged) -> "Decisions":
        """Those that results were made under."""
        return cls(
            results.calibration.temperature, results.operating_point.fracture_threshold,
            results.referral.refer_below or None, results.healthy, thresholds_of(results.rule),
        )  # fmt: skip

    def scaled(self, logits: Floats) -> Floats:
        """Logits [n, classes] with the temperature."""
        return np.asarray(logits.astype(np.float64) / np.reshape(self.temperature, (-1, 1)))

    def among(self, rows: Sequence[int]) -> "Decisions":
        """Those of some of the images."""

        def part(value: Any) -> Any:
            return value[list(rows)] if isinstance(value, np.ndarray) else value

        sets = self.sets[list(rows)] if self.sets is not None and self.sets.ndim == 2 else self.sets
        return Decisions(
            part(self.temperature), part(self.fracture_threshold), part(self.refer_below), self.healthy, sets
        )  # fmt: skip


def thresholds_of(rule: Rule) -> Floats | None:
    """The thresholds of a rule's sets in the order of its classes."""
    return None if rule.sets is None else np.array([rule.sets.thresholds[name] for name in rule.classes])


class Sample:
    """One split, with what a bootstrap needs of each image."""

    def __init__(self, logits: Floats, labels: Integers, names: Sequence[str], decisions: Decisions) -> None:
        """Work out probabilities and tables once; see `estimate`."""
        self.names, self.labels, self.decisions = tuple(names), labels, decisions
        self.logits = decisions.scaled(logits)
        self.probabilities = softmax(self.logits)
        self.predicted = logits.argmax(axis=1).astype(np.int64)
        self.confidence = self.probabilities[np.arange(len(labels)), self.predicted]
        self.correct = self.predicted == labels
        self.healthy = None if decisions.healthy is None else self.names.index(decisions.healthy)
        self.answered = self.confidence >= (2.0 if decisions.refer_below is None else decisions.refer_below)
        self._columns = self._build_columns()
        self.table = np.concatenate(list(self._columns.values()), axis=1)
        self._rankings = self._build_rankings()
        self._bias = calibration.expected_error(self.confidence)

    @property
    def alarm(self) -> npt.NDArray[np.bool_] | None:
        """Whether any fracture is reported, None without an operating point."""
        threshold = self.decisions.fracture_threshold
        if self.healthy is None or threshold is None:
            return None
        return np.asarray(1 - self.probabilities[:, self.healthy] >= threshold)

    def _build_columns(self) -> dict[str, Floats]:
        """Per image, what sums up to metrics: [n, columns] by name."""
        n, k = len(self.labels), len(self.names)
        cells = np.zeros((n, k * k))
        cells[np.arange(n), self.labels * k + self.predicted] = 1
        columns: dict[str, Floats] = {
            "cells": cells,
            "sums": np.stack(
                [losses(self.logits, self.labels), calibration.brier(self.probabilities, self.labels), np.ones(n)], 1
            ),
            "bins": calibration.bin_table(self.confidence, self.correct),
        }
        if self.alarm is not None:
            fractured = self.labels != self.healthy
            pairs = [
                (fractured, self.alarm),
                (fractured, ~self.alarm),
                (~fractured, self.alarm),
                (~fractured, ~self.alarm),
            ]
            columns["alarms"] = np.stack([(one & other).astype(np.float64) for one, other in pairs], 1)
        if self.decisions.refer_below is not None:
            columns["answers"] = np.stack([self.answered, self.answered & self.correct], 1).astype(np.float64)
        if self.decisions.sets is not None:
            columns["sets"] = self._set_columns(self.decisions.sets)
        return columns

    def _set_columns(self, thresholds: Floats) -> Floats:
        """Size, whether single, whether of a fracture and without the healthy class; by class whether held, the own."""
        held, k = members(self.probabilities, thresholds), len(self.names)
        own = np.eye(k)[self.labels]
        broken = np.zeros(len(held)) if self.healthy is None else (self.labels != self.healthy) & ~held[:, self.healthy]
        first = np.stack([held.sum(axis=1), held.sum(axis=1) == 1, broken], axis=1)
        return np.concatenate([first, own * held, own], axis=1).astype(np.float64)

    def _build_rankings(self) -> dict[str, tuple[Ranking, npt.NDArray[np.intp]]]:
        """By metric suffix: a ranking, and the images in it."""
        everything = np.arange(len(self.labels))
        found = {
            f"_{name}": (Ranking(self.probabilities[:, i], self.labels == i), everything)
            for i, name in enumerate(self.names)
        }
        fractures = [i for i in range(len(self.names)) if i != self.healthy]
        for one, other in combinations(fractures, 2) if self.healthy is not None else ():
            among = np.flatnonzero((self.labels == one) | (self.labels == other))
            if len(among):
                odds = self.logits[among, one] - self.logits[among, other]
                found[f"{self.names[one]}_vs_{self.names[other]}_"] = (Ranking(odds, self.labels[among] == one), among)
        return found

    def measure(self, sums: Floats, weights: Floats) -> dict[str, Floats]:
        """Every metric of weighted images.

        Args:
            sums: of the table's columns under the weights, [rounds, columns].
            weights: [rounds, n].
        """
        ends = np.cumsum([part.shape[1] for part in self._columns.values()])[:-1]
        parts = dict(zip(self._columns, np.split(sums, ends, axis=1), strict=True))
        k = len(self.names)
        matrix = np.round(parts["cells"]).astype(np.int64).reshape(-1, k, k)
        found = scores(matrix, self.names)
        total = parts["sums"][:, 2]
        found |= {"log_loss": ratio(parts["sums"][:, 0], total), "brier": ratio(parts["sums"][:, 1], total)}
        found["ece"] = calibration.error_of(parts["bins"])
        found["ece_debiased"] = np.maximum(0, found["ece"] - self._bias)
        if "alarms" in parts:
            seen, missed, false, rest = parts["alarms"].T
            found["any_fracture_sensitivity"] = ratio(seen, seen + missed)
            found["any_fracture_specificity"] = ratio(rest, false + rest)
        if "answers" in parts:
            found["answered_share"] = ratio(parts["answers"][:, 0], total)
            found["answered_accuracy"] = ratio(parts["answers"][:, 1], parts["answers"][:, 0])
        if "sets" in parts:
            found |= self._measure_sets(parts["sets"], total)
        return found | self._areas(weights)

    def _measure_sets(self, sums: Floats, total: Floats) -> dict[str, Floats]:
        size, single, broken = sums[:, :3].T
        held, own = np.split(sums[:, 3:], 2, axis=1)
        found = {"set_size": ratio(size, total), "set_single_share": ratio(single, total)}
        if self.healthy is not None:
            found["set_fracture_share"] = ratio(broken, total - own[:, self.healthy])
        return found | {f"set_coverage_{name}": ratio(held[:, k], own[:, k]) for k, name in enumerate(self.names)}

    def _areas(self, weights: Floats) -> dict[str, Floats]:
        found: dict[str, Floats] = {}
        for name, (ranking, among) in self._rankings.items():
            auroc, average = ranking.areas(weights[:, among])
            if name.startswith("_"):
                found |= {f"auroc{name}": auroc, f"average_precision{name}": average}
            else:
                found[f"{name}auroc"] = auroc
        if self.healthy is not None:
            found["any_fracture_auroc"] = found[f"auroc_{self.names[self.healthy]}"]
        return found

    def masks(self) -> Masks:
        """The images that a metric is computed from, where those are not all."""
        found: Masks = {}
        for i, name in enumerate(self.names):
            true, predicted = self.labels == i, self.predicted == i
            found |= {
                f"recall_{name}": true, f"precision_{name}": predicted, f"specificity_{name}": ~true,
                f"f1_{name}": true | predicted, f"set_coverage_{name}": true,
            }  # fmt: skip
        fractured = self.labels != self.healthy
        found |= {"any_fracture_sensitivity": fractured, "any_fracture_specificity": ~fractured}
        found |= {"set_fracture_share": fractured}
        found |= {"answered_accuracy": self.answered}
        for name, (_, among) in self._rankings.items():
            if not name.startswith("_"):
                found[f"{name}auroc"] = np.isin(np.arange(len(self.labels)), among)
        return found

    def kinds(self) -> Masks:
        """The images of each class, of all others, and of any fracture."""
        found: Masks = {}
        for i, name in enumerate(self.names):
            found |= {name: self.labels == i, f"classes other than {name}": self.labels != i}
        return found | ({} if self.healthy is None else {"any fracture": self.labels != self.healthy})

    def needs(self) -> dict[str, tuple[str, ...]]:
        """By metric, the kinds that it needs images of, where all images together are not what counts."""
        found = dict.fromkeys(("balanced_accuracy", "macro_f1"), self.names)
        for name in self.names:
            both = (name, f"classes other than {name}")
            found |= {f"f1_{name}": (name,), f"auroc_{name}": both, f"average_precision_{name}": both}
        found |= {f"{one}_vs_{other}_auroc": (one, other) for one, other in combinations(self.names, 2)}
        if self.healthy is not None:
            found["any_fracture_auroc"] = (self.names[self.healthy], "any fracture")
        return found
