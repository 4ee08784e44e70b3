"""The storage: which addresses are taken, and that only one worker at a time is inside its turn."""

import multiprocessing
import time
from multiprocessing.synchronize import Barrier
from pathlib import Path

import pytest

from fracture.errors import ConfigError
from tuning import storage

_PROCESSES = multiprocessing.get_context("forkserver")


def nothing(*_: object) -> None:
    """Nobody needs to hear of stale trials here."""


def take_turns(url: str, log: Path, together: Barrier) -> None:
    """Note when this process enters and leaves its turn."""
    with storage.closing(storage.open_storage(url, nothing)) as kept:
        together.wait(60)
        for _ in range(5):
            with storage.turn(kept, "study"):
                with log.open("a") as file:
                    file.write("in\n")
                time.sleep(0.02)
                with log.open("a") as file:
                    file.write("out\n")


def test_the_default_is_a_file_at_the_project_root(tmp_path: Path) -> None:
    assert storage.address("auto") == f"sqlite:///{tmp_path / 'mlruns' / 'optuna.db'}"


def test_the_variable_replaces_the_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(storage.VARIABLE, "sqlite:///other.db")
    assert storage.address("auto") == f"sqlite:///{tmp_path / 'other.db'}"
    assert storage.address("sqlite:///mine.db") == f"sqlite:///{tmp_path / 'mine.db'}"


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        ("optuna.db", "is no URL"),
        ("sqlite://", "a study lives in a file"),
        ("sqlite:///:memory:", "a study lives in a file"),
        ("oracle://someone:secret@host/db", "Allowed: auto, sqlite:///FILE, postgresql://, mysql://"),
    ],
)
def test_addresses_that_are_refused(wanted: str, said: str) -> None:
    with pytest.raises(ConfigError) as raised:
        storage.address(wanted)
    assert said in str(raised.value)
    assert "secret" not in str(raised.value)


def test_a_driver_is_added_where_it_is_installed() -> None:
    pytest.importorskip("psycopg")
    assert storage.address("postgresql://a:b@host/db") == "postgresql+psycopg://a:b@host/db"
    assert storage.address("postgresql+psycopg2://a:b@host/db") == "postgresql+psycopg2://a:b@host/db"


def test_a_missing_driver_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storage, "find_spec", lambda _: None)
    with pytest.raises(ConfigError, match=r"pymysql is not installed: pip install -e '\.\[mysql\]'"):
        storage.address("mysql://a:b@host/db")


def test_a_server_that_does_not_answer_is_told_without_its_password() -> None:
    pytest.importorskip("psycopg")
    with pytest.raises(ConfigError, match="cannot be used") as raised:
        storage.open_storage("postgresql+psycopg://a:secret@127.0.0.1:9/db", nothing)
    assert "secret" not in str(raised.value)


def test_a_file_that_is_no_database_is_told(tmp_path: Path) -> None:
    (tmp_path / "text.db").write_text("no database at all, and long enough to be read as one" * 20)
    with pytest.raises(ConfigError, match="cannot be used"):
        storage.open_storage(f"sqlite:///{tmp_path / 'text.db'}", nothing)


def turns_are_exclusive(url: str, log: Path) -> None:
    together = _PROCESSES.Barrier(3)
    workers = [_PROCESSES.Process(target=take_turns, args=(url, log, together)) for _ in range(3)]
    for one in workers:
        one.start()
    for one in workers:
        one.join()
        assert one.exitcode == 0
    assert log.read_text().split() == ["in", "out"] * 15


@pytest.mark.slow
def test_turns_at_a_file_which_none_of_the_workers_has_made(tmp_path: Path) -> None:
    turns_are_exclusive(f"sqlite:///{tmp_path / 'new' / 'optuna.db'}", tmp_path / "log")
