"""Databases with the example projects of tests/data/projects."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from supabase_jobs.audit import baseline
from supabase_jobs.audit.audit import audit
from supabase_jobs.audit.options import Files, Options
from supabase_jobs.database.connection import Connection, connect
from supabase_jobs.findings import Access, Audit
from supabase_jobs.migrations.apply import apply_pending
from supabase_jobs.migrations.extensions import prepare
from supabase_jobs.sources.files import Migration, MigrationFiles, load_migrations
from supabase_jobs.sources.revocations import revocations
from tests.audit.catalogue import PROJECTS
from tests.fix_db import session_copy
from tests.programs import DEFAULT_MAJOR


@pytest.fixture(scope="session")
def project_url(request: pytest.FixtureRequest) -> Callable[[str], str]:
    """`project_url("teams")`: the URL of a database with the migrations of a project, made once for
    the session.
    """
    made: dict[str, str] = {}

    def url(name: str) -> str:
        if name not in made:
            database = session_copy(request, f"project_{name}", "services", DEFAULT_MAJOR)
            made[name] = database.url
            files = MigrationFiles(load_migrations(PROJECTS / name / "supabase" / "migrations"))
            with connect(database.superuser_url) as superuser:
                prepared = prepare(superuser, files)
            with connect(database.url) as connection:
                apply_pending(connection, prepared.files)
        return made[name]

    return url


@pytest.fixture
def project(
    project_url: Callable[[str], str], request: pytest.FixtureRequest
) -> Iterator[Connection]:
    """A transaction on the database of the project that the parameter names; undone after the test."""
    with (
        connect(project_url(request.param)) as connection,
        connection.transaction(force_rollback=True),
    ):
        yield connection


def run_audit(
    connection: Connection, accepted: Access | None = None, *, repairs: bool = True, sql: str = ""
) -> Audit:
    """Audit a local database; what goes beyond the accepted access gets a cause. Trying `repairs`
    takes most of the time. `sql` is the migration of the project.
    """
    revoked = revocations([Migration("1", "project", sql, "1_project.sql")])
    return audit(
        connection, Options(accepted=accepted, repairs=repairs, files=Files(revocations=revoked))
    )


@pytest.fixture(scope="session")
def unmodified(project_url: Callable[[str], str]) -> Callable[[str], Audit]:
    """`unmodified("teams")`: the audit of a project without a fault or repairs, made once for the
    session.
    """
    made: dict[str, Audit] = {}

    def of(name: str) -> Audit:
        if name not in made:
            with connect(project_url(name)) as connection:
                made[name] = run_audit(connection, repairs=False)
        return made[name]

    return of


def accepted(result: Audit, folder: Path) -> baseline.Baseline:
    """The baseline of an audit, written and read again, with a reason for each leak."""
    file = folder / "access.toml"
    file.write_text(baseline.render(result, baseline.Baseline()), encoding="utf-8")
    loaded = baseline.load(file)
    return replace(
        loaded,
        accepted=dict.fromkeys(loaded.accepted, "intended"),
        decisions=dict.fromkeys(loaded.decisions, "decided"),
    )


def decided(fix: str) -> str:
    """The statements of a fix, also if it is a comment because the project has to decide."""
    lines = fix.splitlines()
    if not all(line.startswith("--") for line in lines):
        return fix
    first = next(
        (n for n, line in enumerate(lines) if line.endswith((" run:", " row:"))), len(lines)
    )
    return "\n".join(line.removeprefix("-- ") for line in lines[first + 1 :])
