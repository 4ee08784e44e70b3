"""The three places that a log can have."""

from pathlib import Path

import pytest

from tests.postgres import new_database


@pytest.fixture(params=["folder", "sqlite", "postgres"])
def address(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "postgres":
        return new_database(request.getfixturevalue("postgres")).replace("+psycopg", "")
    return str(tmp_path / "log") if request.param == "folder" else f"sqlite:///{tmp_path / 'log.db'}"
