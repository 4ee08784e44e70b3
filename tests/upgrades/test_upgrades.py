"""What earlier versions have left is read and gone on with, or refused in one sentence."""

import csv
import json
import os
import signal
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from fracture.inference.predictor import Predictor
from fracture.runs.show import Reporter

pytestmark = pytest.mark.slow
CHAMPION = "models:/fracture-classifier@champion"


def runs(folder: Path, status: str) -> list[str]:
    with sqlite3.connect(folder / "mlflow.db") as db:
        query = "SELECT run_uuid FROM runs WHERE status = ? ORDER BY start_time"
        return [run for (run,) in db.execute(query, (status,))]


def test_the_registry_agrees_and_its_model_answers_as_it_did(old: Path, entry: Callable[..., int]) -> None:
    assert entry("registry", "verify") == 0
    assert entry("registry", "show") == 0
    assert entry("registry", "predict", "images", "--by", "folder", "--out", "studies.csv") == 0
    with (old / "studies.csv").open() as file:
        held = [len(json.loads(row["images"])) for row in csv.DictReader(file)]
    assert held == [len(list(folder.iterdir())) for folder in sorted((old / "images").iterdir())]
    with (old / "answers.csv").open() as file:
        rows = list(csv.DictReader(file))
    model = next((old / "mlruns").rglob("weights.safetensors")).parent
    for row, answer in zip(rows, Predictor.load(model).predict([old / row["path"] for row in rows]), strict=True):
        assert answer.probabilities == pytest.approx(
            {name: float(row[name]) for name in answer.probabilities}, abs=2e-6
        )


def test_a_table_of_answers_with_other_columns_is_left_alone(
    old: Path, cli: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    before = (old / "answers.csv").read_bytes()
    assert cli("predict", CHAMPION, "images", "--out", "answers.csv") == 2
    assert "an earlier version wrote it. Choose another --out" in capsys.readouterr().err
    assert (old / "answers.csv").read_bytes() == before
    assert cli("predict", CHAMPION, "images", "--out", "new.csv") == 0


def test_manifest_and_cache_are_taken_up(
    old: Path, cli: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    cached = {path: path.stat().st_mtime_ns for path in old.glob("cache/images/*/*")}
    (finished, *_) = runs(old, "FINISHED")
    assert cli("evaluate", finished, "--data", "prepared.csv", "--threads", "1", "--out", "judged") == 0
    assert {path: path.stat().st_mtime_ns for path in cached} == cached
    assert cli("audit", "prepared.csv") == 0
    assert cli("compare", "--out", "compared") == 0
    assert finished[:8] in capsys.readouterr().out


def test_an_interrupted_run_goes_on(
    old: Path, cli: Callable[..., int], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (cut,) = runs(old, "KILLED")
    assert cli("train", "--resume", cut) == 3
    assert "give data=NEW" in capsys.readouterr().err, "the folder was moved"
    real = Reporter.epoch

    def epoch(self: Reporter, *arguments: object) -> None:
        real(self, *arguments)  # type: ignore[arg-type]
        os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(Reporter, "epoch", epoch)
    assert cli("train", "--resume", cut, "--data", "prepared.csv") == 6
    said = capsys.readouterr()
    assert "Going on in epoch" in said.out
    assert f"fracture train --resume {cut}" in said.err


@pytest.mark.long
def test_a_study_goes_on_under_the_same_command(old: Path, entry: Callable[..., int]) -> None:
    settings = (
        "--model=test_efficientnet --weights=zeros.pth --data=prepared.csv --image-size=32 --batch-size=8 --threads=1 "
        "--precision=fp32 --memory-format=contiguous --audit=off --recipe=seed --epochs=1 --lr=1e-5 --pruner=none "
        "--batch-high=8 --trials=2"
    )
    assert entry("tuning", *settings.split()) == 0
    with sqlite3.connect(old / "mlruns" / "optuna.db") as db:
        assert db.execute("SELECT COUNT(*) FROM studies").fetchall() == [(1,)]
        assert db.execute("SELECT COUNT(*) FROM trials WHERE state = 'COMPLETE'").fetchall() == [(2,)]
