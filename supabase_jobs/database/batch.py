"""Many statements in one network round trip, in groups that fail alone.

libpq's pipeline mode sends all groups before the first answer arrives. A group ends with a sync: an
error skips the rest of its group and no other. psycopg's own pipeline raises the first error and
drops the answers behind it.
"""

from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Any

import psycopg
from psycopg import abc, generators
from psycopg.adapt import PyFormat, Transformer
from psycopg.pq import ExecStatus
from psycopg.pq.abc import PGresult
from psycopg.waiting import Ready, Wait

from supabase_jobs.database.connection import Connection
from supabase_jobs.database.interrupts import closed_by_interrupt

_FAILED = (ExecStatus.FATAL_ERROR, ExecStatus.BAD_RESPONSE)


@dataclass(frozen=True)
class Statement:
    """SQL with psycopg's placeholders; None: the text has none, and a `%` is a `%`.

    `numbered`: the placeholders are PostgreSQL's own, `$1`, `$2`, …, and the server gets the values
    beside the text. `decoded` is False if nobody reads the rows, some of which Python cannot
    represent (`infinity`).
    """

    sql: str
    params: Mapping[str, Any] | Sequence[Any] | None = None
    numbered: bool = False
    decoded: bool = True


@dataclass(frozen=True)
class Answer:
    """The result of one statement: its rows if they are decoded, and the number of rows it returned
    or changed.
    """

    rows: Sequence[tuple[Any, ...]] = ()
    count: int = 0


@dataclass(frozen=True)
class GroupResult:
    """The answers of a group, up to the statement that failed; `error` is that statement's."""

    answers: tuple[Answer, ...]
    error: psycopg.Error | None = None

    def answer(self) -> Answer:
        """The last answer; raises the group's error."""
        if self.error is not None:
            raise self.error
        return self.answers[-1]


def run_groups(connection: Connection, groups: Sequence[Sequence[Statement]]) -> list[GroupResult]:
    """Run groups of statements in order, in one round trip; one result for each group.

    Needs an open transaction: outside of one, each group would be a transaction of its own. After a
    failed group the transaction is aborted until a later group goes back to a savepoint. Nothing is
    prepared, so any pooler will do. Raises psycopg's OperationalError where the connection is lost;
    an interrupt closes it.
    """
    if not groups:
        return []
    quote = psycopg.ClientCursor(connection)
    commands = []
    for group in groups:
        commands.append([_command(connection, quote, statement) for statement in group])
    with closed_by_interrupt(connection), connection.lock:
        results = iter(connection.wait(_exchange(connection, commands)))
    transformer = Transformer(connection)  # one, because it remembers how types are loaded
    return [
        _group(connection, transformer, group, list(islice(results, len(group))), next(results))
        for group in groups
    ]


def read(
    connection: Connection, statements: Sequence[Statement]
) -> list[Sequence[tuple[Any, ...]]]:
    """The rows of each statement, in one round trip. Raises psycopg's error of the first that
    fails.
    """
    [result] = run_groups(connection, [statements])
    result.answer()
    return [answer.rows for answer in result.answers]


def _command(
    connection: Connection, quote: psycopg.ClientCursor[tuple[Any, ...]], statement: Statement
) -> Callable[[], None]:
    """The function that sends a statement."""
    send, text = connection.pgconn.send_query_params, statement.sql.encode()
    if statement.params is None:
        return partial(send, text, None)
    if not statement.numbered:
        return partial(send, quote.mogrify(text, statement.params).encode(), None)
    transformer, params = Transformer(connection), list(statement.params)
    values = transformer.dump_sequence(params, [PyFormat.AUTO] * len(params))
    return partial(send, text, values, transformer.types, transformer.formats)


def _exchange(
    connection: Connection, groups: Sequence[Sequence[Callable[[], None]]]
) -> Generator[Any, Any, list[list[PGresult]]]:
    """Send every group and collect a list of results for each statement and for each sync (a
    psycopg generator).
    """
    pgconn = connection.pgconn
    pgconn.enter_pipeline_mode()
    try:
        for group in groups:
            for send in group:
                send()
            pgconn.pipeline_sync()
        # read while sending: a server whose answers nobody reads stops reading
        while pgconn.flush():
            if (yield Wait.RW) & Ready.R:
                pgconn.consume_input()
        results: list[list[PGresult]] = []
        for _ in range(sum(map(len, groups)) + len(groups)):
            results.append((yield from generators.fetch_many(pgconn)))
    except BaseException:
        # answers are still on their way, as after an interrupt; the reason must not be replaced by
        # that
        with suppress(psycopg.Error):
            pgconn.exit_pipeline_mode()
        raise
    pgconn.exit_pipeline_mode()
    return results


def _group(
    connection: Connection,
    transformer: abc.Transformer,
    group: Sequence[Statement],
    results: Sequence[list[PGresult]],
    _sync: list[PGresult],
) -> GroupResult:
    answers: list[Answer] = []
    for statement, [result] in zip(group, results, strict=True):
        if result.status in _FAILED:
            return GroupResult(
                tuple(answers), psycopg.errors.error_from_result(result, connection.info.encoding)
            )
        answers.append(_answer(transformer, statement, result))
    return GroupResult(tuple(answers))


def _answer(transformer: abc.Transformer, statement: Statement, result: PGresult) -> Answer:
    if result.status != ExecStatus.TUPLES_OK or not statement.decoded:
        return Answer((), result.command_tuples or 0)
    transformer.set_pgresult(result)
    rows = transformer.load_rows(0, result.ntuples, tuple)
    return Answer(rows, result.ntuples)
