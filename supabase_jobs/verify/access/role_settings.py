"""Make the documented requests with each setting that their role has, as PostgREST does.

A setting with which a request fails that works without it is an error.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg

from supabase_jobs.database.batch import GroupResult, Statement
from supabase_jobs.database.errors import LOCK_ERRORS, sqlstate_and_message
from supabase_jobs.findings import Case, Finding, Id, Severity
from supabase_jobs.session.frame import Frame
from supabase_jobs.session.impersonation import SET, Impersonation, caller_statement, committed
from supabase_jobs.session.runner import Runner
from supabase_jobs.session.steps import Steps
from supabase_jobs.verify.access import AREA
from supabase_jobs.verify.access.matrix import Given
from supabase_jobs.verify.context import Context
from supabase_jobs.verify.structure import catalog

QUERY = Path(__file__).with_name("role_settings.sql")

# role, name, value, fix: a row of the query
Row = Sequence[Any]


@dataclass(eq=False)
class _Request:
    """A request with a setting, or with none; the error with which it failed, if it did."""

    requests: Sequence[Given]
    setting: tuple[str, str] | None
    error: psycopg.Error | None = field(default=None, init=False)

    def steps(self, impersonation: Impersonation) -> Steps[None]:
        """All in one group: the last request may need those before it."""
        statements = [Statement(SET, self.setting)] if self.setting else []
        for one in self.requests:
            if one.caller is not None:
                statements.append(caller_statement(one.caller.filled(impersonation.texts)))
            statements += [Statement(one.sql, impersonation.ids), *committed(impersonation)]
        [result] = yield [statements]
        self.error = self._error(result)

    def _error(self, result: GroupResult) -> psycopg.Error | None:
        if isinstance(result.error, LOCK_ERRORS):
            raise result.error
        # a setting that cannot be made here says nothing
        is_setting = self.setting is not None and not result.answers
        return None if is_setting else result.error


def check(
    impersonation: Impersonation,
    rows: Sequence[Row],
    requests: Sequence[Given],
    frame: Frame,
    context: Context,
) -> None:
    """Add a case for each role with settings, and a finding for each whose requests fail with one.

    `rows` are those of `QUERY`, and `requests` those of all roles.
    """
    by_role = {role: _requests_of(role, requests) for role, *_ in rows}
    without = {role: _Request(own, None) for role, own in by_role.items()}
    tried = [_Request(by_role[role], (name, value)) for role, name, value, _ in rows]
    if tried:
        Runner(impersonation, context.deadline, frame).run([*without.values(), *tried])
    for role in by_role:
        case = Case(
            id=Id(AREA, role, "settings"),
            area=AREA,
            object=role,
            name="the settings of the role let its requests work",
        )
        context.cases.append(catalog.with_script(case, QUERY, role, context))
        for (of, name, value, fix), one in zip(rows, tried, strict=True):
            if of != role or one.error is None or without[role].error is not None:
                continue
            why = sqlstate_and_message(one.error)
            context.findings.append(
                Finding(
                    id=case.id,
                    area=AREA,
                    severity=Severity.ERROR,
                    object=role,
                    message=f"requests of {role} fail with its setting {name} = {value}: {why}",
                    fix=fix,
                )
            )
            break


def _requests_of(role: str, requests: Sequence[Given]) -> list[Given]:
    return [one for one in requests if one.caller is not None and one.caller.role == role]
