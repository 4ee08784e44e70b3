"""What is shown while a run goes on: readable where there is little room."""

import io

import pytest
from rich.console import Console

from fracture.evidence import EPOCH_METRICS, Estimate
from fracture.progress import Terminal, shown


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


def test_an_interval_not_to_be_believed_is_marked() -> None:
    sure = Estimate(value=0.5, low=0.25, high=0.75, n=40, groups=20)
    assert shown(sure) == "0.500 (0.250-0.750)"
    assert shown(sure.model_copy(update={"caution": "only 3 groups"})) == "0.500 (0.250-0.750) \u2020"
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
