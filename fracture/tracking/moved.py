"""A store whose project folder was moved: MLflow keeps absolute addresses, and would look where the folder was."""

import contextlib
import sqlite3
from pathlib import Path

_COLUMNS = (
    ("experiments", "artifact_location"),
    ("runs", "artifact_uri"),
    ("logged_models", "artifact_location"),
    ("model_versions", "source"),
    ("model_versions", "storage_location"),
)


def follow_move(database: Path) -> Path | None:
    """Point the artifacts of a local store to ``mlruns/`` beside it, where the folder that they point to is gone.

    Left alone is what still exists, and what has no counterpart here: another place was then chosen on purpose.

    Returns:
        the ``mlruns`` folder that is gone; None where nothing had to be done.
    """
    here = database.parent / "mlruns"
    if not database.is_file():
        return None
    with contextlib.closing(sqlite3.connect(database, timeout=30)) as db, db:
        there = {table for (table,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        if "experiments" not in there:
            return None
        places = [_gone(experiment, location, here) for experiment, location in db.execute(_EXPERIMENTS)]
        gone = next(filter(None, places), None)
        for table, column in _COLUMNS if gone else ():
            if table in there:
                db.execute(
                    f"UPDATE {table} SET {column} = replace({column}, ?, ?) WHERE instr({column}, ?)",
                    (f"{gone}/", f"{here}/", f"{gone}/"),
                )
    return gone


_EXPERIMENTS = "SELECT experiment_id, artifact_location FROM experiments"


def _gone(experiment: int, location: str, here: Path) -> Path | None:
    """The folder of all experiments that one experiment points to, where that is no more but its runs are here."""
    place = Path(location.removeprefix("file://"))
    moved = place.name == str(experiment) and place.parent.name == "mlruns" and place.parent != here
    return place.parent if moved and not place.parent.exists() and (here / place.name).is_dir() else None
