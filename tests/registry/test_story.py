"""The whole story on real runs: promote, refuse, challenge, roll back, verify; in a real store, real processes."""

import base64
import contextlib
import hashlib
import json
import math
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

import mlflow
import pandas as pd
import pytest
import torch

from fracture.config import TrainConfig
from fracture.errors import ConfigError, GateError
from fracture.evaluation.config import EvaluateConfig
from fracture.monitoring import reference
from fracture.runs import session
from fracture.runs.evaluate import evaluate
from fracture.runs.reference import reference_of
from fracture.runs.session import Session
from fracture.tracking import artifacts, query
from registry import champion, check, evidence, gates, package, promote, thresholds
from registry.lines import replay
from registry.loading import load
from registry.verify import verify
from registry.versions import Registry
from tests.registry.conftest import Ask
from tests.registry.screens import quiet

DEMO = thresholds.read(thresholds.DEMO)

pytestmark = pytest.mark.slow


def train(data: Path, seed: int) -> str:
    wanted = {
        "model": "test_resnet", "image_size": 32, "epochs": 2, "batch_size": 8, "threads": 1, "weights": "none",
        "memory_format": "contiguous", "precision": "fp32", "data": str(data), "seed": seed, "lr": 0.003,
    }  # fmt: skip
    session.train(TrainConfig.model_validate(wanted), Session(quiet(), None, "again"))
    return query.finished(["train"])[0].id


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("registry")


@pytest.fixture
def runs(connected: str, folder: Path, monkeypatch: pytest.MonkeyPatch, make_images: Callable[..., Path]) -> list[str]:
    """Two finished runs on the same data in a store of each kind."""
    monkeypatch.chdir(folder)
    ids = folder / f"{hashlib.sha256(connected.encode()).hexdigest()[:8]}.json"
    if not ids.exists():
        data = folder / "data" if (folder / "data").exists() else make_images(folder / "data", 20)
        ids.write_text(json.dumps([train(data, 0), train(data, 1)]))
    return list(json.loads(ids.read_text()))


@pytest.fixture
def sqlite_only(connected: str) -> None:
    if not connected.startswith("sqlite"):
        pytest.skip("nothing of it depends on the store")


def test_the_whole_story(quick_check: None, runs: list[str], folder: Path) -> None:
    registry, screen = Registry("story"), quiet()
    waive = {"confounded": "test: brightness tells the classes apart"}

    with pytest.raises(GateError, match=r"is not promoted, \d+ of 20 gates refuse") as refused:
        promote.promote(runs[0], thresholds.read(thresholds.DEFAULT), "research", {}, registry, screen)
    assert "balanced_accuracy: " in str(refused.value)
    assert "balanced_accuracy" in query.run_of(runs[0]).tags["fracture.refused"]
    assert registry.versions() == []

    first = promote.promote(runs[0], DEMO, "research", waive, registry, screen)
    assert registry.alias("candidate") == first.version
    assert "fracture.refused" not in query.run_of(runs[0]).tags
    assert {gate.name: gate.state for gate in first.gates}["confounded"] == "waived"
    assert {gate.state for gate in first.gates} == {"passed", "waived"}
    described = registry.version(first.version)
    assert "brightness tells the classes apart" in described.tags["fracture.waived"]
    assert "not a medical device" in described.description
    assert "@champion is in use" in mlflow.MlflowClient().get_registered_model(registry.name).description

    assert champion.challenge(registry, screen).champion == ""
    second = promote.promote(runs[1], DEMO, "research", waive, registry, screen)
    contest = champion.challenge(registry, screen, margin=1.0)
    assert contest.paired is not None
    assert (registry.alias("champion"), registry.alias("previous")) == (second.version, first.version)
    with pytest.raises(ConfigError, match="is champion already"):
        champion.challenge(registry, screen)

    champion.rollback(registry, "the second one was worse in use", screen)
    assert (registry.alias("candidate"), registry.alias("champion"), registry.alias("previous")) == (
        "",
        first.version,
        "",
    )
    with pytest.raises(
        ConfigError, match=f"version {second.version} was rolled back by .*: the second one was worse in use"
    ):
        champion.challenge(registry, screen)
    history = registry.history.lines()
    assert [line.entry.action for line in history] == ["candidate", "champion", "candidate", "champion", "rollback"]
    assert [line.number for line in history] == [1, 2, 3, 4, 5]
    assert verify(registry, screen) == []
    card = (
        artifacts.fetch_model("models:/story@champion", folder / f"card-{first.version}-{hash(str(runs))}")
        / "model_card.md"
    )
    assert described.description[:4000] == card.read_text()[:4000]
    assert "| balanced accuracy |" in card.read_text()
    assert "Gate confounded: true, wanted false; waived by " in described.description.partition("## Figures")[0]
    judged_at_promotion = artifacts.fetch(runs[0], ("promotion.json",), card.parent)[0].read_text()
    assert {gate["name"] for gate in json.loads(judged_at_promotion)["gates"]} == set(gates.GATES)

    mlflow.MlflowClient().set_registered_model_alias("story", "champion", second.version)  # by hand
    (finding,) = verify(registry, screen, repair=True)
    assert "moved by hand" in finding.what
    assert registry.alias("champion") == first.version == replay(history).aliases["champion"]

    judged = evaluate(
        "models:/story@champion", str(folder / "data"), EvaluateConfig(threads=1), folder / "judged", screen
    )
    assert judged.weights_sha256 == registry.version(first.version).tags["fracture.weights_sha256"]

    quick = load("story@champion")
    assert quick.sidecar.weights_sha256 == judged.weights_sha256
    assert isinstance(quick.module, torch.nn.Module)
    with pytest.raises(ConfigError, match="story@nobody: no such version"):
        load("story@nobody")

    loaded = mlflow.pyfunc.load_model("models:/story@champion")
    images = sorted((folder / "data").rglob("*.png"))[:2]
    encoded = [base64.b64encode(path.read_bytes()).decode() for path in images]
    answers = loaded.predict(pd.DataFrame({"image": [encoded[0], "not base64 at all!", encoded[1]]}))
    assert list(answers["error"].astype(bool)) == [False, True, False]
    assert answers["probability_no_fracture"].notna().tolist() == [True, False, True]
    assert [answer.label for answer in quick.predict([images[0], encoded[1]])] == [
        answers["label"][0],
        answers["label"][2],
    ]
    maps = loaded.predict(pd.DataFrame({"image": encoded}), params={"heat_map": True})["heat_map"]
    assert base64.b64decode(maps[0]).startswith(b"\x89PNG")
    direct = loaded.unwrap_python_model().predictor.predict(images)
    assert [answer.label for answer in direct] == [answers["label"][0], answers["label"][2]]
    assert hasattr(loaded.unwrap_python_model().predictor, "module")
    client = mlflow.MlflowClient()
    client.log_model_artifact(first.model_uri.removeprefix("models:/"), str(images[0]), "code/fracture")
    (changed,) = verify(registry, screen)
    assert "its files are not those that were promoted" in changed.what


@pytest.mark.long
def test_an_environment_inside_the_checkout_is_still_one(
    sqlite_only: None, runs: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(check, "ROOT", Path(sys.prefix))
    found = check.check(package.package(runs[0]), runs[0])
    assert found.ok, found.reason


def test_the_package_of_another_run_is_found_out(
    sqlite_only: None, runs: list[str], quick_ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    uri = package.package(runs[0])
    assert package.package(runs[0]) == uri, "what is packaged already is taken up again"
    assert check.check(uri, runs[0]).ok
    monkeypatch.setattr(check, "_ask", quick_ask)
    assert not check.check(uri, runs[1]).ok, "the probe of another run is answered otherwise"


def test_a_reference_travels_with_the_package(
    sqlite_only: None, runs: list[str], folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found, _ = reference_of(runs[0])
    assert found.basis == f"test answers of run {runs[0]}"
    assert found.images == len(found.matrix) > 5
    assert found.trait_quantiles["log2_height"] == pytest.approx([math.log2(40)] * 7, rel=1e-4)
    assert reference.read(artifacts.fetch_model(package.package(runs[0]), tmp_path / "package")) == found
    monkeypatch.setenv("FRACTURE_CACHE_DIR", str(tmp_path / "empty"))
    (folder / "data").rename(folder / "gone")
    try:
        without, features = reference_of(runs[0])
    finally:
        (folder / "gone").rename(folder / "data")
    assert (without.images, len(without.matrix), features) == (found.images, 0, None)
    assert without.labels == found.labels


def test_mlflow_itself_serves_the_package(sqlite_only: None, runs: list[str], folder: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    image = base64.b64encode(next((folder / "data").rglob("*.png")).read_bytes()).decode()
    command = [sys.executable, "-m", "mlflow", "models", "serve", "-m", package.package(runs[0]),
               "--env-manager", "local", "--host", "127.0.0.1", "--port", str(port)]  # fmt: skip
    asked = urllib.request.Request(
        f"http://127.0.0.1:{port}/invocations", headers={"content-type": "application/json"},
        data=json.dumps({"dataframe_split": {"columns": ["image"], "data": [[image], ["%%%"]]}}).encode(),
    )  # fmt: skip
    with (folder / "serve.log").open("wb") as log:
        server = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
    try:
        for _ in range(240):
            with contextlib.suppress(urllib.error.URLError), urllib.request.urlopen(asked, timeout=60) as reply:
                good, bad = json.load(reply)["predictions"]
                break
            assert server.poll() is None, (folder / "serve.log").read_text()
            time.sleep(0.5)
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait(30)
    assert good["label"]
    assert good["error"] == ""
    assert bad["error"].startswith("not base64")


def test_what_cannot_be_promoted_is_said(sqlite_only: None, runs: list[str]) -> None:
    registry, screen = Registry("nothing"), quiet()
    with pytest.raises(ConfigError, match="--waive luck: no such gate"):
        promote.promote(runs[0], DEMO, "research", {"luck": "x"}, registry, screen)
    with pytest.raises(ConfigError, match="nothing is @candidate"):
        champion.challenge(registry, screen)
    with pytest.raises(ConfigError, match="nothing is @previous"):
        champion.rollback(registry, "", screen)
    with pytest.raises(ConfigError, match=r"no run has it\. Allowed: val_accuracy, "):
        promote.best_run("val_magic")
    assert promote.best_run("val_macro_f1").id in runs
    assert promote.best_run("val_loss").id in runs
    with mlflow.start_run() as empty:
        pass
    with pytest.raises(GateError, match=r"whole: \d problems"):
        promote.promote(empty.info.run_id, DEMO, "research", {}, registry, screen)
    answers = Path(mlflow.get_run(runs[0]).info.artifact_uri.removeprefix("file://")) / "predictions_val.csv"
    whole = answers.read_text()
    answers.write_text("".join(whole.splitlines(keepends=True)[:-1]))
    (said,) = evidence.read(runs[0]).disagreements
    answers.write_text(whole)
    assert said == "predictions_val.csv is not of the images of the val split"
    assert not evidence.read(runs[0]).disagreements
