"""Check that each fast query can use its index, and that policies evaluate the owner check once per query.

Uses EXPLAIN without ANALYZE, and the catalogs: needs no rows, writes nothing, and runs on a replica. A plan does not
show WITH CHECK, so that expression is planned as the condition of a query.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from supabase_jobs.database.connection import Connection
from supabase_jobs.findings import Case, Finding, Severity
from supabase_jobs.verify import impersonation, script, structure
from supabase_jobs.verify.context import Context
from supabase_jobs.verify.expectations import Expectations
from supabase_jobs.verify.identity import Identity
from supabase_jobs.verify.lints.run import run_lints
from supabase_jobs.verify.plans import AREA, queries, query_plan
from supabase_jobs.verify.plans.planner import NoPlanError, Planner
from supabase_jobs.verify.plans.queries import Query
from supabase_jobs.verify.plans.query_plan import QueryPlan
from supabase_jobs.verify.structure import snapshot as structure_snapshot

# An index is usable if the planner chooses it under one of these settings. The second makes it expensive to filter the
# extra rows of an index without the predicate. The third is for index types that only support bitmap scans (brin, gin).
_PLAIN = {"enable_seqscan": "off", "enable_sort": "off", "enable_incremental_sort": "off", "enable_bitmapscan": "off"}
_PLANNER_SETTINGS: Sequence[Mapping[str, str]] = (
    _PLAIN,
    {**_PLAIN, "cpu_operator_cost": "1000"},
    {"enable_seqscan": "off", "enable_indexscan": "off"},
)
# A sequential scan evaluates every policy expression in its filter, so its plan shows each call per row.
_SEQUENTIAL_SCAN = {
    "enable_seqscan": "on",
    "enable_indexscan": "off",
    "enable_indexonlyscan": "off",
    "enable_bitmapscan": "off",
}
_STRUCTURE = "`verify --only structure` reports the table, index or policy that differs, and the SQL that fixes it."


def check(connection: Connection, expectations: Expectations, context: Context) -> None:
    """Check the declared queries, the owner checks, and the indexes of managed tables. Needs an empty search_path."""
    file = context.declaration_file(AREA, expectations, queries.FILE_NAME)
    recorded = context.declaration_file(AREA, expectations, structure_snapshot.FILE_NAME)
    if file is None or recorded is None:
        return
    declared, snapshot = queries.load(file), structure_snapshot.load(recorded)
    session = impersonation.begin(connection, AREA, declared.ids, declared.placeholders, expectations.variables)
    context.preambles[AREA] = script.preamble("Query plans. EXPLAIN plans the statements and does not run them.")
    checker = _PlanChecker(Planner(session), context)
    tables = snapshot.scope["relations"]
    checker.queries(declared.queries)
    checker.owner_checks(tables, declared.identities)
    facts = [fact.id.removeprefix(f"{structure.AREA}:") for fact in snapshot.facts]
    checker.foreign_keys(tables, facts)
    about = {
        "managed": tables,
        "recorded": facts,
        "query_indexes": [query.index for query in declared.queries],
    }
    run_lints(connection, AREA, AREA, AREA, about, context)


@dataclass(frozen=True)
class _Index:
    """An index in the catalogs. `index`, `schema` and `relation` are unquoted, as in plans."""

    name: str
    table: str
    index: str
    schema: str
    relation: str
    usable: bool
    columns: Sequence[str]
    predicate: str | None


class _PlanChecker:
    """Plans statements, and adds a case and at most one finding for each to a context."""

    def __init__(self, planner: Planner, context: Context) -> None:
        self._planner = planner
        self._context = context

    def queries(self, queries: Sequence[Query]) -> None:
        """Each query, as each of its identities, can use its declared index."""
        rows = self._planner.catalog("index", [query.index for query in queries])
        indexes = {row[0]: _Index(*row) for row in rows}
        for name in dict.fromkeys(query.index for query in queries):
            affected = [query.name for query in queries if query.index == name]
            index = indexes.get(name)
            if index is None or not index.usable:
                if self._is_reported(name):
                    continue
                problem = _unusable(name, index is None, affected)
                psql_script = self._planner.catalog_script("index", [name])
                self._add(f"{AREA}:index:{name}", name, f"usable, for: {', '.join(affected)}", psql_script, problem)
                continue
            for query in (query for query in queries if query.index == name):
                for identity in query.identities:
                    self._add(
                        f"{AREA}:{query.name}:{identity.name}",
                        index.table,
                        f"{query.name}, as {identity.name}, can use {name}",
                        self._planner.script(query.sql, identity, _PLAIN, declared=True),
                        self._index_problem(query, identity, index),
                    )

    def owner_checks(self, tables: Sequence[str], identities: Sequence[Identity]) -> None:
        """The policies of managed tables evaluate their calls once per query, for each identity and command."""
        by_role = {identity.role: identity for identity in identities}
        for table, role, command, statement, policies in self._planner.catalog("commands", list(tables), list(by_role)):
            identity = by_role[role]
            title = f"{command} as {identity.name}"
            id = f"{AREA}:once:{table}:{command}:{identity.name}"
            self._evaluated_once(id, table, title, policies, statement, identity)
        for table, policy, statement in self._planner.catalog("checks", list(tables)):
            title = f'WITH CHECK of "{policy}"'
            id = f"{AREA}:once:{table}:check:{policy}"
            self._evaluated_once(id, table, title, f'"{policy}"', statement, None)

    def foreign_keys(self, tables: Sequence[str], recorded: Sequence[str]) -> None:
        """Each foreign key of or to a managed table has an index on its referencing columns."""
        for table, name, managed, referenced, fix, covered, proofs in self._planner.catalog(
            "foreign_keys", list(tables)
        ):
            has_index = covered or any(self._planner.proves_empty(proof) for proof in proofs)
            problem = f'foreign key "{name}" has no index: each delete in {referenced} reads all of {table}'
            severity = Severity.ERROR if f"{table}:constraint:{name}" in recorded else Severity.WARNING
            self._add(
                f"{AREA}:foreign key:{table}:{name}",
                table,
                f'foreign key "{name}" has an index',
                self._planner.catalog_script("foreign_keys", list(tables)),
                None if has_index else (problem, fix),
                severity if managed else Severity.INFO,
            )

    def _index_problem(self, query: Query, identity: Identity, index: _Index) -> tuple[str, str] | None:
        """Why a query cannot use its index, and the fix; None if it can."""
        subject = f"{query.name}, as {identity.name}, cannot"
        first = index.columns[: len(query.columns)]
        columns_match = [_column(name) for name in first] == [_column(name) for name in query.columns]
        plans: list[QueryPlan] = []
        for settings in _PLANNER_SETTINGS:
            try:
                plans.append(self._planner.plan(query.sql, identity, settings, self._planner.params))
            except NoPlanError as error:
                return f"{subject} be planned: {error}", _STRUCTURE
            if index.index in query_plan.indexes(plans[-1]) and not (query.ordered and query_plan.sorts(plans[-1])):
                if columns_match:  # otherwise the plan may read the whole index
                    return None
                break
        subject += f" use {query.index}"
        if not columns_match or (query.ordered and tuple(first) != query.columns):
            actual, expected = ", ".join(index.columns), ", ".join(query.columns)
            return f"{subject}: it begins with ({actual}), not with ({expected})", _STRUCTURE
        try:
            implied = index.predicate is None or self._implies(query, index, index.predicate)
        except NoPlanError as error:
            reason = f"no plan shows whether {query.name} can use {query.index}: {error}"
            id = f"{AREA}:{query.name}:{identity.name}"
            self._context.mark_unchecked(AREA, index.table, reason, _STRUCTURE, id=id)
            return None
        if not implied:
            return f"{subject}: it contains only rows where {index.predicate}, and the query reads others", _STRUCTURE
        if not query_plan.indexes(plans[0]):
            return f"{subject}: the planner chooses {query_plan.scans(plans[0])}", _STRUCTURE
        return None  # another index is equally cheap under all settings

    def _implies(self, query: Query, index: _Index, predicate: str) -> bool:
        """Whether the planner proves the predicate of an index from the conditions of a query. Raises NoPlanError.

        The conditions come from the owner's plan, to which no policy adds any.
        """
        plan = self._planner.plan(query.sql, None, _SEQUENTIAL_SCAN, self._planner.params)
        for alias, condition in query_plan.conditions(plan, index.schema, index.relation):
            [(statement,)] = self._planner.catalog("implied", index.table, alias, condition, predicate)
            if self._planner.proves_empty(statement):
                return True
        return False

    def _evaluated_once(
        self, id: str, table: str, title: str, policies: str | None, statement: str, identity: Identity | None
    ) -> None:
        problem = None
        try:
            calls = query_plan.per_row(self._planner.plan(statement, identity, _SEQUENTIAL_SCAN))
        except NoPlanError as error:
            problem = (f"{title} cannot be planned: {error}", _STRUCTURE)
        else:
            if calls:
                condition = _shorten(next(iter(calls.values())))
                problem = (
                    f"{title}: {' and '.join(calls)} runs for each row, not once per query: {condition}",
                    f"In policy {policies}, move the call into a sub-select that uses no column of the row, for example"
                    " (select auth.uid()), and compare the row with its result.",
                )
        psql_script = self._planner.script(statement, identity, _SEQUENTIAL_SCAN)
        self._add(id, table, f"{title} evaluates the owner check once per query", psql_script, problem)

    def _is_reported(self, index: str) -> bool:
        """Whether the structure area of this run has reported this index as missing or different."""
        end = f":index:{_bare(index)}"
        return any(f.area == structure.AREA and f.id.endswith(end) for f in self._context.findings)

    def _add(
        self,
        id: str,
        subject: str,
        name: str,
        psql_script: str,
        problem: tuple[str, str] | None,
        severity: Severity = Severity.ERROR,
    ) -> None:
        self._context.check_deadline()
        self._context.cases.append(Case(id, AREA, subject, name, psql_script))
        if problem is not None:
            message, fix = problem
            self._context.findings.append(Finding(id, AREA, severity, subject, message, fix))


def _unusable(index: str, missing: bool, queries: Sequence[str]) -> tuple[str, str]:
    affected = f"these queries need it: {', '.join(queries)}"
    if missing:
        return f"index {index} is missing; {affected}", _STRUCTURE
    return f"index {index} is invalid, so no query uses it; {affected}", f"reindex index concurrently {index};"


def _bare(name: str) -> str:
    return name.rpartition(".")[2].strip('"')


def _column(declared: str) -> str:
    return declared.removesuffix(" nulls last").removesuffix(" nulls first").removesuffix(" desc")


def _shorten(condition: str) -> str:
    return condition if len(condition) <= 160 else condition[:157] + "…"
