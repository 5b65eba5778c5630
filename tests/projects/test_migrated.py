"""A project on an embedded server: its roles come before its migrations."""

import os
import tempfile
from pathlib import Path

import pytest

from supabase_jobs.errors import MigrationError
from supabase_jobs.projects.migrated import migrated, served
from supabase_jobs.sources.files import MigrationFiles, load_migrations

ROLES = "create role reporting;\nalter role authenticator set pgrst.db_aggregates_enabled = 'true';"
FILE = "20250101000000_a.sql"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "supabase" / "migrations"
    folder.mkdir(parents=True)
    (folder / FILE).write_text("create table public.a ();\ngrant select on a to reporting;")
    (tmp_path / "supabase" / "roles.sql").write_text(ROLES)
    return tmp_path


def files(project: Path) -> MigrationFiles:
    return MigrationFiles(load_migrations(project / "supabase" / "migrations"))


def test_roles_are_created_before_the_migrations(project: Path) -> None:
    with migrated(project, files(project)) as built:
        assert built.lacking == ()
        granted = "select has_table_privilege('reporting', 'public.a', 'select')"
        assert built.connection.execute(granted.encode()).fetchone() == (True,)


def test_a_statement_that_fails_is_an_error_where_everything_is_needed(project: Path) -> None:
    file = project / "supabase" / "migrations" / FILE
    file.write_text("select 1;\ncreate policy p on nowhere using (true);")
    missing = 'relation "nowhere" does not exist'
    with (
        pytest.raises(MigrationError, match=missing) as caught,
        served(project, files(project)),
    ):
        raise AssertionError
    assert (caught.value.file, caught.value.line) == (str(file), 2)


def test_buckets_of_the_configuration_exist(project: Path) -> None:
    (project / "supabase" / "config.toml").write_text(
        '[storage.buckets.images]\npublic = true\nallowed_mime_types = ["image/png"]\n'
        "[storage.buckets.files]\n"
    )
    with migrated(project, files(project)) as built:
        found = built.connection.execute(
            "select id, public, allowed_mime_types from storage.buckets order by id"
        ).fetchall()
    assert found == [("files", False, None), ("images", True, ["image/png"])]


EVENT = """
create function public.on_event() returns event_trigger language plpgsql as $$
begin
  if (select rolsuper from pg_roles where rolname = current_user) then
    execute 'copy (select 1) to program ''touch {marker}''';
  end if;
end $$;
create event trigger on_event on ddl_command_end execute function public.on_event();
create event trigger on_drop on sql_drop execute function public.on_event();
"""


def test_event_triggers_never_run_as_the_superuser(project: Path) -> None:
    marker = Path(tempfile.gettempdir()) / f"fired_{project.name}_{os.getpid()}"
    file = project / "supabase" / "migrations" / FILE
    file.write_text(EVENT.replace("{marker}", str(marker)))
    (file.parent / "20250102000000_b.sql").write_text("create extension unaccent;")
    try:
        with migrated(project, files(project)) as built:
            query = "select count(*) from pg_event_trigger where evtname in ('on_event', 'on_drop')"
            assert built.connection.execute(query).fetchone() == (2,)
        assert not marker.exists()
    finally:
        marker.unlink(missing_ok=True)
