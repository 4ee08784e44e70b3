"""Cross-validation in a real store: a run a fold, and a parent that sums them up."""

import csv
import io
import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import mlflow
import pytest
import torch
from rich.console import Console

from fracture.config import TrainConfig
from fracture.errors import ConfigError, DataError, FractureError
from fracture.evaluation.config import CompareConfig
from fracture.evidence import FOLD_ARTIFACTS, FoldMeanResults, FoldResults
from fracture.evidence.names import FOLD_MEAN_ARTIFACTS
from fracture.progress import Terminal
from fracture.runs import fold_mean, folds, session, target
from fracture.runs.compare import compare_runs
from fracture.tracking import experiment
from fracture.training import engine
from registry import card, evidence, gates, thresholds, validation
from tests.registry import made_up

LINEAR_PROBE = {"head": "probe", "trained": "head"}


def train(images: Path, **values: object) -> str:
    """The id of the parent, trained or not."""
    fast = {"model": "test_resnet", "image_size": 32, "epochs": 1, "batch_size": 8, "threads": 1, "audit": "off"}
    plan = {"memory_format": "contiguous", "weights": "none", "data": str(images), "folds": 3}
    terminal = Terminal(Console(file=io.StringIO(), width=1000))
    folds.train_folds(TrainConfig.model_validate(fast | plan | values), terminal, "same again")
    parent, said = newest_parent(), terminal.console.file.getvalue()  # type: ignore[attr-defined]
    assert said.splitlines()[-1].startswith(
        f"Done: report.html and the rest of run {parent} are in {Path.cwd()}/mlruns/"
    )
    return parent


def newest_parent() -> str:
    condition = "tags.`fracture.kind` = 'group' and attributes.run_name LIKE '% folds of %'"
    runs = mlflow.MlflowClient().search_runs([experiment.current()], condition, order_by=["attributes.start_time DESC"])
    return str(runs[0].info.run_id)


def test_folds_are_summed_up_and_done_once(
    store_root: Path, images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, seen = engine.train_epoch, Counter[str]()

    def failing(learner, *rest):  # type: ignore[no-untyped-def]
        seen[str(learner.config.fold)] += 1
        if learner.config.fold == 1 and seen["1"] == 1:
            raise ValueError("out of luck")
        real(learner, *rest)

    monkeypatch.setattr(engine, "train_epoch", failing)
    with pytest.raises(FractureError, match=r"1 of 3 folds failed:\n- fold 1: out of luck\n(.|\n)*same again"):
        train(images, **LINEAR_PROBE)
    client = mlflow.MlflowClient()
    first = newest_parent()
    assert client.get_run(first).info.status == "FAILED"
    assert not client.list_artifacts(first), "nothing is summed up of a part of the folds"
    assert train(images, **LINEAR_PROBE) == first, "the same command goes on"
    assert seen == {"0": 1, "1": 2, "2": 1}
    assert client.get_run(first).info.status == "FINISHED"
    assert {item.path for item in client.list_artifacts(first)} == {*FOLD_ARTIFACTS, *FOLD_MEAN_ARTIFACTS}

    text = mlflow.artifacts.load_text(f"{client.get_run(first).info.artifact_uri}/folds.json")
    found = FoldResults.model_validate(json.loads(text))
    assert found.decisions is not None
    assert (found.decisions.fitted_on, found.decisions.images) == ("folds", 30)
    each = [client.get_run(run).data.metrics["test/accuracy"] for run in found.runs]
    accuracy = found.metrics["accuracy"]
    assert accuracy.folds == pytest.approx(each)
    assert accuracy.n == 30
    parent = client.get_run(first)
    assert parent.data.params["folds"] == "3"
    assert {one.tags[0].value for one in parent.inputs.dataset_inputs} == {"train", "val", "test"}
    assert parent.data.tags["mlflow.note.content"].count("| FINISHED |") == 3
    metrics = parent.data.metrics
    assert metrics["test/accuracy"] == pytest.approx(sum(each) / 3)
    assert metrics["test/accuracy_low"] <= metrics["test/accuracy"] <= metrics["test/accuracy_high"]

    answers = mlflow.artifacts.load_text(f"{client.get_run(first).info.artifact_uri}/predictions_out_of_fold.csv")
    rows = list(csv.DictReader(io.StringIO(answers)))
    assert len({row["sha256"] for row in rows}) == len(rows) == 30
    answered = Counter(row["fold"] for row in rows)
    assert set(answered) == {"0", "1", "2"}
    assert all(9 <= count <= 12 for count in answered.values()), "ten of each class do not go by three"
    page = mlflow.artifacts.load_text(f"{client.get_run(first).info.artifact_uri}/report.html")
    assert "each by the head of a fold that had not learned from it" in page
    assert all(run[:8] in page for run in found.runs)
    interval = "" if accuracy.low is None else f" [{accuracy.low:.3f}, {accuracy.high:.3f}]"
    assert f">{accuracy.value:.3f}{interval}<" in page
    _compared(first, found, tmp_path)
    _see_the_mean(first, found.runs, tmp_path)


def _compared(parent: str, found: FoldResults, folder: Path) -> None:
    """The folds stand below their parent, none alone, whether it is named or not."""
    for number, named in enumerate(([], [parent])):
        terminal = Terminal(Console(file=io.StringIO(), width=200))
        compare_runs(named, CompareConfig(metric="accuracy"), folder / str(number), terminal)
        said = terminal.console.file.getvalue()  # type: ignore[attr-defined]
        mean = found.metrics["accuracy"]
        places = [said.index(f"({run[:6]})") for run in (parent, *found.runs)]
        assert places == sorted(places)
        interval = "" if mean.low is None else f" [{mean.low:.3f}, {mean.high:.3f}]"
        assert f"{mean.value:.3f}{interval}" in said
        kept = json.loads((folder / str(number) / "compare.json").read_text())
        assert found.runs == tuple(kept["folds"][0]["folds"])
        assert not {row["run"] for table in kept["tables"] for row in table["runs"]} & {*found.runs}
        with (folder / str(number) / "compare.csv").open(newline="") as file:
            assert {row["run"] for row in csv.DictReader(file) if row["parent"] == parent} == {*found.runs}
    with pytest.raises(ConfigError, match="metric=nonsense: not among the results"):
        compare_runs([parent], CompareConfig(metric="nonsense"), folder / "no", terminal)


def _see_the_mean(parent: str, runs: Sequence[str], folder: Path) -> None:
    """The parent holds a model: the mean of the folds' heads, judged by what each of them had not learned from."""
    found = target.find(parent, folder)
    heads = []
    for run in runs:
        (folder / run).mkdir()
        heads.append(target.find(run, folder / run).model.fc.weight)  # type: ignore[union-attr]
    mean = torch.stack(heads).mean(dim=0)  # type: ignore[arg-type]
    torch.testing.assert_close(found.model.fc.weight, mean)  # type: ignore[union-attr]
    assert len(found.trained_on or ()) == 30, "it has learned from all images"
    read = evidence.read(parent)
    assert isinstance(read.results, FoldMeanResults)
    assert (read.missing, read.broken, read.disagreements) == ((), (), ())
    assert (read.results.splits["test"].n, read.results.folds) == (30, 3)
    assert read.results.difference < 0.05
    by_name = thresholds.read(thresholds.DEMO).model_copy(update={"judged": "out_of_fold"})
    refused, taken = gates.judged_on(read, thresholds.read(thresholds.DEMO), ""), gates.judged_on(read, by_name, "")
    assert (refused.passed, taken.passed) == (False, True)
    assert "`--judged out_of_fold` accepts that" in refused.sentence
    assert not gates.judged_on(made_up.GOOD, by_name, "").passed, "what is asked for by name is what it must be"
    assert len(validation.read(parent, 8).paths) == 8
    whole = replace(read, robustness={"none": 1.0}, latency_ms=1.0, memory_mib=1.0, audit="clean", confounded=False)
    page = card.render(whole, [taken], "research")
    assert "each by the head of a fold that had not learned from it" in page
    assert "in each of 3 folds; the model is the mean of their heads" in page


def test_answers_of_folds_of_two_versions_are_joined_by_the_names_of_columns(tmp_path: Path) -> None:
    (tmp_path / "0.csv").write_text("path,label,logit_a\nx.png,a,1.5\n")
    (tmp_path / "1.csv").write_text("path,decision,label,logit_a\ny.png,fracture,b,2.5\n")
    folds._join([tmp_path / "0.csv", tmp_path / "1.csv"], tmp_path / "all.csv")
    with (tmp_path / "all.csv").open() as file:
        assert list(csv.DictReader(file)) == [
            {"path": "x.png", "label": "a", "logit_a": "1.5", "decision": "", "fold": "0"},
            {"path": "y.png", "label": "b", "logit_a": "2.5", "decision": "fracture", "fold": "1"},
        ]


def test_folds_that_were_fine_tuned_are_no_model_together() -> None:
    one = {"body": torch.zeros(2), "norm.running_mean": torch.zeros(1), "fc.weight": torch.zeros(3)}
    fold_mean._same_below([one, one | {"fc.weight": torch.ones(3), "norm.running_mean": torch.ones(1)}], {"fc.weight"})
    with pytest.raises(ConfigError, match=r"fine-tuned, so they differ \(as body\)"):
        fold_mean._same_below([one, one | {"body": torch.ones(2)}], {"fc.weight"})


@pytest.mark.long
def test_fine_tuned_folds_have_a_report_of_all_their_answers(store_root: Path, images: Path) -> None:
    parent = train(images, folds=2, audit="warn", seed=5)
    files = {item.path for item in mlflow.MlflowClient().list_artifacts(parent)}
    assert files == {*FOLD_ARTIFACTS}, "their networks are no model together"
    page = mlflow.artifacts.load_text(f"{mlflow.get_run(parent).info.artifact_uri}/report.html")
    assert "of 30 groups (patients or originals), each by the model of one of 2 folds that had not learned" in page
    assert "Two folds are too few for an interval" in page
    assert "The data was not checked for leakage" not in page
    assert page.count("data:image/png") == 5
    assert "<pre>same again</pre>" in page


def test_what_no_fold_could_do_is_refused_once(store_root: Path, images: Path) -> None:
    with pytest.raises(ConfigError, match="batch_norm=mixed") as refused:
        train(images, model="test_vit", image_size=160, head="probe", batch_norm="mixed", recipe="seed", seed=3)
    assert "folds failed" not in str(refused.value)
    assert mlflow.MlflowClient().get_run(newest_parent()).info.status == "FAILED"


def test_folds_of_data_that_has_changed_are_not_put_together(
    store_root: Path, tmp_path: Path, make_images: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    data = make_images(tmp_path / "data", 10)
    real = engine.train_epoch

    def interrupted(learner, *rest):  # type: ignore[no-untyped-def]
        if learner.config.fold == 2:
            raise ValueError("out of luck")
        real(learner, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(engine, "train_epoch", interrupted)
        with pytest.raises(FractureError, match="1 of 3 folds failed"):
            train(data)
    next(data.rglob("*.png")).unlink()
    with pytest.raises(DataError, match="other images or labels than fold 0: the data has changed between them"):
        train(data)
    assert mlflow.MlflowClient().get_run(newest_parent()).info.status == "FAILED"


@pytest.mark.parametrize(
    ("groups", "wanted", "most"),
    [
        (3, 5, "at most folds=3: no_fracture has 3 groups"),
        (2, 2, "no number of folds is possible"),
        (3, 3, ""),
        (9, 5, ""),
    ],
)
def test_folds_that_the_groups_do_not_allow_are_refused_before_anything_is_trained(
    store_root: Path, images: Path, tmp_path: Path, cli: Callable[..., int], capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch, groups: int, wanted: int, most: str,
) -> None:  # fmt: skip
    rows = [
        f"{path},{path.parent.name},{path.parent.name}-{number % (groups if path.parent.name == 'no_fracture' else 10)}"
        for number, path in enumerate(sorted(images.rglob("*.png")))
    ]
    manifest = tmp_path / "manifest.csv"
    manifest.write_text("\n".join(["path,label,group", *rows]))
    before = len(mlflow.MlflowClient().search_runs([experiment.current()]))
    monkeypatch.setattr(folds, "train_folds", lambda *_: None)
    monkeypatch.setattr(session, "train", lambda *_: None)
    for more in ([], ["--fold", "0"]):
        code = cli("train", "--data", str(manifest), "--model", "test_resnet", "--folds", str(wanted), *more)
        said = capsys.readouterr().err
        assert (code, most in said) == (2 if most else 0, True), said
    assert len(mlflow.MlflowClient().search_runs([experiment.current()])) == before
