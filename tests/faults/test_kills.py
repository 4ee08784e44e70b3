"""kill -9 at chosen moments of a real training: nothing is lost, everything left is named, and doctor fixes it."""

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import mlflow
import pytest

from fracture.runs import doctor, resume, states
from fracture.runs.session import Session
from fracture.tracking import experiment, leftovers, store
from tests.forked import Command
from tests.runs.small import terminal

pytestmark = pytest.mark.slow
Call = Callable[..., Command]
PREPARE = """
import os, signal
import fracture.runs.session as session, fracture.tracking.run as run
import fracture.training.engine as engine, fracture.training.state as state
def killed(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)
def half(what, path):
    path.write_bytes(b"half")
    killed()
def second(*arguments, real=engine.train_epoch, seen=[]):
    seen.append(1)
    return killed() if len(seen) > 1 else real(*arguments)
"""
POINTS = {  # where the kill falls: what arranges it, whether the run can go on, what is left to be repaired
    "before the run is made": ("run.me = killed", False, []),
    "between the run and its record": ("session.record_run = killed", False, ["says RUNNING"]),
    "between the record and the first step": ("session.show_plan = killed", True, ["says RUNNING"]),
    "while the state is written": ("state.torch.save = half", True, ["says RUNNING", "is half written"]),
    "in the second epoch": ("engine.train_epoch = second", True, ["says RUNNING"]),
    "between the end and the deletion of the state": ("state.delete = killed", False, ["the run has finished"]),
}
QUICK = ("between the run and its record", "in the second epoch")
TRAIN = {
    "model": "test_resnet", "weights": "none", "image-size": "32", "epochs": "2", "batch-size": "8", "threads": "1",
    "memory-format": "contiguous", "precision": "fp32", "audit": "off",
}  # fmt: skip


def train(forked: Call, root: Path, images: Path, arranged: str) -> int:
    """Train in a process of its own, which is killed on the way; its exit code."""
    flags = [word for name, value in TRAIN.items() for word in (f"--{name}", value)]
    code = f"{PREPARE}\n{arranged}\nfrom fracture.__main__ import main; main()"
    return forked(("python", code, "train", "--data", str(images), *flags), root).wait(500)


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A project's folder with a store of its own, where this process and those that it starts work."""
    (tmp_path / "MLproject").touch()
    before, uri = mlflow.get_tracking_uri(), f"sqlite:///{tmp_path / 'mlflow.db'}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    mlflow.set_tracking_uri(uri)
    store.connect()
    yield tmp_path
    mlflow.set_tracking_uri(before)


def runs() -> dict[str, str]:
    found = mlflow.MlflowClient().search_runs([experiment.current()])
    return {run.info.run_id: run.info.status for run in found}


def here() -> Session:
    return Session(terminal(), None, "again {run}")


@pytest.mark.parametrize("point", [pytest.param(one, marks=() if one in QUICK else pytest.mark.long) for one in POINTS])
def test_a_training_killed(forked: Call, root: Path, images: Path, point: str) -> None:
    arranged, goes_on, left = POINTS[point]
    assert train(forked, root, images, arranged) == -signal.SIGKILL
    known = runs()
    for part in root.rglob(".*.part"):
        os.utime(part, (0, 0))  # another machine, on a shared disk, could still be writing a younger one
    said = [one.said for one in doctor._leftovers(fix=False) if one.status == "problem"]
    assert [sum(text in one for one in said) for text in left] == [1] * len(left), said
    assert len(said) == len(left)
    assert all(run in str(said) for run in known), "each is named"
    assert not [one for one in doctor._leftovers(fix=True) if one.status == "problem"]
    after = list(doctor._leftovers(fix=False))
    assert not [one for one in after if one.status == "problem"], after
    assert "RUNNING" not in runs().values()
    assert not list(root.rglob(".*.part"))
    assert len(list(states.state_root().glob("*"))) == goes_on
    if goes_on:
        (run,) = known
        assert f"fracture train --resume {run}" in str(after)
        assert resume.resume(run, here()).epochs == 2
        assert runs() == {run: "FINISHED"}
        assert not list(states.state_root().iterdir())


@pytest.mark.long
def test_the_next_training_mends_what_is_safe_by_itself(forked: Call, root: Path, images: Path) -> None:
    for point in ("between the run and its record", "between the end and the deletion of the state"):
        assert train(forked, root, images, POINTS[point][0]) == -signal.SIGKILL
    assert sorted(runs().values()) == ["FINISHED", "KILLED"], "the second training has ended the run of the first"
    assert [one.kind for one in leftovers.sweep(states.state_root())] == ["over"]
    assert not list(states.state_root().iterdir())
