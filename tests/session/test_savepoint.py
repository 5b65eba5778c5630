"""Groups that run from the same state, on a server."""

from supabase_jobs.database.batch import Statement
from supabase_jobs.database.connection import Connection
from supabase_jobs.session.savepoint import run_undone


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
