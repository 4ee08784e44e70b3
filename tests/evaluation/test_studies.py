"""One answer a study: which images belong together, what their labels make, and what each rule says."""

from pathlib import Path

import numpy as np
import pytest

from fracture.data.manifest import Row, read_csv
from fracture.evaluation.metrics import softmax
from fracture.evaluation.sample import Decisions
from fracture.evaluation.studies import COMPARED, RULES, judge_studies, keys_of, label_of, pooled
from fracture.evidence.studies import HIGHEST, MEAN_LOGITS, MEAN_PROBABILITIES

CLASSES = ("comminuted_fracture", "no_fracture", "simple_fracture")
HEALTHY = 1


def row(group: str = "", study: str = "", name: str = "study") -> Row:
    return Row(Path("a.png"), "no_fracture", group=group, extra={name: study} if study else {})


@pytest.mark.parametrize(
    ("rows", "by", "together"),
    [
        ([row("p1"), row("p1"), row("p2")], "group", [[0, 1], [2]]),
        ([row("p1", "s1"), row("p1", "s2"), row("p1", "s1")], "study", [[0, 2], [1]]),
        ([row("p1", "s1"), row("p2", "s1"), row("p2", "s1")], "study", [[0], [1, 2]]),  # numbered within a patient
        ([row("p1", "s1"), row("p1"), row("p1", "s1")], "study", [[0, 2], [1]]),  # one without a study stands alone
        ([row("", "s1", "Study ID"), row("", "s1", "Study ID")], "study", [[0, 1]]),
        ([row("p1", "s1"), row("p1", "s2")], None, []),  # each image is one
        ([row(), row()], None, []),
    ],
)
def test_which_images_belong_together(rows: list[Row], by: str | None, together: list[list[int]]) -> None:
    keys = keys_of(rows)
    assert (keys.by if keys else None) == by
    if keys:
        found = [[i for i, name in enumerate(keys.names) if name == one] for one in dict.fromkeys(keys.names)]
        assert found == together


@pytest.mark.parametrize(
    ("labels", "healthy", "wanted"),
    [
        ([1, 1], 1, 1), ([1, 2], 1, 2), ([0, 1, 0], 1, 0), ([0, 2], 1, None), ([0, 1, 2], 1, None), ([2], 1, 2),
        ([0, 1], None, None), ([0, 0], None, 0),
    ],
)  # fmt: skip
def test_a_fracture_in_one_image_is_one_of_the_study(
    labels: list[int], healthy: int | None, wanted: int | None
) -> None:
    assert label_of(np.array(labels), healthy) == wanted


def test_rules() -> None:
    logits = np.array([[0.0, 3.0, 0.0], [4.0, 0.0, 1.0], [0.0, 1.0, 0.0]])
    np.testing.assert_allclose(pooled(logits, MEAN_LOGITS, HEALTHY), logits.mean(0))
    np.testing.assert_allclose(softmax(pooled(logits, MEAN_PROBABILITIES, HEALTHY)[None])[0], softmax(logits).mean(0))
    np.testing.assert_array_equal(pooled(logits, HIGHEST, HEALTHY), logits[1])
    np.testing.assert_array_equal(pooled(logits[[0, 2]], HIGHEST, None), logits[0])  # the surest, whatever of
    for rule in RULES:
        np.testing.assert_allclose(softmax(pooled(logits[:1], rule, HEALTHY)[None]), softmax(logits[:1]))
    with pytest.raises(ValueError, match="rule=vote: must be one of mean of logits, "):
        pooled(logits, "vote", HEALTHY)


def test_several_views_of_a_patient_say_more_than_one() -> None:
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 3, 120)
    labels = np.repeat(truth, 3)
    logits = 1.2 * np.eye(3)[labels] + rng.normal(size=(360, 3))
    rows = [row(f"p{i // 6}", f"s{i // 3}") for i in range(360)]
    decisions = Decisions(0.8, 0.6, 0.5, "no_fracture")
    found = judge_studies(rows, logits, labels, CLASSES, decisions)
    assert found is not None
    assert (found.by, found.n, found.several, found.images, found.mixed) == ("study", 120, 120, 360, 0)
    means = logits.reshape(120, 3, 3).mean(axis=1)
    assert found.metrics["accuracy"].value == pytest.approx((means.argmax(1) == truth).mean())
    assert found.metrics["accuracy"].value > (logits.argmax(1) == labels).mean() + 0.05
    assert found.metrics["accuracy"].groups == 60, "patients are resampled, of two studies each"
    alarm = 1 - softmax(means / 0.8)[:, HEALTHY] >= 0.6
    assert found.metrics["any_fracture_sensitivity"].value == pytest.approx(alarm[truth != HEALTHY].mean())
    assert set(found.others) == set(RULES) - {MEAN_LOGITS}
    assert set(found.others[HIGHEST]) == set(COMPARED)


def test_one_image_a_study_says_what_images_say() -> None:
    rng = np.random.default_rng(1)
    labels = rng.integers(0, 3, 40)
    logits = np.eye(3)[labels] + rng.normal(size=(40, 3))
    rows = [row(f"p{i}") for i in range(40)]
    assert judge_studies(rows, logits, labels, CLASSES, Decisions()) is None
    copied = judge_studies(rows * 2, np.tile(logits, (2, 1)), np.tile(labels, 2), CLASSES, Decisions())
    assert copied is not None
    assert copied.metrics["accuracy"].value == pytest.approx((logits.argmax(1) == labels).mean())
    assert copied.others[MEAN_PROBABILITIES]["log_loss"].value == pytest.approx(copied.metrics["log_loss"].value)


def test_studies_whose_labels_make_none_are_counted() -> None:
    rows = [row(f"p{i // 2}") for i in range(8)]
    labels = np.array([0, 2, 1, 1, 1, 2, 0, 0])
    logits = 3 * np.eye(3)[labels]
    found = judge_studies(rows, logits, labels, CLASSES, Decisions(healthy="no_fracture"))
    assert found is not None
    assert (found.n, found.mixed) == (3, 1)
    assert found.counts == {"comminuted_fracture": 1, "no_fracture": 1, "simple_fracture": 1}
    assert judge_studies(rows[:2], logits[:2], labels[:2], CLASSES, Decisions(healthy="no_fracture")) is None


def test_the_images_of_a_study_are_not_torn_apart(tmp_path: Path) -> None:
    table = tmp_path / "m.csv"
    table.write_text("path,label,Study ID,group\na.png,x,s1,\nb.png,y,s1,p1\n")
    rows = read_csv(table).rows
    assert [(one.group, one.study) for one in rows] == [("s1", "s1"), ("p1", "s1")]
