"""The PostgreSQL that other tests use is a real one, and its databases are apart."""

from sqlalchemy import create_engine, text

from tests.postgres import new_database


def test_databases_are_apart(postgres: str) -> None:
    first, second = (create_engine(new_database(postgres)) for _ in range(2))
    with first.begin() as link:
        assert link.execute(text("select version()")).scalar_one().startswith("PostgreSQL")
        link.execute(text("create table here (a int)"))
    with second.begin() as link:
        assert link.execute(text("select count(*) from pg_tables where tablename = 'here'")).scalar_one() == 0
    first.dispose()
    second.dispose()
