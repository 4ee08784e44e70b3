"""A set of two classes, neither of them called no_fracture: one rule from the setting to every judgement."""

import json
from collections.abc import Callable
from pathlib import Path

import mlflow
import pytest

from fracture.errors import ConfigError, FractureError, Interrupted
from fracture.evaluation.config import CompareConfig
from fracture.evidence import Results
from fracture.models.checkpoint import read_sidecar
from fracture.runs import answering, folds, group, resume, session, states
from fracture.runs.compare import compare_runs
from fracture.runs.ensemble import ensemble
from fracture.runs.evaluate import evaluate
from fracture.runs.session import Session
from fracture.tracking import artifacts, experiment, query
from fracture.training import engine
from tests.runs.small import QUICK, config, said, terminal, train

CLASSES = ("fractured", "normal")


def results_of(run_id: str, folder: Path) -> Results:
    folder.mkdir(exist_ok=True)
    (path,) = artifacts.fetch(run_id, ["results.json"], folder)
    return Results.model_validate_json(path.read_bytes())


@pytest.fixture
def data(tmp_path: Path, make_images: Callable[..., Path]) -> Path:
    return make_images(tmp_path / "data", 20, (), CLASSES)


def test_a_run_says_records_and_uses_its_healthy_class(store_root: Path, data: Path, tmp_path: Path) -> None:
    screen = terminal()
    run_id = train(data, screen)
    assert "Healthy class: normal (by its name; healthy=... changes it)." in said(screen)
    run = mlflow.get_run(run_id).data
    assert (run.params["healthy"], run.tags["fracture.healthy"]) == ("auto", "normal")
    assert "Healthy class: normal." in run.tags["mlflow.note.content"]
    results = results_of(run_id, tmp_path / "run")
    assert results.healthy == "normal"
    assert results.operating_point.fracture_threshold is not None
    for name in ("sensitivity", "specificity", "auroc"):
        assert results.splits["test"].metrics[f"any_fracture_{name}"].value is not None
    page = mlflow.artifacts.load_text(f"{mlflow.get_run(run_id).info.artifact_uri}/report.html")
    assert "\u201cnormal\u201d is the healthy class" in page
    artifacts.fetch(run_id, ["best.pth", "best.json", "config.json"], tmp_path / "run")
    sidecar = read_sidecar(tmp_path / "run" / "best.pth")
    assert (sidecar.healthy, sidecar.fracture_threshold) == ("normal", results.operating_point.fracture_threshold)
    assert json.loads((tmp_path / "run" / "config.json").read_text())["healthy"] == "normal"

    screen = terminal()
    found = evaluate(run_id, str(data), QUICK, tmp_path / "judged", screen)
    assert found.healthy == "normal"
    assert "any_fracture_sensitivity" in found.splits["test"].metrics
    assert "Healthy class: normal, as in the model's training." in said(screen)
    assert query.finished(["evaluate"])[0].tags["fracture.healthy"] == "normal"
    predictor = answering.find(run_id, tmp_path / "run")
    answers = predictor.predict([next((data / name).iterdir()) for name in CLASSES])
    for answer in answers:
        assert answer.fracture is (1 - answer.probabilities["normal"] >= sidecar.fracture_threshold)

    path = tmp_path / "run" / "best.json"  # as a version before this one wrote it
    path.write_text(json.dumps({k: v for k, v in json.loads(path.read_text()).items() if k != "healthy"}))
    old = evaluate(str(path.with_suffix(".pth")), str(data), QUICK, tmp_path / "old", terminal())
    assert old.healthy is None
    assert not [name for name in old.splits["test"].metrics if name.startswith("any_fracture")]


def test_what_is_given_counts_and_what_differs_is_neither_mixed_nor_compared(
    store_root: Path, data: Path, tmp_path: Path
) -> None:
    normal, none, turned = (train(data, epochs=1, healthy=name) for name in ("normal", "none", "fractured"))
    assert [mlflow.get_run(one).data.tags["fracture.healthy"] for one in (normal, none, turned)] == [
        "normal", "none", "fractured",
    ]  # fmt: skip
    one, other = results_of(normal, tmp_path / "normal"), results_of(turned, tmp_path / "turned")
    assert one.weights_sha256 == other.weights_sha256, "it changes how answers are judged, not what is learned"
    assert (one.healthy, other.healthy) == ("normal", "fractured")
    without = results_of(none, tmp_path / "none")
    assert (without.healthy, without.operating_point.fracture_threshold) == (None, None)

    with pytest.raises(ConfigError, match=r"cannot be combined: they have different healthy classes: normal \(run"):
        ensemble([normal, turned], terminal())
    screen = terminal()
    assert ensemble([none, normal], screen).healthy == "normal"
    assert "Healthy class: normal, as the runs name it." in said(screen)
    screen = terminal()
    files = compare_runs([normal, turned], CompareConfig(), tmp_path / "compare", screen)
    assert "The healthy class differs: " in said(screen)
    (table,) = json.loads(files[0].read_text())["tables"]
    assert {row["healthy"] for row in table["runs"]} == {"normal", "fractured"}
    assert "any_fracture_auroc" not in table["best_two"]["differences"]


@pytest.mark.parametrize("healthy", ["norml", "no_fracture"])
def test_a_class_that_is_not_there_is_refused_before_anything_is_decoded(
    store_root: Path, data: Path, monkeypatch: pytest.MonkeyPatch, healthy: str
) -> None:
    monkeypatch.setattr(session, "open_dataset", lambda *_: pytest.fail("the images were decoded"))
    before = len(mlflow.MlflowClient().search_runs([experiment.current()]))
    with pytest.raises(ConfigError, match=rf"healthy={healthy}: .*Classes: fractured, normal") as refused:
        train(data, healthy=healthy)
    assert ("Nearest: normal" in str(refused.value)) == (healthy == "norml")
    assert len(mlflow.MlflowClient().search_runs([experiment.current()])) == before
    with pytest.raises(ConfigError, match="2 of 2 models failed"):
        group.train_group(config(data, healthy=healthy), ["test_resnet", "test_convnext"], terminal(), "again")


def test_names_that_tell_nothing_warn_and_cost_the_sensitivity(
    store_root: Path, tmp_path: Path, make_images: Callable[..., Path]
) -> None:
    screen = terminal()
    run_id = train(make_images(tmp_path / "german", 20, (), ("bruch", "heil")), screen, epochs=1)
    assert "WARNING: Healthy class: none is known among bruch, heil: no threshold for reporting" in said(screen)
    assert mlflow.get_run(run_id).data.tags["fracture.healthy"] == "none"
    page = mlflow.artifacts.load_text(f"{mlflow.get_run(run_id).info.artifact_uri}/report.html")
    assert "How many fractures it misses is not known, because no class is known to be healthy." in page


@pytest.mark.parametrize(
    ("written", "counted"), [({}, "normal"), ({"healthy": "fractured"}, "fractured"), ({"healthy": ""}, None)],
    ids=["as it began", "as it was recorded", "before it was recorded"],
)  # fmt: skip
def test_a_run_that_goes_on_keeps_its_healthy_class(
    store_root: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    written: dict[str, str], counted: str | None,
) -> None:  # fmt: skip
    real = engine.train_epoch

    def stopping(learner, dataset, batches, position, tick):  # type: ignore[no-untyped-def]
        if position.epoch == 1:
            raise Interrupted("stopped by the test")
        real(learner, dataset, batches, position, tick)

    with monkeypatch.context() as patch:
        patch.setattr(engine, "train_epoch", stopping)
        with pytest.raises(Interrupted):
            train(data)
    run_id = (
        mlflow.MlflowClient()
        .search_runs([experiment.current()], order_by=["attributes.start_time DESC"])[0]
        .info.run_id
    )
    path = states.state_folder(run_id) / "config.json"
    record = json.loads(path.read_text()) | written
    if record["healthy"] == "":
        del record["healthy"], record["config"]["healthy"]
    path.write_text(json.dumps(record))
    screen = terminal()
    found = resume.resume(run_id, Session(screen, None, ""))
    assert f"Healthy class: {counted or 'none'}, as when the run began." in said(screen)
    artifacts.fetch(run_id, ["best.pth", "best.json"], tmp_path)
    assert found.healthy == read_sidecar(tmp_path / "best.pth").healthy == counted


def test_folds_share_their_healthy_class(store_root: Path, data: Path) -> None:
    folds.train_folds(config(data, epochs=1, folds=2), terminal(), "again")
    condition = "tags.`fracture.kind` = 'group' and attributes.run_name LIKE '2 folds of %'"
    (parent,) = mlflow.MlflowClient().search_runs([experiment.current()], condition)
    summed = json.loads(mlflow.artifacts.load_text(f"{parent.info.artifact_uri}/folds.json"))
    assert summed["healthy"] == "normal"
    assert summed["metrics"]["any_fracture_auroc"]["value"] is not None
    with pytest.raises(FractureError, match="healthy=norml"):
        folds.train_folds(config(data, epochs=1, folds=2, healthy="norml"), terminal(), "again")
