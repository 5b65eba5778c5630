"""The fixture of an area: users as Auth creates them, and rows; inserted as the connection's own
role.

Everything works inside a transaction that the caller rolls back.
"""

import uuid
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain, islice
from typing import Any

import psycopg

from supabase_jobs.database.batch import Answer, GroupResult, Statement, run_groups
from supabase_jobs.database.connection import Connection
from supabase_jobs.database.errors import LOCK_ERRORS, sqlstate_and_message
from supabase_jobs.errors import ConfigError
from supabase_jobs.findings import APPLY_FIRST, Id, Severity
from supabase_jobs.session import script, sign_up
from supabase_jobs.session.frame import FIXTURE, Frame, wait
from supabase_jobs.session.impersonation import (
    CALLER,
    Impersonation,
    Names,
    committed,
    reset_statement,
)
from supabase_jobs.session.sign_up import NewUser, SignUpRejectedError
from supabase_jobs.verify import conditions, other_values, ownership, row_by_row
from supabase_jobs.verify.context import Context, Trace

FIX_DISCARDED_ROWS = (
    "Connect as the owner of the tables (postgres). A trigger may have discarded the rows."
)
_FIX_CONSTRAINT = "A constraint differs from the migrations."
_FIX_UNKNOWN = (
    "Grant the connecting role INSERT on these tables. A user trigger may block the insert."
)

# as for requests, so that functions of user triggers find the tables that they do not qualify
SEARCH_PATH = "select set_config('search_path', 'public, extensions', true)"
_MAX_ATTEMPTS = 40
_SEVERITIES = list(Severity)
_NO_TEXTS: Mapping[str, str] = {}


@dataclass(frozen=True)
class Fixture:
    """The names of the ids of users and of anonymous users, who are created first, and the
    statements that follow.

    `other_values` maps the name of a column to a text of the declaration and to others that may
    replace it. The ids `left_out` are null in the statements, which then leave out their rows.
    """

    users: tuple[str, ...]
    anonymous_users: tuple[str, ...]
    statements: tuple[str, ...]
    other_values: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    left_out: frozenset[str] = frozenset()

    def without(self, left_out: Collection[str]) -> "Fixture":
        """The fixture without the rows of these ids."""
        return replace(self, left_out=frozenset(left_out))

    def values(self, ids: Mapping[str, uuid.UUID]) -> dict[str, uuid.UUID | None]:
        """The parameters of the statements, with the ids of a run."""
        return {name: None if name in self.left_out else id for name, id in ids.items()}

    def new_users(self, ids: Mapping[str, uuid.UUID]) -> list[NewUser]:
        """The users with the ids of a run."""
        return [
            *(NewUser(id=ids[name]) for name in self.users),
            *(NewUser(id=ids[name], is_anonymous=True) for name in self.anonymous_users),
        ]

    def followed_by(self, other: "Fixture") -> "Fixture":
        """Both fixtures; the users of both come first."""
        return Fixture(
            users=(*self.users, *other.users),
            anonymous_users=(*self.anonymous_users, *other.anonymous_users),
            statements=(*self.statements, *other.statements),
            other_values={**self.other_values, **other.other_values},
        )

    def script(self, names: Names, users: Sequence[Statement] | None = None) -> str:
        """The fixture as SQL for psql. `users` are the statements that created the users, if they
        are known.
        """
        created = sign_up.statements(self.new_users(names.ids)) if users is None else users
        literals = script.quoted(self.values(names.ids))
        rows = (script.filled(statement, literals) for statement in self.statements)
        return "".join([script.filled(SEARCH_PATH, None), *map(script.numbered, created), *rows])


@dataclass(frozen=True)
class Inserted:
    """The statements that created the users, the texts of the declaration that other values have
    replaced, the frame of the batches, which inserts both again if they are undone, and the ids
    whose rows are `left_out`.
    """

    users: list[Statement]
    texts: Mapping[str, str]
    frame: Frame
    left_out: frozenset[str] = frozenset()


def load(
    toml: Mapping[str, Any], ids: Collection[str], variables: Mapping[str, object] | None = None
) -> Fixture:
    """Read the keys `users`, `anonymous_users`, `fixture` and `other_values`.

    A statement of the fixture can be a table with `sql` and a condition on the variables. Raises
    ConfigError for a user who is not among `ids`, and for a condition on an unknown variable.
    """
    users, anonymous = tuple(toml.get("users", ())), tuple(toml.get("anonymous_users", ()))
    for unknown in {*users, *anonymous}.difference(ids):
        raise ConfigError(f"the user {unknown!r} is not among the ids")
    others = {column: tuple(texts) for column, texts in toml.get("other_values", {}).items()}
    return Fixture(
        users=users,
        anonymous_users=anonymous,
        statements=conditions.texts(toml["fixture"], variables, "fixture"),
        other_values=others,
    )


def insert_fixture(
    impersonation: Impersonation,
    area: str,
    fixture: Fixture,
    context: Context,
    managed: Collection[str] = (),
) -> Inserted | None:
    """Create the users and insert the rows as the connection's own role. A transaction that must
    release its locks undoes that: then the frame inserts them again.

    If a constraint or trigger of the project refuses rows, other values are tried, and then the
    rows one by one: those that are refused are left out, and a warning says why. If that fails too,
    mark the area as unchecked and return None. The failure is an error if a managed object causes
    it (one of `managed`), and otherwise a warning.
    """
    connection, undo = impersonation.connection, context.undo
    created = sign_up.statements(fixture.new_users(impersonation.ids))
    rows = _rows(impersonation, fixture)
    start = [*undo.begin, *undo.rows, *impersonation.setup, Statement(SEARCH_PATH), FIXTURE.save]
    kept = () if undo.releases_locks else FIXTURE.keep
    released = [undo.statements] if undo.releases_locks else []
    pauses = Frame(undo=undo).pauses()
    while True:
        result, *ended = run_groups(connection, [[*start, *created, *rows, *kept], *released])
        for one in ended:
            one.answer()
        if not isinstance(result.error, LOCK_ERRORS) or not wait(pauses):
            break
    if result.error is None:
        own = result.answers[: len(result.answers) - len(kept)]
        return _inserted(impersonation, context, created, rows, _NO_TEXTS, own, is_kept=True)
    if isinstance(result.error, psycopg.OperationalError) or len(result.answers) < len(start):
        raise result.error
    reached_rows = len(result.answers) >= len(start) + len(created)
    run_groups(connection, [start if undo.releases_locks else [FIXTURE.undo]])[0].answer()
    try:
        return _insert_adapted(
            impersonation, area, fixture, context, managed, result, reached_rows=reached_rows
        )
    finally:
        if not connection.broken:
            run_groups(connection, [undo.statements])[0].answer()


def _insert_adapted(
    impersonation: Impersonation,
    area: str,
    fixture: Fixture,
    context: Context,
    managed: Collection[str],
    refused: GroupResult,
    *,
    reached_rows: bool,
) -> Inserted | None:
    """Insert other users if these are `refused`, and then other rows if the rows are."""
    connection, users = impersonation.connection, fixture.new_users(impersonation.ids)
    created, texts, result = sign_up.statements(users), _NO_TEXTS, refused
    if not reached_rows:
        try:
            created = [*sign_up.run(connection, users, rejected=result.error).statements]
        except SignUpRejectedError as rejected:
            _mark_unchecked(
                context, area, rejected.message, rejected.cause, rejected.hint or "", managed
            )
            return None
        [result] = run_groups(connection, [_rows(impersonation, fixture)])
        if result.error is not None:
            _undo(connection, result.error)
    if result.error is not None:
        result, texts = _with_other_values(impersonation, fixture, created, result, managed)
    if result.error is None:
        rows = _rows(impersonation, other_values.replaced(fixture, texts))
        return _inserted(impersonation, context, created, rows, texts, result.answers)
    if row_by_row.conflict_of(connection, result.error, managed) is not None and (
        inserted := _without_refused(impersonation, area, fixture, context, managed, created)
    ):
        return inserted
    conflict = ownership.user_object_conflict(connection, result.error, managed)
    if conflict is not None:
        reason = f"inserting the fixture rows: {conflict.why}"
        context.mark_unchecked(area, "fixture", reason, conflict.fix, id=Id(area, "fixture"))
    else:
        reason = f"inserting the fixture rows failed with {sqlstate_and_message(result.error)}"
        _mark_unchecked(context, area, reason, result.error, _FIX_UNKNOWN, managed)
        context.evidence.traces[f"{area}:fixture"] = Trace(statements=fixture.statements)
    return None


def _without_refused(
    impersonation: Impersonation,
    area: str,
    fixture: Fixture,
    context: Context,
    managed: Collection[str],
    created: Sequence[Statement],
) -> Inserted | None:
    """Insert the rows that no object of the project refuses, with the other values that leave out
    the fewest; None if that fails too.
    """
    connection, users = impersonation.connection, (*fixture.users, *fixture.anonymous_users)

    def refused_with(texts: Mapping[str, str]) -> row_by_row.Refused | None:
        statements = other_values.replaced(fixture, texts).statements
        return row_by_row.refused(impersonation, created, users, statements, managed)

    texts, refused = _NO_TEXTS, refused_with(_NO_TEXTS)
    if not refused:
        return None
    refusing = [text for conflict in refused.values() for text in conflict.texts]
    for text, other in chain(*other_values.choices(fixture.other_values, refusing)):
        changed = {**texts, text: other}
        left = refused_with(changed)
        if left is not None and len(left) < len(refused):
            texts, refused = changed, left
    rows = _rows(impersonation, other_values.replaced(fixture, texts).without(refused))
    [result] = run_groups(connection, [[*created, *rows]])
    if result.error is not None:
        _undo(connection, result.error)
        return None
    if refused:
        _mark_left_out(context, area, refused)
    inserted = _inserted(impersonation, context, created, rows, texts, result.answers)
    return replace(inserted, left_out=frozenset(refused))


def _inserted(
    impersonation: Impersonation,
    context: Context,
    created: Sequence[Statement],
    rows: Sequence[Statement],
    texts: Mapping[str, str],
    answers: Sequence[Answer],
    *,
    is_kept: bool = False,
) -> Inserted:
    """The statements that succeeded; a reset follows if a user trigger has changed settings."""
    before = [*impersonation.setup, Statement(SEARCH_PATH), *created, *rows]
    changed = answers[-1].rows != [impersonation.caller]
    reset = [reset_statement(impersonation)] if changed else []
    if context.undo.releases_locks:
        return Inserted([*created], texts, Frame((*before, *reset), context.undo))
    if changed or not is_kept:
        run_groups(impersonation.connection, [[*reset, *FIXTURE.keep]])[0].answer()
    return Inserted([*created], texts, Frame(undo=context.undo))


def _rows(impersonation: Impersonation, fixture: Fixture) -> list[Statement]:
    """The statements that insert the rows; the last one returns the caller."""
    params = fixture.values(impersonation.ids)
    statements = [Statement(text, params) for text in fixture.statements]
    return [*statements, *committed(impersonation), Statement(CALLER)]


def _with_other_values(
    impersonation: Impersonation,
    fixture: Fixture,
    created: Sequence[Statement],
    refused: GroupResult,
    managed: Collection[str],
) -> tuple[GroupResult, Mapping[str, str]]:
    """Repeat the fixture with other values, until none is refused; the result, and the texts that
    are replaced.

    Each change must lead to another error. Without success, the first result, after a rollback.
    """
    connection, texts, result = impersonation.connection, _NO_TEXTS, refused
    attempts = 0
    while result.error is not None and managed:
        refusing = other_values.refusing(connection, result.error, managed)
        others = other_values.candidates(fixture.other_values, refusing, texts)
        before = result.error
        for other in islice(others, _MAX_ATTEMPTS - attempts):
            attempts += 1
            rows = _rows(impersonation, other_values.replaced(fixture, other))
            [result] = run_groups(connection, [[*created, *rows]])
            if result.error is None:
                return result, other
            _undo(connection, result.error)
            if _place(result.error) != _place(before):
                texts = other
                break
        else:
            break
    return refused, _NO_TEXTS


def _place(error: psycopg.Error) -> tuple[str | None, ...]:
    """The origin of an error: its SQLSTATE, table, constraint and function."""
    return (error.sqlstate, error.diag.table_name, error.diag.constraint_name, error.diag.context)


def _undo(connection: Connection, error: psycopg.Error) -> None:
    if isinstance(error, psycopg.OperationalError):
        raise error
    run_groups(connection, [[FIXTURE.undo]])[0].answer()


def _mark_left_out(context: Context, area: str, refused: row_by_row.Refused) -> None:
    """Report the rows without which the area is checked."""
    conflicts = {conflict.why: conflict for conflict in refused.values()}
    severity = min((conflict.severity for conflict in conflicts.values()), key=_SEVERITIES.index)
    first = next(one for one in conflicts.values() if one.severity is severity)
    rows = ", ".join(refused)
    context.mark_unchecked(
        area,
        "fixture",
        f"the cases with the rows {rows} were not run: inserting them, {'; '.join(conflicts)}",
        first.fix,
        id=Id(area, "fixture"),
        severity=severity,
        how="was not checked in full",
    )


def _mark_unchecked(
    context: Context,
    area: str,
    reason: str,
    error: psycopg.Error,
    fix: str,
    managed: Collection[str],
) -> None:
    schema_fix = _fix_of_schema_fault(error, managed)
    severity = Severity.ERROR if schema_fix else Severity.WARNING
    context.mark_unchecked(
        area, "fixture", reason, schema_fix or fix, id=Id(area, "fixture"), severity=severity
    )


def _fix_of_schema_fault(error: psycopg.Error, managed: Collection[str]) -> str | None:
    """The hint for a fixture that fails because of the managed schema; None if the cause is
    unknown.
    """
    if error.diag.context is not None:  # raised inside a function, for example in a user trigger
        return None
    if isinstance(
        error, psycopg.errors.ForeignKeyViolation
    ):  # the row that it refers to was discarded
        return FIX_DISCARDED_ROWS
    # without a constraint's name, the column that must not be null may be a user column
    if isinstance(error, psycopg.IntegrityError) and managed and error.diag.constraint_name:
        return _FIX_CONSTRAINT
    sqlstate = error.sqlstate or ""
    return APPLY_FIRST if sqlstate.startswith(("42", "3F")) and sqlstate != "42501" else None
