"""The project notebooks in a database of its own, and suites for it."""

import shutil
import sys
from pathlib import Path

from supabase_jobs.database.connection import connect
from supabase_jobs.migrations.apply import apply_pending
from supabase_jobs.sources.files import MigrationFiles, load_migrations
from tests.fix_db import Database, Make

NOTEBOOKS = Path(__file__).parents[1] / "data" / "notebooks"
# a suite that only connects
CONNECTS = f"{sys.executable} -c 'import os, psycopg; psycopg.connect(os.environ[\"DATABASE_URL\"]).close()'"


def notebooks(make_database: Make, major: int) -> Database:
    """A database with the migrations of the project."""
    database = make_database("platform", major)
    with connect(database.url) as connection:
        apply_pending(
            connection, MigrationFiles(load_migrations(NOTEBOOKS / "supabase" / "migrations"))
        )
    return database


def copy_suite(folder: Path) -> None:
    """The suite that tests reads only."""
    folder.mkdir(exist_ok=True)
    shutil.copy(NOTEBOOKS / "test_reads.py.txt", folder / "test_reads.py")


def copies(database: Database) -> list[str]:
    """The names of the copies on the server."""
    rows = database.server.admin.execute(
        "select datname from pg_database where datname like 'supabase_jobs_mutate_%'"
    )
    return [name for (name,) in rows.fetchall()]
