"""Labels that say fracture or not, judged with a model that knows kinds of fracture: a real run in a real store."""

import csv
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from fracture.errors import ConfigError, DataError
from fracture.evaluation import predictions
from fracture.evaluation.config import CompareConfig
from fracture.evaluation.metrics import softmax
from fracture.evidence import EvaluationResults, read_results
from fracture.models.checkpoint import Sidecar
from fracture.runs import answering
from fracture.runs.any_fracture import binary_labels
from fracture.runs.compare import compare_runs
from fracture.runs.evaluate import evaluate
from fracture.tracking import query
from registry import evidence
from tests.runs.small import QUICK, said, terminal, train

KINDS = ("comminuted_fracture", "no_fracture", "simple_fracture")


@pytest.mark.parametrize(
    ("classes", "healthy", "labels", "pair"),
    [
        (KINDS, "no_fracture", {"no_fracture", "fracture"}, ("no_fracture", "fracture")),
        (KINDS, "no_fracture", {"normal", "Fractured"}, ("normal", "Fractured")),
        (KINDS, "no_fracture", {"Not fractured", "fx"}, ("Not fractured", "fx")),
        (KINDS, "no_fracture", {"control", "broken"}, ("control", "broken")),
        (KINDS, "no_fracture", {"fx -", "Fx +"}, ("fx -", "Fx +")),
        (KINDS, "no_fracture", {"Fraktur"}, ("no_fracture", "Fraktur")),
        (("A1", "B2", "OK"), "OK", {"OK", "fracture"}, ("OK", "fracture")),  # as the user has said of OK
        (KINDS, "no_fracture", {"no_fracture"}, None),
        (KINDS, "no_fracture", {"no_fracture", "simple_fracture"}, None),
        (KINDS, "no_fracture", {"no_fracture", "fracture", "simple_fracture"}, None),  # some say the kind
        (KINDS, "no_fracture", {"no_fracture", "normal", "fracture"}, None),
        (KINDS, "no_fracture", {"no_fracture", "fracture", "fx"}, None),
        (KINDS, "no_fracture", {"no_fracture", "greenstick_fracture"}, None),
        (KINDS, "no_fracture", {"benign", "fracture"}, None),
        (KINDS, "no_fracture", {"no_fracture", "abnormal"}, None),
        (KINDS, "no_fracture", {"0", "1"}, None),
        (KINDS, None, {"no_fracture", "fracture"}, None),
        (("displaced", "no_fracture", "normal"), "no_fracture", {"normal", "fracture"}, None),  # a kind, it was said
        (("fractured", "no_fracture"), "no_fracture", {"no_fracture", "fracture"}, None),  # another spelling
        (("displaced", "fractured", "normal"), "normal", {"normal", "fracture"}, None),
    ],
)
def test_which_labels_say_fracture_or_not(
    classes: tuple[str, ...], healthy: str | None, labels: set[str], pair: tuple[str, str] | None
) -> None:
    found = binary_labels(Sidecar.model_construct(classes=classes, healthy=healthy), labels)
    assert (found and found[:2]) == pair
    assert found is None or found.kinds == tuple(name for name in classes if name != healthy)


@pytest.fixture
def trained(store_root: Path, place: Path, make_images: Callable[..., Path]) -> str:
    """A run that knows kinds; beside it the same images with their kinds, and as fractured or normal."""
    kept = place / "id"
    if not kept.exists():
        make_images(place / "new", 12)
        rows = [(str(path), path.parent.name) for path in sorted((place / "new").rglob("*.png"))]
        for name, said_as in (
            ("kinds", {}),
            ("binary", {"no_fracture": "normal"} | dict.fromkeys(KINDS[::2], "fractured")),
        ):
            with (place / f"{name}.csv").open("w", newline="") as file:
                csv.writer(file).writerows(
                    [("path", "label"), *((path, said_as.get(kind, kind)) for path, kind in rows)]
                )
        kept.write_text(train(make_images(place / "data", 20)))
    return kept.read_text()


def test_only_whether_there_is_a_fracture_is_judged(trained: str, place: Path, tmp_path: Path) -> None:
    screen = terminal()
    found = evaluate(trained, str(place / "binary.csv"), QUICK, tmp_path / "out", screen)
    run = query.finished(["evaluate"])[0]
    assert (
        "not which kind: only that is judged. Counted as fractured: comminuted_fracture, simple_fracture; normal is "
        in (said(screen))
    )
    assert (found.classes, found.healthy, found.joined) == (("fractured", "normal"), "normal", KINDS[::2])
    assert run.tags["fracture.joined"] == "comminuted_fracture, simple_fracture"

    kinds = evaluate(trained, str(place / "kinds.csv"), QUICK, tmp_path / "kinds", terminal())
    assert kinds.joined == ()
    metrics, before = found.splits["test"].metrics, kinds.splits["test"].metrics
    for name in ("auroc", "sensitivity", "specificity"):
        assert metrics[f"any_fracture_{name}"].value == pytest.approx(before[f"any_fracture_{name}"].value)
    assert not [name for name in metrics if name.startswith(("answered", "set_"))]

    answers = predictions.read(tmp_path / "out" / "predictions_test.csv")
    predictor = answering.find(trained, tmp_path)
    asked = predictor.predict([(place / path).read_bytes() for path in answers.paths])
    shares = softmax(answers.logits)[:, answers.classes.index("fractured")]
    assert shares == pytest.approx([one.fracture_probability for one in asked], abs=1e-5)
    with (tmp_path / "out" / "predictions_test.csv").open() as file:
        decisions = [row["decision"] for row in csv.DictReader(file)]
    assert decisions == ["fracture reported" if one.fracture else "no fracture reported" for one in asked]


def test_the_report_says_what_was_not_judged(trained: str, place: Path, tmp_path: Path) -> None:
    evaluate(trained, str(place / "binary.csv"), QUICK, tmp_path / "out", terminal())
    page, run = (tmp_path / "out" / "report.html").read_text(), query.finished(["evaluate"])[0]
    for words in (
        "The labels say fractured or normal, not which kind of fracture: only that is judged.",
        "Referral is not judged: it was fitted for the model&#39;s own classes, which the labels lack.",
        "Whether the model tells comminuted fracture and simple fracture apart is not judged here.",
    ):
        assert words in page
    for words in ("Every image is referred", "must look", "remain possible", "Missing from this report"):
        assert words not in page
    assert (tmp_path / "out" / "figures" / "maps_correct.png").is_file()
    written = json.loads((tmp_path / "out" / "results.json").read_text())
    del written["joined"]  # as before there was such an evaluation
    old = read_results(json.dumps(written).encode())
    assert isinstance(old, EvaluationResults)
    assert old.joined == ()
    with pytest.raises(ConfigError, match="only evaluated a model"):
        evidence.read(run.id)


def test_it_is_compared_with_a_run_that_was_trained_on_such_labels(trained: str, place: Path, tmp_path: Path) -> None:
    head, *rows = (place / "binary.csv").read_text().splitlines()
    split = [f"{row},{('train', 'val', 'test')[i % 3]}" for i, row in enumerate(rows)]
    (tmp_path / "split.csv").write_text("\n".join([f"{head},split", *split]))
    other = train(tmp_path / "split.csv")
    evaluate(trained, str(tmp_path / "split.csv"), QUICK, tmp_path / "out", terminal())
    screen = terminal()
    compare_runs([other, query.finished(["evaluate"])[0].id], CompareConfig(), tmp_path, screen)
    assert "paired bootstrap" in said(screen)


def test_what_needs_the_kinds_is_refused(trained: str, place: Path, tmp_path: Path) -> None:
    refit = QUICK.model_copy(update={"refit_decisions": True})
    with pytest.raises(ConfigError, match="fracture or not, not which kind, and new decisions"):
        evaluate(trained, str(place / "binary.csv"), refit, tmp_path / "out", terminal())
    text = (place / "binary.csv").read_text().replace("fractured", "simple_fracture", 1)
    (tmp_path / "mixed.csv").write_text(text)
    with pytest.raises(DataError, match="does not know: fractured, normal"):
        evaluate(trained, str(tmp_path / "mixed.csv"), QUICK, tmp_path / "out", terminal())
