"""A folder with a store, runs and a registry, made once by real commands; each kill begins in a copy of it."""

import os
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import numpy as np
from PIL import Image

from tests import forked
from tests.faults import verbs

CLASSES = ("comminuted_fracture", "no_fracture", "simple_fracture")
STAGES = ("empty", "trained", "champion", "candidate", "deployed", "contested")


class World:
    """Copies of one folder at several stages; all work at the same place, for a store keeps whole paths.

    Args:
        folder: where everything is kept.
    """

    def __init__(self, folder: Path) -> None:
        self.root = folder / "project"
        self._kept = folder / "stages"
        self.first = self.second = self.third = ""
        self._made = 0

    def at(self, stage: str) -> Path:
        """The folder at a stage, fresh: one of the stages, or uncached."""
        known = "trained" if stage == "uncached" else stage
        for number in range(self._made, STAGES.index(known) + 1):
            self._make(STAGES[number])
        self._copy(self._kept / known, self.root)
        if stage == "uncached":
            shutil.rmtree(self.root / "cache")
        return self.root

    def filled(self, words: tuple[str, ...]) -> tuple[str, ...]:
        """A command with the runs that are known by now."""
        return tuple(word.format(first=self.first, second=self.second, third=self.third) for word in words)

    def _make(self, stage: str) -> None:
        if stage == "empty":
            write_images(self.root / "images")
            (self.root / "MLproject").touch()
        else:
            self._copy(self._kept / STAGES[self._made - 1], self.root)
            self._grow(stage)
        self._copy(self.root, self._kept / stage)
        self._made += 1

    def _grow(self, stage: str) -> None:
        if stage == "trained":
            self._done(verbs.FIRST)
            self.first = self._newest()
            self._done(verbs.SECOND)
            self.second = self._newest()
        elif stage == "champion":
            self._done(verbs.PROMOTE_FIRST)
            self._done(verbs.CHALLENGE)
        elif stage == "candidate":
            self._done(verbs.PROMOTE)
        elif stage == "contested":
            self._done(verbs.THIRD)
            self.third = self._newest()
            self._done(verbs.PROMOTE_THIRD)
        else:
            self._done(verbs.CHALLENGE)

    def _done(self, words: tuple[str, ...]) -> None:
        ended = forked.run(self.filled(words), self.root)
        if ended.code != 0:
            raise RuntimeError(f"{forked.line(words)} ended with {ended.code}:\n{ended.said}")

    def _newest(self) -> str:
        with closing(sqlite3.connect(self.root / "mlflow.db")) as db:
            return str(db.execute("SELECT run_uuid FROM runs ORDER BY start_time DESC").fetchone()[0])

    @staticmethod
    def _copy(what: Path, to: Path) -> None:
        if to.exists():
            shutil.rmtree(to)
        shutil.copytree(what, to, copy_function=shutil.copy2)


def running(root: Path) -> list[str]:
    """Runs that are said to be running."""
    with closing(sqlite3.connect(root / "mlflow.db")) as db:
        rows = db.execute("SELECT run_uuid FROM runs WHERE status IN ('RUNNING', 'SCHEDULED')")
        return [str(run) for (run,) in rows]


def half_written(root: Path) -> list[str]:
    """Files that a writer has not finished; each is aged, for doctor leaves a young one to a writer on another host."""
    found = [path for path in root.rglob("*.part") if path.is_file()]
    for path in found:
        os.utime(path, (0, 0))
    return [str(path.relative_to(root)) for path in found]


def told_twice(root: Path) -> list[str]:
    """Points of metrics that the store holds more than once."""
    twice = (
        "SELECT run_uuid || ': ' || key || ' at ' || step FROM metrics WHERE key NOT LIKE 'system/%' "
        "GROUP BY run_uuid, key, step HAVING COUNT(*) > 1"
    )
    with closing(sqlite3.connect(root / "mlflow.db")) as db:
        return [str(row[0]) for row in db.execute(twice)]


def write_images(folder: Path, per_class: int = 10) -> None:
    """A folder of three classes whose brightness tells the class."""
    rng = np.random.default_rng(0)
    for k, name in enumerate(CLASSES):
        (folder / name).mkdir(parents=True)
        for i in range(per_class):
            pixels = rng.normal(60 + 60 * k, 20, (40, 32)).clip(0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{i:05d}.png")
