"""Two audits that are compared have the same rows and callers, so that only what a migration
changes differs.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from supabase_jobs.audit import catalog
from supabase_jobs.audit.audit import audit
from supabase_jobs.audit.common import Common
from supabase_jobs.audit.difference import compare
from supabase_jobs.audit.options import Comparison, Options
from supabase_jobs.database.connection import Connection, connect
from supabase_jobs.findings import AccessDiff
from tests.fix_db import Make

# which rows are visible depends on a generated number
NOTES = """
create table notes (
  id bigint generated always as identity primary key,
  user_id uuid not null default auth.uid() references auth.users,
  level int not null, shared boolean not null default false, body text
);
alter table notes enable row level security;
create policy "odd" on notes for select using (level % 2 = 1);
"""


@pytest.fixture
def database(make_database: Make) -> Iterator[Connection]:
    """A transaction on a database with a table, undone after the test."""
    with (
        connect(make_database("platform").url) as connection,
        connection.transaction(force_rollback=True),
    ):
        connection.execute(NOTES)
        yield connection


def difference(
    connection: Connection, sql: str, *, common: Callable[[], Common] | None = None
) -> AccessDiff:
    """Changes by a statement; by default, the audits have everything in common."""
    shared = Common()
    options = Options(stable=True, comparison=Comparison(common=shared), repairs=False)
    with connection.transaction(force_rollback=True):
        connection.execute(sql.encode())
        shared.add(catalog.read(connection, options.served), options.files.configuration.words)
    first = audit(connection, options)
    connection.execute(sql.encode())
    comparison = Comparison(common=shared if common is None else common())
    options = replace(options, accepted=first.access, comparison=comparison)
    return compare(first, audit(connection, options), ("before", "after"))


def ids(diff: AccessDiff) -> list[str]:
    return [change.id for change in diff.changes]


def test_another_table_does_not_change_the_rows_of_others(database: Connection) -> None:
    diff = difference(database, "create table aaa (id int primary key)")
    assert [i for i in ids(diff) if "aaa" not in i] == []
    assert "new:public.aaa" in ids(diff)


def test_rows_with_other_numbers_would_differ(database: Connection) -> None:
    """The reason for `Common`: without it, the same table changes what is visible."""
    diff = difference(database, "create table aaa (id int primary key)", common=Common)
    assert [i for i in ids(diff) if "public.notes" in i]


def test_a_state_that_only_the_new_policy_mentions_is_compared(database: Connection) -> None:
    diff = difference(database, 'create policy "shared" on notes for select using (shared)')
    assert diff.not_compared == ()
    assert [i for i in ids(diff) if i.endswith("anon:read")] == [
        "wider:public.notes (shared = true):anon:read"
    ]


def test_a_header_that_only_the_new_policy_mentions_is_compared(database: Connection) -> None:
    header = "nullif(current_setting('request.headers', true), '')::json ->> 'x-level'"
    diff = difference(
        database, f"create policy \"header\" on notes for select using ({header} = 'top')"
    )
    assert diff.not_compared == ()
    assert [i for i in ids(diff) if i.startswith("wider:")] == [
        "wider:public.notes:anon with the header x-level = top:read"
    ]


# views that hide rows, that hide none, and whose rows show no row of their tables
VIEWS = """
create view own with (security_invoker = true) as select * from notes;
create table tags (name text primary key);
grant select on tags to anon, authenticated;
create view listed with (security_invoker = true) as select name, 1 as one from tags;
create view total as select count(*) from notes;
grant select, update, delete on own, listed, total to anon, authenticated;
"""


def test_a_privilege_on_a_view_is_an_access_of_its_callers(database: Connection) -> None:
    database.execute("create policy own on notes using (user_id = (select auth.uid()))")
    database.execute(VIEWS.encode())
    diff = difference(database, "revoke all on own, listed, total from authenticated")
    assert diff.not_compared == ()
    narrower = [i.removeprefix("narrower:public.") for i in ids(diff)]
    assert [i for i in narrower if i.split(":")[1] in ("owner", "stranger")] == [
        "listed:stranger:delete",
        "listed:stranger:read",
        "listed:stranger:update",
        "listed:owner:delete",
        "listed:owner:read",
        "listed:owner:update",
        "own:owner:delete",
        "own:owner:read",
        "own:owner:update",
        "total:stranger:read",
        "total:owner:read",
    ]
    assert {i.split(":")[1] for i in narrower} == {"newcomer", "stranger", "owner"}
