"""Groups of statements in one round trip: each fails alone, and a lost connection is an error."""

from contextlib import closing
from functools import partial

import psycopg
import pytest

from supabase_jobs.database import batch
from supabase_jobs.database.batch import Statement, run_groups
from supabase_jobs.database.connection import Connection, connect

SAVE, BACK = Statement("savepoint s"), Statement("rollback to savepoint s")


def test_a_group_that_fails_skips_its_rest_and_no_other_group(rolled_back: Connection) -> None:
    groups = [
        [SAVE],
        [Statement("select 1, %s::text", ["it's"])],
        [Statement("select 1 / 0"), Statement("select 'skipped'")],
        [Statement("select 'aborted'")],
        [BACK, Statement("select %(a)s::int + 1", {"a": 2}), Statement("select '100%'")],
        [
            BACK,
            Statement("create temp table t as select generate_series(1, 3) as n"),
            Statement("update t set n = 4"),
        ],
    ]
    first, second, third, fourth, fifth, sixth = run_groups(rolled_back, groups)
    assert first.error is None
    assert (second.answer().rows, second.answer().count) == ([(1, "it's")], 1)
    assert isinstance(third.error, psycopg.errors.DivisionByZero)
    assert third.answers == ()
    assert isinstance(fourth.error, psycopg.errors.InFailedSqlTransaction)
    assert [answer.rows for answer in fifth.answers[1:]] == [[(3,)], [("100%",)]]
    assert [answer.count for answer in sixth.answers[1:]] == [3, 3]
    with pytest.raises(psycopg.errors.DivisionByZero):
        third.answer()
    assert rolled_back.execute("select count(*) from t").fetchone() == (3,)


def test_ten_thousand_statements_and_large_answers_do_not_block(rolled_back: Connection) -> None:
    groups = [[Statement("select repeat('x', 10000)")]] * 10_000
    results = run_groups(rolled_back, groups)
    assert len(results) == 10_000
    assert all(len(result.answer().rows[0][0]) == 10_000 for result in results)


def test_a_lost_connection_is_an_error(applied_url: str) -> None:
    with connect(applied_url) as connection, psycopg.connect(applied_url, autocommit=True) as other:
        pid = connection.info.backend_pid

        def lose() -> None:
            with connection.transaction():
                run_groups(connection, [[Statement("select 1")]])
                other.execute("select pg_terminate_backend(%s, 5000)", (pid,))
                run_groups(connection, [[Statement("select 1")], [Statement("select 2")]])

        with pytest.raises(psycopg.OperationalError):
            lose()


def test_numbered_parameters_are_sent_beside_the_text(rolled_back: Connection) -> None:
    text = "select $1::text, '100%', count(*) from unnest($2::text[]) -- %s"
    [result] = run_groups(rolled_back, [[Statement(text, ["it's", ["a", "b"]], numbered=True)]])
    assert result.answer().rows == [("it's", "100%", 2)]


def test_an_interrupt_while_answers_are_on_their_way_is_not_replaced(applied_url: str) -> None:
    with closing(psycopg.connect(applied_url, autocommit=True)) as connection:
        sleep = partial(connection.pgconn.send_query_params, b"select pg_sleep(0.2)", None)
        exchange = batch._exchange(connection, [[sleep]])
        next(exchange)
        sleep()
        connection.pgconn.pipeline_sync()
        with pytest.raises(KeyboardInterrupt):
            exchange.throw(KeyboardInterrupt)
