"""Access that no policy limits: TRUNCATE, sequences, and buckets."""

from collections.abc import Callable, Iterator

import pytest

from supabase_jobs.audit.audit import audit
from supabase_jobs.audit.options import Options
from supabase_jobs.database.connection import Connection, connect
from supabase_jobs.findings import Audit, AuditFinding, Severity
from tests.audit.conftest import decided, run_audit
from tests.audit.recorded import in_words

PUBLIC = """
insert into storage.buckets (id, name, public)
values ('passports', 'passports', true), ('logos', 'logos', true), ('scans', 'scans', false);
create policy "own" on storage.objects for select to authenticated
  using (bucket_id = 'passports' and (storage.foldername(name))[1] = auth.uid()::text);
create policy "all" on storage.objects for select using (bucket_id = 'logos');
create policy "users" on storage.objects for select to authenticated using (bucket_id = 'scans');
create policy "upload" on storage.objects for insert to authenticated with check (bucket_id = 'scans');
create policy "replace" on storage.objects for update to authenticated using (bucket_id = 'scans');
"""
STILL_WRITABLE = "select has_column_privilege('authenticated', 'public.profiles', 'bio', 'UPDATE')"


@pytest.fixture
def todos(project_url: Callable[[str], str]) -> Iterator[Connection]:
    """A transaction on the database of the project todos; undone after the test."""
    with connect(project_url("todos")) as connection, connection.transaction(force_rollback=True):
        yield connection


def of_kind(result: Audit, kind: str) -> list[AuditFinding]:
    return [f for f in result.findings if f.id.startswith(f"{kind}:")]


@pytest.mark.parametrize(
    ("kind", "grant", "shown"),
    [
        (
            "truncate",
            "grant truncate on public.lists to anon",
            "anon may empty tables without a policy: lists;",
        ),
        (
            "sequence",
            "create sequence public.s; grant all on sequence public.s to authenticated",
            "set sequences",
        ),
    ],
)
def test_privilege_that_no_policy_limits(
    todos: Connection, kind: str, grant: str, shown: str
) -> None:
    todos.execute("revoke truncate on all tables in schema public from anon, authenticated")
    todos.execute("revoke update on all sequences in schema public from anon, authenticated")
    todos.execute(
        "alter default privileges in schema public revoke all on sequences from anon, authenticated"
    )
    assert of_kind(run_audit(todos), kind) == []
    todos.execute(grant.encode())
    [finding] = of_kind(run_audit(todos), kind)
    assert (finding.id, finding.severity) == (f"{kind}:public", Severity.INFO)
    assert shown in finding.message
    todos.execute(finding.fix.encode())
    assert of_kind(run_audit(todos), kind) == []


def test_public_bucket_with_policies_that_restrict_reading(todos: Connection) -> None:
    todos.execute(PUBLIC.encode())
    [finding] = of_kind(run_audit(todos), "public-bucket")
    assert (finding.id, finding.severity) == ("public-bucket:passports", Severity.WARNING)
    assert finding.fix.startswith("-- Not tried: no trial sees who reads files by their URL.")
    todos.execute(decided(finding.fix).encode())
    assert of_kind(run_audit(todos), "public-bucket") == []


def test_private_bucket_that_all_users_read_or_change(todos: Connection) -> None:
    todos.execute(PUBLIC.encode())
    result = run_audit(todos)
    found = {f.object: f for f in of_kind(result, "public") if "storage" in f.object}
    assert {name: (f.severity, f.message) for name, f in found.items()} == {
        "storage.objects (bucket logos)": (Severity.INFO, "Anyone can read other users' files"),
        "storage.objects (bucket scans)": (
            Severity.WARNING,
            "Any signed-in user can read other users' files",
        ),
    }
    [change] = of_kind(result, "write")
    assert change.message == "Any signed-in user can change other users' files"
    [upload] = of_kind(result, "upload")
    for fix in (change.fix, upload.fix, found["storage.objects (bucket scans)"].fix):
        todos.execute(fix.encode())
    again = run_audit(todos)
    access = in_words(again)["storage.objects (bucket scans)"]
    assert (access["newcomer"], access["stranger"]) == ("none", "none")
    assert access["owner"].startswith("read insert update(bucket_id,")
    # the folder that the repair of the upload asks for is now one that a rename passes by
    moved = ["upload:storage.objects (bucket scans):update"]
    assert [f.id for f in of_kind(again, "upload")] == moved
    assert of_kind(again, "give-away") == []


OPERATIONS = """
create policy "list" on storage.objects for select to authenticated using (
  bucket_id = 'lists' and (storage.foldername(name))[1] = auth.uid()::text
  and storage.operation() = 'storage.object.list'
);
create policy "get" on storage.objects for select to authenticated
  using (bucket_id = 'gets' and storage.operation() in ('storage.object.get_authenticated', 'x'));
"""


def test_files_that_only_some_operations_reach(todos: Connection) -> None:
    todos.execute(OPERATIONS.encode())
    result = run_audit(todos, repairs=False)
    lists = in_words(result)["storage.objects (bucket lists)"]
    assert (lists["owner"], lists["owner during storage.object.list"]) == ("none", "read")
    assert lists["stranger during storage.object.list"] == "none"
    read = [f.message for f in of_kind(result, "public") if "gets" in f.object]
    assert read == ["Any signed-in user can read other users' files"]
    elsewhere = [c for c in result.cells if "during" in c.caller and "storage" not in c.object]
    assert elsewhere == []


def test_fixes_of_two_columns_of_a_table_close_both(project_url: Callable[[str], str]) -> None:
    with (
        connect(project_url("profiles")) as connection,
        connection.transaction(force_rollback=True),
    ):
        connection.execute("grant update on public.profiles to authenticated")
        found = of_kind(run_audit(connection), "privileged-column")
        assert [f.id.rpartition(":")[2] for f in found] == ["is_verified", "role"]
        intended = audit(connection, Options(intended=[found[0].id]))
        assert ['"is_verified"' in f.fix for f in of_kind(intended, "privileged-column")] == [
            False,
            True,
        ]
        for finding in found:
            connection.execute(finding.fix.encode())
        [(others,)] = connection.execute(STILL_WRITABLE).fetchall()
        assert others, "the fixes revoke more than the columns"
        assert of_kind(run_audit(connection), "privileged-column") == []
