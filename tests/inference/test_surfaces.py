"""Every surface says the same of an image: for any probabilities, thresholds and classes."""

import base64
import csv
import io
import json
import math
import tempfile
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from fastapi.testclient import TestClient
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torch import Tensor, nn

from fracture.data.manifest import Manifest, Row
from fracture.evaluation import predictions
from fracture.evaluation.sample import Decisions, Sample
from fracture.evidence.verdict import LOOK, decide
from fracture.inference import table
from fracture.inference.predictor import Predictor
from fracture.inference.web import application
from fracture.models.checkpoint import Sidecar

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # MLflow's, of its own type hints
    from mlflow.pyfunc.scoring_server import predictions_to_json

    from registry.served_model import FractureClassifier

NAMES = st.sampled_from(
    ["no_fracture", "simple_fracture", "comminuted_fracture", "cat", "label", "error", "骨折", "a b"]
)


class Fixed(nn.Module):
    """Answers the same to every image."""

    def __init__(self, logits: list[float]) -> None:
        super().__init__()
        self.logits = torch.tensor(logits)

    def forward(self, images: Tensor) -> Tensor:
        return self.logits.expand(len(images), -1)


def picture() -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (90, 90), np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


@st.composite
def predictors(draw: st.DrawFn) -> Predictor:
    classes = draw(st.lists(NAMES, min_size=2, max_size=4, unique=True))
    logits = draw(
        st.lists(st.floats(-20, 20, width=32) | st.just(math.nan), min_size=len(classes), max_size=len(classes))
    )
    sidecar = Sidecar(
        model="test", classes=tuple(classes), healthy=draw(st.none() | st.sampled_from(classes)), image_size=32,
        mean=(0.5,) * 3, std=(0.5,) * 3, parameters=1, weights_sha256="0", epoch=1, synthetic=False, license="none",
        temperature=draw(st.floats(0.2, 5)), fracture_threshold=draw(st.none() | st.floats(0, 1)),
        refer_below=draw(st.none() | st.floats(0, 1)),
    )  # fmt: skip
    return Predictor(Fixed(logits), sidecar)


def by_server(predictor: Predictor, images: list[bytes]) -> list[dict[str, Any]]:
    texts = [base64.b64encode(data).decode() for data in images]
    with TestClient(application(predictor)) as client:
        reply = client.post("/predict", json={"images": texts})
    return list(strict(reply.text)["answers"])


def by_mlflow(predictor: Predictor, images: list[bytes]) -> list[dict[str, Any]]:
    served = FractureClassifier()
    served.predictor = predictor
    asked = pd.DataFrame({"image": [base64.b64encode(data).decode() for data in images]})
    written = io.StringIO()
    predictions_to_json(served.predict(None, asked), written)  # what `mlflow models serve` does with an answer
    return list(strict(written.getvalue())["predictions"])


def by_table(predictor: Predictor, images: list[bytes]) -> list[dict[str, str]]:
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / f"{i}.png" for i in range(len(images))]
        for path, data in zip(paths, images, strict=True):
            path.write_bytes(data)
        table.write(predictor, paths, Path(folder) / "out.csv", lambda *_: None)
        return rows_of(Path(folder) / "out.csv")


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def strict(text: str) -> Any:
    """JSON as the standard has it: neither NaN nor Infinity."""

    def refuse(word: str) -> None:
        raise AssertionError(f"{word} is no JSON")

    return json.loads(text, parse_constant=refuse)


@settings(max_examples=40, deadline=None)
@given(predictors())
def test_all_surfaces_agree(predictor: Predictor) -> None:
    images = [picture(), b"no image"]
    direct = predictor.predict(images)
    served, logged, tabled = (by(predictor, images) for by in (by_server, by_mlflow, by_table))
    for i, answer in enumerate(direct):
        for surface in (served[i], logged[i]):
            for name in ("decision", "label", "fracture", "fracture_probability", "refer", "reason", "error"):
                assert surface[name] == getattr(answer, name), name
            assert next(iter(surface)) == "decision"
        row = tabled[i]
        assert (row["decision"], row["label"], row["reason"]) == (answer.decision, answer.label, answer.reason)
        assert row["fracture"] == {None: "", True: "true", False: "false"}[answer.fracture]
        assert row["refer"] == str(answer.refer).lower() == str(answer.decision == LOOK).lower()
    assert direct[1].decision == LOOK
    assert direct[1].error


@settings(max_examples=60, deadline=None)
@given(predictors().filter(lambda one: not torch.isnan(one.module.logits).any()))
def test_judging_counts_what_is_said(predictor: Predictor) -> None:
    sidecar, logits = predictor.sidecar, predictor.module.logits.numpy()[None].astype(np.float64)
    decisions = Decisions(sidecar.temperature, sidecar.fracture_threshold, sidecar.refer_below, sidecar.healthy)
    sample = Sample(logits, np.zeros(1, np.int64), sidecar.classes, decisions)
    found = decide(sidecar.rule, sample.probabilities[0].tolist())
    assert (None if sample.alarm is None else bool(sample.alarm[0])) is found.fracture
    if sidecar.healthy is None or sidecar.fracture_threshold is not None:
        assert bool(sample.answered[0]) == (found.decision != LOOK)


def test_the_predictions_of_a_run_say_what_is_decided(tmp_path: Path) -> None:
    sidecar = Sidecar(
        model="test", classes=("fracture", "normal"), healthy="normal", image_size=32, mean=(0.5,) * 3, std=(0.5,) * 3,
        parameters=1, weights_sha256="0", epoch=1, synthetic=False, license="none", fracture_threshold=0.1,
        refer_below=0.6,
    )  # fmt: skip
    manifest = Manifest("made up", tmp_path, tuple(Row(tmp_path / f"{i}.png", "normal") for i in range(3)))
    logits = np.array([[0.0, 1.0], [0.0, 0.1], [0.0, 4.0]])
    predictions.write(tmp_path / "p.csv", manifest, range(3), logits, 1.0, sidecar.rule)
    rows = rows_of(tmp_path / "p.csv")
    assert [row["decision"] for row in rows] == ["fracture reported", LOOK, "no fracture reported"]
    assert [row["predicted"] for row in rows] == ["normal"] * 3
    assert predictions.read(tmp_path / "p.csv").logits == pytest.approx(logits)
