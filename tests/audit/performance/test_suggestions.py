"""What makes requests slow: each kind is reported, and SQL is a fix only if its trial proves it."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from supabase_jobs.audit.audit import Options, audit
from supabase_jobs.database.connection import Connection, connect
from supabase_jobs.findings import AuditFinding
from tests.audit.catalogue import names
from tests.fix_db import Make

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


@pytest.fixture
def library(make_database: Make) -> Iterator[Connection]:
    with (
        connect(make_database("services").url) as connection,
        connection.transaction(force_rollback=True),
    ):
        connection.execute(LIBRARY.encode())
        yield connection


def suggestions(connection: Connection) -> Mapping[str, AuditFinding]:
    found = audit(connection, Options(repairs=False, performance=True)).performance
    return {finding.id.removeprefix("performance:"): finding for finding in found}


def test_each_kind_is_reported_with_what_was_tried(library: Connection) -> None:
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
