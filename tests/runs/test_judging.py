"""Judging, mixing and comparing real runs in a real store."""

import csv
import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import mlflow
import numpy as np
import pytest

from fracture.data.manifest import read_csv, write_csv
from fracture.errors import ConfigError, DataError
from fracture.evaluation import predictions
from fracture.evaluation.config import CompareConfig
from fracture.evaluation.metrics import softmax
from fracture.evidence import Results
from fracture.runs import answering, longer
from fracture.runs.compare import compare_runs
from fracture.runs.ensemble import ensemble
from fracture.runs.evaluate import evaluate
from fracture.runs.reference import reference_of
from fracture.runs.session import Session
from fracture.tables import DOUBTED
from fracture.tracking import artifacts, query
from fracture.training import execution
from registry import card, evidence, gates, package, thresholds
from tests.runs.small import QUICK, said, terminal, train


@pytest.fixture
def runs(store_root: Path, place: Path, make_images: Callable[..., Path]) -> list[str]:
    """Two finished runs on the same data."""
    ids = place / "ids.json"
    if not ids.exists():
        data = make_images(place / "data", 20)
        ids.write_text(json.dumps([train(data, seed=0, lr=0.003), train(data, seed=1, lr=0.001)]))
    return list(json.loads(ids.read_text()))


def results_of(run_id: str, folder: Path) -> Results:
    folder.mkdir(exist_ok=True)
    (path,) = artifacts.fetch(run_id, ["results.json"], folder)
    return Results.model_validate_json(path.read_bytes())


def test_the_same_test_images_give_the_same_results(
    runs: list[str], place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(execution, "computes_bf16", lambda device: True)
    before = results_of(runs[0], tmp_path)
    (path,) = artifacts.fetch(runs[0], ["manifest.csv"], tmp_path)
    manifest = read_csv(path)
    rows = [replace(row, path=place / "data" / manifest.relative(row)) for row in manifest.rows]
    write_csv(manifest.with_rows(rows), tmp_path / "again.csv")
    found = evaluate(runs[0], str(tmp_path / "again.csv"), QUICK, tmp_path / "out", terminal())
    assert (found.split, found.seen_in_training) == ("test", 0)
    assert found.test_digest == before.test_digest
    assert found.calibration.temperature == before.calibration.temperature
    assert found.splits["test"].metrics == before.splits["test"].metrics
    run = query.finished(["evaluate"])[0]
    assert run.tags["fracture.evaluated"] == runs[0]
    assert run.metrics["test_accuracy"] == before.splits["test"].metrics["accuracy"].value
    kept = {entry.path for entry in mlflow.MlflowClient().list_artifacts(run.id)}
    assert {"results.json", "predictions_test.csv"} <= kept


def test_images_that_were_trained_on_are_counted_and_said(runs: list[str], place: Path, tmp_path: Path) -> None:
    screen = terminal()
    found = evaluate(runs[0], str(place / "data"), QUICK, tmp_path / "out", screen)
    assert found.split == "all"
    assert found.seen_in_training == 60 - results_of(runs[0], tmp_path).splits["test"].n
    assert "INFLATED" in said(screen)


def test_a_file_is_judged_too(runs: list[str], place: Path, tmp_path: Path) -> None:
    artifacts.fetch(runs[0], ["best.pth", "best.json"], tmp_path)
    found = evaluate(str(tmp_path / "best.pth"), str(place / "data"), QUICK, tmp_path / "out", terminal())
    assert found.seen_in_training is None


def test_what_cannot_be_judged_is_said(runs: list[str], tmp_path: Path, make_images: Callable[..., Path]) -> None:
    other, out = make_images(tmp_path / "other", 3, (), ("cat", "no_fracture")), tmp_path / "out"
    with pytest.raises(DataError, match=r"does not know: cat; it knows comminuted_fracture(.|\n)*--label-map cat=NEW"):
        evaluate(runs[0], str(other), QUICK, out, terminal())
    named = make_images(tmp_path / "named", 3, (), ("Normal", "simple fracture"))
    with pytest.raises(DataError, match=r"named --label-map 'Normal=no_fracture,simple fracture=simple_fracture'"):
        evaluate(runs[0], str(named), QUICK, out, terminal())
    with pytest.raises(DataError, match="no image in split val"):
        evaluate(runs[0], str(other), QUICK.model_copy(update={"split": "val"}), out, terminal())
    with pytest.raises(ConfigError, match="run nope"):
        evaluate("nope", str(other), QUICK, out, terminal())
    with mlflow.start_run() as empty:
        pass
    with pytest.raises(ConfigError, match=r"has no best.pth; only a finished training run"):
        evaluate(empty.info.run_id, str(other), QUICK, out, terminal())
    with pytest.raises(ConfigError, match=r"has no .*results.json"):
        compare_runs([empty.info.run_id], CompareConfig(), out, terminal())
    with pytest.raises(ConfigError, match=r"has no .*results.json"):
        ensemble([empty.info.run_id, runs[0]], terminal())


def test_a_single_class_lacks_metrics_with_their_reason(
    runs: list[str], tmp_path: Path, make_images: Callable[..., Path]
) -> None:
    normal = make_images(tmp_path / "normal", 3, (), ("no_fracture",))
    found = evaluate(runs[0], str(normal), QUICK, tmp_path / "out", terminal()).splits["test"].metrics
    assert found["auroc_no_fracture"].value is None
    assert found["auroc_no_fracture"].reason == "needs images of this class and of others"
    assert "NaN" not in (tmp_path / "out" / "results.json").read_text()


def test_an_ensemble_is_fitted_on_validation_and_judged_like_a_run(runs: list[str], tmp_path: Path) -> None:
    found = ensemble(runs, terminal())
    assert sum(found.members.values()) == pytest.approx(1)
    members = {run_id: results_of(run_id, tmp_path / run_id) for run_id in runs}
    assert {found.test_digest} == {member.test_digest for member in members.values()}
    assert found.latency_ms == pytest.approx(sum(member.latency_ms or 0 for member in members.values()))
    run = query.finished(["ensemble"])[0]
    kept = mlflow.MlflowClient().get_run(run.id)
    assert "the healthy class" in kept.data.tags["mlflow.note.content"]
    assert len(kept.inputs.dataset_inputs) == 3, "the splits of its members"
    assert f"fracture ensemble {' '.join(runs)}" in artifacts.fetch(run.id, ["report.html"], tmp_path)[0].read_text()
    assert run.tags["fracture.members"].split(",") == runs
    artifacts.fetch(run.id, ["predictions_val.csv", "predictions_test.csv"], tmp_path)
    for split in ("val", "test"):
        mixed = predictions.read(tmp_path / f"predictions_{split}.csv")
        expected = np.zeros(mixed.logits.shape)
        for run_id, member in members.items():
            artifacts.fetch(run_id, [f"predictions_{split}.csv"], tmp_path / run_id)
            own = predictions.read(tmp_path / run_id / f"predictions_{split}.csv")
            assert own.sha256 == mixed.sha256
            expected += found.members[run_id] * softmax(own.logits / member.calibration.temperature)
        np.testing.assert_allclose(softmax(mixed.logits), expected, atol=1e-6)


def test_an_ensemble_is_a_model(runs: list[str], place: Path, tmp_path: Path) -> None:
    screen = terminal()
    made = ensemble(runs, screen)
    run = query.finished(["ensemble"])[0]
    assert f"Run {run.id} can be used like any model" in said(screen)
    assert made.difference is not None
    assert made.difference < 1e-4, "its network answers as the members did, whose answers are judged"
    found = evaluate(run.id, str(place / "data"), QUICK, tmp_path / "out", terminal())
    assert found.weights_sha256 == made.weights_sha256 == run.tags["fracture.weights_sha256"]
    assert found.seen_in_training == 60 - made.splits["test"].n
    assert (tmp_path / "out" / "report.html").is_file()
    asked = predictions.read(tmp_path / "out" / "predictions_test.csv")
    (kept,) = artifacts.fetch(run.id, ["predictions_test.csv"], tmp_path)
    judged = predictions.read(kept)
    order = [asked.sha256.index(digest) for digest in judged.sha256]
    np.testing.assert_allclose(softmax(asked.logits[order]), softmax(judged.logits), atol=1e-4)
    (tmp_path / "found").mkdir()
    predictor = answering.find(run.id, tmp_path / "found")
    (answer,) = predictor.predict(next((place / "data").rglob("*.png")))
    assert sum(answer.probabilities.values()) == pytest.approx(1)
    with pytest.raises(ConfigError, match=f"is an ensemble itself; name its members instead: {runs[0]} {runs[1]}"):
        ensemble([run.id, runs[0]], terminal())


def test_gates_judge_an_ensemble_by_what_its_members_are(runs: list[str]) -> None:
    mlflow.MlflowClient().set_tag(runs[1], "fracture.audit", "leaking")
    mlflow.MlflowClient().set_tag(runs[1], "fracture.confounded", "false")
    ensemble(runs, terminal())
    found = evidence.read(query.finished(["ensemble"])[0].id)
    assert (found.missing, found.broken, found.disagreements) == ((), (), ())
    assert (found.audit, found.confounded) == ("leaking", False), "the worst that was found of the data"
    assert (found.selected_on, found.licence) == ("val_macro_f1", "none")
    measured = replace(found, robustness={"none": 1.0, "jpeg": 1.0}, latency_ms=1.0, memory_mib=1.0)
    judged = {gate.name: gate for gate in gates.judge(measured, thresholds.read(thresholds.DEMO), "commercial")}
    names = ("finished", "whole", "digests", "selection", "budgets", "card")
    assert [judged[name].sentence for name in names if not judged[name].passed] == []
    assert f"run `{runs[0]}` by " in card.render(measured, list(judged.values()), "research")
    mixed = replace(measured, licence="apache-2.0; cc-by-nc-4.0")
    assert not gates.licensed(mixed, thresholds.read(thresholds.DEFAULT), "commercial").passed


@pytest.mark.parametrize(
    ("tags", "message"),
    [
        ({"fracture.kind": "ensemble", "fracture.members": "a,b"}, "`fracture ensemble a b` makes it again"),
        ({"fracture.kind": "evaluate", "fracture.evaluated": "r1"}, "only evaluated a model, that of r1"),
        ({"fracture.kind": "group"}, "is the parent of several runs"),
        ({"fracture.kind": "compare"}, "only a finished training run or an ensemble of such does"),
    ],
)
def test_a_run_without_a_model_says_where_one_is(store_root: Path, tags: dict[str, str], message: str) -> None:
    with mlflow.start_run(tags=tags) as run:
        pass
    for ask in (evidence.read, package.package, lambda run_id: answering.find(run_id, store_root)):
        with pytest.raises(ConfigError, match=message):
            ask(run.info.run_id)


ASK: dict[str, Callable[[list[str], Path], object]] = {
    "answer": lambda runs, out: answering.find(runs[0], out),
    "ensemble": lambda runs, out: ensemble(runs, terminal()),
    "compare": lambda runs, out: compare_runs(runs, CompareConfig(), out, terminal()),
    "longer": lambda runs, out: longer.train_longer(runs[0], 9, Session(terminal(), None, "")),
    "package": lambda runs, out: package.package(runs[0]),
    "reference": lambda runs, out: reference_of(runs[0]),
}


@pytest.mark.parametrize(
    ("name", "cut", "asked"),
    [
        ("best.pth", None, ("answer", "ensemble", "longer", "package")),
        ("best.pth", 1000, ("answer", "ensemble", "longer", "package", "reference")),
        ("best.json", None, ("answer", "ensemble", "longer", "package", "reference")),
        ("best.json", 10, ("answer", "ensemble", "longer", "package", "reference")),
        ("manifest.csv", 12, ("answer", "ensemble")),
        ("manifest.csv", -80, ("answer", "ensemble")),  # whole lines are gone
        ("probe.npz", 300, ("ensemble",)),
        ("predictions_test.csv", 300, ("ensemble", "compare", "reference")),
    ],
)
def test_a_damaged_file_is_named_with_its_run(
    runs: list[str], tmp_path: Path, name: str, cut: int | None, asked: tuple[str, ...]
) -> None:
    place = Path(mlflow.get_run(runs[0]).info.artifact_uri.removeprefix("file://")) / name
    whole = place.read_bytes()
    place.unlink() if cut is None else place.write_bytes(whole[:cut].rpartition(b"\n")[0] if cut < 0 else whole[:cut])
    try:
        for ask in asked:
            (tmp_path / ask).mkdir()
            with pytest.raises((ConfigError, DataError), match=f"^run {runs[0]}: .*{re.escape(name)}") as told:
                ASK[ask](runs, tmp_path / ask)
            assert "/tmp" not in str(told.value)
            assert str(tmp_path) not in str(told.value)
    finally:
        place.write_bytes(whole)


def test_runs_on_other_data_are_neither_mixed_nor_ranked(
    runs: list[str], tmp_path: Path, make_images: Callable[..., Path]
) -> None:
    with pytest.raises(ConfigError, match="needs two runs or more"):
        ensemble([runs[0]], terminal())
    for ask in ("ensemble", "compare"):
        with pytest.raises(ConfigError, match=rf"run {runs[0]}: named more than once\. Name each run once"):
            ASK[ask]([runs[0], runs[1], runs[0]], tmp_path)
    stranger = train(make_images(tmp_path / "other", 12), epochs=1)
    with pytest.raises(ConfigError, match=r"cannot be combined: data_digest .* and "):
        ensemble([runs[0], stranger], terminal())
    with pytest.raises(ConfigError, match="evaluated on different test data, so their scores cannot be ranked"):
        compare_runs([runs[0], stranger], CompareConfig(), tmp_path / "compare", terminal())
    compare_runs([], CompareConfig(), tmp_path / "all", terminal())
    digests = [table["test_digest"] for table in json.loads((tmp_path / "all" / "compare.json").read_text())["tables"]]
    assert len(digests) == len(set(digests)) >= 2


def test_runs_are_sorted_by_validation_and_the_best_two_are_tested(runs: list[str], tmp_path: Path) -> None:
    screen = terminal()
    files = compare_runs(runs, CompareConfig(metric="log_loss"), tmp_path / "compare", screen)
    assert [path.name for path in files] == ["compare.json", "compare.csv", "compare.png"]
    (table,) = json.loads(files[0].read_text())["tables"]
    losses = [row["val_log_loss"] for row in table["runs"]]
    assert losses == sorted(losses)
    assert table["best_two"]["n"] == table["runs"][0]["test_n"]
    assert set(table["best_two"]["differences"]) >= {"accuracy", "macro_f1", "log_loss"}
    assert "McNemar p = " in said(screen)
    assert DOUBTED in said(screen), "nine test images bound nothing"
    with files[1].open(newline="") as file:
        assert [row["run"] for row in csv.DictReader(file)] == [row["run"] for row in table["runs"]]
    with pytest.raises(ConfigError, match=r"metric=f1: not among the results. Allowed: accuracy"):
        compare_runs(runs, CompareConfig(metric="f1"), tmp_path / "compare", terminal())
