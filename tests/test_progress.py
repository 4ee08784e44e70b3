"""What is shown while a run goes on: readable where there is little room."""

import io

import pytest
from rich.console import Console

from fracture.evidence import EPOCH_METRICS, Estimate
from fracture.progress import Terminal
from fracture.tables import shown


@pytest.mark.parametrize("width", [80, 100, 160])
def test_no_figure_of_an_epoch_is_cut_off(width: int) -> None:
    terminal = Terminal(Console(file=io.StringIO(), force_terminal=True, width=width, color_system=None))
    with terminal.training(30):
        terminal.batch("train", 29, 899, 899, 123.4, (0.0, 3723.0))
        terminal.epoch(
            29, dict.fromkeys(EPOCH_METRICS, 0.123456) | {"lr": 1.25e-05, "epoch_seconds": 1234.5}, best=True
        )
    screen = terminal.console.file.getvalue()  # type: ignore[attr-defined]
    assert "1.25e-05" in screen
    assert "29*" in screen
    assert "\u2026" not in screen, "an ellipsis stands for what was cut off"


def test_what_comes_after_the_last_epoch_is_no_further_epoch() -> None:
    terminal = Terminal(Console(file=io.StringIO(), force_terminal=True, width=100, color_system=None))
    with terminal.training(2):
        terminal.batch("best epoch on test", 3, 1, 9, 10.0, (0.0, 0.0))
    screen = terminal.console.file.getvalue()  # type: ignore[attr-defined]
    assert "epoch 3" not in screen
    assert "best epoch on test" in screen


def test_epochs_stay_on_the_screen_when_training_is_interrupted() -> None:
    terminal = Terminal(Console(file=io.StringIO(), force_terminal=True, width=120, color_system=None))
    figures = dict.fromkeys(EPOCH_METRICS, 0.25)

    def interrupted(epochs: int) -> None:
        with terminal.training(9):
            for number in range(epochs):
                terminal.epoch(number + 1, figures, best=True)
                terminal.batch("train", 2, 1, 9, 10.0, (1.0, 9.0))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted(epochs=1)
    left = terminal.console.file.getvalue().rpartition("\x1b")[2]  # type: ignore[attr-defined]
    assert "1*" in left, "after the last movement of the cursor, which clears what was live"
    assert "* the best epoch so far" in " ".join(left.split())
    assert "GiB: most memory so far" in " ".join(left.split())
    with pytest.raises(KeyboardInterrupt):
        interrupted(epochs=0)
    assert "*" not in terminal.console.file.getvalue().rpartition("\x1b")[2]  # type: ignore[attr-defined]


@pytest.mark.parametrize(("width", "block"), [(40, True), (80, False), (160, False)])
def test_no_name_in_a_table_is_cut_however_narrow(width: int, block: bool) -> None:
    terminal = Terminal(Console(file=io.StringIO(), width=width))
    name, rest = "tf_efficientnet_lite0_of_a_long_name", ["12345678901234567890", "0.123", ""]
    terminal.table("T", ["run", "first", "second", "third"], [[name, *rest]], "a note")
    lines = terminal.console.file.getvalue().splitlines()  # type: ignore[attr-defined]
    screen = "\n".join(lines)
    assert all(text in screen for text in (name, *rest, "a note"))
    assert "\u2026" not in screen
    assert max(map(len, lines)) <= width
    assert any(line.split() == ["second", "0.123"] for line in lines) == block
    assert ("third" in screen) != block, "a block leaves out what is empty"


@pytest.mark.parametrize("width", [40, 80, 90, 100, 110, 200])
def test_no_word_in_a_table_is_broken(width: int) -> None:
    """Neither the longest text nor a figure beside it is cut into letters, while there is room for whole words."""
    terminal = Terminal(Console(file=io.StringIO(), width=width))
    name, model, test = "linear probe, tf_efficientnet_lite0 on demo", "tf_efficientnet_lite0", "0.856 [0.5, 1.0]"
    rows = [[name, model, test, "21", "1.78"], ["an ensemble", f"ensemble of {model}", test, "9", ""]]
    terminal.table("T", ["run", "model", "test macro_f1", "images", "train img/s"], rows)
    for least in (test, "0.856 [0.532, 1.000] \u2020"):
        each = [["a class", least, "undefined", "5"], ["x", "undefined", least, "12"]]
        terminal.table("T", ["", "precision", "recall", "n"], each)
        assert terminal.console.file.getvalue().count(least) >= 2, "a figure stays whole beside a word"  # type: ignore[attr-defined]
    words = terminal.console.file.getvalue().split()  # type: ignore[attr-defined]
    assert words.count(model) == 3
    assert {*name.split(), *test.split()} <= {*words}


def test_figures_stand_right_and_sentences_left() -> None:
    terminal = Terminal(Console(file=io.StringIO(), width=120))
    sentence = "a sentence that is much longer than any figure is"
    terminal.table("T", ["a", "value", "why"], [["x", "0.1", sentence], ["y", "123.456", "short"]])
    screen = terminal.console.file.getvalue()  # type: ignore[attr-defined]
    assert "│     0.1 │" in screen
    assert "│ short   " in screen


def test_an_interval_not_to_be_believed_is_marked() -> None:
    sure = Estimate(value=0.5, low=0.25, high=0.75, n=40, groups=20)
    assert shown(sure) == "0.500 [0.250, 0.750]"
    assert shown(sure.model_copy(update={"caution": "only 3 groups"})) == "0.500 [0.250, 0.750] \u2020"
    assert shown(sure.model_copy(update={"low": -0.0001})) == "0.500 [0.000, 0.750]"
    assert shown(Estimate(value=None, low=None, high=None, n=0, groups=0, reason="no image")) == "undefined"


def test_a_long_step_gives_signs_of_life_in_a_pipe(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr("fracture.progress.time.monotonic", lambda: now[0])
    terminal = Terminal(Console(file=io.StringIO(), width=200))
    with terminal.working() as working:
        for done in range(1, 11):
            working("features", done, 10)
            now[0] += 3.0
    lines = terminal.console.file.getvalue().splitlines()  # type: ignore[attr-defined]
    assert lines == [
        "features: 3 of 10, about 0:21 left",
        "features: 5 of 10, about 0:15 left",
        "features: 7 of 10, about 0:09 left",
        "features: 9 of 10, about 0:03 left",
    ]
