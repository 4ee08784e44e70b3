"""What real runs decide, on which answers, and where that is shown."""

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import mlflow
import numpy as np
import pytest

from fracture.config import TrainConfig
from fracture.data.images import decode, letterbox
from fracture.data.manifest import read_csv
from fracture.errors import ConfigError
from fracture.evaluation import predictions
from fracture.evaluation.decide import Answers, fit_decisions
from fracture.evidence import Results
from fracture.inference.predictor import Predictor
from fracture.models import checkpoint
from fracture.models.backbones import last_layer
from fracture.rules import Wanted
from fracture.runs import longer
from fracture.runs.show import show_refit
from fracture.tracking import artifacts
from fracture.training.head import read_heads
from tests.runs.small import said, terminal, train

LINEAR_PROBE = {"head": "probe", "trained": "head", "epochs": 1, "class_weights": "balanced"}
WANTED = {"operating": "sensitivity:0.9", "refer_error": 0.2}


@pytest.fixture
def probed(store_root: Path, place: Path, make_images: Callable[..., Path]) -> str:
    """A finished run with a linear probe."""
    kept = place / "id"
    if not kept.exists():
        kept.write_text(train(make_images(place / "data", 20), **LINEAR_PROBE, **WANTED))
    return kept.read_text()


def of(run_id: str, folder: Path) -> Results:
    artifacts.fetch(run_id, ["results.json", "best.pth", "best.json", "manifest.csv"], folder)
    return Results.model_validate_json((folder / "results.json").read_bytes())


def test_a_linear_probe_is_decided_about_by_all_images_but_those_of_the_test(probed: str, tmp_path: Path) -> None:
    results = of(probed, tmp_path)
    assert results.decisions is not None
    assert (results.decisions.fitted_on, results.decisions.images) == ("out_of_fold", 60 - results.splits["test"].n)
    assert results.decisions.wanted == Wanted("sensitivity:0.9", 0.2)
    artifacts.fetch(probed, ["predictions_out_of_fold.csv", "predictions_test.csv"], tmp_path)
    kept, test = (predictions.read(tmp_path / f"predictions_{name}.csv") for name in ("out_of_fold", "test"))
    assert len(set(kept.sha256)) == 60 - results.splits["test"].n
    assert not set(kept.sha256) & set(test.sha256)
    answers = Answers(kept.logits, kept.labels, kept.groups, kept.classes, results.healthy)
    again = fit_decisions(answers, results.decisions.wanted)
    assert again.calibration.temperature == pytest.approx(results.calibration.temperature, rel=1e-4)
    assert again.operating_point.fracture_threshold == pytest.approx(
        results.operating_point.fracture_threshold, rel=1e-4
    )
    assert again.referral.refer_below == pytest.approx(results.referral.refer_below, rel=1e-4)


def test_once_selected_the_head_learns_from_validation_too(probed: str, tmp_path: Path) -> None:
    results = of(probed, tmp_path)
    assert results.refit == results.decisions.images == 60 - results.splits["test"].n  # type: ignore[union-attr]
    names = ["heads.npz", "probe.npz", "predictions_val.csv", "config.json"]
    artifacts.fetch(probed, names, tmp_path)
    heads = read_heads(tmp_path)
    assert heads is not None
    model, sidecar = checkpoint.load(tmp_path / "best.pth")
    last = last_layer(model)
    assert last is not None
    np.testing.assert_allclose(last.weight.detach(), heads.refit.weight, rtol=1e-6)
    with np.load(tmp_path / "probe.npz") as probe:
        np.testing.assert_allclose(Predictor(model, sidecar).logits(probe["images"]), probe["logits"], atol=1e-5)
    manifest, kept = read_csv(tmp_path / "manifest.csv"), predictions.read(tmp_path / "predictions_val.csv")
    root = Path(json.loads((tmp_path / "config.json").read_text())["data_root"])
    paths = {row.sha256: root / manifest.relative(row) for row in manifest.rows}
    squares = np.stack([letterbox(decode(paths[digest].read_bytes()), 32) for digest in kept.sha256])
    longer._as_selected(tmp_path)
    before = Predictor(*checkpoint.load(tmp_path / "best.pth")).logits(squares)
    np.testing.assert_allclose(before, kept.logits, atol=1e-4)  # validation judges the head that has not seen it
    assert np.abs(Predictor(model, sidecar).logits(squares) - kept.logits).max() > 1e-3


def test_refit_that_cannot_be_had_is_said(place: Path, probed: str) -> None:
    with pytest.raises(ConfigError, match=r"refit=true needs a linear probe .*: add head=probe"):
        train(place / "data", refit=True, recipe="seed")
    screen, missing = terminal(), Results.model_construct(refit=0, best_epoch=3)
    show_refit(SimpleNamespace(config=TrainConfig(refit=True)), missing, screen)  # type: ignore[arg-type]
    assert "refit=true: not done, because epoch 3 has other weights" in said(screen)


def test_what_is_expected_goes_with_the_model_and_into_the_report(probed: str, tmp_path: Path) -> None:
    results = of(probed, tmp_path)
    sidecar = checkpoint.read_sidecar(tmp_path / "best.pth")
    assert sidecar.decisions == results.decisions
    assert results.decisions is not None
    assert sidecar.decided.startswith("out-of-fold answers to train and validation (")
    assert "at most 20.0% wanted, " in sidecar.decided
    page = mlflow.artifacts.load_text(f"{mlflow.get_run(probed).info.artifact_uri}/report.html")
    assert f"Fitted on {results.decisions.basis}" in page
    for sentence in results.decisions.promises():
        assert sentence in page


@pytest.mark.parametrize("values", [{"epochs": 1}, {**LINEAR_PROBE, "epochs": 3, "trained": "all", "lr": 0.01}])
def test_what_was_learned_by_steps_is_decided_about_by_validation(
    probed: str, place: Path, tmp_path: Path, values: dict[str, object]
) -> None:
    results = of(train(place / "data", **values), tmp_path)
    assert results.decisions is not None
    probe_stayed = values.get("head") == "probe" and results.best_epoch == 1
    assert results.decisions.fitted_on == ("out_of_fold" if probe_stayed else "validation")
    if not probe_stayed:
        assert results.decisions.images == results.splits["val"].n


def test_what_cannot_be_had_is_said_aloud(probed: str, place: Path, tmp_path: Path) -> None:
    screen = terminal()
    run_id = train(place / "data", screen, **LINEAR_PROBE, operating="sensitivity:0.999", refer_error=0.0001)
    results = of(run_id, tmp_path)
    assert (results.operating_point.fracture_threshold, results.referral.refer_below) == (None, None)
    shown = said(screen)
    for words in ("ensitivity:0.999 cannot be promised from", "the highest possible is", "o threshold keeps the error"):
        assert words in shown
        assert any(words in sentence for sentence in results.decisions.unmet if results.decisions), words
    page = mlflow.artifacts.load_text(f"{mlflow.get_run(run_id).info.artifact_uri}/report.html")
    assert "ensitivity:0.999 cannot be promised from" in page


def test_results_from_before_are_read(probed: str, tmp_path: Path) -> None:
    before = json.loads(of(probed, tmp_path).model_dump_json())
    del before["decisions"]
    assert Results.model_validate(before).decisions is None
    sidecar = json.loads((tmp_path / "best.json").read_text())
    del sidecar["decisions"]
    (tmp_path / "best.json").write_text(json.dumps(sidecar))
    assert checkpoint.load(tmp_path / "best.pth")[1].decisions is None


def test_the_linear_probe_and_the_heads_of_the_folds_answer_alike(probed: str, tmp_path: Path) -> None:
    """They differ in a fifth of the images: logits are of one scale, so that one temperature suits both."""
    of(probed, tmp_path)
    artifacts.fetch(probed, ["predictions_out_of_fold.csv", "predictions_val.csv"], tmp_path)
    kept, val = (predictions.read(tmp_path / f"predictions_{name}.csv") for name in ("out_of_fold", "val"))
    place = {digest: i for i, digest in enumerate(kept.sha256)}
    same = kept.logits[[place[digest] for digest in val.sha256]]
    assert np.corrcoef(same.ravel(), val.logits.ravel())[0, 1] > 0.8
    assert 0.5 < np.std(same) / np.std(val.logits) < 2


@pytest.mark.parametrize("metric", ["val_auroc", "val_balanced_log_loss"])
def test_epochs_are_chosen_by_what_matters(probed: str, place: Path, tmp_path: Path, metric: str) -> None:
    results = of(train(place / "data", epochs=3, select_metric=metric), tmp_path)
    values = [epoch[metric] for epoch in results.history]
    best = min(values) if metric.endswith("loss") else max(values)
    assert values[results.best_epoch - 1] == best
