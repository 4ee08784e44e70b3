"""The tracking server goes away under what is more than one training, or none: groups, folds, evaluate, ensemble."""

import re
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import mlflow
import pytest

from fracture.errors import Interrupted
from fracture.progress import Terminal
from fracture.runs import ensemble, evaluate, folds, group, resume, states
from fracture.runs.show import Reporter
from fracture.tracking import artifacts, experiment, query
from fracture.tracking.run import TrackedRun
from tests.mlflow_server import Server, free_port
from tests.runs.small import QUICK, config, said, terminal, train

pytestmark = pytest.mark.slow
AWAY = r"(?s)The run is over, but .*evidence: .*results\.json.*send them with:.*\n  fracture train --resume \w{32}$"


def check_told_once(run_id: str) -> None:
    client = mlflow.MlflowClient()
    run = client.get_run(run_id)
    assert run.info.status == "FINISHED"
    assert run.data.metrics
    for metric in run.data.metrics:
        if not metric.startswith("system/"):
            steps = Counter(point.step for point in client.get_metric_history(run_id, metric))
            assert set(steps.values()) == {1}, metric
    assert "results.json" in {item.path for item in client.list_artifacts(run_id)}
    assert not states.state_root().joinpath(run_id).exists()


@pytest.mark.long
@pytest.mark.parametrize("verb", ["evaluate", "ensemble"])
def test_what_was_judged_is_kept_and_delivered_by_one_command(
    server: Server, images: Path, tmp_path: Path, verb: str, cli: Callable[..., int], monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = [train(images, seed=seed, epochs=1) for seed in ((1, 2) if verb == "ensemble" else (1,))]
    out = tmp_path / "out"

    def judge() -> None:
        if verb == "evaluate":
            evaluate.evaluate(runs[0], str(images), QUICK, out, terminal())
        else:
            ensemble.ensemble(runs, terminal())

    with monkeypatch.context() as patch:
        server.end_before(*((evaluate, "judge_target") if verb == "evaluate" else (ensemble, "_judge")), patch)
        with pytest.raises(Interrupted, match=AWAY) as stop:
            judge()
    assert time.monotonic() - server.ended < 60
    run_id = str(stop.value).split()[-1]
    assert mlflow.active_run() is None
    if verb == "evaluate":
        assert (out / "report.html").is_file()
        (out / "results.json").write_text("by now another evaluation's")
    assert cli("train", "--resume", run_id) == 6, "the server is away still"
    server.start()
    assert cli("train", "--resume", run_id) == 0
    check_told_once(run_id)
    assert cli("train", "--resume", run_id) == 2, "once is enough"


@pytest.mark.long
@pytest.mark.parametrize("moment", ["in a member", "between members", "at the end"])
@pytest.mark.parametrize("setting", ["model", "fold"])
def test_a_group_goes_on_by_its_own_command(
    server: Server, images: Path, setting: str, moment: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def begin(screen: Terminal) -> None:
        if setting == "fold":
            folds.train_folds(config(images, folds=2, fold="all", epochs=1, val_fraction=0.3), screen, "again")
        else:
            names = ["test_resnet", "test_efficientnet"]
            group.train_group(config(images, model=",".join(names), epochs=1), names, screen, "again")

    module, name, call = {
        "in a member": (Reporter, "epoch", 1),
        "between members": (group, "_one", 2),
        "at the end": (group, "_show", 1),
    }[moment]
    with monkeypatch.context() as patch:
        server.end_before(module, name, patch, call)
        with pytest.raises(Interrupted, match=r"(?s).*\n  again$"):
            begin(terminal())
    assert time.monotonic() - server.ended < 60
    assert mlflow.active_run() is None
    server.start()
    screen = terminal()
    begin(screen)
    assert "Continuing group" in said(screen)
    client = mlflow.MlflowClient()
    parent = re.search(r"Continuing group (\w{32})", said(screen))
    assert parent
    members = client.search_runs([experiment.current()], f"tags.`mlflow.parentRunId` = '{parent[1]}'")
    assert len(members) == 2, "none is trained anew"
    for member in members:
        check_told_once(member.info.run_id)
    assert client.get_run(parent[1]).info.status == "FINISHED"
    assert not any(states.state_root().iterdir())


VERBS = {
    "train": ("train", "--data", "images", "--model", "test_resnet"),
    "folds": ("train", "--data", "images", "--model", "test_resnet", "--folds", "3"),
    "all": ("train", "--data", "images", "--model", "all"),
    "resume": ("train", "--resume", "0" * 32),
    "evaluate": ("evaluate", "0" * 32, "--data", "images"),
    "ensemble": ("ensemble", "0" * 32, "1" * 32),
    "compare": ("compare",),
}


@pytest.fixture
def nowhere(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of a store where nobody listens."""
    before, address = mlflow.get_tracking_uri(), f"http://127.0.0.1:{free_port()}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    mlflow.set_tracking_uri(address)
    yield address
    mlflow.set_tracking_uri(before)


@pytest.mark.parametrize("verb", [pytest.param(n, marks=() if n == "evaluate" else pytest.mark.long) for n in VERBS])
def test_a_server_that_is_not_there_is_one_sentence_and_exit_code_6(
    nowhere: str, images: Path, verb: str, cli: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    began = time.monotonic()
    assert cli(*VERBS[verb]) == 6
    assert time.monotonic() - began < 60
    shown = capsys.readouterr().err
    assert f"the tracking store {nowhere} cannot be used" in shown
    assert "give the same command" in shown
    assert "Traceback" not in shown


@pytest.mark.parametrize(
    "ask",
    [
        query.is_there,
        query.tags_of,
        resume.state_of,
        lambda run: artifacts.fetch(run, ["best.pth"], Path()),
        lambda run: artifacts.fetch_model("models:/m@champion", Path()),
        lambda run: TrackedRun.begin("a run", "train", parent=run),
        lambda run: TrackedRun.go_on(run),
    ],
)
def test_nothing_is_said_of_a_run_where_nobody_could_say(
    nowhere: str, monkeypatch: pytest.MonkeyPatch, ask: Callable[[str], object]
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(Interrupted, match=r"the tracking store fails: .*go on with the same command"):
        ask("0" * 32)
