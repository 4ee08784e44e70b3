"""Saved views: offered once in each experiment, and MLflow's own page shows what they say."""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlflow
import pytest
from mlflow.exceptions import MlflowException
from mlflow.utils.validation import MAX_EXPERIMENT_TAG_VAL_LENGTH

from fracture.tracking import experiment, views
from fracture.tracking.run import TrackedRun
from tests.mlflow_server import Server, server, shared_server  # noqa: F401

KEYS = {f"mlflow.sharedViewState.{view.key}" for view in views.VIEWS}


def tags() -> dict[str, str]:
    return dict(mlflow.MlflowClient().get_experiment(experiment.current()).tags)


def begin() -> str:
    run = TrackedRun.begin("one", "train", watched=False)
    run.end("FINISHED")
    return run.id


def test_every_experiment_is_offered_them_once(store_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "new")
    mlflow.create_experiment("new")
    assert not tags().keys() & KEYS
    begin()
    first = tags()
    assert first.keys() >= KEYS
    assert all(len(first[key]) <= MAX_EXPERIMENT_TAG_VAL_LENGTH for key in KEYS)
    gone = sorted(KEYS)[0]
    mlflow.MlflowClient().delete_experiment_tag(experiment.current(), gone)
    begin()
    assert tags() == {key: value for key, value in first.items() if key != gone}, "what a person deletes stays away"


def test_a_store_that_refuses_them_still_takes_the_run(
    store_root: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refused(*_: object) -> None:
        raise MlflowException("no such right")

    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "refused")
    number = mlflow.create_experiment("refused")
    monkeypatch.setattr(views.LOG, "propagate", True)
    monkeypatch.setattr(mlflow.MlflowClient, "set_experiment_tag", refused)
    assert mlflow.get_run(begin()).info.status == "FINISHED"
    assert f"could not be saved in experiment {number}: no such right" in caplog.text


@pytest.mark.slow
def test_mlflows_page_shows_them(server: Server, browser: Any) -> None:  # noqa: F811
    for value in (0.5, 0.75):
        with mlflow.start_run(begin()):
            mlflow.log_metrics({"best/val_macro_f1": value, "val/macro_f1": value, "val/loss": 1 - value}, step=1)
    address = f"{server.address}/#/experiments/{experiment.current()}/runs"

    every = "[...document.querySelectorAll('{}')].map(one => {})"

    def seen(selector: str, value: str, wanted: Callable[[list[Any]], bool]) -> bool:
        """Whether the page comes to show it."""
        until = time.monotonic() + 60
        while not (found := wanted(browser.execute_script(f"return {every.format(selector, value)}"))):
            if time.monotonic() > until:
                break
            time.sleep(0.2)
        return found

    models = next(view for view in views.VIEWS if view.key == "fracture-models")
    browser.set_window_size(2600, 900)
    browser.get(f"{address}?viewStateShareKey={models.key}")
    cells = "[role=gridcell][col-id=\\'metrics.`best/val_macro_f1`\\']"
    assert seen(cells, "one.textContent", lambda shown: shown == ["0.75", "0.5"]), "the best is first"
    known = [models.order, "attributes.`Dataset`"]  # what these runs have
    heads = "[one.getBoundingClientRect().left, one.getAttribute('col-id')]"
    columns = "[role=columnheader][col-id]"
    assert seen(columns, heads, lambda shown: [name for _, name in sorted(shown) if name in models.columns] == known)
    browser.get(f"{address}?viewStateShareKey={models.key}&compareRunsMode=CHART")
    section = f"/^{models.name} ?.[1-9].$/.test(one.textContent.trim())"
    assert seen("*", section, any), "its charts come first"
    assert json.loads(tags()["mlflow.sharedViewState.fracture-models"])["name"] == models.name
