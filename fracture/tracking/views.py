"""Saved views of the table of runs and its charts, which MLflow 3.15 and later offers under *Views*.

A view is a tag of the experiment, as MLflow's own page writes it; earlier versions do not show them.
"""

import json
import time
from dataclasses import dataclass
from typing import Any

import mlflow
from mlflow.exceptions import MlflowException

from fracture.progress import LOG

_KEY = "mlflow.sharedViewState."
_OFFERED = "fracture.views"  # tag of an experiment that has them: a view that was deleted there does not come back
_WIDE = 150  # pixels of a column, so that its heading can be read
_SECTION = "fracture"

Chart = dict[str, Any]


@dataclass(frozen=True)
class View:
    """One view.

    Attributes:
        key: of its address, ``?viewStateShareKey=KEY``.
        name: in the list of views.
        runs: the filter of MLflow's search.
        order: what the runs are ordered by, the largest first.
        columns: what is shown, as MLflow names columns.
        charts: what the page of charts begins with.
    """

    key: str
    name: str
    runs: str
    order: str
    columns: tuple[str, ...]
    charts: tuple[Chart, ...]

    @property
    def metrics(self) -> set[str]:
        """Names of the metrics among its columns."""
        return {column.split("`")[1] for column in self.columns if column.startswith("metrics.")}

    def saved(self, at: int) -> str:
        """What MLflow keeps of it; ``at``: the time of saving in milliseconds."""
        own = {"metricSectionId": _SECTION, "runsCountToCompare": 100, "deleted": False, "isGenerated": False}
        state = {
            "searchFilter": self.runs, "orderByKey": self.order, "orderByAsc": False,
            "selectedColumns": self.columns, "columnOrder": self.columns,
            "columnWidths": dict.fromkeys(self.columns, _WIDE),
            "compareRunSections": [{
                "uuid": _SECTION, "name": self.name, "display": True, "isReordered": True, "deleted": False,
                "isGenerated": False,
            }],
            "compareRunCharts": [chart | own | {"uuid": str(place)} for place, chart in enumerate(self.charts)],
            "isAccordionReordered": True,
        }  # fmt: skip
        return json.dumps({"name": self.name, "createdAt": at, "updatedAt": at, "state": json.dumps(state)})


def _metric(name: str) -> str:
    return f"metrics.`{name}`"


def _metrics(*names: str) -> tuple[str, ...]:
    return tuple(_metric(name) for name in names)


def _curve(metric: str) -> Chart:
    """A metric by epoch."""
    return {
        "type": "LINE", "metricKey": metric, "selectedMetricKeys": [metric], "lineSmoothness": 0, "range": {},
        "scaleType": "linear", "xAxisScaleType": "linear", "xAxisKey": "step", "selectedXAxisMetricKey": "",
        "yAxisKey": "metric", "yAxisExpressions": [], "useGlobalXaxisKey": True,
    }  # fmt: skip


def _bars(metric: str) -> Chart:
    """A metric by run."""
    return {"type": "BAR", "metricKey": metric}


def _against(across: str, up: str) -> Chart:
    """One metric against another, a point a run."""
    return {
        "type": "SCATTER", "xaxis": {"key": across, "type": "METRIC"}, "yaxis": {"key": up, "type": "METRIC"}
    }  # fmt: skip


def _parallel(params: tuple[str, ...], metric: str) -> Chart:
    """A line a run through its parameters to a metric."""
    return {"type": "PARALLEL", "selectedParams": params, "selectedMetrics": [metric], "showAllRuns": True}


_BEST = ("best/val_macro_f1", "best/val_balanced_accuracy", "best/val_auroc")
_TEST = (
    "test/macro_f1", "test/balanced_accuracy", "test/any_fracture_auroc", "test/any_fracture_sensitivity",
    "test/any_fracture_specificity", "test/ece_debiased",
)  # fmt: skip
_MODEL = ("tags.`fracture.model`", "tags.`fracture.changed`")

VIEWS = (
    View(
        "fracture-models", "Models: choose by validation", "tags.`fracture.kind` = 'train'", _metric(_BEST[0]),
        (
            *_MODEL,
            *_metrics(*_BEST, "best/epoch", "cost/epoch_seconds", "cost/peak_memory_gib"),
            "attributes.`Dataset`",
        ),
        (
            _curve("val/macro_f1"), _curve("val/loss"), _curve("train/loss"), _bars(_BEST[0]),
            _against("cost/peak_memory_gib", _BEST[0]), _against("cost/epoch_seconds", _BEST[0]),
        ),
    ),
    View(
        "fracture-trials", "Tuning: trials of a study", "tags.`fracture.kind` = 'trial'", _metric(_BEST[0]),
        (
            "tags.`fracture.study`", "params.`lr`", "params.`batch_size`", "tags.`fracture.trial_state`",
            *_metrics(*_BEST, "best/epoch", "trial/epochs", "trial/seconds", "trial/measured_gib"),
        ),
        (
            _parallel(("lr", "batch_size"), _BEST[0]), _curve("val/macro_f1"),
            _against("trial/measured_gib", _BEST[0]),
        ),
    ),
    View(
        "fracture-test", "Test: final results", "metrics.`test/macro_f1` >= 0", _metric(_TEST[0]),
        ("tags.`fracture.kind`", *_MODEL, *_metrics(*_TEST), "attributes.`Dataset`"),
        tuple(_bars(one) for one in _TEST),
    ),
)  # fmt: skip


def offer(experiment: str) -> None:
    """Save the views in an experiment, once; a store that refuses them is warned of and goes without."""
    client = mlflow.MlflowClient()
    now = int(time.time() * 1000)
    try:
        if _OFFERED in client.get_experiment(experiment).tags:
            return
        for place, view in enumerate(reversed(VIEWS)):  # MLflow lists the last one first
            client.set_experiment_tag(experiment, f"{_KEY}{view.key}", view.saved(now + place))
        client.set_experiment_tag(experiment, _OFFERED, ",".join(view.key for view in VIEWS))
    except MlflowException as error:
        LOG.warning("the views of the table of runs could not be saved in experiment %s: %s", experiment, error)
