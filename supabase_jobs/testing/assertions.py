"""Assertions about outcomes: they run a statement, roll it back, and raise AssertionError with the
likely cause.

An assertion about hidden rows has a control: the same statement, run as the owner, must find a row.
Otherwise the assertion is inconclusive and fails. The functions are steps, as in `impersonation`.
"""

from collections.abc import Generator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
from psycopg.sql import SQL, Composed

from supabase_jobs.database.batch import Statement
from supabase_jobs.database.sql_files import sql_file
from supabase_jobs.outcomes import (
    CLOSED,
    DENIED,
    HIDDEN,
    REFUSALS,
    ROWS,
    VIOLATES,
    is_constraint_violation,
)
from supabase_jobs.session.caller import Caller
from supabase_jobs.session.outcome import outcome_of_conclusive_error, outcome_of_count
from supabase_jobs.session.steps import Steps, answered
from supabase_jobs.testing.impersonation import (
    Execution,
    Params,
    Result,
    UserStatement,
    execute,
    impersonate,
    rolled_back,
)

Control = str | tuple[str, Params] | None
FailureLines = Sequence[tuple[str, str]]

_TABLE_ACCESS = Path(__file__).with_name("table_access.sql")
_SHOWN_ROWS = 3
_LONGEST_VALUE = 200


@dataclass(frozen=True)
class Outcome:
    """`name` is rows, hidden, denied, violates, or the SQLSTATE of another error.

    rows: the statement returned or affected rows, or has no row count. hidden: it succeeded with no
    row. denied: 42501, a privilege is missing or a function raised it. violates: 42501 from a
    policy's WITH CHECK.
    """

    name: str
    result: Result = field(default_factory=Result)
    sqlstate: str | None = None
    message: str = ""

    @property
    def refused(self) -> bool:
        """Whether the outcome is hidden, denied or violates."""
        return self.name in CLOSED

    def __str__(self) -> str:
        if self.name == ROWS:
            return "rows: the statement succeeded" + (
                f", {row_count(self.result.count)}" if self.result.count >= 0 else ""
            )
        if self.name == HIDDEN:
            return "hidden: the statement succeeded, 0 rows"
        error = f"{self.sqlstate} {self.message}"
        return f"{self.name}: {error}" if self.name in REFUSALS else f"error {error}"


def outcome(execution: Execution) -> Steps[Outcome]:
    """The outcome of a statement for its identity; its changes are kept, see `rolled_back`."""
    try:
        result = yield from execute(execution)
    except psycopg.Error as error:
        if error.sqlstate is None:  # the connection failed
            raise
        name = outcome_of_conclusive_error(error)
        return Outcome(name, Result(), error.sqlstate, error.diag.message_primary or "")
    return Outcome(outcome_of_count(result.count), result)


def expect(
    owner: Caller, execution: Execution, expected: str, *, control: Control = None
) -> Steps[Outcome]:
    """The outcome of an execution, which must be `expected`: rows, hidden, denied, violates, or an
    SQLSTATE.
    """
    __tracebackhide__ = True
    actual = yield from rolled_back(lambda: outcome(execution))
    if actual.name != expected:
        owner_lines = []
        if actual.name == HIDDEN:
            as_owner = yield from rolled_back(
                lambda: outcome(Execution(owner, execution.sql, execution.params))
            )
            owner_lines = [("as owner", str(as_owner))]
        tables = yield from table_access(owner, execution)
        headline = f"expected {expected}, got {actual.name}"
        raise AssertionError(
            failure(headline, execution, actual, hint(expected, actual), tables, owner_lines)
        )
    if expected == HIDDEN:
        yield from _run_control(owner, execution, actual, control)
    return actual


def expect_rows(owner: Caller, execution: Execution, count: int | None) -> Steps[Result]:
    """The result of an execution that must return rows, and exactly `count` of them if given."""
    __tracebackhide__ = True
    actual = yield from expect(owner, execution, ROWS)
    if count is not None and actual.result.count != count:
        tables = yield from table_access(owner, execution)
        headline = f"expected {row_count(count)}, got {actual.result.count}"
        raise AssertionError(failure(headline, execution, actual, tables=tables))
    return actual.result


def expect_untouched(
    owner: Caller, execution: Execution, target: tuple[str, Params]
) -> Steps[Outcome]:
    """The owner's result of the query `target` must be the same after the execution, which may be
    refused.

    For statements without WHERE, and functions: their row count does not show whose rows they
    changed.
    """
    __tracebackhide__ = True
    query = Execution(owner, *target)
    target_lines = [("target", " ".join(query.sql.split()))]
    before = yield from execute(query)
    if not before.rows:
        headline = "inconclusive: the target query returns no row for the owner"
        raise AssertionError(failure(headline, execution, more=target_lines))

    actual, after = yield from rolled_back(lambda: _outcome_and_target(execution, query))
    if actual.name != ROWS and not actual.refused:
        headline = f"expected an unchanged target, but the statement failed with {actual.sqlstate}"
        raise AssertionError(
            failure(headline, execution, actual, hint("untouched", actual), more=target_lines)
        )
    if not _same_rows(before, after):
        tables = yield from table_access(owner, execution)
        more = [*target_lines, *_row_lines("before", before), *_row_lines("after", after)]
        headline = "expected an unchanged target, but the statement changed it"
        raise AssertionError(
            failure(headline, execution, actual, hint(HIDDEN, actual), tables, more)
        )

    as_owner = Execution(owner, execution.sql, execution.params)
    owner_outcome, owner_after = yield from rolled_back(
        lambda: _outcome_and_target(as_owner, query)
    )
    if _same_rows(before, owner_after):
        headline = "inconclusive: the statement does not change the target for the owner either"
        more = [*target_lines, ("as owner", str(owner_outcome))]
        raise AssertionError(failure(headline, execution, actual, more=more))
    return actual


def _outcome_and_target(execution: Execution, query: Execution) -> Steps[tuple[Outcome, Result]]:
    actual = yield from outcome(execution)
    return actual, (yield from execute(query))


def _same_rows(before: Result, after: Result) -> bool:
    return sorted(map(repr, before.rows)) == sorted(map(repr, after.rows))


def _row_lines(name: str, result: Result) -> FailureLines:
    return [(name, repr(row)) for row in result.rows[:_SHOWN_ROWS]] or [(name, "no row")]


def _run_control(
    owner: Caller, execution: Execution, actual: Outcome, control: Control
) -> Steps[None]:
    __tracebackhide__ = True
    sql, params = (
        control if isinstance(control, tuple) else (control or execution.sql, execution.params)
    )
    as_owner = yield from rolled_back(lambda: outcome(Execution(owner, sql, params)))
    # class 23: only an existing row can violate a constraint here
    if as_owner.name == ROWS or is_constraint_violation(as_owner.name):
        return
    if as_owner.name == HIDDEN:
        headline = "inconclusive: the owner finds no row either"
        cause = (
            "the row was not inserted, or the WHERE clause selects another one."
            " Insert it first with rls.owner."
        )
    else:
        headline = "inconclusive: the statement fails for the owner"
        cause = 'pass control="select …" with a query that finds the row as the owner.'
    more = [("as owner", str(as_owner))] + (
        [] if control is None else [("control", " ".join(sql.split()))]
    )
    raise AssertionError(failure(headline, execution, actual, cause, more=more))


@dataclass(frozen=True)
class TableAccess:
    """A table of a statement, and what applies to a role there; a row of table_access.sql."""

    name: str
    row_security: bool
    bypassed: bool
    privileges: Sequence[str]
    policies: Sequence[str]

    def lines(self, role: str) -> list[str]:
        """The privileges, the state of row level security, and the policies."""
        if not self.row_security:
            state = "row level security is off, only the privileges apply"
        elif self.bypassed:
            state = f"row level security is on, and {role} bypasses it"
        elif not self.policies:
            state = f"row level security is on, and no policy applies to {role}"
        else:
            state = f"row level security is on; policies for {role}:"
        policies = self.policies if self.row_security and not self.bypassed else ()
        privileges = ", ".join(self.privileges) or "no privilege"
        return [
            f"{self.name}: {role} has {privileges}; {state}",
            *(f"  {policy}" for policy in policies),
        ]


def table_access(owner: Caller, execution: Execution) -> Steps[list[TableAccess]]:
    """The tables in the plan of a statement; none if it has no plan.

    Only for the failure message, so errors are ignored.
    """
    with suppress(psycopg.Error):
        return (yield from rolled_back(lambda: _table_access(owner, execution)))
    return []


def _table_access(owner: Caller, execution: Execution) -> Steps[list[TableAccess]]:
    yield from impersonate(owner)
    explain = Composed([SQL("explain (verbose, format json) "), SQL(execution.sql)]).as_string(None)
    plan = yield from answered(UserStatement(sql=explain, params=execution.params, as_tuples=True))
    relations = sorted(set(_relations(plan.rows[0][0])))
    if not relations:
        return []
    schemas_and_names = [list(column) for column in zip(*relations, strict=True)]
    query = sql_file(_TABLE_ACCESS).text
    params = (*schemas_and_names, execution.identity.role)
    answer = yield from answered(Statement(query, params, numbered=True))
    return [TableAccess(*row) for row in answer.rows]


def _relations(plan: Any) -> Generator[tuple[str, str]]:
    if isinstance(plan, dict):
        if "Relation Name" in plan and "Schema" in plan:
            yield plan["Schema"], plan["Relation Name"]
        plan = list(plan.values())
    if isinstance(plan, list):
        for part in plan:
            yield from _relations(part)


_USING_ALLOWS = "row level security is off on the table, or a policy's USING allows these rows"
_IF_INTENDED = "If this is intended, use {}."

# (expected, actual): likely cause
_HINTS = {
    (HIDDEN, ROWS): _USING_ALLOWS
    + ". Permissive policies for the same command are combined with OR.",
    (HIDDEN, DENIED): "a privilege is missing, so no policy was evaluated. "
    + _IF_INTENDED.format("assert_denied"),
    (HIDDEN, VIOLATES): "only a policy's WITH CHECK refused the row. "
    + _IF_INTENDED.format("assert_violates"),
    (
        DENIED,
        ROWS,
    ): "the privilege is granted. Supabase's default privileges grant everything on a new table in"
    " public to the API roles: revoke it from anon and authenticated by name.",
    (DENIED, HIDDEN): "the privilege is granted, and only policies hide the rows. "
    + _IF_INTENDED.format("assert_hidden"),
    (
        DENIED,
        VIOLATES,
    ): "the privilege is granted, and only a policy's WITH CHECK refused the row. "
    + _IF_INTENDED.format("assert_violates"),
    (
        VIOLATES,
        ROWS,
    ): "row level security is off on the table, or a policy's WITH CHECK allows this row.",
    (VIOLATES, HIDDEN): "the statement affected no row, so WITH CHECK was not evaluated. "
    + _IF_INTENDED.format("assert_hidden"),
    (VIOLATES, DENIED): "a privilege is missing, so no policy was evaluated. "
    + _IF_INTENDED.format("assert_denied"),
    (ROWS, HIDDEN): "no policy's USING allows the row, or the row does not exist.",
    (
        ROWS,
        DENIED,
    ): "a GRANT is missing: on the table, on its schema, or EXECUTE on a function in a policy.",
    (
        ROWS,
        VIOLATES,
    ): "no policy's WITH CHECK allows the new row. RETURNING also requires a policy for SELECT.",
}
_ERROR_HINTS = {
    "42P01": "the table does not exist, or its schema is not in the search_path: write"
    " schema.table.",
    "42703": "the column does not exist.",
    "42883": "no function accepts arguments of these types.",
    "42P17": "a policy on the table queries the same table: move the query into a SECURITY DEFINER"
    " function.",
    "22P02": "a value has an invalid format. A policy that casts a claim or a header raises this"
    " for a malformed one.",
}


def hint(expected: str, actual: Outcome) -> str:
    """The likely cause of an unexpected outcome; `''` if it is unknown."""
    if (cause := _HINTS.get((expected, actual.name))) is not None:
        return cause
    if is_constraint_violation(actual.name):
        return (
            "a constraint failed, before or after row level security was checked: use"
            " values that it accepts."
        )
    return _ERROR_HINTS.get(actual.sqlstate or "", "")


def failure(
    headline: str,
    execution: Execution,
    actual: Outcome | None = None,
    cause: str = "",
    tables: Sequence[TableAccess] = (),
    more: FailureLines = (),
) -> str:
    """The message of a failed assertion: the actual outcome, the identity, the SQL, its tables, and
    a hint.
    """
    lines = [("actual", str(actual))] if actual is not None else []
    lines += _identity_lines(execution.identity)
    lines += [("SQL", " ".join(execution.sql.split()))]
    lines += [] if execution.params is None else [("params", _short(execution.params))]
    lines += [] if actual is None else _result_lines(actual)
    lines += more
    lines += [("table", line) for table in tables for line in table.lines(execution.identity.role)]
    lines += [("hint", cause)] if cause else []
    return _message(headline, lines)


def request_failure(
    headline: str,
    identity: Caller,
    request: str,
    body: object,
    actual: Outcome,
    cause: str = "",
) -> str:
    """The message of a failed assertion about a request over the API; it contains no key and no
    token.
    """
    lines = [("actual", str(actual)), *_identity_lines(identity), ("request", request)]
    lines += [("body", _short(body))] if body else []
    lines += _result_lines(actual)
    lines += [("hint", cause)] if cause else []
    return _message(headline, lines)


def _identity_lines(identity: Caller) -> list[tuple[str, str]]:
    lines = [("as", f"role {identity.role}")]
    lines += [] if identity.claims is None else [("claims", _short(dict(identity.claims)))]
    lines += [] if identity.headers is None else [("headers", _short(dict(identity.headers)))]
    return lines + ([("settings", _short(dict(identity.settings)))] if identity.settings else [])


def _result_lines(actual: Outcome) -> list[tuple[str, str]]:
    lines = [("row", _short(row)) for row in actual.result.rows[:_SHOWN_ROWS]]
    rest = len(actual.result.rows) - _SHOWN_ROWS
    return lines + ([("", f"… and {row_count(rest)} more")] if rest > 0 else [])


def _message(headline: str, lines: FailureLines) -> str:
    return "\n".join(
        [headline, *(f"  {name + ':' if name else '':9} {text}" for name, text in lines)]
    )


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= _LONGEST_VALUE else text[: _LONGEST_VALUE - 1] + "…"


def row_count(count: int) -> str:
    """A number of rows in words."""
    return "1 row" if count == 1 else f"{count} rows"
