"""What is said when a run is over."""

from types import SimpleNamespace
from typing import Any

import pytest

from fracture.runs import lifetime
from fracture.tracking import store


@pytest.mark.parametrize(
    ("address", "shows"),
    [("sqlite:///mlflow.db", "`mlflow ui` shows them"), ("http://127.0.0.1:9", "http://127.0.0.1:9 shows them")],
)
def test_the_end_says_what_shows_the_results(address: str, shows: str, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    run: Any = SimpleNamespace(id="abc", place="mlflow-artifacts:/1/abc/artifacts")
    terminal: Any = SimpleNamespace(say=said.append)
    monkeypatch.setattr(store, "shown", lambda: address)
    lifetime.say_done(run, terminal)
    assert said[0].endswith(f"{shows}.")
