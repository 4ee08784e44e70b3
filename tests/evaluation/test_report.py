"""The page and its pictures: they say what the results say, and hold whatever the results lack."""

import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure

from fracture.evaluation.decide import Answers, describe, fit_decisions
from fracture.evaluation.figures.calibration import rejection_figure, reliability_figure, score_figure
from fracture.evaluation.figures.confusion import confusion_figure
from fracture.evaluation.figures.costs import Point, cost_figure
from fracture.evaluation.figures.images import Tile, grid_figure, short
from fracture.evaluation.figures.rankings import ranking_figure
from fracture.evaluation.figures.style import png
from fracture.evaluation.figures.training import training_figure
from fracture.evaluation.judge import judge, judge_slices
from fracture.evaluation.metrics import softmax
from fracture.evaluation.report.looks import looks_at_the_bone, maps_hit_the_fracture
from fracture.evaluation.report.page import Contents, render, shown
from fracture.evaluation.report.words import limits, summary
from fracture.evidence import EPOCH_METRICS, Controls, Estimate, EvaluationResults, Results
from fracture.evidence.hits import Hits
from fracture.rules import USUAL

pytestmark = pytest.mark.pictures
CLASSES = ("comminuted_fracture", "no_fracture", "simple_fracture")
RNG = np.random.default_rng(0)
LABELS = RNG.integers(0, 3, 120)
LOGITS = RNG.normal(size=(120, 3)) + 2.5 * np.eye(3)[LABELS]
GROUPS = [f"patient {i // 2}" for i in range(120)]
AUDIT = {"verdict": "confounded", "confounded": True, "checks": [{"title": "T", "status": "ok", "sentence": "S <b>"}]}


def results(rows: np.ndarray | None = None, **values: Any) -> Results:
    among = np.arange(120) if rows is None else rows
    fitted = fit_decisions(Answers(LOGITS, LABELS, [""] * len(LABELS), CLASSES, "no_fracture"))
    split = judge(LOGITS[among], LABELS[among], [GROUPS[i] for i in among], CLASSES, fitted.decisions)
    fixed: dict[str, Any] = {
        "model": "test_resnet", "classes": CLASSES, "synthetic": False, "data": "bones", "data_digest": "d",
        "test_digest": "t", "weights_sha256": "w" * 64, "calibration": fitted.calibration, "referral": fitted.referral,
        "operating_point": fitted.operating_point, "splits": {"val": split, "test": split}, "weights_origin": "random",
        "select_metric": "val_macro_f1", "best_epoch": 1, "epochs": 2, "stopped_early": False, "seconds": 1.0,
        "history": (dict.fromkeys(EPOCH_METRICS, 0.5), dict.fromkeys(EPOCH_METRICS, 0.4)),
    }  # fmt: skip
    return Results(**fixed | values)


class Text(HTMLParser):
    """The words of a page, and what it loads."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.words, self.loaded = "", []
        self.feed(html)

    def handle_data(self, data: str) -> None:
        self.words += data + " "

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.loaded += [value or "" for name, value in attrs if name in ("src", "href")]


def words_of(found: Results, **more: Any) -> str:
    """The words of a page, a space between each."""
    return " ".join(Text(render(Contents("run", found, {}, **more))).words.split())


def test_the_page_says_what_the_results_say_and_loads_nothing() -> None:
    found = results()
    picture = png(confusion_figure(found.splits["test"].confusion, CLASSES))
    page = Text(render(Contents("A <run>", found, {"confusion": picture}, audit=AUDIT)))
    accuracy = found.splits["test"].metrics["accuracy"]
    assert f"{accuracy.value:.3f} [{accuracy.low:.3f}, {accuracy.high:.3f}]" in page.words
    assert "A <run>" in page.words
    assert "S <b>" in page.words, "what comes from data is never taken for HTML"
    assert "not a medical device" in page.words
    assert "can be predicted from their source" in page.words
    assert all(address.startswith(("data:image/png;base64,", "#")) for address in page.loaded)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"synthetic": True}, "nothing here has a medical meaning"),
        ({"latency_ms": 12.3}, "12.3 ms"),
    ],
)
def test_what_a_reader_must_know_is_said(values: dict[str, Any], words: str) -> None:
    assert words in Text(render(Contents("run", results(**values), {}))).words


def test_images_that_were_trained_on_are_not_called_new() -> None:
    shared = {k: v for k, v in dict(results()).items() if k in EvaluationResults.model_fields}
    for seen, words in ((0, "has not learned from"), (7, "7 WERE USED IN ITS TRAINING"), (None, "is not known")):
        found = EvaluationResults(**shared, evaluated="run", split="all", seen_in_training=seen)
        assert words in summary(found, None)[0]
    on_demo = found.model_copy(update={"synthetic": True})
    assert summary(on_demo, None)[1].startswith("The images, or those that the model has learned from, are rendered")
    assert any("inflated" in line for line in limits(found.model_copy(update={"seen_in_training": 7}), None))


def test_the_report_names_the_healthy_class_or_says_what_it_costs_to_have_none() -> None:
    known = results()
    assert "\u201cno fracture\u201d is the healthy class" in summary(known, None)[0]
    assert any(line.startswith("Of 100 fractures it reports about") for line in summary(known, None))
    assert not any("healthy" in line for line in limits(known, None))
    fitted = fit_decisions(Answers(LOGITS, LABELS, [""] * len(LABELS), CLASSES, None))
    split = judge(LOGITS, LABELS, GROUPS, CLASSES, fitted.decisions)
    unknown = results(healthy=None, operating_point=fitted.operating_point, splits={"val": split, "test": split})
    assert "healthy" not in summary(unknown, None)[0]
    unknown_misses = "How many fractures it misses is not known, because no class is known to be healthy."
    assert unknown_misses in summary(unknown, None)
    assert any("train with healthy=CLASS" in line for line in limits(unknown, None))
    assert "No operating point (no class is known to be healthy)" in Text(render(Contents("run", unknown, {}))).words


def test_a_healthy_class_without_a_threshold_is_no_sensitivity_and_says_why() -> None:
    only = np.flatnonzero(LABELS == 1)
    fitted = fit_decisions(Answers(LOGITS[only], LABELS[only], [""] * len(LABELS[only]), CLASSES, "no_fracture"))
    split = judge(LOGITS, LABELS, GROUPS, CLASSES, fitted.decisions)
    found = results(operating_point=fitted.operating_point, splits={"val": split, "test": split})
    assert any("it has no threshold: only one of fractured and not" in line for line in summary(found, None))
    assert any("is not known here: no image of a fracture" in line for line in summary(results(only), None))


def test_a_split_of_one_class_has_a_page_too() -> None:
    found = results(np.flatnonzero(LABELS == 1))
    words = Text(render(Contents("run", found, {}))).words
    assert "not defined: needs images of this class and of others" in words
    assert "nan" not in re.findall(r"\w+", words.lower())


def test_a_class_without_a_single_hit_is_not_said_to_be_known_for_sure() -> None:
    found = results()
    never = (
        found.splits["test"]
        .metrics["recall_no_fracture"]
        .model_copy(
            update={"value": 0.0, "low": 0.0, "high": 0.0, "caution": "all alike in 15 groups: values up to 0.20"}
        )
    )
    test = found.splits["test"]
    changed = test.model_copy(update={"metrics": test.metrics | {"recall_no_fracture": never}})
    lines = summary(found.model_copy(update={"splits": found.splits | {"test": changed}}), None)
    line = next(line for line in lines if "100 images of \u201cno fracture\u201d" in line)
    assert "values up to 0.20" in line


def test_why_intervals_are_not_to_be_believed_is_said_once_in_a_row_of_metrics() -> None:
    found = results(np.arange(6))  # three groups
    assert found.splits["test"].metrics["accuracy"].caution.startswith("only 3 groups")
    html = render(Contents("run", found, {}))
    rows = html[html.index(">accuracy</th>") : html.index(">any fracture sensitivity</th>")]
    assert rows.count("<tr>") > 5
    assert rows.count("only 3 groups") == 1


def controls(whole: float, without: float, alone: float, half: float = 0.1, n: int = 64) -> Controls:
    """Controls with these balanced accuracies, each with an interval of twice ``half``."""
    accuracy = results().splits["test"].metrics["accuracy"]
    found = [
        accuracy.model_copy(update={"value": value, "low": value - half, "high": value + half})
        for value in (whole, without, alone)
    ]
    tables = [{"accuracy": one, "balanced_accuracy": one} for one in found]
    shares = dict.fromkeys(CLASSES, 1 / 3)
    return Controls(
        n=n, whole=tables[0], centre_hidden=tables[1], border_hidden=tables[2], centre_hidden_probability=shares,
        blank_probability=shares, border_share=0.5, random_weights_correlation=0.1, maps=8,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("whole", "without", "alone", "half", "answer"),
    [
        (0.9, 0.34, 0.8, 0.1, "Nothing speaks against it: "),
        (0.9, 0.8, 0.8, 0.1, "Not only: "),
        (0.9, 0.44, 0.8, 0.1, "Not only: "),
        (0.9, 0.7, 0.8, 0.4, "Not clear: too few images"),
        (0.9, 0.34, 0.34, 0.1, "Not clear: with the centre hidden it falls to chance, but with everything else hidden"),
        (0.4, 0.34, 0.4, 0.1, "Not known: even with the whole image"),
    ],
)
def test_whether_it_looks_at_the_bone_is_answered_in_the_first_place(
    whole: float, without: float, alone: float, half: float, answer: str
) -> None:
    found = controls(whole, without, alone, half)
    said = looks_at_the_bone(found, 3)
    assert said.startswith(answer)
    assert f"{whole:.2f} [{whole - half:.2f}, {whole + half:.2f}] with the whole image" in said
    words = words_of(results(), controls=found)
    assert f"Does it look at the bone? {said} Tried on 64 test images" in words
    assert words.count(said) == 2, "in short, and where its figures are"


def test_the_answer_needs_figures() -> None:
    none = {"balanced_accuracy": Estimate(value=None, low=None, high=None, n=0, groups=0, reason="no images")}
    found = controls(0.9, 0.3, 0.8).model_copy(update={"centre_hidden": none})
    assert looks_at_the_bone(found, 3) == "Not known: no images."


@pytest.mark.parametrize(
    ("random", "centre", "answer"),
    [(0.1, 0.1, "Yes, "), (-0.1, 0.1, "Not clearly: "), (0.1, -0.1, "Not clearly: "), (-0.1, -0.1, "No: ")],
)
def test_whether_the_maps_hit_the_fracture_is_answered(random: float, centre: float, answer: str) -> None:
    accuracy = results().splits["test"].metrics["accuracy"]
    ends = {"model": 0.5, "model - random_weights": random, "model - centre": centre}
    found = {name: accuracy.model_copy(update={"value": low + 0.1, "low": low}) for name, low in ends.items()}
    hits = Hits(n=9, groups=9, labels=("fracture",), pointing=found, energy=found, area=0.1)
    assert maps_hit_the_fracture(hits).startswith(answer)
    words = words_of(results(), controls=controls(0.9, 0.3, 0.8).model_copy(update={"boxes": hits}))
    assert f"Do the maps hit the fracture? {answer}" in words


@pytest.mark.parametrize("n", [12, 400])
def test_a_temperature_of_few_images_is_warned_of(n: int) -> None:
    found = results()
    found = found.model_copy(update={"calibration": found.calibration.model_copy(update={"n": n})})
    assert any("fitted on only 12 images" in line for line in limits(found, None)) == (n == 12)


def test_every_paragraph_begins_as_a_sentence_does() -> None:
    answers = Answers(LOGITS, LABELS, [""] * len(LABELS), CLASSES, "no_fracture")
    decided = describe(answers, fit_decisions(answers), "validation", USUAL)
    unmet = ("no threshold keeps the error at 5%",)
    found = results().model_copy(update={"decisions": decided.model_copy(update={"unmet": unmet})})
    html = render(Contents("run", found, {}))
    assert "<p><b>No threshold keeps the error at 5%.</b></p>" in html
    assert not re.findall(r"<p[^>]*>(?:<b>)?\s*[a-z][^<]{20}", html.partition("</nav>")[2])


@pytest.mark.slow
def test_words_in_pictures_are_legible_on_paper_which_is_light(browser: Any, tmp_path: Path) -> None:
    picture = png(grid_figure([Tile(np.zeros((64, 64), np.uint8), "a title")] * 4))
    pictures = {"mistakes": picture, "maps_correct": picture}
    (tmp_path / "report.html").write_text(render(Contents("run", results(), pictures)))
    dark = [{"name": "prefers-color-scheme", "value": "dark"}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print", "features": dark})
    browser.get((tmp_path / "report.html").as_uri())
    shares, good = browser.execute_script(
        "const page = document.querySelector('main').clientWidth, style = getComputedStyle(document.documentElement);"
        "return [[...document.querySelectorAll('figure img')].map(one => one.clientWidth / page),"
        "style.getPropertyValue('--good')]"
    )
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "", "features": []})
    assert min(shares) > 0.95, "they take the whole width"
    assert good.strip() == "#1f7a45", "not the light green of dark pages"


def test_the_contents_lead_to_what_is_there() -> None:
    for more in ({}, {"controls": controls(0.9, 0.3, 0.8)}):
        html = render(Contents("run", results(), {}, **more))
        places = re.findall(r'href="#(\w+)"', html)
        assert len(places) == (7 if more else 6)
        assert places == re.findall(r'<section class="[^"]*" id="(\w+)"', html)


@pytest.mark.slow
def test_nothing_of_the_page_is_cut_off_in_a_browser(browser: Any, tmp_path: Path) -> None:
    for rows in (None, np.arange(6), np.flatnonzero(LABELS == 1)):  # the last two lack metrics, with long reasons
        facts = {"digest": "0123456789abcdef" * 6}
        contents = Contents("run", results(rows), {}, controls(0.9, 0.3, 0.8), audit=AUDIT, facts=facts)
        (tmp_path / "report.html").write_text(render(contents))
        for width in (1100, 800, 390):
            size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500}
            browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
            browser.get((tmp_path / "report.html").as_uri())
            cut = """return [...document.querySelectorAll('table, td, p')].filter(
                one => one.scrollWidth > one.clientWidth + 1 || one.getBoundingClientRect().right > innerWidth)
                .map(one => one.textContent)"""
            assert browser.execute_script(cut) == [], width
            assert browser.execute_script("return document.documentElement.scrollWidth") <= width
        label = "return getComputedStyle(document.querySelector('#numbers td'), '::before').content"
        assert browser.execute_script(label) == '"images"', "on a phone a cell stands beside its label"
        assert not browser.get_log("browser"), "nothing is missing and nothing fails"


def test_training_images_are_counted_where_they_are_at_hand() -> None:
    assert " train 7 1,200 5 1,212 " not in words_of(results())
    assert " train 7 1,200 5 1,212 " in words_of(results(), trained=dict(zip(CLASSES, (7, 1200, 5), strict=True)))


@pytest.mark.parametrize("tiles", [1, 3, 4, 5])
def test_titles_of_a_grid_are_not_cut_off(tiles: int) -> None:
    made = grid_figure([Tile(np.zeros((64, 64), np.uint8), "class 50%\ntrue: other\nfile.png")] * tiles)
    png(made)
    frame = made.bbox
    (axis,) = made.axes
    assert len(axis.texts) == tiles
    for text, square in zip(axis.texts, axis.images, strict=True):
        title = text.get_window_extent()
        assert square.get_window_extent().y1 < title.y0, "above its image"
        assert title.y1 <= frame.y1


def test_intervals_not_to_be_believed_are_marked() -> None:
    found = results().splits["test"].metrics["accuracy"]
    assert not shown(found).endswith("†")
    assert shown(found.model_copy(update={"caution": "only 3 groups"})).endswith("†")


def test_costs_are_written_as_plain_numbers() -> None:
    made = cost_figure([point("a", 1.2, 0.4), point("b", 8.4, 13.0)], "macro_f1")
    made.canvas.draw()
    labels = [label.get_text() for axis in made.axes for label in axis.get_xticklabels()]
    assert {"2", "5", "10"} <= set(labels)
    assert not any("^" in label for label in labels)


def test_the_summary_says_which_shares_are_not_to_be_believed() -> None:
    found = results()
    doubted = {"caution": "only 3 groups"}
    metrics = found.splits["test"].metrics
    metrics = {name: one.model_copy(update=doubted) for name, one in metrics.items()}
    test = found.splits["test"].model_copy(update={"metrics": metrics})
    lines = summary(found.model_copy(update={"splits": found.splits | {"test": test}}), None)
    shares = [line for line in lines if "95% interval" in line and "of 100" in line.lower()]
    assert len(shares) >= 4
    assert all(line.endswith("Only 3 groups.") for line in shares), shares


def test_a_threshold_that_cannot_be_had_is_said() -> None:
    useless = fit_decisions(Answers(np.zeros((40, 3)), LABELS[:40], [""] * len(LABELS[:40]), CLASSES, None))
    found = results().model_copy(update={"referral": useless.referral})
    said = [line for line in summary(found, None) if "every image" in line]
    assert len(said) == 1, "once, with the reason"
    assert said[0].startswith("A person must look at every image: no threshold keeps the error at 5%")


@pytest.mark.parametrize(
    ("audit", "words"),
    [(None, "Not audited"), ({"verdict": "leaking"}, "Leakage"), ({"confounded": True}, "Confounded")],
)
def test_what_speaks_against_the_figures_is_said_before_them(audit: dict[str, Any] | None, words: str) -> None:
    lines = summary(results(), audit)
    place = next(i for i, line in enumerate(lines) if line.startswith(words))
    assert not any("100" in line for line in lines[:place])


def test_commands_within_a_line_are_set_as_such() -> None:
    page = render(Contents("A title", results(), {}))
    assert "(<code>fracture evaluate</code>)" in page


def point(name: str, latency: float | None, size: float | None) -> Point:
    return Point(name, results().splits["test"].metrics["macro_f1"], latency, size)


FIGURES = {
    "training": lambda: training_figure(results().history, 1),
    "confusion": lambda: confusion_figure(results().splits["test"].confusion, CLASSES),
    "rankings": lambda: ranking_figure(softmax(LOGITS), LABELS, GROUPS, CLASSES, results().splits["test"].metrics),
    "reliability": lambda: reliability_figure(results().splits["test"], 1.3),
    "rejection": lambda: rejection_figure(softmax(LOGITS).max(1), LOGITS.argmax(1) == LABELS, results().referral),
    "scores": lambda: score_figure(softmax(LOGITS), LABELS, CLASSES),
    "images": lambda: grid_figure([Tile(np.zeros((20, 20), np.uint8), "a", np.eye(20)), Tile(np.ones((20, 20)), "b")]),
    "costs": lambda: cost_figure([point("a", 3.0, 10.0), point("b", None, None)], "macro_f1"),
}


@pytest.mark.parametrize("name", FIGURES)
def test_figures_can_be_drawn(name: str) -> None:
    found: Figure = FIGURES[name]()
    assert 1_000 < len(png(found)) < 300_000


def test_curves_of_a_single_class_are_left_out() -> None:
    only = np.flatnonzero(LABELS == 1)
    metrics = results(only).splits["test"].metrics
    found = ranking_figure(softmax(LOGITS[only]), LABELS[only], [GROUPS[i] for i in only], CLASSES, metrics)
    assert len(found.axes[0].lines) == 1, "only the diagonal"


def test_long_names_keep_their_end() -> None:
    assert short("a" * 50 + "_17.jpg").endswith("_17.jpg")
    assert len(short("a" * 50)) == 30


def test_slices_are_kinds_with_enough_images() -> None:
    fitted = fit_decisions(Answers(LOGITS, LABELS, [""] * len(LABELS), CLASSES, "no_fracture"))
    columns = {
        "source": ["a" if i < 80 else "b" if i < 118 else "rare" for i in range(120)],
        "file": [str(i) for i in range(120)],
        "site": ["one"] * 120,
    }
    found = judge_slices(columns, LOGITS, LABELS, GROUPS, CLASSES, fitted.decisions)
    assert {column: {value: part.n for value, part in values.items()} for column, values in found.items()} == {
        "source": {"a": 80, "b": 38}
    }
