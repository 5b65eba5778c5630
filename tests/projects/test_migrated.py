"""A project on an embedded server: its roles come before its migrations."""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from supabase_jobs.errors import MigrationError
from supabase_jobs.projects.migrated import before_and_after, migrated, migrated_server
from supabase_jobs.projects.narration import Narration
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
        migrated_server(project, files(project)),
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


def test_a_list_of_buckets_stops_no_project(project: Path) -> None:
    """Version 3 of the Supabase CLI refuses the file; version 2 passes over the list."""
    (project / "supabase" / "config.toml").write_text(
        '[[storage.buckets]]\nname = "images"\npublic = true\n'
        '[[storage.buckets]]\nname = "files"\n[[storage.buckets]]\npublic = true\n'
    )
    notes: list[str] = []
    with migrated(project, files(project), narration=Narration(note=notes.append)) as built:
        found = built.connection.execute(
            "select id, public from storage.buckets order by id"
        ).fetchall()
    assert found == [("files", False), ("images", True)]
    assert any("[storage.buckets.NAME]" in note for note in notes)


EVENT = """
create function public.on_event() returns event_trigger language plpgsql as $$
begin
  if (select rolsuper from pg_roles where rolname = current_user) then
    execute format('copy (select 1) to program %L', 'touch {marker}_' || replace(tg_tag, ' ', '_'));
  end if;
end $$;
"""
EVENTS = ("ddl_command_start", "ddl_command_end", "sql_drop", "login")
BEFORE = "create extension pg_trgm with schema extensions; create table public.old ();"
LATER = """
create extension unaccent;
create extension vector with schema extensions;
alter extension pg_trgm set schema public;
alter role authenticator set pgrst.db_aggregates_enabled = 'true';
drop table public.old;
"""


@pytest.fixture
def marker(tmp_path: Path) -> Iterator[Path]:
    """The beginning of the paths of files that an event trigger touches as the superuser."""
    marker = Path(tempfile.gettempdir()) / f"fired_{tmp_path.name}_{os.getpid()}"
    yield marker
    for file in fired(marker):
        file.unlink()


def fired(marker: Path) -> list[Path]:
    return list(marker.parent.glob(f"{marker.name}_*"))


def event_triggers(marker: Path, major: int) -> str:
    """A migration with an event trigger of each event in each state."""
    texts = [EVENT.replace("{marker}", str(marker))]
    for event in EVENTS if major > 16 else EVENTS[:-1]:
        for state in ("origin", "always", "replica"):
            name = f"{event}_{state}"
            texts.append(f"create event trigger {name} on {event} execute function on_event();")
            if state != "origin":
                texts.append(f"alter event trigger {name} enable {state};")
    return "\n".join(texts)


STATES = """
select evtname::text, evtenabled::text from pg_event_trigger
where evtname !~ '^pgrst_' order by evtname
"""
ENABLED = {"origin": "O", "always": "A", "replica": "R"}


@pytest.mark.parametrize("major", [16, 18])
def test_event_triggers_never_run_as_the_superuser(project: Path, marker: Path, major: int) -> None:
    folder = project / "supabase" / "migrations"
    (folder / FILE).write_text(BEFORE)
    (folder / "20250102000000_b.sql").write_text(event_triggers(marker, major))
    (folder / "20250103000000_c.sql").write_text(LATER)
    with migrated(project, files(project), major=major) as built:
        states = built.connection.execute(STATES).fetchall()
    assert built.lacking == ()
    assert fired(marker) == []
    events = EVENTS if major > 16 else EVENTS[:-1]
    assert states == sorted((f"{e}_{s}", ENABLED[s]) for e in events for s in ENABLED)


@pytest.mark.parametrize("major", [16, 18])
def test_event_triggers_of_an_earlier_state_neither(
    project: Path, marker: Path, major: int
) -> None:
    (project / "supabase" / "config.toml").write_text(f"[db]\nmajor_version = {major}\n")
    folder = project / "supabase" / "migrations"
    (folder / FILE).write_text(BEFORE)
    (folder / "20250102000000_b.sql").write_text(event_triggers(marker, major))
    earlier = files(project)
    (folder / "20250103000000_c.sql").write_text(LATER)
    with before_and_after(project, earlier, files(project)) as (before, after):
        assert before.lacking == after.lacking == ()
        both = [built.connection.execute(STATES).fetchall() for built in (before, after)]
    assert both[0] == both[1] != []
    assert fired(marker) == []
