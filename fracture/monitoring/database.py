"""Rows in a table of SQLite or PostgreSQL, and corrections in another one."""

import importlib.util
import json
import os
import re
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

import sqlalchemy as sa
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, OperationalError, SQLAlchemyError

from fracture.errors import ConfigError
from fracture.failures import sentence
from fracture.monitoring import correction
from fracture.monitoring.correction import Correction
from fracture.monitoring.record import LATER, NAMES, Record, parse
from fracture.privacy import without_secrets

ALLOWED = "Allowed: a folder, sqlite:///FILE, postgresql://USER@HOST/NAME"
TABLE, CORRECTED = "fracture_answers", "fracture_corrections"
_KINDS = {
    "fracture": sa.Boolean, "refer": sa.Boolean, "fracture_probability": sa.Float, "confidence": sa.Float,
    "latency": sa.Float, "distance": sa.Float, "v": sa.Integer,
}  # fmt: skip
_JSON = ("probabilities", "traits")
_PLAIN = re.compile(r"[\w+]+://[^:/@]*:[^@]*[\s/?#'\"<>][^@]*@")  # a password that no message could leave out
_PATIENCE = 5  # seconds that a connection or a lock is waited for
_TRIES, _PAUSE = 10, 0.1  # of making the tables, and seconds between them
_AT_ONCE = 2000  # rows that are read together


class DatabaseLog:
    """One table; the time of a row is indexed."""

    def __init__(self, address: str, *, make: bool) -> None:
        """Connect.

        Raises:
            ConfigError: another kind of database, its driver is missing, it does not answer, or has no such table and
                none is to be made.
        """
        self._shown = without_secrets(address)
        url = _checked(address, self._shown)
        if url.get_backend_name() == "postgresql":
            self._engine = sa.create_engine(url, pool_pre_ping=True, connect_args={"connect_timeout": _PATIENCE})
        else:
            self._engine = self._sqlite(url, make)
        number = sa.BigInteger().with_variant(sa.Integer, "sqlite")
        columns: list[sa.Column[Any]] = [
            sa.Column(name, _KINDS.get(name, sa.Text), index=name == "time") for name in NAMES
        ]
        self._table = sa.Table(TABLE, sa.MetaData(), sa.Column("id", number, primary_key=True), *columns)
        said: list[sa.Column[Any]] = [sa.Column(name, _KINDS.get(name, sa.Text)) for name in correction.NAMES]
        self._said = sa.Table(CORRECTED, self._table.metadata, sa.Column("id", number, primary_key=True), *said)
        try:
            self._open(make)
        except ConfigError:
            self.close()
            raise

    def write(self, rows: Sequence[Record]) -> None:
        """Add rows, all or none.

        Raises:
            SQLAlchemyError: the database does not take them.
        """
        values = [{**vars(row), **{name: json.dumps(getattr(row, name)) for name in _JSON}} for row in rows]
        with self._engine.begin() as link:
            link.execute(sa.insert(self._table), values)

    def read(self, since: str = "") -> Iterator[Record]:
        """Rows from a moment on, in order of time."""
        query = sa.select(*(self._table.c[name] for name in self._there)).where(self._table.c.time >= since)
        try:
            with (
                self._engine.connect().execution_options(yield_per=_AT_ONCE) as link,
                link.execute(query.order_by(self._table.c.time)) as found,  # closed where not all rows are wanted
            ):
                for row in found.mappings():
                    yield parse({**row, **{name: json.loads(row[name]) for name in _JSON if row.get(name)}})
        except SQLAlchemyError as error:
            raise ConfigError(f"{self._shown}: cannot be read as a log: {sentence(error)}") from None

    def correct(self, one: Correction) -> None:
        """Add a correction; it is stored when this returns.

        Raises:
            SQLAlchemyError: the database does not take it.
        """
        with self._engine.begin() as link:
            link.execute(sa.insert(self._said), vars(one))

    def corrections(self, since: str = "") -> Iterator[Correction]:
        """Corrections from a moment on; none of a log from before there were any."""
        query = sa.select(*(self._said.c[name] for name in correction.NAMES)).where(self._said.c.time >= since)
        try:
            if sa.inspect(self._engine).has_table(CORRECTED):
                with self._engine.connect() as link:
                    for row in link.execute(query.order_by(self._said.c.time)).mappings():
                        yield correction.parse({**row})
        except SQLAlchemyError as error:
            raise ConfigError(f"{self._shown}: cannot be read as a log: {sentence(error)}") from None

    def forget(self, before: str) -> int:
        """Delete the rows before a moment; how many."""
        with self._engine.begin() as link:
            link.execute(sa.delete(self._said).where(self._said.c.time < before))
            return int(link.execute(sa.delete(self._table).where(self._table.c.time < before)).rowcount)

    def close(self) -> None:
        """Close all connections."""
        self._engine.dispose()

    def _sqlite(self, url: sa.URL, make: bool) -> sa.Engine:
        """A file of SQLite; where nobody can write to it, as on a medium that is read only, it is only read."""
        path, wait = Path(url.database or ""), {"timeout": _PATIENCE}
        if not make and not path.is_file():
            raise ConfigError(f"{self._shown}: no such file. {ALLOWED}")  # SQLite would make an empty one
        if not make and not os.access(path.parent, os.W_OK) and not path.with_name(f"{path.name}-wal").exists():
            fixed = {"immutable": "1", "uri": "true"}
            url = url.set(database=f"file:{quote(str(path.absolute()))}", query=fixed)
            return sa.create_engine(url, connect_args=wait)
        engine = sa.create_engine(url, pool_pre_ping=True, connect_args=wait)
        sa.event.listen(engine, "connect", _readable_meanwhile)
        return engine

    def _open(self, make: bool) -> None:
        try:
            self._engine.connect().close()
            if make:
                self._make()
            with self._engine.connect() as link:
                link.execute(sa.select(self._table.c.id).limit(1))
            self._there = self._columns()
        except OperationalError as error:
            raise ConfigError(f"{self._shown}: does not answer as a log: {sentence(error)}") from None
        except SQLAlchemyError as error:
            raise ConfigError(f"{self._shown}: has no log: {sentence(error)}") from None

    def _make(self) -> None:
        """Make the tables and columns that are missing; again where another server does so at the same moment."""
        for left in reversed(range(_TRIES)):
            try:
                self._table.metadata.create_all(self._engine)
                there = self._columns()
                with self._engine.begin() as link:
                    for name in (one for one in NAMES if one not in there):
                        kind = self._table.c[name].type.compile(self._engine.dialect)
                        link.execute(sa.text(f'ALTER TABLE {TABLE} ADD COLUMN "{name}" {kind}'))
                return
            except DBAPIError:
                if not left:
                    raise
                time.sleep(_PAUSE)

    def _columns(self) -> tuple[str, ...]:
        """The columns that there are; a table of an earlier version lacks some until somebody writes to it.

        Raises:
            ConfigError: one is missing that every version had.
        """
        known = {str(column["name"]) for column in sa.inspect(self._engine).get_columns(TABLE)}
        missing = [name for name in NAMES if name not in known]
        if lost := sorted(set(missing) - LATER):
            raise ConfigError(f"{self._shown}: has no log: {TABLE} has no column {', '.join(lost)}")
        return tuple(name for name in NAMES if name in known)


def _checked(address: str, shown: str) -> sa.URL:
    """What an address names, with the driver that is used.

    Raises:
        ConfigError: another kind of database, or its driver is missing.
    """
    try:
        url = make_url(address)
    except ArgumentError:
        raise ConfigError(f"{shown}: is no address of a database. {ALLOWED}") from None
    kind = url.get_backend_name()
    if kind == "sqlite" and url.database not in (None, "", ":memory:"):
        return url.set(drivername="sqlite")
    if kind != "postgresql":
        raise ConfigError(f"{shown}: {ALLOWED}")
    if _PLAIN.match(address):
        raise ConfigError(
            "--log postgresql://...: the password holds a blank or one of / ? # ' \" < >. Write these as addresses do, "
            "such as %2F for a slash"
        )
    if importlib.util.find_spec("psycopg") is None:
        raise ConfigError(f"{shown}: PostgreSQL needs more: pip install -e '.[postgres]'")
    return url.set(drivername="postgresql+psycopg")


def _readable_meanwhile(link: Any, _: object) -> None:
    """Readers and a writer do not wait for each other."""
    link.execute("PRAGMA journal_mode=WAL").close()
