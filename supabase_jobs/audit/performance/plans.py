"""Plans of statements, as the audit's callers send them, before and after changes."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import islice
from pathlib import Path

from supabase_jobs.audit.callers import Persona
from supabase_jobs.database.batch import GroupResult, Statement, run_groups
from supabase_jobs.database.query_plan import QueryPlan
from supabase_jobs.database.sql_files import sql_files
from supabase_jobs.session.impersonation import Impersonation, caller_statement
from supabase_jobs.session.savepoint import from_same_state, numbered, run_undone, undone

CATALOG = sql_files(Path(__file__).with_name("catalog"))
_EXPLAIN = "explain (verbose, format json) "


class Planning(StrEnum):
    """How the planner reads tables; the values are the files with its settings."""

    ROW_BY_ROW = "without_indexes"
    BY_INDEX = "with_indexes"


@dataclass(frozen=True)
class Query:
    """A statement to plan; the owner of the database sends it if there is no caller. `then` is the
    statement after the change, if it is another one.
    """

    statement: str
    caller: Persona | None = None
    then: str = ""


@dataclass(frozen=True)
class Compared:
    """The plans of a statement before and after a change."""

    before: QueryPlan
    after: QueryPlan


@dataclass(frozen=True)
class Change:
    """Statements that change the database, and those whose plans are compared."""

    statements: Sequence[str]
    queries: Sequence[Query]


@dataclass(frozen=True)
class Planner:
    """Plans statements on the connection of an audit."""

    acting: Impersonation

    def plans(self, queries: Sequence[Query], planning: Planning) -> list[QueryPlan | None]:
        """The plan of each statement; None if it is refused."""
        results = run_undone(self.acting.connection, _explained(queries, planning))
        return [_plan(result) for result in results]

    def compare(
        self, changes: Sequence[Change], planning: Planning
    ) -> list[dict[Query, Compared] | None]:
        """For each change by itself, the plans before and after it, of the statements that have
        both; None if it fails. One round trip, whatever the number of changes.
        """
        state = numbered()
        groups: list[Sequence[Statement]] = [[state.save]]
        for change in changes:
            statements = [Statement(text) for text in change.statements]
            then = [Query(query.then or query.statement, query.caller) for query in change.queries]
            groups += from_same_state(_explained(change.queries, planning), first=[state.undo])
            groups += from_same_state(_explained(then, planning), first=[state.undo, *statements])
        with undone(self.acting.connection, Statement("close all")):
            _, *results = run_groups(self.acting.connection, groups)
        rest = iter(results)
        return [_compared(change.queries, rest) for change in changes]


def _explained(queries: Sequence[Query], planning: Planning) -> list[Sequence[Statement]]:
    settings = CATALOG[planning].statement()
    groups: list[Sequence[Statement]] = []
    for query in queries:
        caller = [] if query.caller is None else [caller_statement(query.caller)]
        groups.append([settings, *caller, Statement(_EXPLAIN + query.statement)])
    return groups


def _compared(
    queries: Sequence[Query], results: Iterator[GroupResult]
) -> dict[Query, Compared] | None:
    """The plans of a change, whose results are the next ones."""
    _, *before = islice(results, len(queries) + 1)
    changed, *after = islice(results, len(queries) + 1)
    if changed.error is not None:
        return None
    found = {}
    for query, old, new in zip(queries, map(_plan, before), map(_plan, after), strict=True):
        if old is not None and new is not None:
            found[query] = Compared(old, new)
    return found


def _plan(result: GroupResult) -> QueryPlan | None:
    if result.error is not None:
        return None
    [[parts]] = result.answer().rows
    plans: list[QueryPlan] = [part["Plan"] for part in parts if isinstance(part, dict)]
    return plans[-1] if plans else None
