"""A database with a project that has every kind of object, on each major version."""

from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest

from supabase_jobs.projects.catalog import Facts, read_facts
from tests.fix_db import Database, session_copy

PROJECT = Path(__file__).parent / "drift" / "project.sql"


@pytest.fixture(scope="session")
def drift_project(request: pytest.FixtureRequest) -> Callable[[int], tuple[Database, Facts]]:
    """`drift_project(17)`: a database with the project, and its facts. It goes with its server."""
    made: dict[int, tuple[Database, Facts]] = {}

    def project(major: int) -> tuple[Database, Facts]:
        if major not in made:
            database = session_copy(request, "drift", "services", major)
            with psycopg.connect(database.url, autocommit=True) as connection:
                connection.execute(PROJECT.read_bytes())
                made[major] = database, read_facts(connection)
        return made[major]

    return project
