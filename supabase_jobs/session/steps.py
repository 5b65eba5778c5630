"""Work in steps: a generator that yields groups of statements, and is sent their results.

It does not know the connection. `run` sends each step of one generator, a `Runner` those of many
side by side, and the pytest plugin those of a test, on both kinds of connection.
"""

from collections.abc import Generator, Sequence
from typing import TypeVar, cast

from supabase_jobs.database.batch import Answer, GroupResult, Statement, run_groups
from supabase_jobs.database.connection import Connection

T = TypeVar("T")
Groups = Sequence[Sequence[Statement]]
Steps = Generator[Groups, Sequence[GroupResult], T]


def answered(*statements: Statement) -> Steps[Answer]:
    """One group; the answer of its last statement. Raises psycopg's error."""
    [result] = yield [statements]
    return result.answer()


def run(connection: Connection, steps: Steps[T]) -> T:
    """Run the groups of each step in one round trip; the result. An error ends its group only."""
    try:
        groups = next(steps)
        while True:
            groups = steps.send(run_groups(connection, groups))
    except StopIteration as stop:
        return cast(T, stop.value)
