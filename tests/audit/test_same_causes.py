"""Twelve faults have the same causes and fixes with `--db-url` on PostgreSQL 17 as on the embedded
server.
"""

import shutil
from pathlib import Path

import pytest

from supabase_jobs.database.connection import connect
from supabase_jobs.migrations.apply import apply_pending
from supabase_jobs.migrations.extensions import prepare
from supabase_jobs.sources.files import MigrationFiles, load_migrations
from tests.audit.catalogue import PROJECTS, groups, project
from tests.fix_cli import Ran, Run
from tests.fix_db import Make

pytestmark = pytest.mark.slow
_KEYS = ("id", "severity", "cause", "fix", "proven")


def explained(ran: Ran) -> list[dict[str, object]]:
    """The errors and warnings, with their causes and fixes."""
    problems = [f for f in ran.json["findings"] if f["severity"] in ("error", "warning")]
    return [{key: finding[key] for key in _KEYS} for finding in problems]


@pytest.mark.parametrize(("name", "number"), [("teams", 9), ("chat", 3)])
def test_faults_have_the_same_causes_and_fixes(
    cli: Run, make_database: Make, tmp_path: Path, name: str, number: int
) -> None:
    folder = tmp_path / name
    shutil.copytree(PROJECTS / name / "supabase", folder / "supabase")
    faults = groups(project(name).faults)[0][:number]
    assert len(faults) == number
    migrations = folder / "supabase" / "migrations"
    text = ";\n".join(fault.sql for fault in faults)
    (migrations / "20990101000000_faults.sql").write_text(text, encoding="utf-8")
    database = make_database("services", 17)
    files = MigrationFiles(load_migrations(migrations))
    with connect(database.superuser_url) as superuser:
        prepared = prepare(superuser, files)
    with connect(database.url) as connection:
        apply_pending(connection, prepared.files)
    embedded = cli("audit", "--json", cwd=folder)
    copied = cli("--db-url", database.url, "audit", "--json", cwd=folder)
    found = {f["id"] for f in embedded.json["findings"]}
    assert found >= {fault.finds.split()[1] for fault in faults}
    assert explained(copied) == explained(embedded)
