"""Groups that run from the same state, on a server."""

import psycopg
import pytest

from supabase_jobs.database.batch import Statement
from supabase_jobs.database.connection import Connection
from supabase_jobs.session.savepoint import run_kept, run_undone, undone


def test_each_group_runs_from_the_same_state_and_nothing_remains(rolled_back: Connection) -> None:
    count = Statement("select count(*) from made")
    insert = Statement("insert into made values (1)")
    made = Statement("create temporary table made (id int)")
    first, failed, last = run_undone(
        rolled_back, [[insert, count], [insert, Statement("select 1 / 0")], [count]], first=[made]
    )
    assert first.answer().rows == [(1,)]
    assert failed.error is not None
    assert len(failed.answers) == 1
    assert last.answer().rows == [(0,)]
    assert rolled_back.execute("select count(*) from made").fetchone() == (0,)


def test_each_step_sees_the_changes_of_those_before_but_not_of_one_that_fails(
    rolled_back: Connection,
) -> None:
    count = Statement("select count(*) from kept")
    insert = Statement("insert into kept values (1)")
    rolled_back.execute("create temporary table kept (id int)")
    first, failed, last = run_kept(
        rolled_back, [[insert, count], [insert, Statement("select 1 / 0")], [insert, count]]
    )
    assert first.answers[1].rows == [(1,)]
    assert failed.error is not None
    assert len(failed.answers) == 1
    assert last.answers[1].rows == [(2,)]
    assert rolled_back.execute("select count(*) from kept").fetchone() == (2,)


def test_a_last_step_that_fails_leaves_a_usable_transaction(rolled_back: Connection) -> None:
    rolled_back.execute("create temporary table kept (id int)")
    insert = Statement("insert into kept values (1)")
    run_kept(rolled_back, [[insert], [insert, Statement("select 1 / 0")]])
    assert rolled_back.execute("select count(*) from kept").fetchone() == (1,)


def _fail_after_making_a_table(connection: Connection) -> None:
    with undone(connection, Statement("select 1")):
        connection.execute("create temporary table undone (id int)")
        connection.execute("select 1 / 0")


def test_work_is_undone_after_an_error_too(rolled_back: Connection) -> None:
    with pytest.raises(psycopg.errors.DivisionByZero):
        _fail_after_making_a_table(rolled_back)
    assert rolled_back.execute("select to_regclass('undone')").fetchone() == (None,)


def test_last_statements_run_after_a_group_that_fails(rolled_back: Connection) -> None:
    marked = Statement("select set_config('test.mark', 'set', true)")
    [failed] = run_undone(rolled_back, [[Statement("select 1 / 0")]], last=[marked])
    assert failed.error is not None
    assert rolled_back.execute("select current_setting('test.mark')").fetchone() == ("set",)
