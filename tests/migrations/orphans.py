"""A project whose migrations an agent has applied under versions and names of its own."""

from dataclasses import dataclass
from pathlib import Path

import psycopg

from supabase_jobs.database.connection import connect
from supabase_jobs.migrations.apply import apply_pending
from supabase_jobs.sources.files import Migration, MigrationFiles

COUNT = 37
# the files that were edited after the agent applied them, the one that it did not record, and the
# row of a migration that no file has
EDITED = (5, 20)
UNRECORDED = 30
EXTRA = "20260601999999"


@dataclass(frozen=True)
class Orphans:
    """The folder of the project, and what the files are named before."""

    folder: Path
    names: tuple[str, ...]


def _text(number: int) -> str:
    return (
        f"-- step {number}\n"
        f"create table public.t{number} (id bigint primary key, owner uuid default auth.uid());\n"
        f"alter table public.t{number} enable row level security;\n\n"
        f"create policy own on public.t{number} using (owner = auth.uid());\n"
    )


def _by_agent(number: int) -> str:
    """The statements as an agent sends them: without comments, in one line each, with quotes."""
    lines = [line for line in _text(number).splitlines() if line and not line.startswith("--")]
    return "\n".join(line.replace(f"public.t{number}", f'"public"."t{number}"') for line in lines)


def make(url: str, folder: Path, count: int = COUNT) -> Orphans:
    """Write the files, and apply them as the agent does; the effect of each is in the database."""
    migrations = folder / "supabase" / "migrations"
    migrations.mkdir(parents=True)
    (folder / "supabase" / "config.toml").write_text('project_id = "orphans"\n')
    applied = []
    for number in range(count):
        version = f"{20260601000000 + number * 100}"
        path = migrations / f"{20260501000000 + number}_step_{number}.sql"
        text = _text(number)
        if number in EDITED:
            text = text.replace("owner uuid", "label text, owner uuid")
        path.write_text(text)
        if number != UNRECORDED:
            name = f"agent_{number}"
            applied.append(Migration(version, name, _by_agent(number), f"{version}_{name}.sql"))
    extra = "create table public.extra (id bigint); -- by hand"
    applied.append(Migration(EXTRA, "extra", extra, f"{EXTRA}_extra.sql"))
    with connect(url) as connection:
        apply_pending(connection, MigrationFiles(applied))
    if count > UNRECORDED:
        with psycopg.connect(url) as connection:
            connection.execute(_text(UNRECORDED).encode())
    return Orphans(folder, tuple(sorted(p.name for p in migrations.iterdir())))


def count_ddl(superuser_url: str) -> None:
    """Make the database count DDL in a table of the platform."""
    with psycopg.connect(superuser_url) as connection:
        connection.execute(
            """
            create table extensions.ddl (tag text);
            create function extensions.note_ddl() returns event_trigger language plpgsql
            security definer as $$ begin insert into extensions.ddl values (tg_tag); end $$;
            create event trigger note_ddl on ddl_command_end execute function extensions.note_ddl();
            create event trigger note_drops on sql_drop execute function extensions.note_ddl();
            """
        )


def counted_ddl(superuser_url: str) -> list[tuple[object, ...]]:
    """The tags of the DDL commands since `count_ddl`."""
    with psycopg.connect(superuser_url) as connection:
        return connection.execute("select tag from extensions.ddl").fetchall()
