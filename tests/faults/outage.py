"""A tracking server that is killed in the middle of a real training of ten epochs, and is back only much later."""

import json
import sqlite3
import time
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from fracture.tracking.outbox import NAME
from tests import forked
from tests.faults.world import running, told_twice, write_images
from tests.mlflow_server import Server

EPOCHS = 10
_TRAIN = ("fracture", "train", "--data", "images", "--model", "tf_efficientnet_lite0", "--weights", "none",
          "--image-size", "160", "--batch-size", "16", "--threads", "1", "--precision", "fp32", "--audit", "off",
          "--early-stop-patience", "0", "--memory-format", "contiguous", "--epochs", str(EPOCHS))  # fmt: skip


@dataclass
class Outage:
    """What came of one.

    Attributes:
        seconds: for which nobody listened at the server's address.
        images: that were trained with.
        training_seconds: from the command's start to its end.
        epochs: how many were trained meanwhile.
        delivered: by the command itself, or by the one that it named.
        points: of metrics that the store holds at the end, without MLflow's own of the machine.
        problems: what was not as it must be.
    """

    seconds: float
    images: int
    training_seconds: float = 0.0
    epochs: int = 0
    delivered: str = "by itself"
    points: int = 0
    problems: list[str] = field(default_factory=list)

    @property
    def said(self) -> str:
        """In a sentence."""
        lost = "; ".join(self.problems) or "nothing lost, nothing twice, in order"
        return (
            f"server killed after epoch 2 of {EPOCHS} and away for {self.seconds:,.0f} s; {self.images:,} images, "
            f"training {self.training_seconds:,.0f} s, {self.epochs} epochs meanwhile; delivered {self.delivered}; "
            f"{self.points} points of metrics: {lost}"
        )


def outage(seconds: float, folder: Path, per_class: int = 0) -> Outage:
    """Train, kill the server, bring it back, and look at what it knows.

    Args:
        seconds: for which it is away.
        folder: an empty one, for everything.
        per_class: images of each class; 0 for so many that ten epochs last about as long, or longer.
    """
    root, images = folder / "project", per_class or max(10, round(seconds / 6))
    write_images(root / "images", images)
    (root / "MLproject").touch()
    one, server = Outage(seconds, 3 * images), Server(root)
    try:
        command = forked.start(_TRAIN, root, server.address)
        _wait_for(root, 2)
        server.kill()
        time.sleep(seconds)
        one.epochs = _kept(root)
        server.start()
        ended = command.end(limit=20 * seconds + 600)
        one.training_seconds = ended.seconds
        if ended.code == 6 and (named := forked.names_of_runs(ended.said)):
            one.delivered = "by --resume"
            ended = forked.start(("fracture", "train", "--resume", named[-1]), root, server.address).end()
        _check(one, ended.code == 0, f"ended with {ended.code}: {ended.said[-2000:]}")
    finally:
        server.end()
    _look(one, root)
    return one


def _wait_for(root: Path, epochs: int) -> None:
    until = time.monotonic() + 900
    while len(_steps(root)) < epochs and time.monotonic() < until:
        time.sleep(0.5)


def _steps(root: Path) -> list[int]:
    """The epochs that the store knows of, in the order of their time."""
    with closing(sqlite3.connect(root / "mlflow.db", timeout=30)) as db:
        rows = db.execute("SELECT step FROM metrics WHERE key = 'val/loss' ORDER BY timestamp")
        return [int(step) for (step,) in rows]


def _kept(root: Path) -> int:
    """How many epochs wait for the server."""
    writes = [
        json.loads(line) for path in root.glob(f"mlruns/state/*/{NAME}") for line in path.read_text().splitlines()
    ]
    return sum("val/loss" in write.get("values", {}) for write in writes)


def _look(one: Outage, root: Path) -> None:
    with closing(sqlite3.connect(root / "mlflow.db")) as db:
        one.points = db.execute("SELECT COUNT(*) FROM metrics WHERE key NOT LIKE 'system/%'").fetchone()[0]
        missing = db.execute(
            "SELECT key FROM metrics WHERE key NOT LIKE 'system/%' AND step > 0 GROUP BY key HAVING COUNT(*) < ?",
            (EPOCHS,),
        ).fetchall()
    _check(one, _steps(root) == [*range(1, EPOCHS + 1)], f"epochs in the store: {_steps(root)}")
    _check(one, not missing, f"points are missing: {missing}")
    _check(one, not (twice := told_twice(root)), f"told twice: {twice[:5]}")
    _check(one, not running(root), "the run says RUNNING")
    _check(one, not list((root / "mlruns" / "state").glob("*")), "a state is left")


def _check(one: Outage, right: bool, problem: str) -> None:
    if not right:
        one.problems.append(problem)
