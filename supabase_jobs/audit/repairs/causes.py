"""The policies that a leak depends on.

Each candidate policy is removed in a savepoint and the attempt is repeated.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from psycopg import sql

from supabase_jobs.audit.callers import FORGER, IMPOSTOR, MEMBER, OWNER, Persona
from supabase_jobs.audit.catalog import Function, Policy, Relation
from supabase_jobs.audit.leaks import rls_disabled
from supabase_jobs.audit.leaks.leak import DEVIATION, Repair, ShownLeak
from supabase_jobs.audit.policies.expressions import CHOSEN
from supabase_jobs.audit.probes.attempt import GROUP, INSERT, OWN, UPDATE, Attempt
from supabase_jobs.audit.repairs.changes import (
    Change,
    at_sign_up,
    distinct,
    elsewhere,
    in_tokens,
)
from supabase_jobs.audit.rows.plan import Plan
from supabase_jobs.database.batch import GroupResult, Statement
from supabase_jobs.session.impersonation import Impersonation, caller_statement
from supabase_jobs.session.savepoint import run_undone

# in the text of an expression or of a function
USER_METADATA = "'user_metadata'"


@dataclass(frozen=True, eq=False, kw_only=True)
class Caused:
    """A leak, the attempt that shows it, and the policies that cause it.

    `droppable`: without them, the owner and members still do the same with their own rows.
    `change` is what causes it elsewhere, or before any policy: without it, the leak is gone.
    `guard` is a trigger that has changed and that may have prevented it: only a trial tells.
    """

    leak: ShownLeak
    attempt: Attempt
    policies: Sequence[Policy] = ()
    droppable: bool = False
    change: Change | None = None
    guard: Change | None = None

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
        if self.change is not None:
            return self.change.cause
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
    plan: Plan,
    changes: Sequence[Change] = (),
) -> list[Caused]:
    """The leaks with their causes. The `changes` since an earlier state are tried first."""
    shown = [Caused(leak=leak, attempt=attempts[leak.tried.number]) for leak in leaks]
    trial = _Trial(impersonation)
    causing = {id(one): one.applicable for one in shown}
    several = [one for one in shown if len(one.applicable) > 1]
    needed = trial.closing(several)
    causing |= needed
    rest = [one for one in several if not needed[id(one)]]
    sufficient = trial.opening(rest)
    causing |= {id(one): sufficient[id(one)] or one.applicable for one in rest}
    droppable = trial.unused(shown, causing, attempts)
    by_change = _elsewhere(shown, trial.changed(shown, changes))
    by_change = by_change or trial.shared(shown, causing, attempts, plan)
    by_change = _at_sign_up(plan, shown, causing) | by_change
    return [
        replace(
            one,
            policies=causing[id(one)],
            droppable=id(one) in droppable,
            change=by_change.get(id(one)),
            guard=_guard(one, changes),
        )
        for one in shown
    ]


def _elsewhere(leaks: Sequence[Caused], found: Mapping[int, Change]) -> dict[int, Change]:
    """Without the policies that open only their own table: they are causes as they were before."""
    opened: dict[int, set[str]] = {}
    for leak in leaks:
        if (change := found.get(id(leak))) is not None:
            opened.setdefault(id(change), set()).add(leak.relation.label)
    return {
        key: change
        for key, change in found.items()
        if not change.policies or opened[id(change)] != {change.origin}
    }


def _at_sign_up(
    plan: Plan, leaks: Iterable[Caused], causing: Mapping[int, Sequence[Policy]]
) -> dict[int, Change]:
    """Id() of the leak of a user with metadata of their choice → the functions that believe it; not
    if a policy reads the metadata itself.
    """
    found: dict[int, Change] = {}
    made: dict[int | str, Change | None] = {}
    for leak in leaks:
        caller = leak.attempt.caller
        if caller.kind == IMPOSTOR and caller.user is not None:
            change = made.setdefault(id(caller.user), at_sign_up(plan, caller.user))
        elif caller.kind == FORGER and caller.claim[:1] == (CHOSEN,):
            [_, key] = caller.claim
            change = made.setdefault(key, in_tokens(plan, key))
        else:
            continue
        if change is not None and not trusting(plan, leak.relation, causing[id(leak)]):
            found[id(leak)] = change
    return found


def trusting(plan: Plan, relation: Relation, policies: Sequence[Policy]) -> list[Policy | Function]:
    """Those of the policies of a table, and of the functions that they call, that read
    user_metadata.
    """
    called = plan.usage.policies.policy_functions
    signatures = {s for p in policies for s in called.get((relation.oid, p.name), ())}
    found: list[Policy | Function] = []
    found += [p for p in policies if USER_METADATA in f"{p.visible} {p.checked}"]
    for function in plan.catalog.functions:
        if function.signature in signatures and USER_METADATA in function.body:
            found.append(function)
    return found


def _guard(one: Caused, changes: Iterable[Change]) -> Change | None:
    """The changed trigger of a table that may have changed what is written."""
    if one.attempt.action not in (INSERT, UPDATE):
        return None
    triggers = (c for c in changes if c.is_trigger and one.relation.oid in c.tables)
    return next(triggers, None)


def drop(relation: Relation, policy: Policy) -> sql.Composed:
    """Remove a policy; other fixes may have done so."""
    return sql.SQL("drop policy if exists {} on {};").format(
        sql.Identifier(policy.name), relation.identifier
    )


def _calls(plan: Plan, relation: Relation, policy: Policy) -> str:
    called = plan.usage.policies.policy_functions.get((relation.oid, policy.name), [])
    return f" with {', '.join(called)}" if called else ""


def reached_without(
    impersonation: Impersonation, tried: Sequence[tuple[Attempt, Sequence[Policy]]]
) -> list[bool]:
    """Whether each attempt reaches its target without these policies of its table."""
    return _Trial(impersonation).reach(tried)


class _Trial:
    """Repeats attempts without some policies, and undoes that."""

    def __init__(self, impersonation: Impersonation) -> None:
        self._impersonation = impersonation

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
        mine = _legitimate(attempts)
        tried = [
            (leak, attempt)
            for leak in leaks
            if causing[id(leak)] and len(leak.applicable) > 1
            for attempt in mine.get(_act(leak.attempt), ())
        ]
        reached = self.reach([(attempt, causing[id(leak)]) for leak, attempt in tried])
        needed = {
            id(leak) for (leak, _), reaches in zip(tried, reached, strict=True) if not reaches
        }
        return {id(leak) for leak in leaks} - needed

    def changed(self, leaks: Sequence[Caused], changes: Sequence[Change]) -> dict[int, Change]:
        """id() of the leak → the change without which it is gone; of several, that which closes the
        most leaks.
        """
        valid = self._valid(changes)
        tried = [(leak, change) for change in valid for leak in leaks]
        reached = self._run([(leak.attempt, change.undo) for leak, change in tried])
        return _widest((pair, not is_open) for pair, is_open in zip(tried, reached, strict=True))

    def shared(
        self,
        leaks: Sequence[Caused],
        causing: Mapping[int, Sequence[Policy]],
        attempts: Sequence[Attempt],
        plan: Plan,
    ) -> dict[int, Change]:
        """id() of the leak → the policy of another table that opens several tables, and that nobody
        needs who should have access to their rows.
        """
        found = {
            id(leak): elsewhere(plan.catalog, plan.usage, leak.leak, leak.relation)
            for leak in leaks
            if leak.leak.kind.repair is Repair.RESTRICT and causing[id(leak)]
        }
        every = [change for changes in found.values() for change in changes]
        counts = Counter(change.undo for change in every)
        several = [change for change in distinct(every) if counts[change.undo] > 1]
        tried = []
        for leak in leaks:
            own = {change.undo for change in found.get(id(leak), ())}
            tried += [(leak, change) for change in several if change.undo in own]
        reached = self._run([(leak.attempt, change.undo) for leak, change in tried])
        closed = [pair for pair, is_open in zip(tried, reached, strict=True) if not is_open]
        opened: dict[int, set[int]] = {}
        for leak, change in closed:
            opened.setdefault(id(change), set()).add(leak.relation.oid)
        mine = _legitimate(attempts)
        needing = [
            (change, attempt)
            for leak, change in closed
            for attempt in mine.get(_act(leak.attempt), ())
            if len(opened[id(change)]) > 1
        ]
        kept = self._run([(attempt, change.undo) for change, attempt in needing])
        needed = {id(change) for (change, _), still in zip(needing, kept, strict=True) if not still}
        chosen = _widest(
            ((leak, change), True)
            for leak, change in closed
            if len(opened[id(change)]) > 1 and id(change) not in needed
        )
        of_table = {change.dropped: change for change in chosen.values()}
        for leak in leaks:  # those of the policy's own table
            if len(causing[id(leak)]) == 1:
                same = of_table.get((leak.relation, causing[id(leak)][0]))
                if same is not None:
                    chosen[id(leak)] = same
        return chosen

    def _valid(self, changes: Sequence[Change]) -> list[Change]:
        """The changes whose statements run."""
        if not changes:
            return []
        groups = [_statements(change.undo) for change in changes]
        results = run_undone(self._impersonation.connection, groups)
        return [
            change for change, result in zip(changes, results, strict=True) if result.error is None
        ]

    def reach(self, tried: Sequence[tuple[Attempt, Sequence[Policy]]]) -> list[bool]:
        """Whether each attempt reaches its target without these policies."""
        actions = {id(attempt): alone(attempt) for attempt, _ in tried}
        without = []
        for attempt, policies in tried:
            drops = [drop(attempt.relation, policy).as_string(None) for policy in policies]
            without.append((actions[id(attempt)], drops))
        return self._run(without)

    def _run(self, tried: Sequence[tuple[Attempt, Sequence[str]]]) -> list[bool]:
        """Whether each attempt reaches its target after these statements. Those that several leaks
        ask about run once.
        """
        if not tried:
            return []
        keys = [(id(attempt), tuple(texts)) for attempt, texts in tried]
        once = dict(zip(keys, tried, strict=True))
        groups = []
        for attempt, texts in once.values():
            caller = caller_statement(attempt.caller)
            groups.append([*_statements(texts), *attempt.opening, caller, *attempt.statements])
        close = [Statement("close all")]
        results = run_undone(self._impersonation.connection, groups, first=close)
        reached = {
            key: _has_reached(attempt, result)
            for (key, (attempt, _)), result in zip(once.items(), results, strict=True)
        }
        return [reached[key] for key in keys]


def _statements(texts: Iterable[str]) -> list[Statement]:
    return [Statement(text, decoded=False) for text in texts]


def _widest(tried: Iterable[tuple[tuple[Caused, Change], bool]]) -> dict[int, Change]:
    """id() of each leak → the change that closes it, and the most others."""
    closed = [pair for pair, is_closed in tried if is_closed]
    counts = Counter(id(change) for _, change in closed)
    found: dict[int, Change] = {}
    for leak, change in closed:
        known = found.get(id(leak))
        if known is None or counts[id(change)] > counts[id(known)]:
            found[id(leak)] = change
    return found


def _without(policies: Sequence[Policy], one: Policy) -> list[Policy]:
    return [policy for policy in policies if policy != one]


def reaches(attempt: Attempt, result: GroupResult) -> bool:
    """Whether a repeated attempt still reaches its target."""
    return _has_reached(alone(attempt), result)


def _has_reached(attempt: Attempt, result: GroupResult) -> bool:
    again = replace(attempt)
    own = result.answers[-len(attempt.statements) :] if result.error is None else ()
    again.read(GroupResult(own, result.error))
    return again.reached


def alone(attempt: Attempt) -> Attempt:
    """The action without the statements around it."""
    around = replace(attempt.around, before=(), after=(), effect=None)
    return replace(attempt, around=around)


def _legitimate(attempts: Sequence[Attempt]) -> dict[tuple[str, str], list[Attempt]]:
    """Each action on an object → those of the owner on their own row, and of each member on that of
    the group, that are allowed.
    """
    found: dict[tuple[str, str], dict[Persona, Attempt]] = {}
    for attempt in attempts:
        mine = (attempt.caller.kind, attempt.whose) in ((OWNER, OWN), (MEMBER, GROUP))
        if mine and attempt.reached and not attempt.name:
            found.setdefault(_act(attempt), {}).setdefault(attempt.caller, attempt)
    return {act: list(of_callers.values()) for act, of_callers in found.items()}


def _act(attempt: Attempt) -> tuple[str, str]:
    return attempt.label, attempt.action
