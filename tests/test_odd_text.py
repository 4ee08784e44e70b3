"""Names that programs stumble over: no screen, figure, page or table fails on them or shows them as something else."""

import csv
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console

from fracture.data.manifest import read_csv
from fracture.data.trees import walk
from fracture.errors import DataError
from fracture.evaluation.decide import Answers, fit_decisions
from fracture.evaluation.figures.calibration import score_figure
from fracture.evaluation.figures.confusion import confusion_figure
from fracture.evaluation.figures.images import Tile, grid_figure
from fracture.evaluation.figures.rankings import ranking_figure
from fracture.evaluation.figures.style import png
from fracture.evaluation.judge import judge
from fracture.evaluation.metrics import softmax
from fracture.evaluation.report.page import Contents, render
from fracture.evidence import EPOCH_METRICS, Results
from fracture.files import as_text, is_text
from fracture.progress import Terminal
from fracture.tables import shown

ODD = (
    "[/b]",
    "[bold red]x[/]",
    ":bone:",
    "骨折",
    "كسر",
    "שבר",
    "a$b$ c_{",
    "{0} %s \\n",
    "<b>&amp;",
    "🦴",
    "=1+1",
    '"a","b"',
)
# a name of marks alone takes no space (a tone of skin without its hand): a table has no column for it
names = st.one_of(
    st.sampled_from(ODD), st.text(min_size=1, max_size=12).filter(lambda name: cell_len(as_text(name).strip()) > 0)
)
RNG = np.random.default_rng(0)
LABELS = RNG.integers(0, 3, 60)
LOGITS = RNG.normal(size=(60, 3)) + 2.5 * np.eye(3)[LABELS]


def screen(width: int = 400) -> Terminal:
    return Terminal(Console(file=io.StringIO(), force_terminal=True, color_system=None, width=width, emoji=False))


def on(terminal: Terminal) -> str:
    return terminal.console.file.getvalue()  # type: ignore[attr-defined, no-any-return]


def results(classes: tuple[str, ...]) -> Results:
    groups = [str(i // 2) for i in range(60)]
    fitted = fit_decisions(Answers(LOGITS, LABELS, groups, classes, classes[1]))
    split = judge(LOGITS, LABELS, groups, classes, fitted.decisions)
    fixed: dict[str, Any] = {
        "model": classes[0], "classes": classes, "synthetic": False, "data": classes[2], "data_digest": "d",
        "test_digest": "t", "weights_sha256": "w" * 64, "calibration": fitted.calibration, "referral": fitted.referral,
        "operating_point": fitted.operating_point, "splits": {"val": split, "test": split}, "weights_origin": "random",
        "select_metric": "val_macro_f1", "best_epoch": 1, "epochs": 1, "stopped_early": False, "seconds": 1.0,
        "history": (dict.fromkeys(EPOCH_METRICS, 0.5),), "healthy": classes[1],
    }  # fmt: skip
    return Results(**fixed)


@given(names)
@settings(deadline=None)
def test_the_screen_shows_any_text_as_it_is(name: str) -> None:
    terminal = screen()
    terminal.say(name)
    terminal.warn(name)
    terminal.table(name, [name, name], [[name, name]])
    shown = on(terminal)
    assert all(one == "\n" or is_text(one) for one in shown), "nothing moves the cursor"
    for line in name.replace("\t", "    ").split("\n"):
        assert shown.count(as_text(line).strip()) >= 6


@pytest.mark.parametrize("width", [40, 80, 120])
def test_no_class_and_no_interval_of_a_test_is_cut_off(width: int) -> None:
    classes = ("comminuted_fracture", "no_fracture", "simple_fracture")
    terminal, found = screen(width), results(classes)
    terminal.results(found)
    lines = on(terminal)
    assert "\u2026" not in lines, "an ellipsis stands for what was cut off"
    assert all(name in lines for name in classes)
    assert all(shown(found.splits["test"].metrics[f"f1_{name}"]) in lines for name in classes)


@pytest.mark.pictures
@pytest.mark.parametrize("first", range(0, len(ODD), 3))
def test_results_figures_and_the_page_take_any_class(first: int) -> None:
    classes = ODD[first : first + 3]
    found, probabilities, groups = results(classes), softmax(LOGITS), [str(i // 2) for i in range(60)]
    terminal = screen()
    terminal.results(found)
    for name in classes:
        assert name in on(terminal)
    test = found.splits["test"]
    tiles = [Tile(np.zeros((8, 8), np.uint8), f"{name} / {name}", None) for name in classes]
    drawn = {
        "confusion": confusion_figure(test.confusion, classes),
        "scores": score_figure(probabilities, LABELS, classes),
        "rankings": ranking_figure(probabilities, LABELS, groups, classes, test.metrics),
        "wrong": grid_figure(tiles, 3),
    }
    page = render(Contents(classes[0], found, {name: png(one) for name, one in drawn.items()}))
    assert "<b>&amp;<" not in page
    assert "[/b]" in page or "[/b]" not in classes


@given(st.text())
def test_a_name_is_written_on_one_line_and_only_once(name: str) -> None:
    shown = as_text(name)
    assert is_text(shown)
    assert len(shown.splitlines()) <= 1
    assert as_text(shown) == shown


def test_files_that_cannot_be_named_are_left_out_by_name(tmp_path: Path) -> None:
    folder = tmp_path / "a"
    folder.mkdir()
    for name in ("good.png", "two\nlines.png", "esc\x1b[2J.png", "turned\u202e.png"):
        (folder / name).touch()
    tree = walk(tmp_path)
    assert tree.images == ("a/good.png",)
    assert sorted(Path(one.path).name for one in tree.excluded) == [
        "esc\\x1b[2J.png",
        "turned\\u202e.png",
        "two\\nlines.png",
    ]


def test_a_manifest_refuses_classes_that_cannot_be_shown(tmp_path: Path) -> None:
    (tmp_path / "m.csv").write_text('path,label\na.png,"two\nlines"\nb.png,fine\n')
    with pytest.raises(DataError, match=r'label "two\\nlines" holds a character that cannot be shown'):
        read_csv(tmp_path / "m.csv")


def test_prepare_leaves_labels_out_that_cannot_be_shown(
    tmp_path: Path, make_images: Callable[..., Path], cli: Callable[..., int]
) -> None:
    make_images(tmp_path / "images", 12, classes=("a", "b"))
    files = sorted((tmp_path / "images").rglob("*.png"))
    labels = ["two\nlines", "esc\x1b[2J", *(path.parent.name for path in files[2:])]
    with (tmp_path / "labels.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("path", "label"), *zip(files, labels, strict=True)])
    assert cli("prepare", str(tmp_path / "labels.csv"), "--out", str(tmp_path / "m.csv")) == 0
    manifest = read_csv(tmp_path / "m.csv")
    assert manifest.classes == ("a", "b")
    with (tmp_path / "m.excluded.csv").open(newline="") as file:
        rows = {Path(row["path"]): row for row in csv.DictReader(file)}
    for path, label in zip(files[:2], ("two\\nlines", "esc\\x1b[2J"), strict=True):
        assert rows[path]["label"] == label
        assert "its label holds a line break" in rows[path]["reason"]
