"""The policy or grant that a leak depends on, and the SQL that closes it.

Each candidate policy is removed in a savepoint and the attempt is repeated.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from psycopg import sql

from supabase_jobs.audit.callers import FORMER, INVITED, MEMBER, OWNER
from supabase_jobs.audit.catalog import Policy, Relation
from supabase_jobs.audit.leaks import rls_disabled
from supabase_jobs.audit.leaks.leak import DEVIATION, PolicyLeak, Repair, ShownLeak
from supabase_jobs.audit.permission import Permission
from supabase_jobs.audit.probes.attempt import GROUP, JOIN, OWN, UPDATE, Attempt
from supabase_jobs.audit.repairs import candidates
from supabase_jobs.audit.repairs.candidates import Demand, Edit, Repairs
from supabase_jobs.audit.rows.plan import Plan
from supabase_jobs.database.batch import GroupResult, Statement, run_groups
from supabase_jobs.database.connection import Connection
from supabase_jobs.database.sql_files import sql_file
from supabase_jobs.findings import AuditFinding, Explanation, Severity
from supabase_jobs.session.impersonation import Impersonation, caller_statement
from supabase_jobs.session.savepoint import run_undone

_DEFINITIONS = sql_file(Path(__file__).parents[1] / "catalog" / "definitions.sql")


@dataclass(frozen=True, eq=False)
class _Shown:
    """A leak, the attempt that shows it, and the policies that may have let the attempt pass."""

    leak: ShownLeak
    attempt: Attempt
    applicable: Sequence[Policy]

    @property
    def relation(self) -> Relation:
        """The table."""
        return self.attempt.relation

    @property
    def is_deviation(self) -> bool:
        """Whether the access is only more than the baseline has."""
        return self.leak.kind is DEVIATION

    @property
    def is_of_column(self) -> bool:
        """Whether the leak is closed if the caller's role may not update the column."""
        if self.attempt.action != UPDATE:
            return False
        is_own = self.is_deviation and self.attempt.whose in (OWN, GROUP)
        return self.leak.kind.of_column or is_own

    @property
    def is_closed(self) -> bool:
        """Whether the report has a fix: without a baseline, an info is access that may be
        intended.
        """
        if self.leak.severity is not Severity.INFO or self.is_deviation:
            return True
        return self.leak.kind.repair is Repair.ENABLE_ROW_SECURITY


def explain(
    impersonation: Impersonation,
    plan: Plan,
    leaks: Sequence[ShownLeak],
    attempts: Sequence[Attempt],
    cursors: Sequence[Statement],
    *,
    intended: Collection[str],
) -> list[AuditFinding]:
    """The findings for leaks, with cause and fix. `cursors` open again what the attempts need.

    The fixes can be applied together, in any order, and leave those leaks open that are `intended`,
    by id. They keep what the owner and a member reach by `attempts`.
    """
    shown = [_shown(leak, attempts[leak.tried.number]) for leak in leaks]
    trial = _Trial(impersonation, cursors)
    causing = {id(one): one.applicable for one in shown}
    several = [one for one in shown if len(one.applicable) > 1]
    needed = trial.closing(several)
    causing |= needed
    rest = [one for one in several if not needed[id(one)]]
    sufficient = trial.opening(rest)
    causing |= {id(one): sufficient[id(one)] or one.applicable for one in rest}
    droppable = trial.unused(shown, causing, attempts)
    demands = {}
    for one in shown:
        demands[id(one)] = _demand(plan, one, causing[id(one)], may_drop=id(one) in droppable)
    unsafe: dict[tuple[int, str], set[str]] = {}
    closed = [one for one in shown if one.is_closed and one.leak.id not in intended]
    for one in closed:
        if one.is_of_column:
            key = (one.relation.oid, one.attempt.caller.role)
            unsafe.setdefault(key, set()).add(one.attempt.column)
    called = {function.oid for demand in demands.values() for function, _ in demand.functions}
    made = Repairs(
        plan,
        [demands[id(one)] for one in closed],
        _definitions(impersonation.connection, called),
    )
    return [
        _finding(plan, one, causing[id(one)], made.text(demands[id(one)]), unsafe) for one in shown
    ]


def of_policies(plan: Plan, leaks: Sequence[PolicyLeak]) -> list[AuditFinding]:
    """The findings for leaks of tables for which nothing was tried. An info has no fix."""
    relations = {relation.label: relation for relation in plan.catalog.relations}
    demands = {}
    for leak in leaks:
        relation = relations[leak.object]
        policies = [policy for policy in relation.policies if policy.name in leak.policies]
        demands[leak.id] = candidates.restriction(plan, relation, policies, leak.action, leak.role)
    closed = [leak for leak in leaks if leak.severity is not Severity.INFO]
    made = Repairs(plan, [demands[leak.id] for leak in closed])
    found = []
    for leak in leaks:
        fix = made.text(demands[leak.id]) if leak in closed else ""
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
        return Explanation(f"a grant of SELECT ({column})", revoke.as_string(None))
    columns = sql.SQL(", ").join(c.identifier for c in relation.columns if c.name in known)
    fix = sql.SQL("revoke select on {0} from {1}; grant select ({2}) on {0} to {1};").format(
        target, to, columns
    )
    return Explanation("a grant of SELECT", fix.as_string(None))


def _shown(leak: ShownLeak, attempt: Attempt) -> _Shown:
    """The leak with the permissive policies that may have let its attempt pass."""
    applicable = [
        p
        for p in attempt.relation.policies
        if p.permissive and p.applies_to(attempt.caller.role) and p.governs(attempt.action)
    ]
    return _Shown(leak, attempt, applicable)


def _definitions(connection: Connection, oids: Collection[int]) -> Mapping[int, str]:
    if not oids:
        return {}
    [result] = run_groups(connection, [[_DEFINITIONS.statement(sorted(oids))]])
    return dict(result.answer().rows)


class _Trial:
    """Repeats attempts without some policies, and undoes that."""

    def __init__(self, impersonation: Impersonation, cursors: Sequence[Statement]) -> None:
        self._impersonation, self._cursors = impersonation, cursors

    def closing(self, leaks: Sequence[_Shown]) -> dict[int, list[Policy]]:
        """id() of the leak → the policies without which its attempt fails."""
        tried = [(leak, policy) for leak in leaks for policy in leak.applicable]
        reached = self._reach([(leak.attempt, [policy]) for leak, policy in tried])
        found: dict[int, list[Policy]] = {id(leak): [] for leak in leaks}
        for (leak, policy), reaches in zip(tried, reached, strict=True):
            if not reaches:
                found[id(leak)].append(policy)
        return found

    def opening(self, leaks: Sequence[_Shown]) -> dict[int, list[Policy]]:
        """id() of the leak → the policies each of which suffices for its attempt to pass."""
        tried = [(leak, policy) for leak in leaks for policy in leak.applicable]
        reached = self._reach(
            [(leak.attempt, _without(leak.applicable, policy)) for leak, policy in tried]
        )
        found: dict[int, list[Policy]] = {id(leak): [] for leak in leaks}
        for (leak, policy), reaches in zip(tried, reached, strict=True):
            if reaches:
                found[id(leak)].append(policy)
        return found

    def unused(
        self,
        leaks: Sequence[_Shown],
        causing: Mapping[int, Sequence[Policy]],
        attempts: Sequence[Attempt],
    ) -> set[int]:
        """id() of the leaks without whose policies the owner and a member still do the same with
        their own rows.
        """
        tried = [
            (leak, attempt)
            for leak in leaks
            if causing[id(leak)] and len(leak.applicable) > 1
            for attempt in _legitimate(leak, attempts)
        ]
        reached = self._reach([(attempt, causing[id(leak)]) for leak, attempt in tried])
        needed = {
            id(leak) for (leak, _), reaches in zip(tried, reached, strict=True) if not reaches
        }
        return {id(leak) for leak in leaks} - needed

    def _reach(self, tried: Sequence[tuple[Attempt, Sequence[Policy]]]) -> list[bool]:
        """Whether each attempt reaches its target without these policies."""
        if not tried:
            return []
        groups = []
        for attempt, policies in tried:
            drops = [
                candidates.drop(attempt.relation, policy).as_string(None) for policy in policies
            ]
            caller = caller_statement(attempt.caller)
            action = _alone(attempt).statements
            groups.append([*map(Statement, drops), *self._cursors, caller, *action])
        close = [Statement("close all")]
        results = run_undone(self._impersonation.connection, groups, first=close)
        return [
            _reaches(attempt, result) for (attempt, _), result in zip(tried, results, strict=True)
        ]


def _without(policies: Sequence[Policy], one: Policy) -> list[Policy]:
    return [policy for policy in policies if policy != one]


def _reaches(attempt: Attempt, result: GroupResult) -> bool:
    """Whether a repeated attempt still reaches its target."""
    again = _alone(attempt)
    again.read(GroupResult(result.answers[-1:] if result.error is None else (), result.error))
    return again.reached


def _alone(attempt: Attempt) -> Attempt:
    """The action without the statements around it."""
    return replace(attempt, before=(), after=(), effect=None)


def _legitimate(leak: _Shown, attempts: Sequence[Attempt]) -> Iterator[Attempt]:
    """The same action of the owner on their own row, and of each member on that of the group, if it
    is allowed.
    """
    seen = set()
    for attempt in attempts:
        mine = (attempt.caller.kind, attempt.whose) in ((OWNER, OWN), (MEMBER, GROUP))
        same = (
            attempt.label == leak.attempt.label
            and attempt.action == leak.attempt.action
            and not attempt.name
        )
        if mine and same and attempt.reached and attempt.caller not in seen:
            seen.add(attempt.caller)
            yield attempt


def _demand(plan: Plan, shown: _Shown, policies: Sequence[Policy], *, may_drop: bool) -> Demand:
    """The changes that close a leak, which each of the policies opens."""
    relation, attempt, repair = shown.relation, shown.attempt, shown.leak.kind.repair
    if repair is Repair.ENABLE_ROW_SECURITY:
        enable = sql.SQL("alter table {} enable row level security;").format(relation.identifier)
        return Demand(text=enable.as_string(None))
    if shown.is_of_column:
        return Demand()
    role, mark = attempt.caller.role, attempt.caller.ended
    is_inactive = attempt.caller.kind in (FORMER, INVITED)
    if is_inactive and mark is not None and repair is not Repair.REFUSE:
        return candidates.without_ended(plan, relation, policies, mark, role)
    of_owner = shown.is_deviation and (attempt.caller.kind, attempt.whose) == (OWNER, OWN)
    if of_owner and policies and all(policy.command != "*" for policy in policies):
        # a condition on the owner does not end what owners may do with their own rows
        return _edits(relation, policies, Edit.DROP_UNLESS_RESTRICTED)
    if repair is Repair.REFUSE and policies:
        return candidates.refusal(relation, policies, attempt.action)
    if (repair is Repair.READABLE_PARENT or attempt.name == JOIN) and policies:
        return _edits(relation, policies, Edit.READABLE_PARENT)
    trusting = [p for p in policies if "'user_metadata'" in f"{p.visible} {p.checked}"]
    if repair is Repair.APP_METADATA and trusting:
        return _edits(relation, trusting, Edit.APP_METADATA)
    return candidates.restriction(plan, relation, policies, attempt.action, role, may_drop=may_drop)


def _edits(relation: Relation, policies: Sequence[Policy], edit: Edit) -> Demand:
    return Demand([(relation, policy, edit) for policy in policies])


def _finding(
    plan: Plan,
    shown: _Shown,
    policies: Sequence[Policy],
    fix: str,
    unsafe: Mapping[tuple[int, str], Collection[str]],
) -> AuditFinding:
    """The finding. `unsafe` are the columns that leaks of the same table and role require to
    revoke.
    """
    leak, relation, attempt = shown.leak, shown.relation, shown.attempt
    role = attempt.caller.role
    cause = _named(plan, relation, policies)
    if leak.kind.repair is Repair.ENABLE_ROW_SECURITY:
        cause, policies = rls_disabled.CAUSE, ()
    elif shown.is_of_column:
        cause = cause or f"a grant of UPDATE ({attempt.column})"
        columns = {attempt.column, *unsafe.get((relation.oid, role), ())}
        fix = candidates.without_columns(relation, columns, role)
    return AuditFinding(
        id=leak.id,
        severity=leak.severity,
        object=leak.object,
        message=leak.message,
        fix=fix,
        cause=cause or "a grant",
        policies=tuple(policy.name for policy in policies),
    )


def _named(plan: Plan, relation: Relation, policies: Sequence[Policy]) -> str:
    return ", ".join(
        f'policy "{policy.name}"{_calls(plan, relation, policy)}' for policy in policies
    )


def _calls(plan: Plan, relation: Relation, policy: Policy) -> str:
    called = plan.usage.policy_functions.get((relation.oid, policy.name), [])
    return f" with {', '.join(called)}" if called else ""
