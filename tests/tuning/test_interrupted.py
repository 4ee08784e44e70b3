"""A study that is stopped or killed, as a real process: the same command goes on, and no trial is lost or repeated."""

import os
import re
import signal
import time
from collections.abc import Callable
from pathlib import Path

import mlflow
import optuna
import psutil
import pytest
from optuna.trial import TrialState

from tests.forked import Command
from tuning import study

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]
TRIALS = 3
OPTIONS = ["--model", "test_resnet", "--image-size", "32", "--weights", "none", "--threads", "1", "--audit", "off",
           "--memory-format", "contiguous", "--epochs", "3000", "--early-stop-patience", "0", "--pruner", "none",
           "--batch-low", "8", "--batch-high", "16", "--trials", str(TRIALS)]  # fmt: skip
DEADLINE = 120


def start(forked: Callable[..., Command], folder: Path, data: Path) -> Command:
    variables = {"PYTHONPATH": str(ROOT), "MLFLOW_TRACKING_URI": f"sqlite:///{folder / 'mlflow.db'}"}
    return forked(("tuning", *OPTIONS, "--data", str(data)), folder, folder / "out.txt", **variables)


def opened(folder: Path) -> optuna.Study | None:
    url = f"sqlite:///{folder / 'mlruns' / 'optuna.db'}"
    out = folder / "out.txt"
    if not out.exists() or "Study test_resnet-" not in out.read_text():  # not yet made
        return None
    (name,) = optuna.get_all_study_names(url)
    return optuna.load_study(study_name=name, storage=url)


def eventually(happens: Callable[[], bool], folder: Path) -> None:
    end = time.monotonic() + DEADLINE
    while not happens():
        assert time.monotonic() < end, (folder / "out.txt").read_text()[-3000:]
        time.sleep(0.1)


def learning(folder: Path, number: int) -> Callable[[], bool]:
    """Whether a trial has been through an epoch."""

    def happens() -> bool:
        own = opened(folder)
        return own is not None and len(own.trials) > number and len(own.trials[number].intermediate_values) > 2

    return happens


def trial_process(parent: Command) -> psutil.Process:
    """The process of the trial under way: the one below the fork server."""
    return max(grandchildren(parent), key=lambda one: one.create_time())


def grandchildren(parent: Command) -> list[psutil.Process]:
    below = psutil.Process(parent.pid).children(recursive=True)
    return [one for one in below if one.ppid() != parent.pid]


@pytest.mark.parametrize(
    "how",
    ["kill", pytest.param("ctrl-c", marks=pytest.mark.long), pytest.param("kill the trial", marks=pytest.mark.long)],
)
def test_the_same_command_goes_on(forked: Callable[..., Command], tmp_path: Path, images: Path, how: str) -> None:
    process = start(forked, tmp_path, images)
    began = (
        (lambda: bool((own := opened(tmp_path)) and own.trials and grandchildren(process))) if how == "ctrl-c" else None
    )
    eventually(began or learning(tmp_path, 0), tmp_path)
    victim = trial_process(process)
    if how == "kill":
        process.kill()
    elif how == "ctrl-c":  # to all of the terminal's processes, before the trial has learned anything
        os.killpg(process.pid, signal.SIGINT)
    else:
        victim.kill()
        eventually(learning(tmp_path, 1), tmp_path)
        process.send_signal(signal.SIGINT)
    code = process.wait(DEADLINE)
    said = " ".join((tmp_path / "out.txt").read_text().split())
    if how != "kill":
        assert code == 6
        assert "Go on with: python -m tuning --model test_resnet" in said
        assert re.search(r"stopped by SIGINT: trial \d saves how far it has come\.", said)
    eventually(lambda: not psutil.pid_exists(victim.pid), tmp_path)  # a trial dies with its study

    own = opened(tmp_path)
    assert own is not None
    before = own.trials
    process = start(forked, tmp_path, images)
    known = len([one for one in before if one.state is not TrialState.WAITING])
    eventually(learning(tmp_path, known), tmp_path)
    after = opened(tmp_path)
    assert after is not None
    lost, again = after.trials[known - 1], after.trials[known]
    assert lost.state is TrialState.FAIL
    assert again.params == lost.params == after.trials[0].params  # tried again, and nothing else in its place
    assert study.origin(again) == 0
    head = [lost.intermediate_values[step] for step in sorted(lost.intermediate_values)]
    eventually(lambda: len((opened(tmp_path) or own).trials[known].intermediate_values) >= len(head) + 1, tmp_path)
    goes_on = (opened(tmp_path) or own).trials[known].intermediate_values
    assert [goes_on[step] for step in sorted(goes_on)][: len(head)] == head  # it goes on from its own state
    process.send_signal(signal.SIGTERM)
    assert process.wait(DEADLINE) == 6

    client = mlflow.MlflowClient(f"sqlite:///{tmp_path / 'mlflow.db'}")
    places = [one.experiment_id for one in client.search_experiments()]
    (parent,) = client.search_runs(places, "tags.`fracture.kind` = 'tune'")
    runs = client.search_runs(places, "tags.`fracture.kind` = 'trial'", order_by=["attributes.start_time"])
    assert len(runs) == known + 1
    assert {one.data.tags["mlflow.parentRunId"] for one in runs} == {parent.info.run_id}
    assert {one.info.status for one in runs} == {"KILLED"}
    assert all(one.data.tags["fracture.reason"] for one in runs)
    assert re.search(r"trial \d+ was lost: .*; it is tried again", said) or how != "kill the trial"
