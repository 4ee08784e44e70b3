"""One answer a study: of the answers to its images, of a table, and on the command line's terms."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from fracture.errors import ConfigError, DataError
from fracture.evidence.verdict import LOOK, Rule, decide
from fracture.inference.predictor import Answer, Predictor
from fracture.inference.study import answer_study
from fracture.inference.study_table import studies_of, write_studies
from tests.small_model import small

CLASSES = ("comminuted_fracture", "no_fracture", "simple_fracture")
RULE = Rule(CLASSES, "no_fracture", 0.5, 0.4)


def answer(*logits: float, doubt: str = "") -> Answer:
    shares = np.exp(logits) / np.exp(logits).sum()
    found = decide(RULE, shares.tolist(), doubt)
    return Answer(
        **vars(found), probabilities=dict(zip(CLASSES, shares.tolist(), strict=True)), refer=bool(found.reason)
    )


def test_it_is_the_mean_of_logits_with_each_images_share() -> None:
    logits = np.array([[2.0, 0.0, 0.0], [0.0, 1.0, 0.0], [3.0, 0.0, 1.0]])
    found = answer_study([answer(*row) for row in logits], RULE)
    mean = np.exp(logits.mean(0)) / np.exp(logits.mean(0)).sum()
    assert list(found.answer.probabilities.values()) == pytest.approx(mean)
    assert (found.answer.label, found.answer.fracture, found.answer.decision) == (CLASSES[0], True, "fracture reported")
    evidence = logits[:, 0] - logits[:, 1:].mean(1)
    assert list(found.shares) == pytest.approx(evidence / np.abs(evidence).sum())
    assert found.shares[1] < 0, "the second image speaks against it"  # type: ignore[operator]
    said = json.loads(json.dumps(found.said()))
    assert [image["share"] for image in said["images"]] == list(found.shares)
    assert said["images"][1]["label"] == "no_fracture"


LOGITS = st.lists(st.lists(st.floats(-30, 30), min_size=3, max_size=3), min_size=1, max_size=5)


@given(LOGITS)
def test_shares_add_up_and_order_does_not_matter(logits: list[list[float]]) -> None:
    images = [answer(*row) for row in logits]
    found, turned = answer_study(images, RULE), answer_study(images[::-1], RULE)
    assert sum(abs(share or 0) for share in found.shares) == pytest.approx(1)
    assert list(found.answer.probabilities.values()) == pytest.approx(list(turned.answer.probabilities.values()))
    if len(images) == 1:
        assert found.answer.probabilities == pytest.approx(images[0].probabilities)
        assert found.answer.decision == images[0].decision


def test_what_cannot_be_read_or_is_unlike_has_a_person_look() -> None:
    sure, broken = answer(5, 0, 0), Answer(error="not an image")
    found = answer_study([sure, broken], RULE)
    assert (found.answer.decision, found.answer.label, found.shares) == (LOOK, CLASSES[0], (1.0, None))
    assert found.answer.reason == "image 2 of 2 has no answer: not an image"
    unlike = answer_study([answer(5, 0, 0, doubt="in colour"), sure], RULE)
    assert (unlike.answer.decision, unlike.answer.reason) == (LOOK, "image 1 of 2: in colour")
    unsure = answer(0.1, 0, 0)
    assert unsure.refer
    assert not answer_study([unsure, sure], RULE).answer.refer, "together they are sure"
    nothing = answer_study([broken, broken], RULE)
    assert nothing.answer.error == "none of 2 images has an answer: not an image"
    assert nothing.answer.refer
    with pytest.raises(ValueError, match="no image"):
        answer_study([], RULE)


@pytest.fixture(scope="module")
def predictor() -> Predictor:
    return small(healthy="no_fracture")


@pytest.fixture
def films(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    for name in ("a/1.png", "a/2.png", "b/1.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.fromarray(rng.integers(0, 255, (90, 120), np.uint8)).save(tmp_path / name)
    return tmp_path


@pytest.mark.parametrize(
    ("table", "wanted"),
    [
        ("path,study\na/1.png,s1\na/2.png,s1\nb/1.png,s2\n", {"s1": 2, "s2": 1}),
        ("path,patient,study\na/1.png,p1,s1\na/2.png,p1,s2\nb/1.png,p2,s1\n", {"p1/s1": 1, "p1/s2": 1, "p2/s1": 1}),
        ("path,label,group\na/1.png,x,g1\na/2.png,x,g1\nb/1.png,x,g1\n", {"g1": 3}),
        ("path,study\na/1.png,s1\na/1.png,s1\n", {"s1": 1}),
    ],
)
def test_a_table_says_which_images_belong_together(films: Path, table: str, wanted: dict[str, int]) -> None:
    (films / "m.csv").write_text(table)
    assert {name: len(paths) for name, paths in studies_of([films / "m.csv"], "study").items()} == wanted


def test_an_image_of_no_study_is_one_by_itself(films: Path) -> None:
    (films / "m.csv").write_text("path,study\na/1.png,\na/2.png,\nb/1.png,s2\n")
    assert [len(paths) for paths in studies_of([films / "m.csv"], "study").values()] == [1, 1, 1]


def test_what_has_no_studies_is_refused(films: Path) -> None:
    with pytest.raises(ConfigError, match=r"is not a table, so it is unknown .* or --by folder"):
        studies_of([films / "a"], "study")
    (films / "m.csv").write_text("path,label\na/1.png,x\n")
    with pytest.raises(DataError, match="no column study, patient or group"):
        studies_of([films / "m.csv"], "study")
    found = studies_of([films], "folder")
    assert {Path(name).name: len(paths) for name, paths in found.items()} == {"a": 2, "b": 1}


def test_a_row_a_study_and_the_same_command_goes_on(predictor: Predictor, films: Path) -> None:
    out, studies = films / "out.csv", studies_of([films], "folder")
    (films / "b" / "2.png").write_bytes(b"no image")
    more = studies_of([films], "folder")
    written = write_studies(predictor, {name: studies[name] for name in list(studies)[:1]}, out, lambda *_: None)
    assert (written.answered, written.kept) == (1, 0)
    written = write_studies(predictor, more, out, lambda *_: None)
    assert (written.answered, written.kept, len(written.bad)) == (1, 1, 1)
    with out.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [Path(row["study"]).name for row in rows] == ["a", "b"]
    each = json.loads(rows[1]["images"])
    assert [image["share"] is None for image in each] == [False, True]
    assert rows[1]["refer"] == "true"
    alone = predictor.predict(studies[rows[0]["study"]])
    expected = answer_study(alone, predictor.sidecar.rule)
    assert float(rows[0]["no_fracture"]) == pytest.approx(expected.answer.probabilities["no_fracture"], abs=1e-5)
