"""The store: where runs are kept, made ready before the first one."""

import contextlib
import errno
import json
import logging
import os
import re
import sqlite3
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from urllib.parse import unquote

import mlflow
import platformdirs
from filelock import FileLock
from mlflow.entities import Run
from mlflow.exceptions import MlflowException
from sqlalchemy.exc import SQLAlchemyError

from fracture.errors import ConfigError, Interrupted
from fracture.failures import is_silent, sentence
from fracture.privacy import who, without_secrets
from fracture.tracking import creation, experiment
from fracture.tracking.address import why_no_address
from fracture.tracking.moved import follow_move

_SQLITE = "sqlite:///"
_NO_FOLDER = (errno.ENOTDIR, errno.EEXIST, errno.EISDIR)  # what a database was to lie in
_RETRIES = "3"  # of a server that does not answer, in about 15 seconds; MLflow itself would try for four minutes
_FETCHED = re.compile(r"tmp[a-z0-9_]{8}")  # what tempfile.mkdtemp calls a folder


def project_root() -> Path:
    """The folder that everything is kept in: the nearest one upwards that holds an MLproject, else the current one.

    A copy that ``mlflow run`` has fetched to a temporary folder is found by no later command. Instead of it counts the
    folder of the store, where that is a file, else one of the user's.
    """
    here = Path.cwd()
    root = next((folder for folder in (here, *here.parents) if (folder / "MLproject").is_file()), here)
    uri = os.environ.get("MLFLOW_TRACKING_URI", "")
    if not uri or not _is_fetched(root):
        return root
    path = database(uri)
    return path.parent if path else Path(platformdirs.user_state_dir("fracture", appauthor=False))


def _is_fetched(root: Path) -> bool:
    """Whether a project lies in a temporary folder as ``mlflow run`` makes one for an address."""
    temporary, place = Path(tempfile.gettempdir()).resolve(), root.resolve()
    below = place.relative_to(temporary).parts if place.is_relative_to(temporary) else ()
    return bool(below and _FETCHED.fullmatch(below[0]))


def connect() -> str:
    """Make the store ready and return its URI: MLFLOW_TRACKING_URI, or MLflow's default at the project root.

    Raises:
        ConfigError: there can be none at this address, or it refuses.
        Interrupted: a server does not answer.
    """
    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.WARNING)  # the first run is no place for migration messages
    logging.getLogger("urllib3").setLevel(logging.ERROR)  # a line for each attempt, from every thread
    logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)  # a traceback of what it raises anyway
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", _RETRIES)
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")  # a bar for each small file
    os.environ.setdefault("MLFLOW_RUN_CONTEXT", json.dumps(_context()))
    root = project_root()
    root.mkdir(parents=True, exist_ok=True)
    if not os.environ.get("MLFLOW_TRACKING_URI") and root != Path.cwd():
        mlflow.set_tracking_uri(f"{_SQLITE}{root / 'mlflow.db'}")
    uri = str(mlflow.get_tracking_uri())
    for name, address in (("TRACKING", uri), ("REGISTRY", str(mlflow.get_registry_uri()))):
        if why := why_no_address(address):
            raise ConfigError(without_secrets(f"MLFLOW_{name}_URI={address}: {why}."))
    try:
        # a new store puts its artifacts below the current folder
        with _alone(uri), contextlib.chdir(root), _little_patience():
            if (path := database(uri)) is not None:
                creation.create(path)
            creation.with_retries(path, lambda: mlflow.MlflowClient().get_experiment("0"))
            _say_moved(path)
            experiment.settle()
    except (MlflowException, SQLAlchemyError, OSError) as error:
        if isinstance(error, OSError) and error.errno not in _NO_FOLDER:
            raise
        said = without_secrets(f"the tracking store {uri} cannot be used: {sentence(error)}")
        if is_silent(error) and database(uri) is None and not uri.startswith("databricks"):  # which wants to be set up
            raise Interrupted(f"{said}\nCheck MLFLOW_TRACKING_URI; once it answers, give the same command.") from None
        raise ConfigError(f"{said}\nCheck MLFLOW_TRACKING_URI.") from None  # what it came from shows passwords
    return uri


def shown() -> str:
    """The address of the store without secrets."""
    return without_secrets(str(mlflow.get_tracking_uri()))


def _context() -> dict[str, str]:
    """Tags that MLflow gives to what this process makes, where its own would be a login name and a path."""
    return {"mlflow.user": who(), "mlflow.source.name": Path(sys.argv[0]).name}


def _say_moved(path: Path | None) -> None:
    gone = follow_move(path) if path is not None else ""
    if gone:
        print(f"{path}: its runs pointed to {gone}, which is gone; they now point here.", file=sys.stderr)


def database(uri: str) -> Path | None:
    """The file of a local SQLite store, None for any other."""
    if not uri.startswith(_SQLITE):
        return None
    path = uri.removeprefix(_SQLITE).partition("?")[0]
    return Path(path if Path(path).exists() else unquote(path)).absolute()  # MLflow's default has %20 for a space


def repair_artifact_location(run: Run) -> bool:
    """Give a run of a local store a local artifact folder, where ``mlflow ui`` has stamped its own on the experiment.

    ``mlflow ui`` started before the first run makes every later run without a server point to ``mlflow-artifacts:/``,
    which only a server can write to. The store is corrected in place; returns whether it had to be.
    """
    path = database(mlflow.get_tracking_uri())
    if path is None or not run.info.artifact_uri.startswith("mlflow-artifacts:"):
        return False
    folder = path.parent / "mlruns" / run.info.experiment_id
    with contextlib.closing(sqlite3.connect(path, timeout=30)) as db, db:
        db.execute(
            "UPDATE experiments SET artifact_location = ? WHERE experiment_id = ? AND artifact_location LIKE ?",
            (folder.as_uri(), int(run.info.experiment_id), "mlflow-artifacts:%"),
        )
        db.execute(
            "UPDATE runs SET artifact_uri = ? WHERE run_uuid = ?",
            ((folder / run.info.run_id / "artifacts").as_uri(), run.info.run_id),
        )
    return True


@contextlib.contextmanager
def _little_patience() -> Iterator[None]:
    """A server that does not answer, or that hangs, is reported at once."""
    with environment_of({"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1", "MLFLOW_HTTP_REQUEST_TIMEOUT": "15"}):
        yield


@contextlib.contextmanager
def environment_of(values: Mapping[str, str]) -> Iterator[None]:
    """Variables of the environment, for a while."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


@contextlib.contextmanager
def _alone(uri: str) -> Iterator[None]:
    """Two first processes must not create the same SQLite file."""
    path = database(uri)
    if path is None:
        yield
        return
    beside = path.parent / "mlruns"  # wherever they were started
    beside.mkdir(parents=True, exist_ok=True)
    with FileLock(beside / ".store.lock"):
        yield


def attached_run_id() -> str | None:
    """Id of the run that ``mlflow run`` has made for this process, before it is attached to."""
    return os.environ.get("MLFLOW_RUN_ID") or None
