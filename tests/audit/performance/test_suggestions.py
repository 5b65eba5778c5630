"""Causes of slow requests: each kind is reported, and SQL is a fix only if its trial proves it."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from supabase_jobs.audit import catalog
from supabase_jobs.audit.audit import audit
from supabase_jobs.audit.options import Options
from supabase_jobs.audit.performance import kinds
from supabase_jobs.audit.performance.suggestion import Effect, Suggestion
from supabase_jobs.database.connection import Connection, connect
from supabase_jobs.findings import AuditFinding, Severity
from tests.audit.catalogue import names
from tests.fix_db import Make, oldest_and_newest

LIBRARY = Path(__file__).with_name("library.sql").read_text(encoding="utf-8")

PROVEN = {
    "row-call:public.loans:loans: own": "(select auth.uid())",
    "row-call:public.loans:loans: librarians": "(select public.is_librarian())",
    "row-call:public.loans:loans: borrow": "with check",
    "row-call:public.librarians:librarians: own": "(select current_setting(",
    "foreign-key:public.loans:loans_reader_id_fkey": "on public.loans (reader_id)",
    "foreign-key:public.readers:readers_branch_id_fkey": "on public.readers (branch_id)",
    "policy-column:public.notices:author": "on public.notices (author)",
    "duplicate-index:public.loans:loans_by_title_again": "drop index public.loans_by_title_again",
}
COMMENTS = {
    "row-function:public.branches:public.reads_at": "No rewrite is known.",
    "permissive-policies:public.loans:loans: librarians + loans: own": "PostgreSQL joins",
    "permissive-policies:public.notices:notices: all + notices: own": 'drop policy "notices: all"',
    "primary-key:public.shelf_counts:none": "add primary key (shelf, counted_at)",
}


@contextmanager
def planted(url: str) -> Iterator[Connection]:
    """A transaction with the planted project."""
    with connect(url) as connection, connection.transaction(force_rollback=True):
        connection.execute(LIBRARY.encode())
        yield connection


@pytest.fixture
def library(make_database: Make) -> Iterator[Connection]:
    with planted(make_database("services").url) as connection:
        yield connection


def suggestions(connection: Connection) -> Mapping[str, AuditFinding]:
    found = audit(connection, Options(repairs=False, performance=True)).performance
    return {finding.id.removeprefix("performance:"): finding for finding in found}


@oldest_and_newest
def test_each_kind_is_reported_with_what_was_tried(make_database: Make, each_major: int) -> None:
    with planted(make_database("services", each_major).url) as library:
        found = suggestions(library)
    assert {name: f.fix for name, f in found.items() if f.proven}.keys() == PROVEN.keys()
    assert {name: f.fix for name, f in found.items() if not f.proven}.keys() == COMMENTS.keys()
    for name, text in PROVEN.items():
        assert text in found[name].fix
    for name, text in COMMENTS.items():
        fix = found[name].fix
        assert text in fix
        assert all(line.startswith("-- ") for line in fix.splitlines())


@pytest.mark.parametrize("project", names(), indirect=True)
def test_rewrites_of_the_examples_keep_the_access_and_improve_the_plans(
    project: Connection,
) -> None:
    before = audit(project, Options(repairs=False, performance=True))
    proven = [finding for finding in before.performance if finding.proven]
    assert proven
    for finding in proven:
        project.execute(finding.fix.encode())
    after = audit(project, Options(repairs=False, performance=True))
    assert after.access == before.access
    assert [finding.id for finding in after.findings] == [finding.id for finding in before.findings]
    assert [finding.id for finding in after.performance if finding.proven] == []


def _rewriting(connection: Connection, table: str, rewrite: str) -> Suggestion:
    """A suggestion whose plan is said to be better."""
    found = catalog.read(connection, ["public"])
    [relation] = [one for one in found.tables if one.label == table]
    return Suggestion(
        kind="planted",
        severity=Severity.WARNING,
        relation=relation,
        name=rewrite,
        message="",
        cause="",
        gain="it is better",
        rewrite=(rewrite,),
        effect=Effect.BETTER,
        altered=frozenset((relation.oid, action) for action in ("select", "update")),
    )


OPENING = 'alter policy "readers: own" on public.readers using (true)'
TAKING = (
    'alter policy "loans: own" on public.loans using (reader_id = auth.uid() and title is null)'
)
FAILING = "alter policy lost on public.loans using (true)"
HARMLESS = 'alter policy "loans: own" on public.loans using (auth.uid() = reader_id)'


def test_rewrites_that_change_the_access_or_fail_are_no_fixes(
    library: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    changes = [
        _rewriting(library, text.split(" on ")[1].split()[0], f"{text};")
        for text in (OPENING, TAKING, HARMLESS, FAILING)
    ]
    monkeypatch.setattr(kinds, "find", lambda _context: changes)
    found = audit(library, Options(repairs=False, performance=True)).performance
    assert {finding.fix for finding in found if not finding.proven} == {
        "-- Tried: it would change who can do what."
    }
    [proven] = [finding for finding in found if finding.proven]
    assert proven.fix.splitlines()[1:] == [f"{HARMLESS};"]


def test_a_policy_with_a_leak_is_repaired_first(library: Connection) -> None:
    library.execute(
        'create policy "loans: renew" on public.loans for update to authenticated'
        " using (auth.uid() is not null and reader_id is not null)"
    )
    library.execute(
        'create policy "loans: renew own" on public.loans for update to authenticated'
        " using (reader_id = (select auth.uid()))"
    )
    found = suggestions(library)
    for name in (
        "row-call:public.loans:loans: renew",
        "permissive-policies:public.loans:loans: renew + loans: renew own",
    ):
        assert found[name].fix == (
            "-- A leak has to do with this policy: repair it, and audit again."
        )


def _cost(connection: Connection, table: str) -> float:
    """The cost of a read by a user."""
    with connection.transaction(force_rollback=True):
        connection.execute("set local role authenticated")
        [[plan]] = connection.execute(f"explain (format json) select from {table}".encode())
    return float(plan[0]["Plan"]["Total Cost"])


@pytest.mark.parametrize("table", ["loans", "notices"])
def test_joined_policies_have_the_same_access_and_plan(library: Connection, table: str) -> None:
    """So they are a comment, although the access is the same."""
    before = audit(library, Options(repairs=False, performance=True))
    found = {f.object: f for f in before.performance if ":permissive-policies:" in f.id}
    for finding in before.performance:
        if finding.proven:
            library.execute(finding.fix.encode())
    cost = _cost(library, f"public.{table}")
    _, *statements = found[f"public.{table}"].fix.splitlines()
    for line in statements:
        library.execute(line.removeprefix("-- ").encode())
    assert _cost(library, f"public.{table}") == pytest.approx(cost, abs=0.01)
    assert audit(library, Options(repairs=False)).access == before.access


def test_only_calls_that_run_for_each_row_are_reported(library: Connection) -> None:
    """A condition of a policy runs for each row also if it has no column."""
    library.execute(
        'alter policy "loans: own" on public.loans using (reader_id = (select auth.uid()));'
        'drop policy "loans: librarians" on public.loans;'
        'drop policy "loans: borrow" on public.loans;'
        'alter policy "readers: own" on public.readers using (auth.uid() is not null)'
    )
    calls = [name for name in suggestions(library) if name.startswith("row-call:")]
    assert calls == [
        "row-call:public.librarians:librarians: own",
        "row-call:public.readers:readers: own",
    ]


def test_a_call_that_the_planner_computes_is_not_reported(library: Connection) -> None:
    library.execute(
        "create function public.opened(day text) returns boolean language plpgsql immutable"
        " as $$ begin return day <> 'never'; end $$;"
        'alter policy "readers: own" on public.readers'
        " using (public.opened('today') and id = (select auth.uid()))"
    )
    assert "row-call:public.readers:readers: own" not in suggestions(library)


def test_a_helper_that_changes_rows_is_called_as_often_as_before(library: Connection) -> None:
    library.execute(
        "create or replace function public.is_librarian() returns boolean language plpgsql"
        " security definer set search_path = '' as $$ begin update public.branches set name = name"
        " where false; return exists (select from public.librarians where user_id = auth.uid());"
        " end $$"
    )
    assert "row-call:public.loans:loans: librarians" not in suggestions(library)


def test_indexes_of_columns_that_have_one_are_not_missing(library: Connection) -> None:
    library.execute(
        "create index on public.loans (reader_id, due);"
        "create index on public.readers (branch_id) where branch_id is not null;"
        "create index on public.notices (author) where body <> ''"
    )
    missing = [
        name for name in suggestions(library) if name.startswith(("foreign-key:", "policy-column:"))
    ]
    assert missing == ["policy-column:public.notices:author"]


def test_partitions_get_the_index_of_their_table(library: Connection) -> None:
    library.execute(
        "create table public.visits (reader_id uuid not null references public.readers, at date not"
        " null) partition by range (at);"
        "create table public.visits_2025 partition of public.visits for values from ('2025-01-01')"
        " to ('2026-01-01');"
        "alter table public.visits enable row level security;"
        'create policy "visits: own" on public.visits for select to authenticated'
        " using (reader_id = (select auth.uid()))"
    )
    assert suggestions(library)["foreign-key:public.visits:visits_reader_id_fkey"].proven
