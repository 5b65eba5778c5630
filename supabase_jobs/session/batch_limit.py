"""Time limit of a batch (`database.batch`): the groups that have not started by then are skipped.

A batch cannot be stopped. Without a limit, a lock or a slow policy could delay each of its
statements in turn.
"""

import time

import psycopg

from supabase_jobs.database.batch import GroupResult, Statement
from supabase_jobs.session.deadline import Deadline
from supabase_jobs.session.repeated import Repeatable

SECONDS = 4.0


def begin(deadline: Deadline, seconds: float | None = None) -> Statement:
    """The statement that starts the limit: after `seconds`, and at the `deadline` at the latest.

    It runs in a group before the savepoint that later groups go back to, because a rollback undoes
    settings.
    """
    most = SECONDS if seconds is None else min(seconds, SECONDS)
    seconds = max(min(most, deadline.at - time.monotonic()), 0)
    ends = f"extract(epoch from clock_timestamp() + interval '{seconds:.3f} seconds')::text"
    return Statement(f"select set_config('verify.batch_ends', {ends}, true)")


# fails after that time; the group goes back to a savepoint before it
CHECK = Repeatable(
    sql="select 1 / (extract(epoch from clock_timestamp()) <"
    " current_setting('verify.batch_ends')::numeric)::integer",
    name="supabase_jobs_in_time",
)

# the same, and fails too once another session has waited for this one's locks for a moment
CHECK_WAITING = Statement("""
select 1 / (
  extract(epoch from clock_timestamp()) < current_setting('verify.batch_ends')::numeric
  and not exists (
    select from pg_locks as l
    where not l.granted
      and l.waitstart < clock_timestamp() - interval '20 milliseconds'
      and pg_backend_pid() = any (pg_blocking_pids(l.pid))
  )
)::integer""")
# stands for a check where none is made: each batch runs something
NO_CHECK = Statement("select 1")


def was_skipped(group: GroupResult, position: int) -> bool:
    """Whether a check, at this position of the group, ended the group."""
    return isinstance(group.error, psycopg.errors.DivisionByZero) and len(group.answers) == position
