"""A store whose project folder was moved: MLflow keeps absolute addresses, and would look where the folder was."""

import contextlib
import sqlite3
from pathlib import Path

from mlflow.utils.file_utils import local_file_uri_to_path
from mlflow.utils.uri import is_local_uri

_COLUMNS = (
    ("experiments", "artifact_location"),
    ("runs", "artifact_uri"),
    ("logged_models", "artifact_location"),
    ("model_versions", "source"),
    ("model_versions", "storage_location"),
)


def follow_move(database: Path) -> str:
    """Point the artifacts of a local store to ``mlruns/`` beside it, where the folder that they point to is gone.

    Left alone is what still exists, and what has no counterpart here: another place was then chosen on purpose.

    Returns:
        the address of the ``mlruns`` folder that is gone; empty where nothing had to be done.
    """
    if not database.is_file():
        return ""
    here = database.parent / "mlruns"
    with contextlib.closing(sqlite3.connect(database, timeout=30)) as db, db:
        there = {table for (table,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        rows = db.execute("SELECT experiment_id, artifact_location FROM experiments") if "experiments" in there else ()
        gone = next(filter(None, [_gone(str(experiment), location, here) for experiment, location in rows]), "")
        now = here.as_uri() if gone.startswith("file:") else str(here)
        for table, column in _COLUMNS if gone else ():
            if table in there:
                db.execute(
                    f"UPDATE {table} SET {column} = replace({column}, ?, ?) WHERE {column} LIKE ?",
                    (f"{gone}/", f"{now}/", f"{gone}/%"),
                )
    return gone


def _gone(experiment: str, location: str, here: Path) -> str:
    """The address of the folder of all experiments, where that is no more but its runs are here."""
    if not is_local_uri(location):
        return ""
    place = Path(local_file_uri_to_path(location))
    moved = place.name == experiment and place.parent.name == "mlruns" and place.parent != here
    unfinished = (here / "state").is_dir() and not place.parent.parent.exists()  # moved before there was an artifact
    there = place.parent.exists() or not ((here / experiment).is_dir() or unfinished)
    return location.removesuffix(f"/{experiment}") if moved and not there else ""
