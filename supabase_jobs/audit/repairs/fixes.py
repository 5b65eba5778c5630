"""The findings for leaks, each with its cause and its repair."""

from collections.abc import Callable, Collection, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from psycopg import sql

from supabase_jobs.audit.catalog import Function, Relation
from supabase_jobs.audit.leaks import function_ended, public_bucket, topic
from supabase_jobs.audit.leaks.leak import (
    AnyLeak,
    BrokenAccess,
    ExplainedLeak,
    PolicyLeak,
    Repair,
)
from supabase_jobs.audit.policies import parse_trees, queries
from supabase_jobs.audit.policies.refusals import Reason, Refusal
from supabase_jobs.audit.repairs import candidates, captured
from supabase_jobs.audit.repairs.causes import Caused
from supabase_jobs.audit.repairs.demand import Definitions, Demand, Edit, Script, edited
from supabase_jobs.audit.repairs.proofs import Proofs
from supabase_jobs.audit.repairs.statements import Repairs
from supabase_jobs.audit.repairs.verdict import Proven
from supabase_jobs.audit.rows.plan import Plan
from supabase_jobs.database.batch import run_groups
from supabase_jobs.database.connection import Connection
from supabase_jobs.database.sql_files import sql_file
from supabase_jobs.findings import AuditFinding, Cell, Explanation, Left, Permission, as_comment

_PATTERN = (
    "LIKE takes {} as a pattern, and % finds every row. If callers must know the value, compare it"
    " with =. If not, run:"
)
_DEFINITIONS = sql_file(Path(__file__).parents[1] / "catalog" / "definitions.sql")


class Renderer:
    """Makes the statements of demands; reads the definitions of functions that they change."""

    def __init__(self, connection: Connection, plan: Plan) -> None:
        self._connection, self._plan = connection, plan
        self._definitions: dict[int, str] = {}

    def __call__(self, chosen: Sequence[Demand], demand: Demand) -> str:
        """The statements of a demand, in which each policy has the edits of all."""
        called = frozenset[int]().union(*(one.definitions.changed for one in (*chosen, demand)))
        if missing := called - self._definitions.keys():
            statement = _DEFINITIONS.statement(sorted(missing))
            [result] = run_groups(self._connection, [[statement]])
            self._definitions |= dict(result.answer().rows)
        return Repairs(self._plan, chosen, self._definitions).text(demand)


@dataclass(frozen=True, eq=False)
class Repaired:
    """A leak with its cause and its repair."""

    leak: AnyLeak
    cause: str
    policies: tuple[str, ...]
    proven: Proven
    origin: str = ""
    column: str = ""

    @property
    def is_late(self) -> bool:
        """Whether its time was over before it was proven."""
        return self.proven.left is Left.LATE

    def explanation(self, proofs: Proofs) -> Explanation:
        """The cause and the fix. All repairs must have been proven before."""
        fix = proofs.written(self.proven)
        return Explanation(
            cause=self.cause,
            fix=fix,
            policies=self.policies,
            proven=self.proven.is_proven,
            origin=self.origin,
            callers=self.proven.callers,
            column=self.column,
            left=self.proven.left,
        )

    def finding(self, proofs: Proofs) -> AuditFinding:
        """The leak as reports print it. All repairs must have been proven before."""
        explained = self.explanation(proofs)
        return AuditFinding(
            id=self.leak.id,
            severity=self.leak.severity,
            object=self.leak.object,
            message=self.leak.message,
            fix=explained.fix,
            cause=explained.cause,
            policies=explained.policies,
            proven=explained.proven,
            origin=explained.origin,
            callers=explained.callers,
            column=explained.column,
            kind=self.leak.kind.code,
            table=self.leak.table,
            action=self.leak.action,
            left=explained.left,
        )


def of_shown(
    plan: Plan, proofs: Proofs | None, one: Caused, cells: Collection[Cell] = ()
) -> Repaired:
    """The repair of a leak that an attempt shows; none without proofs."""
    proven = Proven(text="")
    if proofs is not None:
        proven = proofs.prove(one.leak, candidates.alternatives(plan, one), cells)
    change = one.change
    if one.guard is not None and proven.demand is not None:
        change = one.guard if proven.demand.script.text == one.guard.text else change
    if change is not None:
        return Repaired(
            leak=one.leak,
            cause=change.cause,
            policies=change.policies,
            proven=proven,
            origin=change.origin,
        )
    mended = None if proven.demand is None else proven.demand.mended
    called = plan.usage.policies.policy_functions
    names = [name for p in one.policies for name in called.get((one.relation.oid, p.name), ())]
    if mended is not None and mended.signature in names:
        return Repaired(
            leak=one.leak,
            cause=f"function {mended.signature}",
            policies=(),
            proven=proven,
            origin=f"{mended.schema}.{mended.name}",
        )
    policies = tuple(policy.name for policy in one.policies)
    return Repaired(
        leak=one.leak,
        cause=one.named(plan),
        policies=policies,
        proven=proven,
        column=one.column if one.is_of_column else "",
    )


def of_deviations(
    plan: Plan, proofs: Proofs | None, deviations: Mapping[Cell, Caused]
) -> dict[Cell, Repaired]:
    """The repairs of access beyond the baseline: one for all that the same policies allow; else one
    for each action of outsiders, and of others.
    """
    found = dict[Cell, Repaired]()
    for cells in _grouped(deviations, _policies).values():
        whole = _of_cells(plan, proofs, deviations, cells)
        if all(one.proven.is_proven for one in whole.values()):
            found |= whole
            continue
        for some in _grouped({cell: deviations[cell] for cell in cells}, _part).values():
            found |= _of_cells(plan, proofs, deviations, some)
    return found


def _of_cells(
    plan: Plan,
    proofs: Proofs | None,
    deviations: Mapping[Cell, Caused],
    cells: Sequence[Cell],
) -> dict[Cell, Repaired]:
    one = deviations[cells[0]]
    first = of_shown(plan, proofs, one, cells)
    is_guard = one.guard is not None and first.cause == one.guard.cause
    return {
        cell: replace(
            first,
            leak=deviations[cell].leak,
            cause=first.cause if is_guard else deviations[cell].named(plan),
        )
        for cell in cells
    }


def _grouped(
    deviations: Mapping[Cell, Caused], key: Callable[[Caused], Hashable]
) -> dict[Hashable, list[Cell]]:
    groups: dict[Hashable, list[Cell]] = {}
    for cell, one in deviations.items():
        groups.setdefault(key(one), []).append(cell)
    return groups


def _policies(one: Caused) -> Hashable:
    if one.change is not None:
        return one.change.undo
    return one.relation.oid, tuple(policy.name for policy in one.policies)


def _part(one: Caused) -> Hashable:
    column = one.column if one.is_of_column else ""
    return one.attempt.action, column, one.attempt.caller.is_outsider


def of_explained(plan: Plan, proofs: Proofs | None, leak: ExplainedLeak) -> Repaired:
    """The repair of a leak of a view, function or other object. An info has none; without proofs,
    nothing is tried.
    """
    demands = [] if leak.kind.repair is Repair.ADVICE else list(of_object(plan, leak))
    if leak.kind is function_ended.KIND and proofs is not None:
        demands = [*_without_ended(plan, proofs, leak.object), *demands]
    if isinstance(leak, BrokenAccess):
        demands = _of_refusal(leak.refusal)
    proven = Proven(text=leak.explanation.fix, left=Left.NONE)
    if proofs is not None and leak.severity.is_problem and demands:
        proven = proofs.prove(leak, demands)
        function = _changing(plan, leak.object)
        if proven.is_proven and function is not None and not proofs.is_used(function):
            ask = "Its callers may lose what it changes. If nobody needs that, run:"
            text = as_comment(f"{ask}\n{proofs.statements(proven)}")
            proven = Proven(text=text, left=Left.UNKNOWN)
    elif proofs is not None and leak.severity.is_problem and leak.kind is topic.KIND:
        proven = proofs.prove_topic(leak)
    elif leak.kind is public_bucket.KIND:
        ask = "Not tried: no trial sees who reads files by their URL. If nobody needs that, run:"
        proven = Proven(text=as_comment(f"{ask}\n{leak.explanation.fix}"), left=Left.UNKNOWN)
    return Repaired(
        leak=leak,
        cause=leak.explanation.cause,
        policies=leak.explanation.policies,
        proven=proven,
        origin=leak.explanation.origin,
    )


def _of_refusal(refusal: Refusal) -> list[Demand]:
    """The changes that may give what is refused; none if nobody in the world could show it."""
    if refusal.reason is Reason.NEVER:
        return []
    return [
        Demand(script=Script(text=text, tables=refusal.tables, functions=refusal.functions))
        for text in refusal.repairs
    ]


def _without_ended(plan: Plan, proofs: Proofs, name: str) -> Iterator[Demand]:
    """A function that reads no row that has ended: first in one of the ways, then in each."""
    for function in plan.catalog.functions:
        if function.signature == name:
            ends = [(function, mark) for mark in proofs.ends(function)]
            yield from (Demand(definitions=Definitions(lacking=[one])) for one in ends)
            if len(ends) > 1:
                yield Demand(definitions=Definitions(lacking=ends))


def _changing(plan: Plan, name: str) -> Function | None:
    """The function of a finding, if it may change rows."""
    functions = (f for f in plan.catalog.functions if f.signature == name and f.volatility == "v")
    return next(functions, None)


def of_policies(plan: Plan, leaks: Sequence[PolicyLeak]) -> list[AuditFinding]:
    """The findings for leaks of tables for which nothing was tried: their fixes are comments. An
    info has none.
    """
    relations = {relation.label: relation for relation in plan.catalog.relations}
    demands = {}
    for leak in leaks:
        relation = relations[leak.object]
        policies = [policy for policy in relation.policies if policy.name in leak.policies]
        demands[leak.id] = candidates.restriction(plan, relation, policies, leak.action, leak.role)
    closed = [leak for leak in leaks if leak.severity.is_problem]
    made = Repairs(plan, [demands[leak.id] for leak in closed])
    found = []
    for leak in leaks:
        fix = ""
        if leak in closed:
            fix = as_comment(f"Not tried, because there is no row:\n{made.text(demands[leak.id])}")
        cause = ", ".join(f'policy "{name}"' for name in leak.policies)
        found.append(
            AuditFinding(
                id=leak.id,
                severity=leak.severity,
                object=leak.object,
                message=leak.message,
                fix=fix,
                cause=cause,
                policies=leak.policies,
                kind=leak.kind.code,
                table=leak.table,
                action=leak.action,
                left=Left.UNKNOWN,
            )
        )
    return found


def of_column_grants(
    relation: Relation, role: str, action: Permission, accepted: Collection[Permission]
) -> Explanation | None:
    """That of a read of more columns than before; None if a policy opens it, not a grant."""
    known = {a.column for a in accepted if a.kind == "read" and a.column}
    if not known or action.kind != "read":
        return None
    target, to = relation.identifier, sql.Identifier(role)
    if column := action.column:
        revoke = sql.SQL("revoke select ({}) on {} from {};").format(
            sql.Identifier(column), target, to
        )
        return Explanation(cause=f"a grant of SELECT ({column})", fix=revoke.as_string(None))
    columns = sql.SQL(", ").join(c.identifier for c in relation.columns if c.name in known)
    fix = sql.SQL("revoke select on {0} from {1}; grant select ({2}) on {0} to {1};").format(
        target, to, columns
    )
    return Explanation(cause="a grant of SELECT", fix=fix.as_string(None))


def of_object(plan: Plan, leak: ExplainedLeak) -> Iterator[Demand]:
    """The changes that may close a leak of a relation or function."""
    fix = leak.explanation.fix
    for relation in plan.catalog.relations:
        if relation.label == leak.object:
            touched = frozenset({relation.oid})
            if relation.kind == "v" and not relation.invoker:
                alter = sql.SQL("alter view {} set (security_invoker = true);")
                text = alter.format(relation.identifier).as_string(None)
                yield Demand(script=Script(text=text, tables=touched))
            for policy in relation.policies:
                is_named = policy.name in leak.explanation.policies
                if is_named and captured.names(plan.catalog, relation, policy):
                    yield edited(relation, [policy], Edit.QUALIFIED)
            yield Demand(script=Script(text=fix, tables=touched))
            if relation.kind in ("v", "m"):
                yield from _without_privileges(relation, leak)
    for function in plan.catalog.functions:
        if function.signature == leak.object:
            called = frozenset({function.oid})
            names = _patterns(function)
            asks = _PATTERN.format(names) if names else ""
            if body := captured.body(plan.catalog, function):
                yield Demand(definitions=Definitions(bodies=[(function, body)]))
            if function.definer:
                invoker = f"alter function {function.signature} security invoker;"
                script = Script(text=invoker, functions=called)
                yield Demand(script=script, asks=asks, acting=[function])
            yield from candidates.limiting(plan, function)
            yield Demand(script=Script(text=fix, functions=called), asks=asks)


def _patterns(function: Function) -> str:
    """The arguments of a function that find rows by LIKE, so that a caller needs no value."""
    found = queries.patterns(parse_trees.body_trees(function.language, function.body))
    names = {function.argument(one.column) for one in found if one.table is None}
    return ", ".join(sorted(names - {""}))


def _without_privileges(relation: Relation, leak: ExplainedLeak) -> Iterator[Demand]:
    for privileges in ("insert, update, delete", "all") if leak.is_write else ("all",):
        for roles in ("anon", "anon, authenticated"):
            revoke = sql.SQL("revoke {} on {} from {};").format(
                sql.SQL(privileges), relation.identifier, sql.SQL(roles)
            )
            yield Demand(
                script=Script(text=revoke.as_string(None), tables=frozenset({relation.oid}))
            )
