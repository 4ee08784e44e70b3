"""The storage: a database that holds studies, made ready for many workers, and their turns at it."""

import contextlib
import os
import time
import warnings
import zlib
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path

import optuna
from filelock import FileLock
from optuna.exceptions import ExperimentalWarning, StorageInternalError
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial
from sqlalchemy import make_url, text
from sqlalchemy.engine import URL
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from fracture.errors import ConfigError, FractureError
from fracture.files import expanded
from fracture.tracking import store

VARIABLE = "FRACTURE_TUNING_STORAGE"  # keeps a password off command lines and runs
HEARTBEAT, GRACE = 15, 60  # seconds between signs of life, and without one until a trial counts as stale
_SQLITE_PATIENCE = 60  # seconds that a writer waits for another
_DRIVERS = {"postgresql": ("psycopg", "postgres"), "mysql": ("pymysql", "mysql")}  # module, extra of this project
_LOCKS = {  # held by a connection, so that they end with their holder
    "postgresql": ("SELECT pg_advisory_lock(:key)", "SELECT pg_advisory_unlock(:key)"),
    "mysql": ("SELECT GET_LOCK(:key, 4294967295)", "SELECT RELEASE_LOCK(:key)"),  # MariaDB knows no endless wait
}
_TRIES, _LITTLE = 6, 0.5  # where several first processes make the tables at once, and seconds between
_MADE_BY_ANOTHER = ("already exists", "duplicate key", "Duplicate")
Stale = Callable[[optuna.Study, FrozenTrial], None]


def address(wanted: str) -> str:
    """The database's URL: ``auto`` is what `VARIABLE` says, else SQLite at the project root.

    A driver is added where none is named.

    Raises:
        ConfigError: not a URL, not a database that many workers can use, or its driver is not installed.
    """
    wanted = os.environ.get(VARIABLE, "auto") if wanted == "auto" else wanted
    if wanted == "auto":
        return f"sqlite:///{store.project_root() / 'mlruns' / 'optuna.db'}"
    try:
        url = make_url(wanted)
    except ArgumentError as error:
        raise ConfigError(
            f"storage={wanted}: is no URL. Allowed: auto, sqlite:///FILE, postgresql://, mysql://"
        ) from error
    kind = url.get_backend_name()
    if kind == "sqlite":
        if not url.database or url.database == ":memory:":
            raise ConfigError(f"storage={wanted}: a study lives in a file or on a server. Allowed: sqlite:///FILE")
        return f"sqlite:///{expanded(url.database).absolute()}"
    if kind not in _DRIVERS:
        raise ConfigError(f"storage={hidden(url)}: Allowed: auto, sqlite:///FILE, postgresql://, mysql://")
    return _with_driver(url, kind).render_as_string(hide_password=False)


def open_storage(url: str, stale: Stale) -> RDBStorage:
    """Open the database, made first where it is not there yet.

    Args:
        url: from `address`.
        stale: told of a trial whose worker gave no sign of life for `GRACE` seconds.

    Raises:
        ConfigError: it cannot be reached.
    """
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    parsed = make_url(url)
    options = {"connect_args": {"timeout": _SQLITE_PATIENCE}} if parsed.get_backend_name() == "sqlite" else {}
    for left in reversed(range(_TRIES)):
        try:
            with _alone(parsed), warnings.catch_warnings():
                warnings.simplefilter("ignore", ExperimentalWarning)  # signs of life are marked so since Optuna 2.9
                return RDBStorage(
                    url,
                    engine_kwargs=options,
                    heartbeat_interval=HEARTBEAT,
                    grace_period=GRACE,
                    heartbeat_stale_trial_callback=stale,
                )
        except (SQLAlchemyError, StorageInternalError, OSError, RuntimeError) as error:
            first = str(error.__cause__ or error).splitlines()[0]
            if not (left and any(sign in first for sign in _MADE_BY_ANOTHER)):
                raise ConfigError(f"storage={hidden(parsed)}: cannot be used: {first}") from error
            time.sleep(_LITTLE)
    raise AssertionError("the last try returns or raises")


@contextlib.contextmanager
def closing(storage: RDBStorage) -> Iterator[RDBStorage]:
    """Give its connections back at the end."""
    try:
        yield storage
    finally:
        storage.remove_session()
        storage.engine.dispose()


@contextlib.contextmanager
def turn(storage: RDBStorage, study: str) -> Iterator[None]:
    """Only one worker of a study at a time, on whatever machine, is inside."""
    kind = storage.engine.dialect.name
    if kind not in _LOCKS:
        with FileLock(f"{storage.engine.url.database}.{study}.lock"):
            yield
        return
    take, give = _LOCKS[kind]
    key = {"key": zlib.crc32(study.encode()) if kind == "postgresql" else f"fracture {study}"[:64]}
    with storage.engine.connect() as connection:
        got = connection.execute(text(take), key).scalar()
        if kind == "mysql" and got != 1:
            raise FractureError(f"study={study}: the database gives no lock (GET_LOCK answers {got})")
        try:
            yield
        finally:
            connection.execute(text(give), key)


@contextlib.contextmanager
def _alone(url: URL) -> Iterator[None]:
    """Two first processes must not create the same file."""
    if url.get_backend_name() != "sqlite":
        yield
        return
    path = Path(str(url.database))
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{path}.lock"):
        yield


def _with_driver(url: URL, kind: str) -> URL:
    module, extra = _DRIVERS[kind]
    if "+" in url.drivername:
        return url
    if find_spec(module) is None:
        raise ConfigError(f"storage={hidden(url)}: its driver {module} is not installed: pip install -e '.[{extra}]'")
    return url.set(drivername=f"{kind}+{module}")


def has_password(wanted: str) -> bool:
    """Whether a storage that was given is an address with a password."""
    return wanted != "auto" and bool(make_url(wanted).password)


def hidden(url: URL | str) -> str:
    """The address without its password."""
    return make_url(url).render_as_string(hide_password=True)
