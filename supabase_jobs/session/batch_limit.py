"""Time limit of a batch (`database.batch`): the groups that have not started by then are skipped.

A batch cannot be stopped. Without a limit, a lock or a slow policy could delay each of its
statements in turn.
"""

import time

import psycopg

from supabase_jobs.database.batch import GroupResult, Statement
from supabase_jobs.session.deadline import Deadline

SECONDS = 4.0


def begin(deadline: Deadline) -> Statement:
    """The statement that starts the limit, which ends at the `deadline` at the latest.

    It runs in a group before the savepoint that later groups go back to, because a rollback undoes
    settings.
    """
    seconds = max(min(SECONDS, deadline.at - time.monotonic()), 0)
    ends = f"extract(epoch from clock_timestamp() + interval '{seconds:.3f} seconds')::text"
    return Statement(f"select set_config('verify.batch_ends', {ends}, true)")


# fails after that time; the group goes back to a savepoint before it
CHECK = Statement(
    "select 1 / (extract(epoch from clock_timestamp()) <"
    " current_setting('verify.batch_ends')::numeric)::integer"
)


def was_skipped(group: GroupResult, position: int) -> bool:
    """Whether CHECK, at this position of the group, ended the group."""
    return isinstance(group.error, psycopg.errors.DivisionByZero) and len(group.answers) == position
