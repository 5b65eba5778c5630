"""The access matrix in batches: round trips, the time limit of a batch, and an identity that cannot
be set.
"""

import time
from collections.abc import Callable

import psycopg
import pytest

from supabase_jobs.database.connection import Connection
from supabase_jobs.session import batch_limit, frame
from supabase_jobs.session.caller import Caller
from supabase_jobs.session.deadline import NO_LIMIT
from supabase_jobs.session.impersonation import begin
from supabase_jobs.verify.access.matrix import DeclaredAction, MatrixRow
from supabase_jobs.verify.access.probe import Prober, RowProbe
from supabase_jobs.verify.areas import AREAS
from supabase_jobs.verify.verify import verify
from tests.fix_db import EXPECTATIONS
from tests.programs import DEFAULT_MAJOR
from tests.verify.round_trips import round_trips


@pytest.mark.parametrize(("areas", "most"), [(("access",), 14), (("structure",), 5), (AREAS, 40)])
def test_verify_takes_few_round_trips(
    shared: Callable[[int], str],
    monkeypatch: pytest.MonkeyPatch,
    areas: tuple[str, ...],
    most: int,
) -> None:
    # on a busy machine, a batch ends early, and others follow
    monkeypatch.setattr(frame, "SECONDS", batch_limit.SECONDS)
    assert round_trips(shared(DEFAULT_MAJOR), *areas) <= most


def test_rows_left_out_of_a_batch_run_in_the_next(
    rolled_back: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = verify(rolled_back, EXPECTATIONS, ("access",))
    monkeypatch.setattr(batch_limit, "SECONDS", 0.002)
    result = verify(rolled_back, EXPECTATIONS, ("access",))
    assert (result.findings, result.grids) == ((), expected.grids)
    assert [case.id for case in result.cases] == [case.id for case in expected.cases]


def test_a_slow_statement_ends_its_batch_soon(
    rolled_back: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a statement that reached its timeout, the other rows of the batch are skipped."""
    monkeypatch.setattr(batch_limit, "SECONDS", 0.1)
    rolled_back.execute("set local statement_timeout = '200ms'")
    rows = [probe(Caller("anon"), "select pg_sleep(1)") for _ in range(20)]
    started = time.monotonic()
    with pytest.raises(psycopg.errors.QueryCanceled):
        prober(rolled_back).run(rows)
    assert time.monotonic() - started < 2


def test_no_statement_runs_as_the_identity_before_one_that_cannot_be_set(
    rolled_back: Connection,
) -> None:
    rolled_back.execute(
        "create sequence public.calls; grant usage on sequence public.calls to public"
    )
    call = "select nextval('public.calls')"
    first, refused = (
        probe(Caller("anon"), call),
        probe(Caller("nobody"), call),
    )
    with pytest.raises(psycopg.errors.InvalidParameterValue, match="nobody"):
        prober(rolled_back).run([first, refused])
    assert first.results == {"call": ("rows", None)}
    assert not refused.complete
    assert rolled_back.execute("select last_value from public.calls").fetchone() == (1,)


def test_actions_behind_one_that_fails_run_again(rolled_back: Connection) -> None:
    """Also if they share its group."""
    statements = (
        "select 1",
        "select 1 / 0",
        "select 1 where false",
        "select from pg_authid",
        "select 2",
    )
    actions = [DeclaredAction(sql, sql) for sql in statements]
    row = RowProbe(MatrixRow("", Caller("anon"), {}, {}), actions, {}, set(statements))
    prober(rolled_back).run([row])
    assert [row.results[sql][0] for sql in statements] == [
        "rows",
        "22012",
        "hidden",
        "denied",
        "rows",
    ]


def probe(caller: Caller, sql: str) -> RowProbe:
    """A probe of one action, `call`."""
    return RowProbe(MatrixRow("", caller, {}, {}), [DeclaredAction("call", sql)], {}, {"call"})


def prober(connection: Connection) -> Prober:
    """A prober without fixture rows."""
    return Prober(begin(connection, "access", (), (), {}), NO_LIMIT)
