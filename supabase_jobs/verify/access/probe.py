"""Run the statements of access matrices as identities, many in one round trip; every probe undoes
the one before.

Needs an open transaction.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Protocol

import psycopg

from supabase_jobs.database.batch import GroupResult, Statement, run_groups
from supabase_jobs.database.errors import INCONCLUSIVE_ERRORS, sqlstate_and_message
from supabase_jobs.outcomes import refusal
from supabase_jobs.verify import batch_limit, ownership
from supabase_jobs.verify.access.matrix import Action
from supabase_jobs.verify.context import Context
from supabase_jobs.verify.identity import Identity
from supabase_jobs.verify.impersonation import (
    CHECK_DEFERRED,
    SET,
    Impersonation,
    check_identity,
    identity_statements,
)

# One savepoint before the identity is set and one after it: setting the identity takes longer than
# most probes. A rollback to the first destroys the second, so if an identity cannot be set, its
# probes fail at their rollback.
_SAVE_OWN_ROLE = Statement("savepoint own_role")
_RESET_ROLE = Statement("rollback to savepoint own_role")
_RELEASE_OWN_ROLE = Statement("release savepoint own_role")
SAVE_IDENTITY = Statement("savepoint identity")
UNDO_PROBE = Statement("rollback to savepoint identity")

_LEGACY_SETTING = "request.jwt.claim.sub"
_HAS_NO_USER = Statement("select auth.uid() is null")
_BEGIN = [_RESET_ROLE, batch_limit.CHECK]

Literals = Mapping[str, str]
Groups = list[list[Statement]]


class Probe(Protocol):
    """Statements to run, and how to read their results. The first group begins as the connection's
    own role.
    """

    @property
    def complete(self) -> bool:
        """Whether all results are known."""
        ...

    def groups(self, impersonation: Impersonation) -> Groups:
        """The groups of statements to send next."""
        ...

    def read(self, impersonation: Impersonation, results: Sequence[GroupResult]) -> None:
        """Read the results of `groups`. Raises psycopg's error if it shows nothing about access."""
        ...


@dataclass(eq=False)
class RowProbe:
    """Actions to run as an identity. `results` has the outcome of each, by name, and its error if
    it failed.

    The actions `together` should not fail: they share a group, which takes less time. If one fails,
    those behind it run again, each in a group of its own. `literals` are the values of the
    parameters.
    """

    identity: Identity
    actions: Sequence[Action]
    literals: Literals
    together: Collection[str]
    results: dict[str, tuple[str, psycopg.Error | None]] = field(default_factory=dict)

    @property
    def complete(self) -> bool:
        """Whether every action has a result."""
        return len(self.results) == len(self.actions)

    def groups(self, impersonation: Impersonation) -> Groups:
        """A group that sets the identity, and the groups of the actions without a result."""
        identity = [*identity_statements(impersonation, self.identity), SAVE_IDENTITY]
        parts = self._parts()
        return [
            identity,
            *([s for action in part for s in self._run(impersonation, action)] for part in parts),
        ]

    def read(self, impersonation: Impersonation, results: Sequence[GroupResult]) -> None:
        """Read the outcomes. If the previous identity's statement failed, this is the outcome of
        every action.
        """
        identity, *others = results
        if identity.error is not None:
            outcome = conclusive_refusal(identity.error)
            if len(identity.answers) >= len(identity_statements(impersonation, self.identity)) - 1:
                raise identity.error
            self.results = dict.fromkeys((action.name for action in self.actions), (outcome, None))
            return
        check_identity(impersonation, self.identity, identity.answers[:-1])
        for part, result in zip(self._parts(), others, strict=True):
            self._read_part(impersonation, part, result)
        self.together = ()

    def _parts(self) -> list[list[Action]]:
        """The actions without a result: those of each group."""
        left = [action for action in self.actions if action.name not in self.results]
        together = [action for action in left if action.name in self.together]
        return [
            *([together] if together else []),
            *([a] for a in left if a.name not in self.together),
        ]

    def _run(self, impersonation: Impersonation, action: Action) -> list[Statement]:
        statements = [UNDO_PROBE, Statement(action.sql % self.literals)]
        if impersonation.deferred:
            statements.append(CHECK_DEFERRED)
        if action.reached is not None:
            reset = Statement(SET, ("role", impersonation.own_role))
            statements += [reset, Statement(action.reached % self.literals)]
        return statements

    def _read_part(
        self, impersonation: Impersonation, part: Sequence[Action], result: GroupResult
    ) -> None:
        answers = iter(result.answers)
        for action in part:
            expected = len(self._run(impersonation, action))
            read = tuple(islice(answers, expected))
            if (
                len(read) == expected
            ):  # the count of rows shows whether the action reached its target
                reached = read[1 if action.reached is None else -1]
                self.results[action.name] = ("rows" if reached.count else "hidden", None)
                continue
            error = result.error
            assert error is not None  # noqa: S101  otherwise every statement has an answer
            outcome = conclusive_refusal(error)
            self.results[action.name] = (
                "rows" if error.sqlstate == action.row_limit_error else outcome,
                error,
            )
            return


@dataclass(eq=False)
class GuardProbe:
    """The `unrestricted_if` queries of actions, run as an identity; each returns a boolean."""

    identity: Identity
    queries: Sequence[str]
    answers: tuple[bool, ...] | None = None

    @property
    def complete(self) -> bool:
        """Whether the queries were answered."""
        return self.answers is not None

    def groups(self, impersonation: Impersonation) -> Groups:
        """One group: the identity and the queries."""
        return [[*identity_statements(impersonation, self.identity), *map(Statement, self.queries)]]

    def read(self, impersonation: Impersonation, results: Sequence[GroupResult]) -> None:
        """Read the answers; every error is raised."""
        [result] = results
        result.answer()
        first = len(result.answers) - len(self.queries)
        check_identity(impersonation, self.identity, result.answers[:first])
        self.answers = tuple(bool(answer.rows[0][0]) for answer in result.answers[first:])


@dataclass(eq=False)
class ControlProbe:
    """The control statement of an action, run as the owner."""

    statement: str
    result: GroupResult | None = None

    @property
    def complete(self) -> bool:
        """Whether the statement was run."""
        return self.result is not None

    def groups(self, impersonation: Impersonation) -> Groups:  # noqa: ARG002  of the protocol
        """One group: the statement."""
        return [[Statement(self.statement)]]

    def read(self, impersonation: Impersonation, results: Sequence[GroupResult]) -> None:  # noqa: ARG002
        """Keep the result."""
        [result] = results
        if result.error is not None:
            conclusive_refusal(result.error)
        self.result = result


class Prober:
    """Runs probes on one connection. It leaves a savepoint, so the caller must roll back to a point
    before it.
    """

    def __init__(self, impersonation: Impersonation, context: Context) -> None:
        self._impersonation = impersonation
        self._connection = impersonation.connection
        self._context = context
        self._started = False
        self._ignores_legacy: bool | None = None

    def run(self, probes: Sequence[Probe]) -> None:
        """Run the probes in order; one round trip suffices unless one of them fails or takes long.

        Raises DeadlineError, and the error of a probe whose results cannot be read, once those
        before it are complete.
        """
        stopped: psycopg.Error | None = None
        while pending := [probe for probe in probes if not probe.complete]:
            self._context.check_deadline()
            for probe, results in self._send(pending):
                try:
                    probe.read(self._impersonation, results)
                except psycopg.Error as error:
                    stopped, probes = error, pending[: pending.index(probe)]
                    break
        if stopped is not None:
            raise stopped

    def conflict(
        self, error: psycopg.Error, managed: Collection[str]
    ) -> ownership.UserObjectConflict | None:
        """The user object that raised the error of a probe, if any."""
        self._connection.execute(_RESET_ROLE.sql)
        return ownership.user_object_conflict(self._connection, error, managed)

    def ignores_legacy_settings(self, identity: Identity) -> bool:
        """Whether auth.uid() returns no user to an identity that has one only by the settings of an
        old PostgREST.
        """
        if not identity.settings or not identity.settings.get(_LEGACY_SETTING):
            return False
        if self._ignores_legacy is None:
            statements = [*identity_statements(self._impersonation, identity), _HAS_NO_USER]
            answered, ended = run_groups(
                self._connection, [[_RESET_ROLE, *statements], [_RESET_ROLE]]
            )
            ended.answer()
            # an error of auth.uid() is reported by the check of the functions of schema auth
            self._ignores_legacy = answered.error is None and answered.answer().rows == [(True,)]
        return self._ignores_legacy

    def control_failure(self, probe: ControlProbe, managed: Collection[str]) -> str | None:
        """None if the control statement reached its target; otherwise how it fails."""
        assert probe.result is not None  # noqa: S101  it was run
        error = probe.result.error
        if error is None:
            return None if probe.result.answer().count else "finds nothing either"
        # a user object that refers to the target shows that the target exists
        if self.conflict(error, managed):
            return None
        return f"fails with {sqlstate_and_message(error)}"

    def _send(self, probes: Sequence[Probe]) -> Iterator[tuple[Probe, Sequence[GroupResult]]]:
        """Run the groups of these probes in one round trip; yield their results, except those that
        were skipped.
        """
        begin = [_RESET_ROLE, _RELEASE_OWN_ROLE] if self._started else []
        begin += [batch_limit.begin(self._context.deadline), _SAVE_OWN_ROLE]
        groups = [probe.groups(self._impersonation) for probe in probes]
        sent = [
            begin,
            *(group for first, *others in groups for group in ([*_BEGIN, *first], *others)),
        ]
        first_result, *results = run_groups(self._connection, sent)
        first_result.answer()
        self._started = True
        rest = iter(results)
        for probe, probe_groups in zip(probes, groups, strict=True):
            first, *others = islice(rest, len(probe_groups))
            if batch_limit.was_skipped(first, _BEGIN.index(batch_limit.CHECK)):
                continue
            if len(first.answers) < len(_BEGIN):
                first.answer()
            yield probe, [replace(first, answers=first.answers[len(_BEGIN) :]), *others]


def conclusive_refusal(error: psycopg.Error) -> str:
    """The outcome of a failed statement. Raises the error if it shows nothing about access."""
    if isinstance(error, INCONCLUSIVE_ERRORS):
        raise error
    return refusal(error)
