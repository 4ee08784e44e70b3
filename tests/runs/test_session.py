"""A tracked run in a real store: what is on it when it ends, well or badly."""

import io
import json
import signal
from pathlib import Path

import mlflow
import pytest
import torch
from filelock import FileLock
from mlflow.entities import Run
from rich.console import Console

from fracture.config import TrainConfig, as_text
from fracture.errors import ConfigError, DataError, FractureError, Interrupted
from fracture.evidence import ARTIFACTS, EPOCH_METRICS, TAGS, Results
from fracture.models import backbones
from fracture.models.pyramid import SCALES
from fracture.progress import Terminal
from fracture.runs import describe, group, report, resume, session, states
from fracture.runs.session import Session
from fracture.tracking import experiment
from fracture.tracking.run import TrackedRun
from fracture.tracking.sections import sectioned
from fracture.tracking.views import VIEWS
from fracture.training import engine


def terminal() -> Terminal:
    return Terminal(Console(file=io.StringIO(), width=200))


def config(images: Path, **values: object) -> TrainConfig:
    fast = {"model": "test_resnet", "image_size": 32, "epochs": 2, "batch_size": 8, "threads": 1}
    chosen = {"memory_format": "contiguous", "precision": "fp32", "weights": "none", "audit": "off"}
    chosen |= {"data": str(images)}
    return TrainConfig.model_validate(fast | chosen | values)


def train(wanted: TrainConfig) -> Results:
    return session.train(wanted, Session(terminal(), None, "again {run}"))


def newest() -> Run:
    return mlflow.MlflowClient().search_runs(
        [experiment.current()], order_by=["attributes.start_time DESC"], max_results=1
    )[0]


@pytest.mark.parametrize(
    ("given", "name"),
    {
        (): "test_resnet on xray3",
        (("lr", 0.0003),): "lr 0.0003, test_resnet on xray3",
        (("folds", 5), ("fold", 2), ("lr", 0.0003)): "fold 2, lr 0.0003, test_resnet on xray3",
        (("head", "probe"), ("seed", 3)): "seed 3, linear probe, test_resnet on xray3",
        (("operating", "cost:10/1"), ("weights", "here/w.pth")): (
            "weights w.pth, operating cost:10/1, test_resnet on xray3"
        ),
        (("batch_size", 32), ("epochs", 7)): "batch 32, test_resnet on xray3, 7 epochs",
        (("head", "probe"), ("batch_norm", "mixed"), ("refer_error", 0.3), ("epochs", 1)): (
            "batch norm mixed, refer error 0.3, linear probe, test_resnet on xray3, 1 epoch"
        ),
        (("weights", "none"), ("image_size", 64)): "size 64, weights none, test_resnet on xray3",
    }.items(),
)
def test_what_differs_comes_first_in_a_name_which_mlflow_cuts_short(
    given: tuple[tuple[str, object]], name: str
) -> None:
    wanted = TrainConfig.model_validate({"model": "test_resnet"} | dict(given))
    assert describe.name_of(wanted, wanted, backbones.find(wanted.model), "xray3") == name


@pytest.fixture
def stop_in_second_epoch(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    real = engine.train_epoch

    def stopping(learner, dataset, batches, position, tick):  # type: ignore[no-untyped-def]
        if position.epoch == 1:
            raise Interrupted("stopped by the test")
        real(learner, dataset, batches, position, tick)

    monkeypatch.setattr(engine, "train_epoch", stopping)
    return monkeypatch


@pytest.mark.pictures
def test_a_finished_run_holds_all_its_evidence(store_root: Path, images: Path) -> None:
    wanted, screen = config(images, audit="warn"), terminal()
    results = session.train(wanted, Session(screen, None, "again {run}"))
    run = newest()
    place = store_root / "mlruns" / "1" / run.info.run_id / "artifacts"
    assert f"are in {place};" in screen.console.file.getvalue(), "a person is told where to look"  # type: ignore[attr-defined]
    assert (place / "report.html").is_file()
    assert run.info.status == "FINISHED"
    assert as_text(wanted).items() <= run.data.params.items()
    assert run.data.params["plan.micro_batch"] == "8"
    artifacts = {item.path for item in mlflow.MlflowClient().list_artifacts(run.info.run_id)}
    sometimes = {
        "uncommitted.diff",
        "predictions_out_of_fold.csv",
        "label_review.csv",
        "heads.npz",
    }  # see fracture.evidence.names
    assert set(ARTIFACTS) - sometimes <= artifacts
    assert {sectioned(name) for name in EPOCH_METRICS} <= run.data.metrics.keys()
    models, _, tested = VIEWS
    assert models.metrics | tested.metrics <= run.data.metrics.keys(), "no column of a view stays empty"
    assert run.data.metrics["test/macro_f1"] == results.splits["test"].metrics["macro_f1"].value
    history = mlflow.MlflowClient().get_metric_history(run.info.run_id, "val/loss")
    assert [(m.step, m.value) for m in history] == [(i + 1, e["val_loss"]) for i, e in enumerate(results.history)]
    assert {i.tags[0].value for i in run.inputs.dataset_inputs} == {"train", "val", "test"}
    assert "macro-F1" in run.data.tags["mlflow.note.content"]
    assert {tag for tag in run.data.tags if tag.startswith("fracture.")} <= set(TAGS)
    assert run.data.tags["fracture.weights_sha256"] == results.weights_sha256
    assert not states.state_folder(run.info.run_id).exists()


def test_pretrained_weights_and_few_images_get_a_linear_probe(store_root: Path, images: Path, tmp_path: Path) -> None:
    torch.save(backbones.build(backbones.find("test_resnet"), 5).state_dict(), tmp_path / "weights.pth")
    free = {"epochs": "auto", "weights": str(tmp_path / "weights.pth")}
    results = train(config(images, **free))
    run = newest()
    best = json.loads(mlflow.artifacts.load_text(f"{run.info.artifact_uri}/best.json"))
    assert best["scales"] == list(SCALES)
    assert (run.data.params["recipe.features"], run.data.params["batch_norm"]) == ("pyramid", "auto")
    losses = {way: float(run.data.params[f"probe.loss_{way}"]) for way in ("pretrained", "mixed")}
    assert run.data.params["probe.batch_norm"] == min(losses, key=lambda way: losses[way])
    best_weights = Path(mlflow.artifacts.download_artifacts(run_id=run.info.run_id, artifact_path="best.pth"))
    kept, first = (torch.load(path, weights_only=True) for path in (best_weights, tmp_path / "weights.pth"))
    assert torch.equal(kept["backbone.conv1.0.weight"], first["conv1.0.weight"]), "the backbone itself stays"
    same = torch.equal(kept["backbone.conv1.1.running_mean"], first["conv1.1.running_mean"])
    assert same == (run.data.params["probe.batch_norm"] == "pretrained")
    assert "maps_correct.png" in {
        Path(item.path).name for item in mlflow.MlflowClient().list_artifacts(run.info.run_id, "figures")
    }
    assert (run.data.params["recipe.head"], run.data.params["recipe.trained"]) == ("probe", "head")
    assert run.data.params["epochs"] == "auto", "as given"
    assert len(results.history) == 1
    assert results.history[0]["val_accuracy"] > 0.6, "brightness tells the classes, random features see it"
    assert train(config(images, **free)).weights_sha256 == results.weights_sha256
    seeds = train(config(images, recipe="seed", **free | {"epochs": 1}))
    assert newest().data.params["recipe.head"] == "random", "by the recipe=seed"
    assert seeds.weights_sha256 != results.weights_sha256


def test_the_same_seed_twice_gives_the_same_weights(store_root: Path, images: Path) -> None:
    assert train(config(images, epochs=1)).weights_sha256 == train(config(images, epochs=1)).weights_sha256


def test_an_interrupted_run_is_killed_and_goes_on(
    store_root: Path, images: Path, stop_in_second_epoch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(Interrupted, match=r"Go on with:\n  again [0-9a-f]{32}"):
        train(config(images))
    run_id, run = newest().info.run_id, newest()
    assert run.info.status == "KILLED"
    assert run.data.tags["fracture.reason"] == "stopped by the test"
    stop_in_second_epoch.undo()
    stop_in_second_epoch.chdir(store_root)
    mlflow.MlflowClient().set_tag(run_id, "fracture.state", "/where/the/project/was")  # its folder was moved since
    results = resume.resume(run_id, Session(terminal(), None, ""))
    assert mlflow.get_run(run_id).info.status == "FINISHED"
    assert [m.step for m in mlflow.MlflowClient().get_metric_history(run_id, "val/loss")] == [1, 2]
    assert results.weights_sha256 == train(config(images)).weights_sha256
    assert not states.state_folder(run_id).exists()


def test_ctrl_c_while_the_report_is_made_is_heard_and_the_run_goes_on(
    store_root: Path, images: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(report, "png", lambda _: signal.raise_signal(signal.SIGINT) or b"")
        with pytest.raises(Interrupted, match=r"stopped by SIGINT\. Go on with:\n  again [0-9a-f]{32}"):
            train(config(images, epochs=1))
    resume.resume(newest().info.run_id, Session(terminal(), None, ""))
    assert newest().info.status == "FINISHED"


def test_a_failed_run_says_why(store_root: Path, images: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def explode(*_: object) -> None:
        raise ValueError("the disk is on fire")

    monkeypatch.setattr(engine, "train_epoch", explode)
    with pytest.raises(ValueError, match="on fire"):
        train(config(images))
    run = newest()
    assert run.info.status == "FAILED"
    assert run.data.tags["fracture.reason"] == "the disk is on fire"
    log = mlflow.artifacts.load_text(f"{run.info.artifact_uri}/train.log")
    assert "Traceback" in log
    assert "the disk is on fire" in log


@pytest.mark.parametrize(
    ("run_id", "message"), [("nosuchrun", "nosuchrun"), ("0" * 32, "not found")], ids=["not an id", "unknown id"]
)
def test_resuming_what_is_not_there(store_root: Path, run_id: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        resume.resume(run_id, Session(terminal(), None, ""))


def test_resuming_a_finished_run(store_root: Path, images: Path) -> None:
    train(config(images, epochs=1))
    with pytest.raises(ConfigError, match="has finished"):
        resume.resume(newest().info.run_id, Session(terminal(), None, ""))


def test_resuming_with_other_data_or_without_state(
    store_root: Path, images: Path, stop_in_second_epoch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(Interrupted):
        train(config(images))
    run_id = newest().info.run_id
    extra = next((images / "no_fracture").glob("*.png"))
    moved = extra.rename(images.parent / "elsewhere.png")
    with pytest.raises(DataError, match="digest"):
        resume.resume(run_id, Session(terminal(), None, ""))
    moved.rename(extra)
    (states.state_folder(run_id) / "config.json").unlink()
    with pytest.raises(ConfigError, match="its training state is not in"):
        resume.resume(run_id, Session(terminal(), None, ""))


def test_parameters_that_mlflow_run_has_logged_stay(store_root: Path) -> None:
    run = mlflow.MlflowClient().create_run("0")
    mlflow.MlflowClient().log_param(run.info.run_id, "lr", "1e-4")
    tracked = TrackedRun.go_on(run.info.run_id, watched=False)
    tracked.params({"lr": 0.0001, "plan.precision": "fp32"})
    tracked.end("FINISHED")
    assert mlflow.get_run(run.info.run_id).data.params == {"lr": "1e-4", "plan.precision": "fp32"}


def test_a_group_reports_what_failed_and_continues(
    store_root: Path, images: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = config(images, model="test_resnet,test_convnext", epochs=1, seed=7)
    real = engine.train_epoch

    def failing(learner, *rest):  # type: ignore[no-untyped-def]
        if learner.config.model == "test_convnext":
            raise ValueError("out of luck")
        real(learner, *rest)

    monkeypatch.setattr(engine, "train_epoch", failing)
    with pytest.raises(FractureError, match=r"1 of 2 models failed:\n- test_convnext: out of luck\n(.|\n)*same again"):
        group.train_group(wanted, ["test_resnet", "test_convnext"], terminal(), "same again")
    client = mlflow.MlflowClient()
    parent = client.search_runs(
        [experiment.current()], "tags.`fracture.kind` = 'group'", order_by=["attributes.start_time DESC"]
    )[0]
    assert parent.info.status == "FAILED"
    monkeypatch.undo()
    monkeypatch.chdir(store_root)
    group.train_group(wanted, ["test_resnet", "test_convnext"], terminal(), "same again")
    children = client.search_runs([experiment.current()], f"tags.`mlflow.parentRunId` = '{parent.info.run_id}'")
    assert client.get_run(parent.info.run_id).info.status == "FINISHED"
    finished = [run.data.params["model"] for run in children if run.info.status == "FINISHED"]
    assert sorted(finished) == ["test_convnext", "test_resnet"]  # the one that was done is not done again


def test_an_interrupted_group_says_once_how_it_goes_on(
    store_root: Path, images: Path, stop_in_second_epoch: pytest.MonkeyPatch
) -> None:
    wanted = config(images, model="test_resnet,test_convnext", seed=8)
    with pytest.raises(Interrupted) as stop:
        group.train_group(wanted, ["test_resnet", "test_convnext"], terminal(), "same again")
    assert str(stop.value) == "stopped by the test. Go on with:\n  same again"


def test_a_group_stops_where_a_run_is_stored(store_root: Path, images: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = config(images, model="test_resnet,test_convnext", epochs=1, seed=9)
    real = TrackedRun.evidence

    def evidence(run: TrackedRun, *arguments: Path) -> None:
        signal.raise_signal(signal.SIGINT)
        real(run, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(TrackedRun, "evidence", evidence)
        with pytest.raises(Interrupted, match=r"^stopped by SIGINT\nGo on with:\n  same again$"):
            group.train_group(wanted, ["test_resnet", "test_convnext"], terminal(), "same again")
    assert (newest().info.status, newest().data.params["model"]) == ("FINISHED", "test_resnet")


def test_results_json_is_what_its_schema_says(store_root: Path, images: Path) -> None:
    results = train(config(images, epochs=1))
    text = mlflow.artifacts.load_text(f"{newest().info.artifact_uri}/results.json")
    assert Results.model_validate_json(text) == results
    assert set(json.loads(text)) == set(Results.model_fields)


def test_resuming_a_run_that_is_being_trained_changes_nothing(
    store_root: Path, images: Path, stop_in_second_epoch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(Interrupted):
        train(config(images))
    run_id = newest().info.run_id
    folder = states.state_folder(run_id)
    with FileLock(folder / ".lock"), pytest.raises(ConfigError, match="by another process"):
        resume.resume(run_id, Session(terminal(), None, ""))
    assert mlflow.get_run(run_id).info.status == "KILLED"
    assert (folder / "state.pt").is_file()


def test_a_store_that_fails_once_loses_no_epoch(
    store_root: Path, images: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = TrackedRun.metrics

    def fail(run: TrackedRun, values: dict[str, float], step: int) -> None:
        if step:
            raise OSError("the server is away")
        real(run, values, step)

    with monkeypatch.context() as patch:
        patch.setattr(TrackedRun, "metrics", fail)
        with pytest.raises(OSError, match="away"):
            train(config(images))
    run_id = newest().info.run_id
    resume.resume(run_id, Session(terminal(), None, ""))
    assert [m.step for m in mlflow.MlflowClient().get_metric_history(run_id, "val/loss")] == [1, 2]


def test_class_names_may_hold_what_mlflow_does_not_take(
    store_root: Path, images: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (images / "comminuted_fracture").rename(images / "comminuted (3+)")

    def unpainted(_: object) -> bytes:
        raise ValueError("no such glyph")

    monkeypatch.setattr(report, "png", unpainted)
    screen = terminal()
    session.train(config(images, epochs=1), Session(screen, None, "again {run}"))
    assert "test/recall_comminuted _3__" in newest().data.metrics
    assert newest().info.status == "FINISHED", "no run is lost for a picture"
    assert "Missing from the report: confusion: no such glyph" in screen.console.file.getvalue()  # type: ignore[attr-defined]


def test_weights_of_another_model_are_refused_before_anything_is_decoded(
    store_root: Path, images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.save(backbones.build(backbones.find("test_convnext"), 2).state_dict(), tmp_path / "other.pth")
    monkeypatch.setattr(session, "open_dataset", lambda *_: pytest.fail("the data was opened"))
    before = len(mlflow.MlflowClient().search_runs([experiment.current()]))
    with pytest.raises(ConfigError, match=r"^weights=\S+other\.pth: the weights do not fit test_resnet"):
        train(config(images, weights=str(tmp_path / "other.pth")))
    with pytest.raises(ConfigError, match=r"^weights=\S+other\.pth: the weights do not fit test_resnet"):
        group.train_group(
            config(images, weights=str(tmp_path / "other.pth")), ["test_convnext", "test_resnet"], terminal(), "again"
        )
    assert len(mlflow.MlflowClient().search_runs([experiment.current()])) == before


def test_ctrl_c_before_training_says_that_nothing_can_go_on(
    store_root: Path, images: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(session, "build_model", stop)
    with pytest.raises(Interrupted, match=r"interrupted\. Nothing was trained yet"):
        train(config(images))
    assert newest().info.status == "KILLED"
