"""The test that a suite lacks: a statement of a caller whose outcome differs with the fault, and the rows it needs.

Each test is tried on a copy without the fault and on one with it, before it is suggested.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace

from psycopg import sql

from supabase_jobs.audit.recording import Check, RecordedAttempt, RecordedRow
from supabase_jobs.database.batch import GroupResult, Statement, run_groups
from supabase_jobs.database.connection import Connection
from supabase_jobs.database.request import CLAIMS, HEADERS
from supabase_jobs.outcomes import refusal

_SET = "select set_config(%s, %s, true)"
_TOUCHED, _UNTOUCHED, _INCONCLUSIVE = "touched", "untouched", "inconclusive"
_UNTESTABLE = (_INCONCLUSIVE, _TOUCHED)
# more rows are left in a test as they are
_MAX_MINIMIZED = 80
# the claims that every user has
_PLAIN_CLAIMS = ("sub", "role", "aud")
_ACTIONS = {
    "select": "read {row} in {table}",
    "insert": "insert {row} into {table}",
    "update": "change {column} of {row} in {table}",
    "delete": "delete {row} from {table}",
}
_WHOSE = {"own": "a row of their own", "group": "a row of their group", "other": "a row of another", "none": "a row"}


@dataclass(frozen=True)
class MissingTest:
    """A statement of a caller with its rows. `outcome` is that without the fault."""

    rows: tuple[RecordedRow, ...]
    attempt: RecordedAttempt
    check: Check
    outcome: str
    with_fault: str

    @property
    def title(self) -> str:
        """What the test states: `stranger cannot read a row of another in notes`."""
        verb, _, column = self.attempt.action.partition(" ")
        table = self.attempt.object.removeprefix("public.")
        says = _ACTIONS.get(verb, f"{verb} {{table}}")
        action = says.format(table=table, row=_WHOSE[self.attempt.whose], column=column)
        return f"{self.attempt.label} {'can' if self.outcome == 'rows' else 'cannot'} {action}"


class Replay:
    """Runs the statement of a test on a connection, and rolls back."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def run(self, rows: Sequence[RecordedRow], attempt: RecordedAttempt, check: Check) -> str:
        """The outcome: rows, hidden, denied, violates, an SQLSTATE; touched or untouched for a check with a target.

        It is inconclusive if a row cannot be inserted, or if the owner does not reach the target either.
        """
        with self._connection.transaction(force_rollback=True):
            own_role = self._connection.info.user
            if any(r.error is not None for r in self._send([[s for row in rows for s in _insertion(row)]])):
                return _INCONCLUSIVE
            owner = [
                Statement(_SET, (name, value)) for name, value in (("role", own_role), (CLAIMS, ""), (HEADERS, ""))
            ]
            caller = [
                Statement(_SET, (CLAIMS, attempt.claims)),
                Statement(_SET, (HEADERS, "" if attempt.headers == "{}" else attempt.headers)),
                Statement(_SET, ("role", attempt.role)),
            ]
            undo = Statement("rollback to savepoint attempt")
            action = Statement(check.sql, decoded=False)
            query = sql.SQL("select r::text from ({}) as r").format(sql.SQL(check.target or "select 1"))
            target = Statement(query.as_string(None))
            results = self._send([
                [target, Statement("savepoint attempt")],
                [*caller, action], [*owner, target],
                [undo, action], [target], [undo],
            ])  # fmt: skip
        return _outcome(attempt, check, results)

    def _send(self, groups: Sequence[Sequence[Statement]]) -> list[GroupResult]:
        return run_groups(self._connection, groups)


def _insertion(row: RecordedRow) -> list[Statement]:
    made = [Statement(_SET, pair) for pair in row.settings]
    reset = [Statement(_SET, (name, "")) for name, _ in row.settings]
    return [*made, Statement(row.sql, decoded=False), *reset]


def _outcome(attempt: RecordedAttempt, check: Check, results: Sequence[GroupResult]) -> str:
    before, called, after, control, controlled, _ = results
    if before.error is not None:
        return _INCONCLUSIVE
    if not check.target:
        if called.error is not None:
            return refusal(called.error)
        if called.answers[-1].count or attempt.action == "truncate":
            return "rows"
        owner_error = control.error.sqlstate or "" if control.error is not None else ""
        reached = owner_error.startswith("23") or (control.error is None and control.answers[-1].count)
        return "hidden" if reached else _INCONCLUSIVE
    rows = before.answers[0].rows
    if called.error is not None and refusal(called.error) not in ("denied", "violates"):
        return refusal(called.error)
    if called.error is None and (after.error is not None or after.answers[-1].rows != rows):
        return _TOUCHED
    changes = controlled.error is None and controlled.answers[0].rows != rows
    return _UNTOUCHED if rows and changes else _INCONCLUSIVE


def find(
    reference: Replay, mutated: Replay, rows: Sequence[RecordedRow], attempt: RecordedAttempt
) -> MissingTest | None:
    """The test that passes without the fault and fails with it, with as few rows as possible; None if none does."""
    for check in attempt.checks:
        outcome = reference.run(rows, attempt, check)
        if outcome in _UNTESTABLE:
            continue
        with_fault = mutated.run(rows, attempt, check)
        if with_fault not in (outcome, _INCONCLUSIVE):
            return _minimized(reference, mutated, MissingTest(tuple(rows), attempt, check, outcome, with_fault))
    return None


def _minimized(reference: Replay, mutated: Replay, test: MissingTest) -> MissingTest:
    """The test without the claims, rows and columns that it does not need."""
    found = test

    def holds(candidate: MissingTest) -> bool:
        parts = candidate.rows, candidate.attempt, candidate.check
        return reference.run(*parts) == test.outcome and mutated.run(*parts) == test.with_fault

    claims = json.loads(test.attempt.claims)
    plain = json.dumps({name: claims[name] for name in _PLAIN_CLAIMS if name in claims})
    candidate = replace(found, attempt=replace(test.attempt, claims=plain))
    if plain != test.attempt.claims and holds(candidate):
        found = candidate
    if len(test.rows) <= _MAX_MINIMIZED:
        for row in reversed(test.rows):
            candidate = replace(found, rows=tuple(kept for kept in found.rows if kept is not row))
            if holds(candidate):
                found = candidate
    for row in [row for row in found.rows if row.short]:
        shorter = replace(row, sql=row.short)
        candidate = replace(found, rows=tuple(shorter if kept is row else kept for kept in found.rows))
        if holds(candidate):
            found = candidate
    return found
