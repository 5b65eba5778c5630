"""The quick pass of `mutate`: it finds no other errors than a complete run, and leaves the rest to
it.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace

import psycopg
import pytest

from supabase_jobs.database.connection import Connection
from supabase_jobs.findings import Fault
from supabase_jobs.mutation.mutate import _killers, _quick, derive
from supabase_jobs.mutation.quick import Quick
from supabase_jobs.settings import AllowedEntry
from supabase_jobs.verify.areas import AREAS
from supabase_jobs.verify.structure import catalog, snapshot
from tests.fix_db import EXPECTATIONS

RECORDED = snapshot.load(EXPECTATIONS.declaration(snapshot.FILE_NAME))


@pytest.fixture
def connection(shared: Callable[[int], str]) -> Iterator[Connection]:
    """A transaction as `mutate` opens it."""
    with (
        psycopg.connect(shared(16), autocommit=True) as connection,
        connection.transaction(force_rollback=True),
    ):
        connection.execute("select set_config('search_path', '', true)")
        with catalog.prepared(connection):
            yield connection


def fault(operator: str, sql: str) -> Fault:
    family, name = operator.split(":")
    return Fault(family=family, parts=(name, "x"), object="x", description="x", sql=sql)


def test_the_errors_are_among_those_of_a_complete_run(connection: Connection) -> None:
    """The last fault of every third operator, for which others have chosen the parts."""
    by_operator: dict[str, list[Fault]] = {}
    for derived in derive(connection, RECORDED.names):
        by_operator.setdefault(derived.operator, []).append(derived)
    quick = Quick(connection, EXPECTATIONS, RECORDED)
    found, complete = [], []
    for faults in list(by_operator.values())[::3]:
        *_, ids = quick.killers([faults[0], faults[-1]])
        if ids:
            found.append((faults[-1].id, set(ids)))
            complete.append(set(_killers(connection, EXPECTATIONS, AREAS, faults[-1])))
    assert len(found) > 15
    missing = [
        (name, ids - whole)
        for (name, ids), whole in zip(found, complete, strict=True)
        if not ids & whole
    ]
    assert missing == []


def test_a_part_that_no_earlier_fault_needed_is_read_too(connection: Connection) -> None:
    faults = [
        fault("a:b", "grant truncate on public.async_jobs to anon"),
        fault("a:b", "drop index public.idx_async_jobs_url"),
        fault("a:b", "grant truncate on public.guest_users to anon"),
    ]
    first, second, third = Quick(connection, EXPECTATIONS, RECORDED).killers(faults)
    assert [any("grant" in name for name in ids) for ids in (first, second, third)] == [
        True,
        False,
        True,
    ]
    assert second == ("structure:public.async_jobs:index:idx_async_jobs_url",)


def test_what_changes_no_fact_is_left_to_a_complete_run(connection: Connection) -> None:
    faults = [
        fault("a:nothing", "select 1"),
        fault("a:missing", "drop table public.not_there"),
        fault("a:other", "alter table public.async_jobs alter column url set statistics 10"),
    ]
    assert list(Quick(connection, EXPECTATIONS, RECORDED).killers(faults)) == [(), (), ()]


def test_several_statements_of_a_fault_are_one_fault(connection: Connection) -> None:
    text = "drop index public.idx_async_jobs_url; create table public.x (); drop index public.idx_async_jobs_status;"
    [ids] = Quick(connection, EXPECTATIONS, RECORDED).killers([fault("a:b", text)])
    assert "structure:public.async_jobs:index:idx_async_jobs_url" in ids
    row = connection.execute(
        "select to_regclass('public.x'), to_regclass('public.idx_async_jobs_url')"
    ).fetchone()
    assert row is not None
    assert (row[0], row[1]) == (None, "public.idx_async_jobs_url")


def test_a_lock_of_another_session_ends_the_run(
    connection: Connection, shared: Callable[[int], str]
) -> None:
    quick = Quick(connection, EXPECTATIONS, RECORDED)
    connection.execute("select set_config('lock_timeout', '100ms', true)")
    with psycopg.connect(shared(16)) as other:
        other.execute("lock table public.guest_users in row share mode")
        with pytest.raises(psycopg.errors.LockNotAvailable):
            list(quick.killers([fault("a:b", "drop table public.guest_users cascade")] * 3))


def test_a_changed_body_is_an_error(connection: Connection) -> None:
    query = "select pg_get_functiondef(oid) from pg_proc where proname = 'claim_jobs'"
    [(definition,)] = connection.execute(query).fetchall()
    changed = fault("a:b", definition.replace("update", "UPDATE", 1))
    [ids] = Quick(connection, EXPECTATIONS, RECORDED).killers([changed])
    assert ids == ("structure:public.claim_jobs(text,integer):body",)


@pytest.mark.parametrize("areas", [("access",), AREAS])
def test_exceptions_and_other_areas_need_complete_runs(
    connection: Connection, areas: tuple[str, ...]
) -> None:
    allowed = {"allowed_bypasses": {"x": AllowedEntry("reason", "sha256")}}
    expectations = EXPECTATIONS if areas == ("access",) else replace(EXPECTATIONS, allowed=allowed)
    assert _quick(connection, expectations, areas, RECORDED) is None
