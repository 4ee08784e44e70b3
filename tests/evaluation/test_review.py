"""Labels to look at again: planted wrong labels come first, the file goes back into prepare, chance is said."""

import csv
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fracture.evaluation.predictions import Predictions
from fracture.evaluation.review import review, write

CLASSES = ("comminuted_fracture", "no_fracture", "simple_fracture")


def answers(flipped: int = 0, strength: float = 4.0, n: int = 90, seed: int = 0) -> tuple[Predictions, np.ndarray]:
    """Answers that know the true class, and labels of which the last ones are wrong."""
    rng = np.random.default_rng(seed)
    true = np.arange(n) % 3
    logits = rng.normal(size=(n, 3)) + strength * np.eye(3)[true]
    labels = true.copy()
    wrong = rng.permutation(n)[:flipped]
    labels[wrong] = (labels[wrong] + 1) % 3
    names = tuple(f"{i}.png" for i in range(n))
    return Predictions(CLASSES, logits, labels, tuple("" for _ in names), names, tuple(f"sha{i}" for i in names)), wrong


def test_wrong_labels_come_first() -> None:
    known, wrong = answers(flipped=9)
    found = review(known, "out of fold")
    assert len(set(found.order[:9].tolist()) & set(wrong.tolist())) >= 8
    assert sorted(found.order.tolist()) == list(range(90))
    assert (np.diff(found.own[found.order]) >= 0).all()
    assert "90 images of 3 classes" in found.sentence
    assert "out of fold" in found.sentence


@pytest.mark.parametrize("strength", [0.0, -3.0])
def test_answers_no_better_than_chance_rank_nothing(strength: float) -> None:
    known, _ = answers(strength=strength)
    found = review(known, "out of fold")
    assert not len(found.order)
    assert "Labels were not ranked: the answers to images that the model has not seen are no" in found.sentence
    assert "chance is 0.33" in found.sentence


def test_one_class_alone_tells_nothing() -> None:
    known, _ = answers(n=6)
    alone = Predictions(
        CLASSES, known.logits[::3], known.labels[::3], known.groups[::3], known.paths[::3], known.sha256[::3]
    )
    assert "of one class" in review(alone, "").sentence


def test_the_file_has_what_a_person_needs(tmp_path: Path) -> None:
    known, _ = answers(flipped=5)
    found = review(known, "")
    write(found, tmp_path / "r.csv", {"sha7.png": "val"})
    rows = list(csv.DictReader((tmp_path / "r.csv").read_text().splitlines()))
    assert [row["path"] for row in rows] == [known.paths[i] for i in found.order]
    assert rows[0]["label"] in CLASSES
    assert rows[0]["model_says"] != rows[0]["label"]
    assert float(rows[0]["probability"]) <= float(rows[-1]["probability"])
    assert {row["path"]: row["split"] for row in rows}["7.png"] == "val"


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 1000), turn=st.integers(1, 89))
def test_the_order_of_the_images_does_not_matter(seed: int, turn: int) -> None:
    known, _ = answers(flipped=6, seed=seed)
    order = np.roll(np.arange(90), turn)
    turned = Predictions(
        CLASSES, known.logits[order], known.labels[order], known.groups,
        tuple(known.paths[i] for i in order), tuple(known.sha256[i] for i in order),
    )  # fmt: skip
    first, second = review(known, ""), review(turned, "")
    assert [known.paths[i] for i in first.order[:20]] == [turned.paths[i] for i in second.order[:20]]
