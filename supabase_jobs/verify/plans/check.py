"""Check that each fast query can use its index, and that policies evaluate the owner check once per
query.

Uses EXPLAIN without ANALYZE, and the catalogs: needs no rows, writes nothing, and runs on a
replica. A plan does not show WITH CHECK, so that expression is planned as the condition of a query.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

from supabase_jobs.database import query_plan
from supabase_jobs.database.connection import Connection
from supabase_jobs.database.query_plan import QueryPlan
from supabase_jobs.findings import Case, Finding, Fix, Id, Severity
from supabase_jobs.session import impersonation, script
from supabase_jobs.session.caller import Caller
from supabase_jobs.verify import structure
from supabase_jobs.verify.context import Context, Trace
from supabase_jobs.verify.expectations import Expectations
from supabase_jobs.verify.lints.check import run_lints
from supabase_jobs.verify.plans import AREA, queries
from supabase_jobs.verify.plans.planner import (
    Check,
    Explain,
    NoPlanError,
    Planner,
)
from supabase_jobs.verify.plans.queries import FastQueries, Query
from supabase_jobs.verify.structure import snapshot as structure_snapshot

# An index is usable if the planner chooses it under one of these settings. The second makes it
# expensive to filter the extra rows of an index without the predicate. The third is for index types
# that only support bitmap scans (brin, gin).
_PLAIN = {
    "enable_seqscan": "off",
    "enable_sort": "off",
    "enable_incremental_sort": "off",
    "enable_bitmapscan": "off",
}
_PLANNER_SETTINGS: Sequence[Mapping[str, str]] = (
    _PLAIN,
    {**_PLAIN, "cpu_operator_cost": "1000"},
    {"enable_seqscan": "off", "enable_indexscan": "off"},
)
# A sequential scan evaluates every policy expression in its filter, so its plan shows each call per
# row.
_SEQUENTIAL_SCAN = {
    "enable_seqscan": "on",
    "enable_indexscan": "off",
    "enable_indexonlyscan": "off",
    "enable_bitmapscan": "off",
}
_DIFFERS = "The table, the index or a policy differs from the migrations."


def check(connection: Connection, expectations: Expectations, context: Context) -> None:
    """Check the declared queries, the owner checks, and the indexes of managed tables. Needs an
    empty search_path.
    """
    file = context.declaration_file(AREA, expectations, queries.FILE_NAME)
    recorded = context.declaration_file(AREA, expectations, structure_snapshot.FILE_NAME)
    if file is None or recorded is None:
        return
    declared = queries.load(file)
    snapshot = structure_snapshot.load(recorded).with_variables(expectations.variables)
    session = impersonation.begin(
        connection, AREA, declared.ids, declared.placeholders, expectations.variables
    )
    context.preambles[AREA] = script.preamble(
        "Query plans. EXPLAIN plans the statements and does not run them."
    )
    facts = [fact.path for fact in snapshot.facts]
    tables = snapshot.scope["relations"]
    _PlanChecker(Planner(session, context), context).run(declared, tables, facts)
    about = {
        "managed": tables,
        "recorded": facts,
        "query_indexes": [query.index for query in declared.queries],
    }
    run_lints(connection, AREA, (AREA,), AREA, about, context)


@dataclass(frozen=True)
class _Index:
    """An index in the catalogs. `indexes` and `relations` are it and its table with their
    partitions, as in plans.
    """

    name: str
    table: str
    indexes: Sequence[str]
    relations: Sequence[str]
    usable: bool
    columns: Sequence[str]
    predicate: str | None


@dataclass(frozen=True)
class _Problem:
    """Why a case failed, and the fix. `unchecked`: it neither failed nor passed."""

    message: str
    fix: str
    severity: Severity = Severity.ERROR
    unchecked: bool = False


@dataclass(frozen=True)
class _Outcome:
    """A case, its problem if it did not pass, and what that depends on."""

    case: Case
    problem: _Problem | None
    trace: Trace


class _PlanChecker:
    """Plans statements, and adds a case and at most one finding for each to a context."""

    def __init__(self, planner: Planner, context: Context) -> None:
        self._planner = planner
        self._context = context

    def run(self, declared: FastQueries, tables: Sequence[str], recorded: Sequence[str]) -> None:
        """Check the queries, the owner checks and the foreign keys, in a few round trips."""
        by_role = {identity.role: identity for identity in declared.identities}
        catalogs: list[Sequence[tuple[Any, ...]]] = []
        self._planner.run(
            [
                self._planner.catalog("index", [query.index for query in declared.queries]),
                self._planner.catalog("commands", list(tables), list(by_role)),
                self._planner.catalog("checks", list(tables)),
                self._planner.catalog("foreign_keys", list(tables)),
            ],
            catalogs,
        )
        indexes, commands, with_checks, foreign_keys = catalogs
        outcomes: list[_Outcome] = []
        try:
            self._planner.run(
                [
                    *self._queries(declared.queries, {row[0]: _Index(*row) for row in indexes}),
                    *self._owner_checks(commands, with_checks, by_role),
                    *self._foreign_keys(foreign_keys, tables, recorded),
                ],
                outcomes,
            )
        finally:
            for outcome in outcomes:
                self._add(outcome)

    def _queries(
        self, queries: Sequence[Query], indexes: Mapping[str, _Index]
    ) -> Iterator[Check[_Outcome]]:
        """Each query, as each of its identities, can use its declared index."""
        for name in dict.fromkeys(query.index for query in queries):
            affected = [query.name for query in queries if query.index == name]
            index = indexes.get(name)
            if index is None or not index.usable:
                if self._is_reported(name):
                    continue
                yield _checked(
                    Id(AREA, "index", name),
                    name,
                    f"usable, for: {', '.join(affected)}",
                    partial(self._planner.catalog_script, "index", [name]),
                    _known(_unusable(name, index is None, affected)),
                    Trace(
                        statements=tuple(query.sql for query in queries if query.index == name),
                        index=_bare(name),
                    ),
                )
                continue
            for query in (query for query in queries if query.index == name):
                for identity in query.identities:
                    yield _checked(
                        Id(AREA, query.name, identity.label),
                        index.table,
                        f"{query.name}, as {identity.label}, can use {name}",
                        partial(self._planner.script, query.sql, identity, _PLAIN, declared=True),
                        self._index_problem(query, identity, index),
                        Trace(statements=(query.sql,), role=identity.role, index=_bare(name)),
                    )

    def _owner_checks(
        self,
        commands: Sequence[tuple[Any, ...]],
        with_checks: Sequence[tuple[Any, ...]],
        by_role: Mapping[str, Caller],
    ) -> Iterator[Check[_Outcome]]:
        """The policies of managed tables evaluate their calls once per query, for each identity and
        command.
        """
        for table, role, command, statement, policies in commands:
            identity = by_role[role]
            title = f"{command} as {identity.label}"
            id = Id(AREA, "once", table, command, identity.label)
            yield self._evaluated_once(
                id, table, title, policies, Explain(statement, identity, _SEQUENTIAL_SCAN), command
            )
        for table, policy, statement in with_checks:
            title = f'WITH CHECK of "{policy}"'
            id = Id(AREA, "once", table, "check", policy)
            explain = Explain(statement, None, _SEQUENTIAL_SCAN)
            yield self._evaluated_once(id, table, title, f'"{policy}"', explain)

    def _foreign_keys(
        self,
        foreign_keys: Sequence[tuple[Any, ...]],
        tables: Sequence[str],
        recorded: Sequence[str],
    ) -> Iterator[Check[_Outcome]]:
        """Each foreign key of or to a managed table has an index on its referencing columns."""
        for table, name, managed, referenced, fix, tried, covered, proofs, columns in foreign_keys:
            message = (
                f'foreign key "{name}" has no index: each delete in {referenced}'
                f" reads all of {table}"
            )
            severity = (
                Severity.ERROR if f"{table}:constraint:{name}" in recorded else Severity.WARNING
            )
            problem = _Problem(message, Fix(fix, tried), severity if managed else Severity.INFO)
            yield _checked(
                Id(AREA, "foreign key", table, name),
                table,
                f'foreign key "{name}" has an index',
                partial(self._planner.catalog_script, "foreign_keys", list(tables)),
                _known(None) if covered else self._unless_proved(proofs, problem),
                Trace(objects=(table,), columns=tuple(columns)),
            )

    def _index_problem(
        self, query: Query, identity: Caller, index: _Index
    ) -> Check[_Problem | None]:
        """Why a query cannot use its index; None if it can."""
        subject = f"{query.name}, as {identity.label}, cannot"
        first = index.columns[: len(query.columns)]
        columns_match = [_column(name) for name in first] == [
            _column(name) for name in query.columns
        ]
        plans: list[QueryPlan] = []
        for settings in _PLANNER_SETTINGS:
            try:
                plans.append(
                    (
                        yield from self._planner.plan(
                            Explain(query.sql, identity, settings, self._planner.params)
                        )
                    )
                )
            except NoPlanError as error:
                return _Problem(f"{subject} be planned: {error}", _DIFFERS)
            used = query_plan.indexes(plans[-1]).intersection(index.indexes)
            if used and not (query.ordered and query_plan.sorts(plans[-1])):
                if columns_match:  # otherwise the plan may read the whole index
                    return None
                break
        subject += f" use {query.index}"
        if not columns_match or (query.ordered and tuple(first) != query.columns):
            actual, expected = ", ".join(index.columns), ", ".join(query.columns)
            return _Problem(
                f"{subject}: it begins with ({actual}), not with ({expected})", _DIFFERS
            )
        try:
            implied = index.predicate is None or (
                yield from self._implies(query, index, index.predicate)
            )
        except NoPlanError as error:
            reason = f"no plan shows whether {query.name} can use {query.index}: {error}"
            return _Problem(reason, _DIFFERS, unchecked=True)
        if not implied:
            reason = f"it contains only rows where {index.predicate}, and the query reads others"
            return _Problem(f"{subject}: {reason}", _DIFFERS)
        if not query_plan.indexes(plans[0]):
            return _Problem(
                f"{subject}: the planner chooses {query_plan.scans(plans[0])}", _DIFFERS
            )
        return None  # another index is equally cheap under all settings

    def _implies(self, query: Query, index: _Index, predicate: str) -> Check[bool]:
        """Whether the planner proves the predicate of an index from the conditions of a query.
        Raises NoPlanError.

        The conditions come from the owner's plan, to which no policy adds any.
        """
        owner_plan = yield from self._planner.plan(
            Explain(query.sql, None, _SEQUENTIAL_SCAN, self._planner.params)
        )
        for alias, condition in query_plan.conditions(owner_plan, index.relations):
            [(statement,)] = yield from self._planner.catalog(
                "implied", index.table, alias, condition, predicate
            )
            if (yield from self._planner.proves_empty(statement)):
                return True
        return False

    def _evaluated_once(
        self,
        id: Id,
        table: str,
        title: str,
        policies: str | None,
        explain: Explain,
        command: str = "",
    ) -> Check[_Outcome]:
        statement, identity = explain.statement, explain.identity
        role = identity.role if identity else ""
        return _checked(
            id,
            table,
            f"{title} evaluates the owner check once per query",
            partial(self._planner.script, statement, identity, _SEQUENTIAL_SCAN),
            self._per_row_problem(title, policies, explain),
            Trace(statements=(statement,), objects=(table,), role=role, command=command),
        )

    def _unless_proved(self, proofs: Sequence[str], problem: _Problem) -> Check[_Problem | None]:
        """The problem, unless the planner proves that one of the statements returns no row."""
        for proof in proofs:
            with suppress(NoPlanError):  # an operator outside pg_catalog
                if (yield from self._planner.proves_empty(proof)):
                    return None
        return problem

    def _per_row_problem(
        self, title: str, policies: str | None, request: Explain
    ) -> Check[_Problem | None]:
        """The calls of policies that run for each row."""
        try:
            calls = query_plan.per_row((yield from self._planner.plan(request)))
        except NoPlanError as error:
            return _Problem(f"{title} cannot be planned: {error}", _DIFFERS)
        if not calls:
            return None
        condition = _shorten(next(iter(calls.values())))
        return _Problem(
            f"{title}: {' and '.join(calls)} runs for each row, not once per query: {condition}",
            f"In policy {policies}, move the call into a sub-select that uses no column of the row,"
            " for example"
            " (select auth.uid()), and compare the row with its result.",
        )

    def _is_reported(self, index: str) -> bool:
        """Whether the structure area of this run has reported this index."""
        end = "index", _bare(index)
        found = self._context.findings
        return any(f.area == structure.AREA and f.id.ends_with(*end) for f in found)

    def _add(self, outcome: _Outcome) -> None:
        case, problem = outcome.case, outcome.problem
        self._context.cases.append(case)
        if problem is None:
            return
        self._context.evidence.traces[case.id] = outcome.trace
        if problem.unchecked:
            self._context.mark_unchecked(
                AREA, case.object, problem.message, problem.fix, id=case.id
            )
        else:
            finding = Finding(
                id=case.id,
                area=AREA,
                severity=problem.severity,
                object=case.object,
                message=problem.message,
                fix=problem.fix,
            )
            self._context.findings.append(finding)


def _checked(
    id: Id,
    subject: str,
    name: str,
    psql_script: Callable[[], str],
    problem: Check[_Problem | None],
    trace: Trace,
) -> Check[_Outcome]:
    """The outcome of a case, by the check that finds its problem."""
    return _Outcome(
        Case(id=id, area=AREA, object=subject, name=name, script=psql_script),
        (yield from problem),
        trace,
    )


def _known(problem: _Problem | None) -> Check[_Problem | None]:
    """A check that needs no plan."""
    yield from ()
    return problem


def _unusable(index: str, missing: bool, queries: Sequence[str]) -> _Problem:
    affected = f"these queries need it: {', '.join(queries)}"
    if missing:
        return _Problem(f"index {index} is missing; {affected}", _DIFFERS)
    return _Problem(
        f"index {index} is invalid, so no query uses it; {affected}",
        Fix(f"reindex index concurrently {index};", f"reindex index {index};"),
    )


def _bare(name: str) -> str:
    return name.rpartition(".")[2].strip('"')


def _column(declared: str) -> str:
    return declared.removesuffix(" nulls last").removesuffix(" nulls first").removesuffix(" desc")


def _shorten(condition: str) -> str:
    return condition if len(condition) <= 160 else condition[:157] + "…"
