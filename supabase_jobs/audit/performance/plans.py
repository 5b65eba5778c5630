"""Plans of statements, as the audit's callers send them, before and after changes."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import psycopg

from supabase_jobs.audit.callers import Persona
from supabase_jobs.database.batch import GroupResult, Statement, run_groups
from supabase_jobs.database.query_plan import QueryPlan
from supabase_jobs.database.sql_files import sql_files
from supabase_jobs.session.impersonation import Impersonation, caller_statement
from supabase_jobs.session.savepoint import run_undone, undone

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
class Planner:
    """Plans statements on the connection of an audit."""

    acting: Impersonation

    def plans(self, queries: Sequence[Query], planning: Planning) -> list[QueryPlan | None]:
        """The plan of each statement; None if it is refused."""
        settings = CATALOG[planning].statement()
        groups = []
        for query in queries:
            caller = [] if query.caller is None else [caller_statement(query.caller)]
            explain = Statement(_EXPLAIN + query.statement)
            groups.append([settings, *caller, explain])
        return [_plan(result) for result in run_undone(self.acting.connection, groups)]

    def compare(
        self, changes: Sequence[str], queries: Sequence[Query], planning: Planning
    ) -> dict[Query, Compared] | None:
        """The plans before and after changes, of the statements that have both; None if a change
        fails.
        """
        connection = self.acting.connection
        with undone(connection, Statement("close all")):
            try:
                before = self.plans(queries, planning)
                run_groups(connection, [[Statement(change) for change in changes]])[0].answer()
            except psycopg.Error:
                return None
            then = [Query(query.then or query.statement, query.caller) for query in queries]
            after = self.plans(then, planning)
        pairs = zip(queries, before, after, strict=True)
        return {
            query: Compared(old, new)
            for query, old, new in pairs
            if old is not None and new is not None
        }


def _plan(result: GroupResult) -> QueryPlan | None:
    if result.error is not None:
        return None
    [[parts]] = result.answer().rows
    plans: list[QueryPlan] = [part["Plan"] for part in parts if isinstance(part, dict)]
    return plans[-1] if plans else None
