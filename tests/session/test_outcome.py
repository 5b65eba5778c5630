"""Outcomes of statements and of requests are the same, and need no database to be read."""

import psycopg
import pytest
from psycopg.pq import DiagnosticField

from supabase_jobs.database.batch import Answer, GroupResult
from supabase_jobs.outcomes import is_constraint_violation
from supabase_jobs.session.outcome import (
    outcome_of_api_error,
    outcome_of_conclusive_error,
    outcome_of_count,
    outcome_of_error,
    outcome_of_group,
)

_NEW_ROW = 'new row violates row-level security policy for table "notes"'


def _error(sqlstate: str, function: str) -> psycopg.Error:
    """An error of the server, as psycopg makes it from a response."""
    fields: dict[int, bytes | None] = dict.fromkeys(DiagnosticField)
    fields[DiagnosticField.SOURCE_FUNCTION] = function.encode()
    return psycopg.errors.lookup(sqlstate)(info=fields)


@pytest.mark.parametrize(
    ("sqlstate", "function", "message", "expected"),
    [
        ("42501", "aclcheck_error", "permission denied for table notes", "denied"),
        ("42501", "exec_stmt_raise", "only the owner may do this", "denied"),
        ("42501", "ExecWithCheckOptions", _NEW_ROW, "violates"),
        (
            "42501",
            "ExecWithCheckOptions",
            'new row violates row-level security policy "own" for table "notes"',
            "violates",
        ),
        (
            "42501",
            "ExecWithCheckOptions",
            'new row violates row-level security policy (USING expression) for table "notes"',
            "violates",
        ),
        (
            "42501",
            "ExecWithCheckOptions",
            'target row violates row-level security policy (USING expression) for table "notes"',
            "violates",
        ),
        ("42501", "exec_stmt_raise", "this violates row-level security policy", "denied"),
        ("23505", "_bt_check_unique", "duplicate key value", "23505"),
        ("44000", "ExecWithCheckOptions", "new row violates check option for view", "44000"),
    ],
)
def test_statement_and_request_have_the_same_outcome(
    sqlstate: str, function: str, message: str, expected: str
) -> None:
    assert outcome_of_error(_error(sqlstate, function)) == expected
    assert outcome_of_api_error(sqlstate, message) == expected


def test_code_of_postgrest_is_an_outcome() -> None:
    assert outcome_of_api_error("PGRST202", "no function") == "PGRST202"


@pytest.mark.parametrize(("count", "expected"), [(0, "hidden"), (1, "rows"), (7, "rows")])
def test_count_of_rows(count: int, expected: str) -> None:
    assert outcome_of_count(count) == expected


def test_statement_without_a_count_reaches_its_target() -> None:
    assert outcome_of_count(-1) == "rows"


def test_last_answer_of_a_group_decides() -> None:
    assert outcome_of_group(GroupResult((Answer(count=1), Answer(count=0)))) == "hidden"
    assert outcome_of_group(GroupResult((Answer(count=0), Answer(count=2)))) == "rows"


def test_error_of_a_group_decides() -> None:
    failed = GroupResult((Answer(count=1),), _error("42501", "aclcheck_error"))
    assert outcome_of_group(failed) == "denied"


@pytest.mark.parametrize("sqlstate", ["55P03", "40P01", "57014"])
def test_lock_and_timeout_show_nothing_about_access(sqlstate: str) -> None:
    error = _error(sqlstate, "ProcSleep")
    with pytest.raises(type(error)):
        outcome_of_conclusive_error(error)
    assert outcome_of_error(error) == sqlstate


def test_connection_that_failed_has_no_sqlstate() -> None:
    assert outcome_of_error(psycopg.OperationalError("the connection is lost")) == "error"


def test_constraints_have_a_class_of_sqlstates() -> None:
    assert is_constraint_violation("23505")
    assert not is_constraint_violation("42501")
    assert not is_constraint_violation("rows")
