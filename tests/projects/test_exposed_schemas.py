"""The schemas that requests reach: those of the database's own setting, else of the configuration."""

from pathlib import Path

import psycopg
import pytest
from psycopg.sql import SQL, Identifier

from supabase_jobs.projects.exposed_schemas import project_ref, served_schemas
from tests.fix_cli import Run
from tests.fix_db import Database, Make

REF = "abcdefghijklmnopqrst"
CONFIG = f"""[api]
schemas = ["public"]
[remotes.live]
project_id = "{REF}"
[remotes.live.api]
schemas = ["public", "shop"]
"""
OPEN = "create schema {0}; create table {0}.notes (id int primary key, owner uuid);" + (
    "grant usage on schema {0} to anon; grant select on {0}.notes to anon;"
)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "supabase").mkdir()
    (tmp_path / "supabase" / "config.toml").write_text(CONFIG)
    return tmp_path


def expose(database: Database, schemas: str, *, everywhere: bool = False) -> None:
    where = SQL("") if everywhere else SQL("in database {}").format(Identifier(database.name))
    with psycopg.connect(database.superuser_url, autocommit=True) as connection:
        statement = SQL("alter role authenticator {} set pgrst.db_schemas = {}")
        connection.execute(statement.format(where, schemas))


def test_the_setting_of_a_database_counts_before_the_configuration(
    make_database: Make, project: Path
) -> None:
    database = make_database("platform")
    with psycopg.connect(database.url) as connection:
        assert served_schemas(project, database.url, connection) == ("public",)
        expose(database, "api, shop")
        assert served_schemas(project, database.url, connection) == ("api", "shop")


def test_the_remote_of_the_project_in_the_url_counts(make_database: Make, project: Path) -> None:
    url = f"postgresql://postgres.{REF}@aws-0-eu-central-1.pooler.supabase.com:6543/postgres"
    with psycopg.connect(make_database("platform").url) as connection:
        assert served_schemas(project, url, connection) == ("public", "shop")


@pytest.mark.parametrize(
    ("url", "ref"),
    [
        (f"postgresql://postgres:secret@db.{REF}.supabase.co:5432/postgres", REF),
        (f"postgresql://postgres.{REF}:s@aws-0-eu-west-1.pooler.supabase.com:5432/postgres", REF),
        (f"host=db.{REF}.supabase.co user=postgres", REF),
        ("postgresql://postgres@aws-0-eu-west-1.pooler.supabase.com/postgres", None),
        (f"postgresql://postgres@db.{REF}.example.com/postgres", None),
        ("postgresql://postgres@127.0.0.1:5432/postgres", None),
        (None, None),
    ],
)
def test_the_url_of_a_hosted_project_names_it(url: str | None, ref: str | None) -> None:
    assert project_ref(url) == ref


def test_audit_tests_the_schema_that_a_database_exposes(
    make_database: Make, cli: Run, project: Path
) -> None:
    database = make_database("platform")
    with psycopg.connect(database.url, autocommit=True) as connection:
        for schema in ("shop", "hidden"):
            connection.execute(OPEN.format(schema).encode())
    expose(database, "public,shop")
    ran = cli("audit", "--in-place", "--db-url", database.url, "--json", cwd=project)
    objects = {cell["object"] for cell in ran.json["matrix"]}
    assert "shop.notes" in objects
    assert "hidden.notes" not in objects


def test_a_schema_that_grants_open_is_served_if_no_other_is(
    make_database: Make, cli: Run, project: Path
) -> None:
    database = make_database("platform")
    with psycopg.connect(database.url, autocommit=True) as connection:
        connection.execute(OPEN.format("shop").encode())
        # policies may use it, and requests reach no table in it
        connection.execute(b"create schema helpers; grant usage on schema helpers to anon")
        connection.execute(b"create table helpers.secrets (id int primary key)")
    ran = cli("audit", "--in-place", "--db-url", database.url, "--json", cwd=project)
    assert {cell["object"] for cell in ran.json["matrix"]} == {"shop.notes"}
    assert "may use shop: taken as served" in ran.err
    with psycopg.connect(database.url, autocommit=True) as connection:
        connection.execute(OPEN.format("public").replace("create schema public;", "").encode())
        assert served_schemas(project, database.url, connection) == ("public",)
