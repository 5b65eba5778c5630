"""The policy or grant that a leak depends on, and the SQL that closes it.

Each candidate policy is removed in a savepoint and the attempt is repeated.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from psycopg import sql

from supabase_jobs.audit import repairs
from supabase_jobs.audit.callers import FORMER, MEMBER, OWNER
from supabase_jobs.audit.catalog import Policy, Relation
from supabase_jobs.audit.leaks.leak import Leak
from supabase_jobs.audit.probes.attempt import GROUP, JOIN, OWN, UPDATE, Attempt
from supabase_jobs.audit.repairs import COMMANDS, Demand, Edit, Repairs
from supabase_jobs.audit.rows.plan import Plan
from supabase_jobs.database.batch import GroupResult, Statement, run_groups
from supabase_jobs.database.connection import Connection
from supabase_jobs.database.sql_files import sql_file
from supabase_jobs.findings import AuditFinding, Severity
from supabase_jobs.session.impersonation import Impersonation, identity_statements

_DEFINITIONS = sql_file(Path(__file__).with_name("catalog") / "definitions.sql")
_SAVEPOINT, _UNDO = (
    Statement("savepoint audit_cause"),
    Statement("rollback to savepoint audit_cause"),
)


def explain(
    impersonation: Impersonation,
    plan: Plan,
    leaks: Sequence[Leak],
    attempts: Sequence[Attempt],
    cursors: Sequence[Statement],
    *,
    intended: Collection[str],
) -> list[AuditFinding]:
    """The findings for leaks, with cause and fix. `cursors` open again what the attempts need.

    The fixes can be applied together, in any order, and leave those leaks open that are `intended`,
    by id. They keep what the owner and a member reach by `attempts`.
    """
    trial = _Trial(impersonation, cursors)
    causing = {id(leak): _applicable(leak) for leak in leaks}
    several = [leak for leak in leaks if len(causing[id(leak)]) > 1]
    needed = trial.closing(several)
    rest = [leak for leak in several if not needed[id(leak)]]
    causing |= needed | {key: found for key, found in trial.opening(rest).items() if found}
    causing |= {id(leak): _applicable(leak) for leak in rest if not causing[id(leak)]}
    droppable = trial.unused(leaks, causing, attempts)
    demands = {
        id(leak): _demand(plan, leak, causing[id(leak)], may_drop=id(leak) in droppable)
        for leak in leaks
    }
    unsafe: dict[tuple[int, str], set[str]] = {}
    for leak in leaks:
        if _is_of_column(leak) and _is_closed(leak) and leak.id not in intended:
            unsafe.setdefault((leak.relation.oid, leak.attempt.caller.role), set()).add(
                leak.attempt.column
            )
    closed = [demands[id(leak)] for leak in leaks if _is_closed(leak) and leak.id not in intended]
    called = {function.oid for demand in demands.values() for function, _ in demand.functions}
    made = Repairs(plan, closed, _definitions(impersonation.connection, called))
    return [
        _finding(plan, leak, causing[id(leak)], made.text(demands[id(leak)]), unsafe)
        for leak in leaks
    ]


def _is_closed(leak: Leak) -> bool:
    """Whether the report has a fix for a leak: without a baseline, an info is access that may be
    intended.
    """
    return leak.severity is not Severity.INFO or leak.kind in ("deviation", "rls-disabled")


def _definitions(connection: Connection, oids: Collection[int]) -> Mapping[int, str]:
    if not oids:
        return {}
    [result] = run_groups(connection, [[_DEFINITIONS.statement(sorted(oids))]])
    return dict(result.answer().rows)


class _Trial:
    """Repeats attempts without some policies, and undoes that."""

    def __init__(self, impersonation: Impersonation, cursors: Sequence[Statement]) -> None:
        self._impersonation, self._cursors = impersonation, cursors

    def closing(self, leaks: Sequence[Leak]) -> dict[int, list[Policy]]:
        """id() of the leak → the policies without which its attempt fails."""
        tried = [(leak, policy) for leak in leaks for policy in _applicable(leak)]
        reached = self._reach([(leak.attempt, [policy]) for leak, policy in tried])
        found: dict[int, list[Policy]] = {id(leak): [] for leak in leaks}
        for (leak, policy), reaches in zip(tried, reached, strict=True):
            if not reaches:
                found[id(leak)].append(policy)
        return found

    def opening(self, leaks: Sequence[Leak]) -> dict[int, list[Policy]]:
        """id() of the leak → the policies each of which lets its attempt pass without the others."""
        tried = [(leak, policy) for leak in leaks for policy in _applicable(leak)]
        reached = self._reach(
            [
                (leak.attempt, [other for other in _applicable(leak) if other != policy])
                for leak, policy in tried
            ]
        )
        found: dict[int, list[Policy]] = {id(leak): [] for leak in leaks}
        for (leak, policy), reaches in zip(tried, reached, strict=True):
            if reaches:
                found[id(leak)].append(policy)
        return found

    def unused(
        self,
        leaks: Sequence[Leak],
        causing: Mapping[int, Sequence[Policy]],
        attempts: Sequence[Attempt],
    ) -> set[int]:
        """id() of the leaks without whose policies the owner and a member still do the same with
        their own rows.
        """
        tried = [
            (leak, attempt)
            for leak in leaks
            if causing[id(leak)] and len(_applicable(leak)) > 1
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
        groups = [
            [
                _UNDO,
                *(
                    Statement(repairs.drop(attempt.relation, policy).as_string(None))
                    for policy in policies
                ),
                *self._cursors,
                *identity_statements(self._impersonation, attempt.caller.identity),
                attempt.statement,
            ]
            for attempt, policies in tried
        ]
        started = [Statement("close all"), _SAVEPOINT]
        _, *results, _ = run_groups(self._impersonation.connection, [started, *groups, [_UNDO]])
        return [
            _reaches(attempt, result) for (attempt, _), result in zip(tried, results, strict=True)
        ]


def _reaches(attempt: Attempt, result: GroupResult) -> bool:
    """Whether a repeated attempt still reaches its target."""
    again = replace(attempt, statements=[attempt.statement], effect=None, at=0)
    again.read(GroupResult(result.answers[-2:] if result.error is None else (), result.error))
    return again.reached


def _legitimate(leak: Leak, attempts: Sequence[Attempt]) -> Iterator[Attempt]:
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


def _applicable(leak: Leak) -> list[Policy]:
    """The permissive policies that may have let an attempt pass."""
    attempt = leak.attempt
    return [
        p
        for p in leak.relation.policies
        if p.permissive
        and p.applies_to(attempt.caller.role)
        and p.command in ("*", COMMANDS[attempt.action])
    ]


def _is_of_column(leak: Leak) -> bool:
    """Whether a leak is closed if the caller's role may not update the column."""
    return leak.attempt.action == UPDATE and (
        leak.kind in ("privileged-column", "service-column", "escalation", "give-away")
        or (leak.kind == "deviation" and leak.attempt.whose in (OWN, GROUP))
    )


def _demand(plan: Plan, leak: Leak, policies: Sequence[Policy], *, may_drop: bool) -> Demand:
    """The changes that close a leak, which each of the policies opens."""
    relation, attempt = leak.relation, leak.attempt
    if leak.kind == "rls-disabled":
        enable = sql.SQL("alter table {} enable row level security;").format(relation.identifier)
        return Demand(text=enable.as_string(None))
    if _is_of_column(leak):
        return Demand()
    role = attempt.caller.role
    if (
        attempt.caller.kind == FORMER
        and attempt.caller.ended is not None
        and leak.kind != "escalation"
    ):
        return repairs.without_ended(plan, relation, policies, attempt.caller.ended, role)
    of_owner = leak.kind == "deviation" and (attempt.caller.kind, attempt.whose) == (OWNER, OWN)
    if of_owner and policies and all(policy.command != "*" for policy in policies):
        # a condition on the owner does not end what owners may do with their own rows
        return Demand([(relation, policy, Edit.DROP_UNLESS_RESTRICTED) for policy in policies])
    if leak.kind == "escalation" and policies:
        return repairs.refusal(relation, policies, attempt.action)
    if (leak.kind == "unreadable-parent" or attempt.name == JOIN) and policies:
        return Demand([(relation, policy, Edit.READABLE_PARENT) for policy in policies])
    trusting = [p for p in policies if "'user_metadata'" in f"{p.visible} {p.checked}"]
    if leak.kind == "forged-claim" and trusting:
        return Demand([(relation, policy, Edit.APP_METADATA) for policy in trusting])
    return repairs.restriction(plan, relation, policies, attempt.action, role, may_drop=may_drop)


def _finding(
    plan: Plan,
    leak: Leak,
    policies: Sequence[Policy],
    fix: str,
    unsafe: Mapping[tuple[int, str], Collection[str]],
) -> AuditFinding:
    """The finding. `unsafe` are the columns that leaks of the same table and role require to
    revoke.
    """
    relation, role = leak.relation, leak.attempt.caller.role
    cause = _named(plan, relation, policies)
    if leak.kind == "rls-disabled":
        cause, policies = "row level security is disabled", ()
    elif _is_of_column(leak):
        cause = cause or f"a grant of UPDATE ({leak.attempt.column})"
        fix = repairs.without_columns(
            relation, {leak.attempt.column, *unsafe.get((relation.oid, role), ())}, role
        )
    return AuditFinding(
        id=leak.id,
        severity=leak.severity,
        object=leak.attempt.label,
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
