"""The policies that a leak depends on.

Each candidate policy is removed in a savepoint and the attempt is repeated.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from psycopg import sql

from supabase_jobs.audit.callers import MEMBER, OWNER
from supabase_jobs.audit.catalog import Policy, Relation
from supabase_jobs.audit.leaks import rls_disabled
from supabase_jobs.audit.leaks.leak import DEVIATION, Repair, ShownLeak
from supabase_jobs.audit.probes.attempt import GROUP, INSERT, OWN, UPDATE, Attempt
from supabase_jobs.audit.rows.plan import Plan
from supabase_jobs.database.batch import GroupResult, Statement
from supabase_jobs.session.impersonation import Impersonation, caller_statement
from supabase_jobs.session.savepoint import run_undone


@dataclass(frozen=True, eq=False, kw_only=True)
class Caused:
    """A leak, the attempt that shows it, and the policies that cause it.

    `droppable`: without them, the owner and members still do the same with their own rows.
    """

    leak: ShownLeak
    attempt: Attempt
    policies: Sequence[Policy] = ()
    droppable: bool = False

    @property
    def relation(self) -> Relation:
        """The table."""
        return self.attempt.relation

    @property
    def applicable(self) -> list[Policy]:
        """The permissive policies that may have let the attempt pass."""
        return [
            policy
            for policy in self.relation.policies
            if policy.permissive
            and policy.applies_to(self.attempt.caller.role)
            and policy.governs(self.attempt.action)
        ]

    @property
    def is_deviation(self) -> bool:
        """Whether the access is only more than the baseline has."""
        return self.leak.kind is DEVIATION

    @property
    def column(self) -> str:
        """The column that the leak is about, or that its attempt writes."""
        return self.leak.tried.column or self.attempt.column

    @property
    def is_of_column(self) -> bool:
        """Whether the leak is closed if the caller's role may not write the column."""
        if self.attempt.action not in (INSERT, UPDATE) or not self.column:
            return False
        is_own = self.is_deviation and self.attempt.whose in (OWN, GROUP)
        return self.leak.kind.of_column or (is_own and self.attempt.action == UPDATE)

    def named(self, plan: Plan) -> str:
        """The cause, as reports name it."""
        if self.leak.kind.repair is Repair.ENABLE_ROW_SECURITY:
            return rls_disabled.CAUSE
        names = [
            f'policy "{policy.name}"{_calls(plan, self.relation, policy)}'
            for policy in self.policies
        ]
        if not names and self.is_of_column:
            return f"a grant of {self.attempt.action.upper()} ({self.column})"
        return ", ".join(names) or "a grant"


def find(
    impersonation: Impersonation,
    leaks: Sequence[ShownLeak],
    attempts: Sequence[Attempt],
    cursors: Sequence[Statement],
) -> list[Caused]:
    """The leaks with their causes. `cursors` open again what the attempts need."""
    shown = [Caused(leak=leak, attempt=attempts[leak.tried.number]) for leak in leaks]
    trial = _Trial(impersonation, cursors)
    causing = {id(one): one.applicable for one in shown}
    several = [one for one in shown if len(one.applicable) > 1]
    needed = trial.closing(several)
    causing |= needed
    rest = [one for one in several if not needed[id(one)]]
    sufficient = trial.opening(rest)
    causing |= {id(one): sufficient[id(one)] or one.applicable for one in rest}
    droppable = trial.unused(shown, causing, attempts)
    return [
        replace(one, policies=causing[id(one)], droppable=id(one) in droppable) for one in shown
    ]


def drop(relation: Relation, policy: Policy) -> sql.Composed:
    """Remove a policy; other fixes may have done so."""
    return sql.SQL("drop policy if exists {} on {};").format(
        sql.Identifier(policy.name), relation.identifier
    )


def _calls(plan: Plan, relation: Relation, policy: Policy) -> str:
    called = plan.usage.policy_functions.get((relation.oid, policy.name), [])
    return f" with {', '.join(called)}" if called else ""


def reached_without(
    impersonation: Impersonation,
    cursors: Sequence[Statement],
    tried: Sequence[tuple[Attempt, Sequence[Policy]]],
) -> list[bool]:
    """Whether each attempt reaches its target without these policies of its table."""
    return _Trial(impersonation, cursors).reach(tried)


class _Trial:
    """Repeats attempts without some policies, and undoes that."""

    def __init__(self, impersonation: Impersonation, cursors: Sequence[Statement]) -> None:
        self._impersonation, self._cursors = impersonation, cursors

    def closing(self, leaks: Sequence[Caused]) -> dict[int, list[Policy]]:
        """id() of the leak → the policies without which its attempt fails."""
        tried = [(leak, policy) for leak in leaks for policy in leak.applicable]
        reached = self.reach([(leak.attempt, [policy]) for leak, policy in tried])
        found: dict[int, list[Policy]] = {id(leak): [] for leak in leaks}
        for (leak, policy), reaches in zip(tried, reached, strict=True):
            if not reaches:
                found[id(leak)].append(policy)
        return found

    def opening(self, leaks: Sequence[Caused]) -> dict[int, list[Policy]]:
        """id() of the leak → the policies each of which suffices for its attempt to pass."""
        tried = [(leak, policy) for leak in leaks for policy in leak.applicable]
        reached = self.reach(
            [(leak.attempt, _without(leak.applicable, policy)) for leak, policy in tried]
        )
        found: dict[int, list[Policy]] = {id(leak): [] for leak in leaks}
        for (leak, policy), reaches in zip(tried, reached, strict=True):
            if reaches:
                found[id(leak)].append(policy)
        return found

    def unused(
        self,
        leaks: Sequence[Caused],
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
        reached = self.reach([(attempt, causing[id(leak)]) for leak, attempt in tried])
        needed = {
            id(leak) for (leak, _), reaches in zip(tried, reached, strict=True) if not reaches
        }
        return {id(leak) for leak in leaks} - needed

    def reach(self, tried: Sequence[tuple[Attempt, Sequence[Policy]]]) -> list[bool]:
        """Whether each attempt reaches its target without these policies."""
        if not tried:
            return []
        groups = []
        for attempt, policies in tried:
            drops = [drop(attempt.relation, policy).as_string(None) for policy in policies]
            caller = caller_statement(attempt.caller)
            action = alone(attempt).statements
            groups.append([*map(Statement, drops), *self._cursors, caller, *action])
        close = [Statement("close all")]
        results = run_undone(self._impersonation.connection, groups, first=close)
        return [
            reaches(attempt, result) for (attempt, _), result in zip(tried, results, strict=True)
        ]


def _without(policies: Sequence[Policy], one: Policy) -> list[Policy]:
    return [policy for policy in policies if policy != one]


def reaches(attempt: Attempt, result: GroupResult) -> bool:
    """Whether a repeated attempt still reaches its target."""
    again = alone(attempt)
    again.read(GroupResult(result.answers[-1:] if result.error is None else (), result.error))
    return again.reached


def alone(attempt: Attempt) -> Attempt:
    """The action without the statements around it."""
    return replace(attempt, before=(), after=(), effect=None)


def _legitimate(leak: Caused, attempts: Sequence[Attempt]) -> Iterator[Attempt]:
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
