"""Try the fixes of findings before a report prints them.

A fix runs in a transaction that is rolled back, followed by a sign-up and by the checks that have
found the finding. It is printed if the finding is gone, nothing new is found and users can still
sign up. Otherwise the report says why it does not repair, as a comment.
"""

import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

import psycopg

from supabase_jobs.database.batch import Statement
from supabase_jobs.database.connection import Connection
from supabase_jobs.database.errors import LOCK_ERRORS, sqlstate_and_message
from supabase_jobs.database.time_limits import time_limits
from supabase_jobs.errors import SupabaseJobsError
from supabase_jobs.findings import (
    Finding,
    Fix,
    Severity,
    Verification,
    as_comment,
    has_statement,
)
from supabase_jobs.local.embedded import is_embedded
from supabase_jobs.session import sign_up
from supabase_jobs.session.deadline import Deadline, DeadlineError
from supabase_jobs.session.savepoint import rolled_back, run_undone, undone
from supabase_jobs.session.sign_up import NewUser

# a fix that cannot run in a transaction with others, needs longer or waits for others is not tried
_NEED_SESSION = (psycopg.errors.ActiveSqlTransaction, psycopg.errors.ReadOnlySqlTransaction)
_LIMITS = time_limits(statement_timeout=5_000, lock_timeout=500)
# GRANT and REVOKE warn a role that may not do it: privilege_not_granted, privilege_not_revoked
_WITHOUT_EFFECT = frozenset(("01007", "01006"))
_AUTH_ROLE = "supabase_auth_admin"
_BECOME_AUTH = "select set_config('role', %s, true)"
# more fixes are tried together first: that says less about causes, and is one trial
_FEW = 3
_NO_TIME = "there is no time left to try it"
_OTHER_CAUSE = "-- The other fixes were tried, and do not repair it."
_IN_USE = "-- Not tried: that would lock tables of a server in use. Try it on a local copy first."


@dataclass(frozen=True)
class _Trial:
    """The findings that are left after fixes. `refused`: why one of them could not be tried here;
    `problem`: why they do not repair.
    """

    left: frozenset[str] = frozenset()
    refused: str = ""
    problem: str = ""


def try_fixes(
    connection: Connection,
    before: Verification,
    check: Callable[[], Verification],
    deadline: Deadline,
) -> list[Finding]:
    """The findings of `before`, each with a fix that repairs it, or a comment.

    `check` runs the same checks again. A finding that the fix of another repairs too has it as its
    cause. Only an embedded server tries fixes, because they lock tables; else a comment says so.
    Raises psycopg's errors if the connection is lost.
    """
    if not any(is_tried(finding) for finding in before.findings):
        return list(before.findings)
    if not is_embedded(connection):
        return [
            replace(finding, fix=f"{_IN_USE}\n{finding.fix}") if is_tried(finding) else finding
            for finding in before.findings
        ]
    with rolled_back(connection, _LIMITS), _noting(connection) as warnings:
        return _Trials(connection, before, check, deadline, warnings).findings()


@contextmanager
def _noting(connection: Connection) -> Iterator[list[str | None]]:
    """The SQLSTATEs of the server's notices, as they come."""
    found: list[str | None] = []

    def note(notice: psycopg.errors.Diagnostic) -> None:
        found.append(notice.sqlstate)

    connection.add_notice_handler(note)
    try:
        yield found
    finally:
        connection.remove_notice_handler(note)


def is_tried(finding: Finding) -> bool:
    """Whether a finding has a fix of its own that is SQL."""
    return not finding.cause and has_statement(finding.fix)


class _Trials:
    """The trials of one run, in an open transaction."""

    def __init__(
        self,
        connection: Connection,
        before: Verification,
        check: Callable[[], Verification],
        deadline: Deadline,
        warnings: list[str | None],
    ) -> None:
        self._connection, self._before = connection, before
        self._check, self._deadline = check, deadline
        self._ids = {finding.id for finding in before.findings}
        self._tried = [finding for finding in before.findings if is_tried(finding)]
        self._can_sign_up = self._signs_up()
        self._warnings = warnings
        self._repairing: set[str] = set()
        self._causes: dict[str, str] = {}
        self._comments: dict[str, str] = {}
        self._left: frozenset[str] = frozenset(self._ids)  # with the fixes that repair

    def findings(self) -> list[Finding]:
        """The findings with what the trials have shown."""
        ids = {finding.id for finding in self._tried}
        together = _Trial()
        if len(ids) > _FEW:
            together = self._run([finding.fix for finding in self._tried])
        if len(ids) <= _FEW or together.refused or together.problem or ids & together.left:
            self._one_by_one()
        else:
            self._left = together.left
            self._repairing |= ids
        found = [self._judged(finding) for finding in self._before.findings]
        return sorted(found, key=lambda finding: bool(finding.cause))

    def _one_by_one(self) -> None:
        """Try each fix after those that repair; then once more those that did not, because others
        may have been needed before.
        """
        kept: list[str] = []
        pending = self._tried
        for _ in range(2):
            open_before = len(kept)
            for finding in pending:
                if finding.id not in self._left:
                    self._comments.pop(finding.id, None)
                    continue
                trial = self._run([*kept, finding.fix])
                problem = trial.problem
                if not problem and not trial.refused and finding.id in trial.left:
                    problem = "the finding stays"
                if trial.refused:
                    self._comments[finding.id] = f"-- Not tried: {trial.refused}.\n{finding.fix}"
                elif problem:
                    self._comments[finding.id] = _failed(finding.fix, problem)
                else:
                    kept.append(finding.fix)
                    self._comments.pop(finding.id, None)
                    self._explain(finding.id, trial.left)
                    self._left &= trial.left
            pending = [finding for finding in pending if finding.id in self._comments]
            if not pending or len(kept) == open_before:
                break
        self._try_rest(kept, pending)

    def _try_rest(self, kept: Sequence[str], pending: Sequence[Finding]) -> None:
        """Try fixes together that do not repair alone: each may need another."""
        if len(pending) < 2:
            return
        ids = {finding.id for finding in pending}
        trial = self._run([*kept, *(finding.fix for finding in pending)])
        if not trial.refused and not trial.problem and not ids & trial.left:
            self._comments.clear()
            self._repairing |= ids
            self._left &= trial.left

    def _explain(self, cause: str, left: frozenset[str]) -> None:
        """Name the fix that repairs the findings that are gone with it, as their cause."""
        self._repairing.add(cause)
        for finding in self._before.findings:
            is_known = finding.id in self._causes or finding.id in self._repairing
            is_error = finding.severity is Severity.ERROR
            if is_error and finding.id not in left and not finding.cause and not is_known:
                self._causes[finding.id] = cause

    def _judged(self, finding: Finding) -> Finding:
        if cause := self._causes.get(finding.cause or finding.id):
            return replace(finding, cause=cause, fix=as_comment(f"Fixed together with {cause}."))
        if finding.cause in self._repairing and finding.id in self._left:
            return replace(finding, cause="", fix=_OTHER_CAUSE)
        if comment := self._comments.get(finding.id):
            return replace(finding, fix=comment)
        return finding

    def _run(self, fixes: Sequence[str]) -> _Trial:
        """The findings after these fixes, which are undone."""
        try:
            self._deadline.check()
        except DeadlineError:
            return _Trial(refused=_NO_TIME)
        with undone(self._connection):
            self._warnings.clear()
            for fix in fixes:
                try:
                    tried = fix.tried if isinstance(fix, Fix) else fix
                    self._connection.execute(tried.encode())
                except psycopg.Error as error:
                    return self._of_error(error)
            if not _WITHOUT_EFFECT.isdisjoint(self._warnings):
                return _Trial(refused="this role may not grant or revoke it")
            if self._can_sign_up and not self._signs_up():
                return _Trial(problem="users can no longer sign up after it")
            try:
                after = self._check()
            except (psycopg.Error, SupabaseJobsError) as error:
                if self._connection.broken:
                    raise
                text = sqlstate_and_message(error) if isinstance(error, psycopg.Error) else error
                return _Trial(problem=f"the checks fail after it: {text}")
        return _Trial(frozenset(finding.id for finding in after.findings), problem=self._new(after))

    def _of_error(self, error: psycopg.Error) -> _Trial:
        if self._connection.broken:
            raise error
        if isinstance(error, psycopg.errors.InsufficientPrivilege):
            return _Trial(refused=f"this role may not run it ({error.sqlstate})")
        if isinstance(error, _NEED_SESSION):
            return _Trial(refused=f"it needs a transaction of its own ({error.sqlstate})")
        if isinstance(error, (*LOCK_ERRORS, psycopg.errors.QueryCanceled)):
            return _Trial(refused=f"it takes longer than a trial may ({error.sqlstate})")
        return _Trial(problem=f"it fails with {sqlstate_and_message(error)}")

    def _new(self, after: Verification) -> str:
        """The finding that fixes have added, or ''. An area that was not checked before may have
        had it.
        """
        new = [
            finding
            for finding in after.findings
            if finding.severity.is_problem
            and finding.id not in self._ids
            and finding.area not in self._before.unchecked
        ]
        if not new:
            return ""
        more = f" (and {len(new) - 1} more)" if len(new) > 1 else ""
        return f"it would cause this: {new[0].object}: {new[0].message}{more}"

    def _signs_up(self) -> bool:
        """Whether Auth can create a user; False also if this role cannot act as Auth."""
        user = sign_up.statements([NewUser(id=uuid.uuid4())])
        [result] = run_undone(self._connection, [[Statement(_BECOME_AUTH, (_AUTH_ROLE,)), *user]])
        return result.error is None


def _failed(fix: str, problem: str) -> str:
    return as_comment(
        f"Repair this by hand. A statement was tried and does not, because {problem}:\n{fix}"
    )
