"""Attempts whose outcome is known from an earlier run on the same rows: those that a change of
policies or privileges cannot reach are not tried again.
"""

from collections.abc import Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from supabase_jobs.audit.catalog import Policy, Relation
from supabase_jobs.audit.policies.uses import Usage
from supabase_jobs.audit.probes.attempt import DELETE, INSERT, SELECT, UPDATE, Attempt

# the oid of a table and an action of callers on it
Altered = tuple[int, str]


def altered_by(relation: Relation, policy: Policy) -> frozenset[Altered]:
    """The actions that a policy governs."""
    actions = (SELECT, INSERT, UPDATE, DELETE)
    return frozenset((relation.oid, action) for action in actions if policy.governs(action))


@dataclass(frozen=True)
class Reach:
    """The actions on tables whose outcome may differ once others are `altered`."""

    usage: Usage
    altered: Collection[Altered]

    def has(self, relation: Relation, action: str) -> bool:
        """Whether an action may differ: it is altered itself, reads a table whose rows are shown by
        other policies, or runs a trigger that has to do with an altered table.
        """
        shown = {oid for oid, altered in self.altered if altered == SELECT}
        if (relation.oid, action) in self.altered or relation.oid in shown:
            return True
        if shown & self.usage.reads.get(relation.oid, set()):
            return True
        tables = {oid for oid, _ in self.altered}
        called = (self.usage.bodies.function_reads.get(oid, set()) for oid in relation.triggers)
        return any(tables & read for read in called)


@dataclass(frozen=True)
class Tried:
    """The attempts of a run. If the same was tried twice, the last one counts."""

    attempts: Sequence[Attempt] = ()

    @cached_property
    def by_key(self) -> Mapping[Hashable, Attempt]:
        """The attempts by what they send. Most runs are not asked for it."""
        return {_key_of(attempt): attempt for attempt in self.attempts}


@dataclass(frozen=True)
class Known:
    """The attempts that an earlier run `tried`, and the reach of a change since then; without
    `reach`, nothing is known.

    `restored` are the columns that triggers replace, of each table, and `refused` those whose new
    value constraints refuse.
    """

    tried: Tried = field(default_factory=Tried)
    restored: Mapping[int, set[str]] = field(default_factory=dict)
    refused: Mapping[int, set[str]] = field(default_factory=dict)
    reach: Reach | None = None

    def tells(self, attempt: Attempt) -> bool:
        """Whether the outcome of an attempt is known; then the attempt has it."""
        if self.reach is None or any(self.reach.has(*one) for one in attempt.targets):
            return False
        same = self.tried.by_key.get(_key_of(attempt))
        if same is None:
            return False
        attempt.outcome, attempt.error, attempt.answers = same.outcome, same.error, same.answers
        return True


def _key_of(attempt: Attempt) -> Hashable:
    """The caller and the statements of an attempt."""
    sent = tuple((one.sql, tuple(one.params or ())) for one in attempt.statements)
    return id(attempt.caller), sent
