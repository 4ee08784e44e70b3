"""Members of a group side by side: a GPU each from one queue; here the GPUs are names, and a processor trains."""

import io
import os
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import mlflow
import pytest
from rich.console import Console

from fracture.config import TrainConfig
from fracture.errors import Interrupted
from fracture.progress import Terminal
from fracture.runs import gpus
from fracture.runs.side_by_side import SideBySide
from fracture.tracking import experiment

SCRIPT = """
import os, signal, sys, time
gpu, place = os.environ["CUDA_VISIBLE_DEVICES"], sys.argv[1]
seed = open(sys.argv[2]).read()
signal.signal(signal.SIGINT, lambda *_: sys.exit(6))
open(f"{place}/{os.getpid()}", "w").write(f"{gpu} {'MLFLOW_RUN_ID' in os.environ} {time.monotonic()} ")
time.sleep(WAIT)
open(f"{place}/{os.getpid()}", "a").write(f"{time.monotonic()}")
print("all of it\\nthe reason" if '"3"' in seed else "", flush=True)
sys.exit(2 if '"3"' in seed else 0)
"""


@pytest.fixture
def make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[float], SideBySide]:
    """Two GPUs; a member waits, writes down when and where, and fails where its seed is 3."""
    monkeypatch.setenv("MLFLOW_RUN_ID", "of somebody else")
    (tmp_path / "seen").mkdir()

    def made(seconds: float) -> SideBySide:
        found = SideBySide("parent", ["4", "GPU-a1"], tmp_path / "logs", Terminal(Console(file=io.StringIO())))
        script = [sys.executable, "-c", SCRIPT.replace("WAIT", str(seconds)), str(tmp_path / "seen")]
        monkeypatch.setattr(found, "command", lambda settings: [*script, str(settings)])
        return found

    return made


def members(count: int) -> dict[str, TrainConfig]:
    return {f"fold {seed}": TrainConfig(seed=seed) for seed in range(1, count + 1)}


def test_each_member_has_a_gpu_and_a_failure_is_told(make: Callable[[float], SideBySide], tmp_path: Path) -> None:
    failed = make(0.3).train(members(4))
    assert failed.keys() == {"fold 3"}
    assert "exit code 2: the reason (all of it: " in failed["fold 3"]
    spans: dict[str, list[tuple[float, float]]] = {}
    for path in (tmp_path / "seen").iterdir():
        gpu, attached, began, ended = path.read_text().split()
        assert attached == "False"
        spans.setdefault(gpu, []).append((float(began), float(ended)))
    assert spans.keys() == {"4", "GPU-a1"}
    assert sum(map(len, spans.values())) == 4
    for own in spans.values():  # one after the other on each
        assert all(ended <= began for (_, ended), (began, _) in zip(sorted(own), sorted(own)[1:], strict=False))


def test_a_signal_reaches_the_members_and_nothing_more_begins(
    make: Callable[[float], SideBySide], tmp_path: Path
) -> None:
    def interrupt() -> None:
        while len(list((tmp_path / "seen").iterdir())) < 2:
            threading.Event().wait(0.05)
        os.kill(os.getpid(), signal.SIGINT)

    before = signal.getsignal(signal.SIGINT)
    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises(Interrupted):
        make(60).train(members(5))
    thread.join()
    assert len(list((tmp_path / "seen").iterdir())) == 2
    assert signal.getsignal(signal.SIGINT) is before


@pytest.mark.long
def test_folds_train_side_by_side(
    store_root: Path, images: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from tests.runs.test_folds import train

    monkeypatch.setenv("MLFLOW_TRACKING_URI", mlflow.get_tracking_uri())
    monkeypatch.setattr(gpus, "visible", lambda: ["0", "1"])
    parent = train(images, head="probe", trained="head")
    client = mlflow.MlflowClient()
    assert client.get_run(parent).info.status == "FINISHED"
    runs = client.search_runs(
        [experiment.current()], f"tags.`mlflow.parentRunId` = '{parent}' and tags.`fracture.kind` = 'train'"
    )
    assert sorted(run.data.params["fold"] for run in runs) == ["0", "1", "2"]
    assert {run.info.status for run in runs} == {"FINISHED"}
    began, ended = ([getattr(run.info, f"{end}_time") for run in runs] for end in ("start", "end"))
    assert sorted(began)[1] < min(ended), "two at once"
