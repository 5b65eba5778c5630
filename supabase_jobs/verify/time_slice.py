"""Time limit of a batch (`database.batch`): the groups that have not started by then are skipped.

A batch cannot be stopped. Without a limit, a lock or a slow policy could delay each of its statements in turn.
"""

import psycopg

from supabase_jobs.database.batch import GroupResult, Statement

# runs in a group before the savepoint that later groups go back to, because a rollback undoes settings
BEGIN = Statement("select set_config('verify.slice_ends', (clock_timestamp() + interval '4 seconds')::text, true)")
# fails after that time; the group goes back to a savepoint before it
CHECK = Statement("select 1 / (clock_timestamp() < current_setting('verify.slice_ends')::timestamptz)::integer")


def was_skipped(group: GroupResult, position: int) -> bool:
    """Whether CHECK, at this position of the group, ended the group."""
    return isinstance(group.error, psycopg.errors.DivisionByZero) and len(group.answers) == position
