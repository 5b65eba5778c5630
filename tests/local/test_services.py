"""The schemas of Storage, Realtime and Vault on an embedded server: migrations can use them as
postgres.
"""

import psycopg
import pytest

from supabase_jobs.audit.audit import audit
from supabase_jobs.audit.options import Options
from supabase_jobs.database.connection import connect
from supabase_jobs.local.platform import load_services
from supabase_jobs.migrations.extensions import prepare
from supabase_jobs.sources.files import Migration, MigrationFiles
from tests.fix_db import Database, Make

MIGRATION = """
insert into storage.buckets (id, name, public) values ('documents', 'documents', false);
create policy "own folder" on storage.objects for all to authenticated
using (bucket_id = 'documents' and (storage.foldername(name))[1] = auth.uid()::text);
create policy "own topic" on realtime.messages for select to authenticated using (realtime.topic() = auth.uid()::text);
create table public.notes (id uuid primary key default extensions.uuid_generate_v4(), code text);
alter publication supabase_realtime add table public.notes;
select vault.create_secret('secret', 'name');
select cron.schedule('nightly', '0 0 * * *', 'select 1');
"""


@pytest.fixture
def database(make_database: Make) -> Database:
    """A platform with the services; loaded twice, as a second audit would."""
    made = make_database("platform")
    load_services(made.superuser_url)
    load_services(made.superuser_url)
    return made


def test_migration_uses_storage_realtime_vault_and_cron(database: Database) -> None:
    with connect(database.url) as connection:
        connection.execute(MIGRATION.encode())
        [folder] = connection.execute("select storage.foldername('a/b/c.png')").fetchall()
        assert folder == (["a", "b"],)


def test_storage_refuses_delete_outside_of_its_api(database: Database) -> None:
    with connect(database.url) as connection, connection.transaction(force_rollback=True):
        connection.execute("insert into storage.buckets (id, name) values ('b', 'b')")
        connection.execute("insert into storage.objects (bucket_id, name) values ('b', 'x')")
        with pytest.raises(psycopg.errors.InsufficientPrivilege), connection.transaction():
            connection.execute("delete from storage.objects")
        connection.execute("set local storage.allow_delete_query = 'true'")
        assert connection.execute("delete from storage.objects").rowcount == 1


def test_statements_about_missing_extensions_are_left_out(database: Database) -> None:
    text = (
        "create extension if not exists pg_net;\ncomment on extension pg_net is 'x';\nselect 2;\n"
    )
    files = MigrationFiles([Migration("1", "a", text, "1_a.sql")])
    with connect(database.superuser_url) as superuser:
        prepared = prepare(superuser, files)
    assert prepared.missing == ("pg_net",)
    [migration] = prepared.files.migrations
    assert "pg_net" not in migration.text
    assert migration.text.splitlines()[2] == "select 2;"


def test_exclusion_constraint_needs_no_btree_gist(database: Database) -> None:
    text = """
create extension btree_gist with schema extensions;
create table public.bookings (
  room_id uuid not null,
  kind text,
  during tstzrange not null,
  owner_id uuid not null default auth.uid() references auth.users,
  constraint no_overlap exclude using gist (room_id WITH =, kind with =, during with &&)
);
"""
    files = MigrationFiles([Migration("1", "a", text, "1_a.sql")])
    insert = "insert into public.bookings select %s, %s, tstzrange('2030-01-01', '2030-01-02'), id from auth.users"
    with connect(database.superuser_url) as superuser:
        prepared = prepare(superuser, files)
    with connect(database.url) as connection:
        connection.execute(prepared.files.migrations[0].text.encode())
        result = audit(connection, Options())
        assert (result.planted, result.not_tested) == (1, ())
        connection.execute(
            "insert into auth.users (id) values ('c0000000-0000-4000-8000-000000000003')"
        )
        connection.execute(insert, ("a0000000-0000-4000-8000-000000000001", "x"))
        connection.execute(insert, ("a0000000-0000-4000-8000-000000000001", "y"))
        connection.execute(insert, ("b0000000-0000-4000-8000-000000000002", "x"))
        with pytest.raises(psycopg.errors.ExclusionViolation, match="no_overlap"):
            connection.execute(insert, ("a0000000-0000-4000-8000-000000000001", "x"))


@pytest.mark.parametrize(
    "columns",
    [
        "gin (name gin_trgm_ops, alias extensions.gin_trgm_ops)",
        "gist (name gist_trgm_ops, alias extensions.gist_trgm_ops (siglen = 32))",
    ],
)
def test_an_index_of_trigrams_changes_no_answer_without_the_extension(
    database: Database, columns: str
) -> None:
    with connect(database.url) as connection:
        connection.execute("create extension if not exists pg_trgm with schema extensions")
        connection.execute("create table public.names (name text, alias varchar(9))")
        connection.execute(f"create index on public.names using {columns}".encode())
        # pages are split, and rows move between them
        connection.execute(
            "insert into public.names select 'name ' || n, n from generate_series(1, 3000) as n"
        )
        connection.execute("update public.names set name = upper(name) where alias like '%9'")
        connection.execute("vacuum public.names")
        connection.execute("reindex table public.names")
        connection.execute("set enable_seqscan = off")
        found = connection.execute(
            "select alias from public.names where name ilike '%me 2999%' and name %> 'name 2999'"
            " order by name <->> 'name 2999'"
        )
        assert found.fetchall() == [("2999",)]
