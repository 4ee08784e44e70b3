"""The evidence of a run: what training leaves on it, and what evaluation, tuning and the registry may rely on.

Imports only what a configuration error needs. It is the one place that names artifacts, tags and metrics; `python -m
fracture.evidence` writes docs/evidence.md from it.
"""

from fracture.evidence.decisions import Calibration, Decided, OperatingPoint, Referral, Sets
from fracture.evidence.estimate import Estimate, wilson
from fracture.evidence.names import (
    ARTIFACTS,
    CLASS_METRICS,
    EPOCH_METRICS,
    FOLD_ARTIFACTS,
    METRICS,
    SINGLE_METRICS,
    TAGS,
    metric_title,
)
from fracture.evidence.results import (
    SCHEMA_VERSION,
    AnyResults,
    Bin,
    Controls,
    EnsembleResults,
    EvaluationResults,
    FoldEstimate,
    FoldMeanResults,
    FoldResults,
    Judged,
    Results,
    SplitResults,
    read_kept,
    read_results,
)
from fracture.evidence.studies import Studies

__all__ = [
    "ARTIFACTS",
    "CLASS_METRICS",
    "EPOCH_METRICS",
    "FOLD_ARTIFACTS",
    "METRICS",
    "SCHEMA_VERSION",
    "SINGLE_METRICS",
    "TAGS",
    "AnyResults",
    "Bin",
    "Calibration",
    "Controls",
    "Decided",
    "EnsembleResults",
    "Estimate",
    "EvaluationResults",
    "FoldEstimate",
    "FoldMeanResults",
    "FoldResults",
    "Judged",
    "OperatingPoint",
    "Referral",
    "Results",
    "Sets",
    "SplitResults",
    "Studies",
    "metric_title",
    "read_kept",
    "read_results",
    "wilson",
]
