"""New decisions at a new place: real runs in a real store."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from fracture.errors import DataError
from fracture.evaluation.config import EvaluateConfig
from fracture.evidence import EvaluationResults
from fracture.inference.predictor import Predictor
from fracture.models import checkpoint
from fracture.runs.evaluate import evaluate
from fracture.tracking import artifacts, query
from tests.runs.small import QUICK, said, terminal, train

REFIT = QUICK.model_copy(update={"refit_decisions": True})


@pytest.fixture
def trained(store_root: Path, place: Path, make_images: Callable[..., Path]) -> str:
    """A run, and beside its images local ones: darker, so that the thresholds of training do not suit them."""
    kept = place / "id"
    if not kept.exists():
        local = make_images(place / "local", 30)
        rng = np.random.default_rng(7)
        for path in local.rglob("*.png"):
            pixels = np.asarray(Image.open(path), np.float64)
            Image.fromarray((0.9 * pixels + rng.normal(0, 9, pixels.shape)).clip(0, 255).astype(np.uint8)).save(path)
        kept.write_text(train(make_images(place / "data", 20), head="probe", trained="head", epochs=1))
    return kept.read_text()


def test_new_decisions_leave_the_weights_alone(trained: str, place: Path, tmp_path: Path) -> None:
    screen = terminal()
    config = REFIT.model_copy(update={"operating": "sensitivity:0.9", "refer_error": 0.2})
    found = evaluate(trained, str(place / "local"), config, tmp_path / "out", screen)
    assert found.decisions is not None
    assert (found.decisions.fitted_on, found.decisions.images, found.split) == ("local", 90, "all")
    assert (found.decisions.operating, found.decisions.refer_error) == ("sensitivity:0.9", 0.2)
    artifacts.fetch(trained, ["best.pth", "best.json"], tmp_path)
    (old, before), (new, after) = (checkpoint.load(at / "best.pth") for at in (tmp_path, tmp_path / "out"))
    assert after.weights_sha256 == before.weights_sha256
    assert all(torch.equal(value, new.state_dict()[name]) for name, value in old.state_dict().items())
    assert after.temperature == found.calibration.temperature != before.temperature
    assert after.decisions == found.decisions
    assert after.decided.startswith("local images (90 images, 90 groups)")
    same = {"temperature", "fracture_threshold", "refer_below", "decided", "decisions"}
    assert before.model_dump(exclude=same) == after.model_dump(exclude=same)
    run = query.finished(["evaluate"])[0]
    assert run.tags["fracture.refit_of"] == trained
    assert f"python -m registry promote {run.id}" in said(screen)
    assert "cross-fitted" in said(screen)
    page = (tmp_path / "out" / "report.html").read_text()
    assert f"--data {place / 'local'} --refit-decisions true --operating sensitivity:0.9 --refer-error 0.2" in page
    assert "Fitted on local images (90 images, 90 groups)" in page


def test_its_figures_are_those_of_images_that_did_not_decide(trained: str, place: Path, tmp_path: Path) -> None:
    found = evaluate(trained, str(place / "local"), REFIT, tmp_path / "out", terminal())
    assert found.decisions is not None
    shown, expected = found.splits["test"].metrics, found.decisions.expected
    assert shown["any_fracture_sensitivity"].value == pytest.approx(expected["any_fracture_sensitivity"].value)
    if "answered_error" in expected:
        assert shown["answered_accuracy"].value == pytest.approx(1 - (expected["answered_error"].value or 0))
    old = evaluate(trained, str(place / "local"), QUICK, tmp_path / "old", terminal())
    assert found.before == old.splits["test"].metrics, "what it came with stands beside it"
    assert shown["auroc_no_fracture"].value is not None
    kept = EvaluationResults.model_validate_json((tmp_path / "out" / "results.json").read_bytes())
    assert kept == found


def test_the_new_decisions_are_those_that_answer(trained: str, place: Path, tmp_path: Path) -> None:
    found = evaluate(trained, str(place / "local"), REFIT, tmp_path / "out", terminal())
    predictor = Predictor(*checkpoint.load(tmp_path / "out" / "best.pth"))
    answers = predictor.predict(sorted((place / "local").rglob("*.png")))
    healthy, threshold = found.healthy, found.operating_point.fracture_threshold
    assert healthy is not None
    assert threshold is not None
    assert [a.fracture for a in answers] == [1 - a.probabilities[healthy] >= threshold for a in answers]


def test_images_that_were_trained_on_decide_nothing(trained: str, place: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="images were used in training or selection: thresholds fitted on them"):
        evaluate(trained, str(place / "data"), REFIT, tmp_path / "out", terminal())
    assert not (tmp_path / "out").exists(), "nothing is left of it"


def test_a_refitted_model_is_refitted_again_and_still_knows_what_it_was_trained_on(
    trained: str, place: Path, tmp_path: Path
) -> None:
    evaluate(trained, str(place / "local"), REFIT, tmp_path / "out", terminal())
    again = query.finished(["evaluate"])[0].id
    with pytest.raises(DataError, match="used in training or selection"):
        evaluate(again, str(place / "data"), REFIT, tmp_path / "no", terminal())
    found = evaluate(again, str(place / "local"), REFIT, tmp_path / "more", terminal())
    assert (found.evaluated, found.seen_in_training) == (again, 0)
    assert query.finished(["evaluate"])[0].tags["fracture.refit_of"] == trained


def test_one_patient_decides_nothing(trained: str, tmp_path: Path, place: Path) -> None:
    rows = ["path,label,group"]
    rows += [f"{path},{path.parent.name},one" for path in sorted((place / "local").rglob("*.png"))]
    (tmp_path / "one.csv").write_text("\n".join(rows) + "\n")
    with pytest.raises(DataError, match="images are of one group"):
        evaluate(trained, str(tmp_path / "one.csv"), REFIT, tmp_path / "out", terminal())


def test_few_images_are_said_to_be_too_few(
    trained: str, tmp_path: Path, make_images: Callable[..., Path], place: Path
) -> None:
    screen = terminal()
    rows = ["path,label"]
    rows += [f"{p},{p.parent.name}" for p in sorted((place / "local").rglob("*.png")) if int(p.stem) < 4]
    (tmp_path / "few.csv").write_text("\n".join(rows) + "\n")
    config = REFIT.model_copy(update={"operating": "sensitivity:0.95"})
    found = evaluate(trained, str(tmp_path / "few.csv"), config, tmp_path / "out", screen)
    assert (found.operating_point.fracture_threshold, found.referral.refer_below) == (None, None)
    assert "ensitivity:0.95 cannot be promised from 8 fractures" in said(screen)
    assert "there are only " in said(screen)
    assert json.loads((tmp_path / "out" / "best.json").read_text())["refer_below"] is None


@pytest.mark.parametrize("values", [{"operating": "sensitivity:0.9"}, {"refer_error": 0.1}])
def test_wishes_without_new_decisions_are_refused(values: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="refit_decisions=true takes new ones"):
        EvaluateConfig.model_validate(values)


def test_the_flag_needs_no_value(cli: Callable[..., int], store_root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    del store_root
    assert cli("evaluate", "nope", "--data", "demo", "--refit-decisions") == 2
    assert "run nope" in capsys.readouterr().err
    assert cli("evaluate", "nope", "--data", "demo", "--operating", "sensitivity:0.9") == 2
    assert "refit_decisions=true" in capsys.readouterr().err
    assert cli("evaluate", "nope", "--data", "demo", "--refit-decisions", "--operating", "best") == 2
    assert "Allowed: youden" in capsys.readouterr().err


def test_a_file_whose_run_is_unknown_is_served_but_not_promoted(trained: str, place: Path, tmp_path: Path) -> None:
    artifacts.fetch(trained, ["best.pth", "best.json"], tmp_path)
    screen = terminal()
    evaluate(str(tmp_path / "best.pth"), str(place / "local"), REFIT, tmp_path / "out", screen)
    assert "not in the store" in said(screen)
