"""Data that has moved, and runs trained longer: as new runs, the old ones untouched."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlflow
import pytest

from fracture.errors import ConfigError, DataError, Interrupted
from fracture.evidence import Results
from fracture.runs import longer, resume, session, states
from fracture.runs.session import Session
from fracture.tracking import experiment
from fracture.training import engine
from tests.runs.small import config, said, terminal, train
from tests.runs.test_fresh import snapshot


def here() -> Session:
    return Session(terminal(), None, "again {run}")


def interrupted(data: Path, **values: object) -> str:
    """A run stopped in its second epoch."""
    real, calls = engine.train_epoch, []

    def stop(*arguments: Any) -> None:
        calls.append(1)
        if len(calls) == 2:
            raise Interrupted("stopped by the test")
        real(*arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(engine, "train_epoch", stop)
        with pytest.raises(Interrupted):
            session.train(config(data, **values), here())
    return newest()


def newest() -> str:
    runs = mlflow.MlflowClient().search_runs(
        [experiment.current()], order_by=["attributes.start_time DESC"], max_results=1
    )
    return str(runs[0].info.run_id)


def steps(run_id: str) -> list[int]:
    return [point.step for point in mlflow.MlflowClient().get_metric_history(run_id, "val/loss")]


@pytest.mark.parametrize(
    "end", [["epochs", "--epochs", "3"], ["data", "--data", "{new}"], ["both", "--epochs", "3", "--data", "{new}"]]
)
def test_by_command(store_root: Path, images: Path, tmp_path: Path, cli: Callable[..., int], end: list[str]) -> None:
    run_id = interrupted(images)
    new = images if end[0] == "epochs" else images.rename(tmp_path / "elsewhere")
    assert cli("train", "--resume", run_id, *[word.format(new=new) for word in end[1:]]) == 0
    client = mlflow.MlflowClient()
    if end[0] == "data":
        assert client.get_run(run_id).info.status == "FINISHED"
        assert newest() == run_id
    else:
        assert client.get_run(run_id).info.status == "KILLED"
        assert client.get_run(newest()).data.params["epochs"] == "3"
        assert steps(newest()) == [1, 2, 3]


def test_data_that_moved_is_found_by_every_later_command(store_root: Path, images: Path, tmp_path: Path) -> None:
    whole = train(images, seed=3)
    run_id = interrupted(images, seed=3)
    new = images.rename(tmp_path / "elsewhere")
    with pytest.raises(DataError, match=f"give data=NEW with resume={run_id}"):
        resume.resume(run_id, here())
    results = resume.resume(run_id, here(), str(new))
    tags = mlflow.MlflowClient().get_run(whole).data.tags
    assert results.weights_sha256 == tags["fracture.weights_sha256"], "as if nothing had happened"
    text = mlflow.artifacts.load_dict(f"{mlflow.get_run(run_id).info.artifact_uri}/config.json")
    assert text["config"]["data"] == text["data_root"] == str(new)


def test_other_data_is_refused_and_nothing_is_touched(
    store_root: Path, images: Path, tmp_path: Path, make_images: Callable[..., Path]
) -> None:
    run_id = interrupted(images)
    other = make_images(tmp_path / "other", per_class=11)
    before = (states.state_folder(run_id) / "config.json").read_bytes()
    for go in (
        lambda: resume.resume(run_id, here(), str(other)),
        lambda: longer.train_longer(run_id, 5, here(), str(other)),
    ):
        with pytest.raises(DataError, match="contents, labels and splits"):
            go()
    assert (states.state_folder(run_id) / "config.json").read_bytes() == before
    assert newest() == run_id
    shutil.rmtree(other)


def test_an_interrupted_run_trained_longer_is_as_if_begun_so(store_root: Path, images: Path) -> None:
    whole = train(images, epochs=3, seed=4)
    run_id = interrupted(images, epochs=2, seed=4)
    before = snapshot(run_id, store_root)
    screen = terminal()
    results = longer.train_longer(run_id, 3, Session(screen, None, "again {run}"))
    assert results.weights_sha256 == mlflow.get_run(whole).data.tags["fracture.weights_sha256"]
    assert snapshot(run_id, store_root) == before
    assert (states.state_folder(run_id) / "state.pt").is_file(), "it can still go on by itself"
    assert newest() != run_id
    assert mlflow.get_run(newest()).data.tags["fracture.continues"] == run_id
    assert f"trains run {run_id} longer: after epoch 1, where it was interrupted" in said(screen)
    assert steps(newest()) == [1, 2, 3]


@pytest.mark.parametrize(
    "values",
    [
        pytest.param({}, id="plateau", marks=pytest.mark.long),
        pytest.param({"scheduler": "cosine", "warmup_epochs": 1}, id="cosine"),
        pytest.param({"ema_decay": 0.9, "scheduler": "constant"}, id="average", marks=pytest.mark.long),
    ],
)
def test_a_finished_run_goes_on_from_its_best_epoch(store_root: Path, images: Path, values: dict[str, object]) -> None:
    run_id = train(images, **values)
    before = snapshot(run_id, store_root)
    old = Results.model_validate(mlflow.artifacts.load_dict(f"{mlflow.get_run(run_id).info.artifact_uri}/results.json"))
    results = longer.train_longer(run_id, 4, here())
    new = newest()
    assert snapshot(run_id, store_root) == before
    assert results.history[: old.best_epoch] == old.history[: old.best_epoch]
    assert (len(results.history), steps(new)) == (4, [1, 2, 3, 4])
    tags = mlflow.get_run(new).data.tags
    assert (tags["fracture.continues"], tags["fracture.audit"]) == (run_id, "off")
    report = mlflow.artifacts.load_text(f"{mlflow.get_run(new).info.artifact_uri}/report.html")
    assert f"fracture train --resume {run_id} --epochs 4" in report
    assert not states.state_folder(new).exists()


def test_what_is_left_to_learn_is_what_the_schedule_has_for_it(store_root: Path, images: Path) -> None:
    whole = train(images, epochs=4, scheduler="cosine", seed=5)
    run_id = train(images, epochs=2, scheduler="cosine", seed=5)
    results = longer.train_longer(run_id, 4, here())
    expected = [point.value for point in mlflow.MlflowClient().get_metric_history(whole, "train/lr")]
    assert [round(epoch["lr"], 9) for epoch in results.history][-1] == round(expected[-1], 9)


def test_a_run_trained_longer_can_be_interrupted_and_goes_on(store_root: Path, images: Path) -> None:
    run_id = train(images)
    real, calls = engine.train_epoch, []

    def stop(*arguments: Any) -> None:
        calls.append(1)
        if len(calls) == 2:
            raise Interrupted("stopped by the test")
        real(*arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(engine, "train_epoch", stop)
        with pytest.raises(Interrupted):
            longer.train_longer(run_id, 5, here())
    new = newest()
    results = resume.resume(new, here())
    assert len(results.history) == 5
    assert mlflow.get_run(new).data.tags["fracture.continues"] == run_id
    assert f"--resume {run_id}" in mlflow.artifacts.load_text(f"{mlflow.get_run(new).info.artifact_uri}/report.html")


@pytest.mark.parametrize(
    ("kind", "epochs", "message"),
    [
        ("finished", 1, r"epochs=1: run \w+ is at epoch 1, its best\. Allowed: more than 1"),
        ("deleted", 9, "mlflow runs restore"),
        ("evaluation", 9, "is no training run, but evaluate"),
        ("nothing learned", 9, "its training state is not in"),
        ("missing", 9, "not found"),
    ],
)
def test_what_cannot_be_trained_longer(store_root: Path, images: Path, kind: str, epochs: int, message: str) -> None:
    client = mlflow.MlflowClient()
    run_id = "0" * 32
    if kind in ("finished", "deleted"):
        run_id = train(images, epochs=1)
    if kind == "deleted":
        client.delete_run(run_id)
    if kind in ("evaluation", "nothing learned"):
        tag = "evaluate" if kind == "evaluation" else "train"
        run_id = client.create_run("0", tags={"fracture.kind": tag}).info.run_id
        client.set_terminated(run_id, "FINISHED" if kind == "evaluation" else "KILLED")
    before = len(client.search_runs([experiment.current()]))
    with pytest.raises(ConfigError, match=message):
        longer.train_longer(run_id, epochs, here())
    assert len(client.search_runs([experiment.current()])) == before


def test_a_run_that_finished_says_how_it_is_trained_longer(store_root: Path, images: Path) -> None:
    with pytest.raises(ConfigError, match="epochs=N"):
        resume.resume(train(images, epochs=1), here())


def test_no_other_setting_stands_beside_a_resume(
    cli: Callable[..., int], capsys: pytest.CaptureFixture[str], store_root: Path
) -> None:
    assert cli("train", "--resume", "0" * 32, "--lr", "0.5", "--epochs", "9") == 2
    said = capsys.readouterr().err
    assert "lr=0.5 was given too" in said
    assert f"fracture train --epochs 9 --resume {'0' * 32}" in said
