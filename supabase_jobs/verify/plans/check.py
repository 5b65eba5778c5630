"""Ask the planner, and run nothing: can each fast query use its index, is the owner asked for once per query?

Only EXPLAIN (never ANALYZE) and the catalogs, so it needs no rows, writes nothing, and runs on a replica. What no
plan shows is a policy's WITH CHECK: its expression is planned by itself, as a condition.
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
from supabase_jobs.verify.plans.query_plan import Plan
from supabase_jobs.verify.structure import snapshot as structure_snapshot

# In which moods the planner is asked for an index. A plan that takes it in one of them proves that it can. The
# second makes it dear to look at rows that another index, without the predicate, would bring along; the third is
# for indexes that only bitmaps can use (brin, gin).
_PLAIN = {"enable_seqscan": "off", "enable_sort": "off", "enable_incremental_sort": "off", "enable_bitmapscan": "off"}
_MOODS: Sequence[Mapping[str, str]] = (
    _PLAIN,
    {**_PLAIN, "cpu_operator_cost": "1000"},
    {"enable_seqscan": "off", "enable_indexscan": "off"},
)
# Here every row is looked at, so what a policy asks stands in a filter: a large part of a table is read so, and
# whatever is asked for a row rather than once shows, however good an index there is.
_EVERY_ROW = {
    "enable_seqscan": "on",
    "enable_indexscan": "off",
    "enable_indexonlyscan": "off",
    "enable_bitmapscan": "off",
}


def check(connection: Connection, expectations: Expectations, result: Context) -> None:
    """The area: the declared queries, owner checks, and the indexes of our tables. Needs an empty search_path."""
    file = result.declaration_file(AREA, expectations, queries.FILE_NAME)
    recorded = result.declaration_file(AREA, expectations, structure_snapshot.FILE_NAME)
    if file is None or recorded is None:
        return
    declared, snapshot = queries.load(file), structure_snapshot.load(recorded)
    session = impersonation.begin(connection, AREA, declared.ids, declared.placeholders, expectations.variables)
    result.preambles[AREA] = script.preamble("Plans: what the planner makes of it, and nothing is run.")
    judge = _Judge(Planner(session), result)
    tables = snapshot.scope["relations"]
    judge.queries(declared.queries)
    judge.owner_checks(tables, declared.identities)
    facts = [fact.id.removeprefix(f"{structure.AREA}:") for fact in snapshot.facts]
    judge.foreign_keys(tables, facts)
    about = {
        "scope": tables,
        "recorded": facts,
        "asked": [query.index for query in declared.queries],
    }
    run_lints(connection, AREA, AREA, AREA, about, result)


@dataclass(frozen=True)
class _Index:
    """What the catalogs say of an index. `index`, `schema` and `relation` are as plans name them, without quotes."""

    name: str
    table: str
    index: str
    schema: str
    relation: str
    usable: bool
    columns: Sequence[str]
    predicate: str | None


class _Judge:
    """Asks for plans, and adds cases and findings to a result."""

    def __init__(self, planner: Planner, result: Context) -> None:
        self._planner = planner
        self._result = result

    def queries(self, queries: Sequence[Query]) -> None:
        """Each query, as each of its identities, can use the index named for it."""
        found = {row[0]: _Index(*row) for row in self._planner.ask("index", [query.index for query in queries])}
        for index in dict.fromkeys(query.index for query in queries):
            named = [query.name for query in queries if query.index == index]
            there = found.get(index)
            if there is None or not there.usable:
                if self._is_said(index):
                    continue
                problem = _unusable(index, there is None, named)
                asked = self._planner.question("index", [index])
                self._judge(f"{AREA}:index:{index}", index, f"usable, for: {', '.join(named)}", asked, problem)
                continue
            for query in (query for query in queries if query.index == index):
                for identity in query.identities:
                    self._judge(
                        f"{AREA}:{query.name}:{identity.name}",
                        there.table,
                        f"{query.name}, as {identity.name}, can use {index}",
                        self._planner.script(query.sql, identity, _PLAIN, declared=True),
                        self._cannot_use(query, identity, there),
                    )

    def owner_checks(self, tables: Sequence[str], identities: Sequence[Identity]) -> None:
        """What the policies of our tables ask is evaluated once per query, as each identity and for each command."""
        by_role = {identity.role: identity for identity in identities}
        for table, role, command, statement, policies in self._planner.ask("commands", list(tables), list(by_role)):
            identity = by_role[role]
            asker = f"{command} as {identity.name}"
            self._once(f"{AREA}:once:{table}:{command}:{identity.name}", table, asker, policies, statement, identity)
        for table, policy, statement in self._planner.ask("checks", list(tables)):
            asker = f'WITH CHECK of "{policy}"'
            self._once(f"{AREA}:once:{table}:check:{policy}", table, asker, f'"{policy}"', statement, None)

    def foreign_keys(self, tables: Sequence[str], recorded: Sequence[str]) -> None:
        """Whoever deletes a row finds the rows that refer to it by an index."""
        for table, name, ours, referenced, fix, covered, proofs in self._planner.ask("foreign_keys", list(tables)):
            found = covered or any(self._planner.proves(proof) for proof in proofs)
            problem = f'foreign key "{name}" has no index: each delete in {referenced} reads all of {table}'
            severity = Severity.ERROR if f"{table}:constraint:{name}" in recorded else Severity.WARNING
            self._judge(
                f"{AREA}:foreign key:{table}:{name}",
                table,
                f'foreign key "{name}" has an index',
                self._planner.question("foreign_keys", list(tables)),
                None if found else (problem, fix),
                severity if ours else Severity.INFO,
            )

    def _cannot_use(self, query: Query, identity: Identity, index: _Index) -> tuple[str, str] | None:
        """None where the query can use its index; else why not, and what to do."""
        asked = f"{query.name}, as {identity.name}, cannot"
        begins = index.columns[: len(query.columns)]
        named = [_column(name) for name in begins] == [_column(name) for name in query.columns]
        plans: list[Plan] = []
        for mood in _MOODS:
            try:
                plans.append(self._planner.plan(query.sql, identity, mood, self._planner.params))
            except NoPlanError as error:
                return f"{asked} be planned: {error}", _STRUCTURE
            if index.index in query_plan.indexes(plans[-1]) and not (query.ordered and query_plan.sorts(plans[-1])):
                if named:  # by its first columns, and not by reading all of it
                    return None
                break
        asked += f" use {query.index}"
        if not named or (query.ordered and tuple(begins) != query.columns):
            found, wanted = ", ".join(index.columns), ", ".join(query.columns)
            return f"{asked}: it begins with ({found}), not with ({wanted})", _STRUCTURE
        try:
            implied = index.predicate is None or self._implies(query, index, index.predicate)
        except NoPlanError as error:
            # never called passed: whether it could
            why = f"whether {query.name} can use {query.index} does not show: {error}"
            self._result.mark_unchecked(AREA, index.table, why, _STRUCTURE, id=f"{AREA}:{query.name}:{identity.name}")
            return None
        if not implied:
            return f"{asked}: it holds only rows where {index.predicate}, and the query wants others too", _STRUCTURE
        if not query_plan.indexes(plans[0]):
            return f"{asked}: the planner takes {query_plan.scans(plans[0])}", _STRUCTURE
        return None  # another one is as cheap in every mood

    def _implies(self, query: Query, index: _Index, predicate: str) -> bool:
        """Whether the planner proves an index's predicate from the conditions of a query. Raises NoPlanError.

        The conditions are those of its plan, as the owner, whom no policy adds anything to.
        """
        plan = self._planner.plan(query.sql, None, _EVERY_ROW, self._planner.params)
        for alias, condition in query_plan.conditions(plan, index.schema, index.relation):
            [(statement,)] = self._planner.ask("implied", index.table, alias, condition, predicate)
            if self._planner.proves(statement):
                return True
        return False

    def _once(
        self, id: str, table: str, asker: str, policies: str | None, statement: str, identity: Identity | None
    ) -> None:
        problem = None
        try:
            found = query_plan.per_row(self._planner.plan(statement, identity, _EVERY_ROW))
        except NoPlanError as error:
            problem = (f"{asker} cannot be planned: {error}", _STRUCTURE)
        else:
            if found:
                where = _short(next(iter(found.values())))
                problem = (
                    f"{asker}: {' and '.join(found)} runs for each row, not once per query: {where}",
                    f"In policy {policies}, ask who the caller is in a sub-select that names no column of the row,"
                    " as in (select auth.uid()), and compare the row with that.",
                )
        asked = self._planner.script(statement, identity, _EVERY_ROW)
        self._judge(id, table, f"{asker} asks for the owner once per query", asked, problem)

    def _is_said(self, index: str) -> bool:
        """Whether the recorded structure has been compared in this run, and this index found missing or different."""
        end = f":index:{_bare(index)}"
        return any(f.area == structure.AREA and f.id.endswith(end) for f in self._result.findings)

    def _judge(
        self,
        id: str,
        subject: str,
        name: str,
        asked: str,
        problem: tuple[str, str] | None,
        severity: Severity = Severity.ERROR,
    ) -> None:
        self._result.check_deadline()
        self._result.cases.append(Case(id, AREA, subject, name, asked))
        if problem is not None:
            message, fix = problem
            self._result.findings.append(Finding(id, AREA, severity, subject, message, fix))


_STRUCTURE = "`verify --only structure` names the table, index or policy that differs, and the SQL that mends it."


def _unusable(index: str, missing: bool, queries: Sequence[str]) -> tuple[str, str]:
    wanted = f"these queries want it: {', '.join(queries)}"
    if missing:
        return f"index {index} is missing; {wanted}", _STRUCTURE
    return f"index {index} is invalid, so no query uses it; {wanted}", f"reindex index concurrently {index};"


def _bare(name: str) -> str:
    return name.rpartition(".")[2].strip('"')


def _column(declared: str) -> str:
    return declared.removesuffix(" nulls last").removesuffix(" nulls first").removesuffix(" desc")


def _short(condition: str) -> str:
    return condition if len(condition) <= 160 else condition[:157] + "…"
