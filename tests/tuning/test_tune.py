"""A study from its first trial to its end, on real runs in a real store; trials in processes of their own."""

import csv
import io
import json
from collections.abc import Callable
from dataclasses import replace
from multiprocessing.connection import Connection
from pathlib import Path
from types import SimpleNamespace

import mlflow
import optuna
import pytest
import timm
import torch
from mlflow.entities import Run
from optuna.trial import TrialState
from rich.console import Console
from sqlalchemy import text

from fracture.config import absolute
from fracture.errors import ConfigError, FractureError, MemoryLimitError
from fracture.models import checkpoint
from fracture.progress import Terminal
from fracture.tracking import artifacts, experiment, liveness
from fracture.tracking.views import VIEWS
from tuning import record, storage, study, tracked, worker
from tuning import trial as tuning_trial
from tuning import tune as story
from tuning.conclude import Summary
from tuning.config import parse_tuning
from tuning.trial import Work

FAST = {
    "model": "test_resnet", "image_size": "32", "weights": "none", "threads": "1", "memory_format": "contiguous",
    "audit": "off", "epochs": "2", "batch_low": "4", "batch_high": "16", "select_metric": "val_loss",
}  # fmt: skip


def tune(root: Path, images: Path, **values: object) -> str:
    """Run a study whose storage lies below ``root``; what it said."""
    screen = io.StringIO()
    given = FAST | {"data": str(images), "storage": f"sqlite:///{root / 'optuna.db'}"}
    given |= {name: str(value) for name, value in values.items()}
    tuning, config = parse_tuning(given)
    story.tune(tuning, absolute(config), given, Terminal(Console(file=screen, width=1500)))
    return screen.getvalue()


def parent() -> Run:
    found = mlflow.MlflowClient().search_runs(
        [experiment.current()], "tags.`fracture.kind` = 'tune'", order_by=["attributes.start_time DESC"], max_results=1
    )
    return found[0]


def children(run: Run) -> list[Run]:
    condition = f"tags.`mlflow.parentRunId` = '{run.info.run_id}'"
    return list(
        mlflow.MlflowClient().search_runs([experiment.current()], condition, order_by=["attributes.start_time"])
    )


def artifact(run: Run, name: str) -> Path:
    return Path(mlflow.artifacts.download_artifacts(run_id=run.info.run_id, artifact_path=name))


def study_of(root: Path) -> optuna.Study:
    (name,) = optuna.get_all_study_names(f"sqlite:///{root / 'optuna.db'}")
    return optuna.load_study(study_name=name, storage=f"sqlite:///{root / 'optuna.db'}")


def refused_memory(work: Work, connection: Connection) -> None:
    """A trial that the system gives less memory than was planned."""
    held = replace(work, task=replace(work.task, limit_gib=0.25))
    tuning_trial.main(held, connection)


@pytest.fixture
def split_images(tmp_path: Path, make_images: Callable[..., Path]) -> Path:
    """A manifest of train, val and test images."""
    folder = make_images(tmp_path / "split", 8, ("train", "val", "test"))
    path = tmp_path / "manifest.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["path", "label", "split"])
        writer.writerows([p, p.parent.name, p.parents[1].name] for p in sorted(folder.rglob("*.png")))
    return path


@pytest.mark.slow
def test_a_trial_of_a_machine_that_is_gone_is_tried_again(store_root: Path, tmp_path: Path, images: Path) -> None:
    tune(tmp_path, images, trials=1)
    url = f"sqlite:///{tmp_path / 'optuna.db'}"
    asked = study_of(tmp_path).ask()
    found = record.read(study_of(tmp_path))
    assert found is not None
    values = found.space.suggest(asked)
    asked.set_user_attr(study.WORKER, liveness.me() | {"machine": "elsewhere"})
    with storage.closing(storage.open_storage(url, lambda own, gone: None)) as kept:
        kept.record_heartbeat(asked._trial_id)
        with kept.engine.begin() as connection:
            connection.execute(text("UPDATE trial_heartbeats SET heartbeat = '2020-01-01 00:00:00'"))
    said = tune(tmp_path, images, trials=2)
    first, lost, again = study_of(tmp_path).trials
    assert (first.state, lost.state) == (TrialState.COMPLETE, TrialState.FAIL)
    assert again.params == lost.params == values
    assert again.state in (TrialState.COMPLETE, TrialState.PRUNED)
    assert "2 of 2" in said


def test_a_state_belongs_to_a_number_and_its_values(tmp_path: Path) -> None:
    own = optuna.create_study()
    for lr in (0.1, 0.2):
        own.enqueue_trial({"lr": lr})
        asked = own.ask()
        asked.suggest_float("lr", 0, 1)
        own.tell(asked, lr)
    first, second = (worker.Worker._place(SimpleNamespace(folder=tmp_path), one) for one in own.trials)  # type: ignore[arg-type]
    assert first.name.startswith("0-")
    assert second.name.startswith("1-")
    assert first.name.split("-")[1] != second.name.split("-")[1], "another storage's trial 0 has other values"


@pytest.mark.slow
def test_a_study_whose_run_was_deleted_gets_a_new_one(store_root: Path, tmp_path: Path, images: Path) -> None:
    tune(tmp_path, images, trials=1)
    before = parent()
    mlflow.MlflowClient().delete_run(before.info.run_id)
    said = tune(tmp_path, images, trials=1)
    assert parent().info.run_id != before.info.run_id
    assert "best.pth of run" in said, "its weights went with the run"


@pytest.mark.slow
def test_half_an_upload_is_nobodys(
    store_root: Path, tmp_path: Path, images: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tune(tmp_path, images, trials=1)
    run_id = parent().info.run_id
    assert tracked.holds(run_id) == 0
    monkeypatch.setattr(mlflow.MlflowClient, "log_artifact", lambda *_: pytest.fail("the server is gone"))
    with pytest.raises(pytest.fail.Exception):
        tracked.hold(run_id, 7, [tmp_path / "best.pth"])
    assert tracked.holds(run_id) is None


@pytest.mark.slow
def test_a_study_and_its_continuation(store_root: Path, tmp_path: Path, split_images: Path) -> None:
    for path in (tmp_path / "split" / "test").rglob("*.png"):
        path.unlink()  # whoever opens the test split, fails
    said = tune(tmp_path, split_images, trials=3)
    run, own = parent(), study_of(tmp_path)
    assert run.info.status == "FINISHED"
    assert run.data.tags["fracture.study"] == own.study_name
    first = own.trials[0]
    assert first.params == {"lr": 1e-4, "batch_size": 16}  # the seed's
    assert study.count(own) == study.Count(3, 0)

    trials = children(run)
    assert [one.data.params["batch_size"] for one in trials] == [str(t.params["batch_size"]) for t in own.trials]
    for one, trial in zip(trials, own.trials, strict=True):
        assert one.data.tags["fracture.kind"] == "trial"
        assert one.data.tags["fracture.trial_state"] == trial.state.name
        assert one.info.status == ("FINISHED" if trial.state is TrialState.COMPLETE else "KILLED")
        assert one.data.metrics["trial/measured_gib"] > 0
        assert one.data.metrics["best/val_loss"] == pytest.approx(min(trial.intermediate_values.values()))
        assert VIEWS[1].metrics <= one.data.metrics.keys(), "no column of the view of trials stays empty"
        assert one.data.metrics["trial/epochs"] == len(trial.intermediate_values)
        assert one.data.metrics["cost/memory_gib"] > 0
        history = mlflow.MlflowClient().get_metric_history(one.info.run_id, "val/loss")
        assert {entry.step: entry.value for entry in history} == pytest.approx(trial.intermediate_values)
        assert not [name for name in one.data.metrics if name.startswith("test")]
        assert trial.constraints == {"memory_gib": pytest.approx(trial.constraints["memory_gib"]), "diverged": 0.0}
        assert trial.constraints["memory_gib"] < 0

    summary = Summary.model_validate_json(artifact(run, "study.json").read_bytes())
    assert summary.best_value == own.best_value == run.data.metrics["best/val_loss"]
    assert f"--lr {own.best_params['lr']}" in summary.command
    assert summary.command in said
    assert tracked.holds(run.info.run_id) == own.best_trial.number
    (tmp_path / "best").mkdir()
    artifacts.fetch(run.info.run_id, ("best.pth", "best.json"), tmp_path / "best")
    _, sidecar = checkpoint.load(tmp_path / "best" / "best.pth")
    assert sidecar.model.startswith("test_resnet")
    assert artifact(run, "slice.png").stat().st_size > 1000
    assert not list((store_root / "mlruns" / "tuning").iterdir())

    more = tune(tmp_path, split_images, trials=4)  # the same command, but for the number of trials
    assert "3 of 4 trials are finished" in more
    assert parent().info.run_id == run.info.run_id
    assert study.count(study_of(tmp_path)) == study.Count(4, 0)
    assert len({str(t.params) for t in study_of(tmp_path).trials}) == 4
    assert "4 of 4 trials are finished" in tune(tmp_path, split_images, trials=4)
    assert len(children(parent())) == 4
    told = mlflow.MlflowClient().get_metric_history(run.info.run_id, "best/val_loss")
    assert [metric.step for metric in told] == [2, 3], "what three and four trials came to, each once"


@pytest.mark.slow
def test_the_epoch_that_judges_a_linear_probe_ends_no_trial(store_root: Path, tmp_path: Path, images: Path) -> None:
    tune(tmp_path, images, trials=1, head="probe", epochs=3, early_stop_patience=0)
    (trial,) = study_of(tmp_path).trials
    values = {run.data.tags["fracture.trial"]: run for run in children(parent())}["0"]
    history = mlflow.MlflowClient().get_metric_history(values.info.run_id, "val/loss")
    assert [metric.step for metric in history] == [1, 2, 3]
    assert list(trial.intermediate_values.items()) == [(m.step - 1, pytest.approx(m.value)) for m in history[1:]]
    assert trial.value == pytest.approx(min(metric.value for metric in history))


def test_a_linear_probe_alone_is_nothing_to_tune(store_root: Path, tmp_path: Path, images: Path) -> None:
    with pytest.raises(ConfigError, match=r"recipe=seed \(.*\), head=probe, epochs=1: (.|\n)*there is nothing to tune"):
        tune(tmp_path, images, trials=1, head="probe", epochs=1)


@pytest.mark.slow
def test_a_trial_that_diverges_is_pruned_with_its_reason(store_root: Path, tmp_path: Path, images: Path) -> None:
    weights = timm.create_model("test_resnet", num_classes=3).state_dict()
    next(iter(weights.values()))[:] = torch.nan
    torch.save(weights, tmp_path / "broken.pth")
    with pytest.raises(FractureError, match="none of 2 trials is complete"):
        tune(tmp_path, images, trials=2, weights=tmp_path / "broken.pth")
    own = study_of(tmp_path)
    assert [trial.state for trial in own.trials] == [TrialState.PRUNED] * 2
    assert all(trial.constraints["diverged"] == 1 for trial in own.trials)
    run = parent()
    assert run.info.status == "FAILED"
    for one in children(run):
        assert one.info.status == "KILLED"
        assert one.data.tags["fracture.reason"].startswith("diverged: ")


@pytest.mark.slow
def test_a_trial_that_does_not_fit_after_all_is_pruned(
    store_root: Path, tmp_path: Path, images: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker.trial, "main", refused_memory)
    with pytest.raises(MemoryLimitError, match="none of 1 trials is complete and within the limit"):
        tune(tmp_path, images, trials=1)
    (trial,) = study_of(tmp_path).trials
    assert trial.state is TrialState.PRUNED
    assert trial.constraints["memory_gib"] >= 1
    (run,) = children(parent())
    assert run.info.status == "KILLED"
    assert run.data.tags["fracture.reason"].startswith("did not fit: ")


@pytest.mark.slow
def test_the_best_is_trained_when_wanted(store_root: Path, tmp_path: Path, images: Path) -> None:
    said = tune(tmp_path, images, trials=1, train_best="true", epochs=1)
    kinds = {one.data.tags["fracture.kind"]: one for one in children(parent())}
    assert set(kinds) == {"trial", "train"}
    assert kinds["train"].info.status == "FINISHED"
    assert kinds["train"].data.params["lr"] == "0.0001"
    assert "Training the final model" in said
    said = tune(tmp_path, images, trials=1, train_best="true", epochs=1)
    assert f"has been trained before: run {kinds['train'].info.run_id}" in said
    mlflow.MlflowClient().set_terminated(kinds["train"].info.run_id, "FAILED")  # and its state is gone: once more
    assert "Training the final model" in tune(tmp_path, images, trials=1, train_best="true", epochs=1)


def test_weights_of_another_model_are_refused_before_the_data_is_looked_at(
    store_root: Path, images: Path, tmp_path: Path
) -> None:
    torch.save(timm.create_model("test_vit").state_dict(), tmp_path / "other.pth")
    with pytest.raises(ConfigError, match=r"^weights=\S+other\.pth: the weights do not fit test_resnet"):
        tune(tmp_path, images, weights=tmp_path / "other.pth", data="nowhere")


@pytest.mark.parametrize(
    ("values", "error", "said"),
    [
        ({"model": "test_resnet,test_vit"}, ConfigError, "a study tunes one backbone"),
        ({"model": "test_resnett"}, ConfigError, "Nearest: test_resnet"),
        ({"storage": "optuna.db"}, ConfigError, "is no URL"),
        ({"memory_limit_gib": "0.5"}, MemoryLimitError, "The cheapest changes that fit"),
        ({"lr": "0.5"}, ConfigError, "is tried first, so it must lie from"),
        ({"data": "nowhere"}, FractureError, "does not exist"),
        ({"device": "cuda"}, ConfigError, "torch sees no GPU here"),
    ],
)
def test_what_is_refused_leaves_no_study(
    store_root: Path, tmp_path: Path, images: Path, values: dict[str, str], error: type[Exception], said: str
) -> None:
    with pytest.raises(error, match=said):
        tune(tmp_path, images, **values)
    assert not (tmp_path / "optuna.db").exists()


def test_the_schema_of_the_summary_is_written_down() -> None:
    assert all(field.description for field in Summary.model_fields.values())
    json.dumps(Summary.model_json_schema())
