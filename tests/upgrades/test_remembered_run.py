"""MLFLOW_RUN_ID left in a shell: the registry, predict and export never write to that run."""

import hashlib
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

CHAMPION = "models:/fracture-classifier@champion"
REGISTRY = {
    "promote": ("{promoted}",),
    "list": (),
    "show": (),
    "challenge": (),
    "rollback": ("--reason", "a test"),
    "verify": ("--repair",),
    "predict": ("images", "--out", "registry.csv"),
    "export": ("--format", "pt2", "--out", "exported"),
}
TABLES = {
    "runs": "run_uuid", "params": "run_uuid", "metrics": "run_uuid", "tags": "run_uuid", "inputs": "destination_id",
}  # fmt: skip


def everything(folder: Path, run_id: str) -> dict[str, object]:
    """All that a run consists of, in the store and among the artifacts."""
    with sqlite3.connect(folder / "mlflow.db") as db:
        rows = {
            table: sorted(map(str, db.execute(f"SELECT * FROM {table} WHERE {key} = ?", (run_id,))))
            for table, key in TABLES.items()
        }
    files = {path: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.rglob(f"{run_id}/**/*.*")}
    return rows | {"files": files}


@pytest.mark.parametrize(
    "status", ["FINISHED", *(pytest.param(s, marks=pytest.mark.long) for s in ("KILLED", "deleted"))]
)
def test_the_run_that_a_shell_remembers_stays_as_it_is(
    old: Path, status: str, entry: Callable[..., int], cli: Callable[..., int], monkeypatch: pytest.MonkeyPatch
) -> None:
    with sqlite3.connect(old / "mlflow.db") as db:
        ((promoted,),) = db.execute("SELECT run_id FROM model_versions WHERE name = 'fracture-classifier'")
        query = "SELECT run_uuid FROM runs WHERE status = ? AND run_uuid != ? ORDER BY start_time"
        (remembered,) = next(db.execute(query, ("KILLED" if status == "KILLED" else "FINISHED", promoted)))
        if status == "deleted":
            db.execute("UPDATE runs SET lifecycle_stage = 'deleted' WHERE run_uuid = ?", (remembered,))
    before = everything(old, remembered)
    assert before["tags"]
    for verb, words in REGISTRY.items():
        monkeypatch.setenv("MLFLOW_RUN_ID", remembered)
        assert entry("registry", verb, *(word.format(promoted=promoted) for word in words)) in (0, 2, 5), verb
        assert everything(old, remembered) == before, verb
    monkeypatch.setenv("MLFLOW_RUN_ID", remembered)
    assert cli("predict", CHAMPION, "images", "--out", "new.csv") in (0, 2)
    assert everything(old, remembered) == before
