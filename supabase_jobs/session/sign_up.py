"""Create users as Auth does at sign-up; adapt them to the triggers and constraints of the project
that reject them.

`verify`, `audit` and the pytest plugin share this module. The users are inserted as the
connection's own role, in the caller's transaction, and confirmed by an UPDATE, as Auth does.

A caller with a batch of its own sends `statements(users)` in it, so users that nothing rejects cost
no round trip:

    [result] = run_groups(connection, [[savepoint, *sign_up.statements(users), *fixture]])

If one of them is rejected, it rolls back and calls `run(connection, users, rejected=error)`. Other
callers call `run` at once. It repeats the sign-up a limited number of times, each time with one
change that the error suggests:

- metadata keys that a trigger reads, or that are named like the column that must not be null
  (23502);
- a value that the violated CHECK constraint lists (23514);
- other names and addresses after a duplicate (23505);
- a phone number, as users have who sign up with one;
- domains of addresses from the texts of the trigger or constraint;
- rows in an allow-list: a table of addresses or domains that the trigger or a foreign key consults;
- rows that the violated foreign key needs: those whose ids the metadata or a trigger has.

`sign_up` is the same as a generator, for drivers other than a synchronous connection: it yields
groups of statements and is sent the result of each group.
"""

import json
import secrets
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import psycopg

from supabase_jobs.database.batch import Statement, read
from supabase_jobs.database.connection import Connection
from supabase_jobs.database.errors import (
    INCONCLUSIVE_ERRORS,
    named_objects,
    outermost_function,
    sqlstate_and_message,
)
from supabase_jobs.database.hidden_values import values_are_hidden
from supabase_jobs.database.sql_files import sql_file
from supabase_jobs.errors import SupabaseJobsError
from supabase_jobs.exit_codes import ExitCode
from supabase_jobs.session.savepoint import Savepoint
from supabase_jobs.session.steps import Steps, answered
from supabase_jobs.session.steps import run as run_steps

_SQL = Path(__file__).with_name("sql") / "sign_up"
_INSERT, _CONFIRM = sql_file(_SQL / "insert.sql"), sql_file(_SQL / "confirm.sql")
_PRESENT_COLUMNS, _REJECTION = (
    sql_file(_SQL / "present_columns.sql"),
    sql_file(_SQL / "rejection.sql"),
)

_POINT = Savepoint("sign_up")
# until the next return to the savepoint: compiling the catalog query takes longer than running it
_NO_JIT = Statement("set local jit = off")

_MAX_ATTEMPTS = 16
_MAX_DOMAINS = 4
_DOMAIN = "example.com"
# for triggers that refuse example.com, or accept only addresses of a well-known provider
_OTHER_DOMAINS = ("example.org", "gmail.com")


@dataclass(frozen=True)
class NewUser:
    """A user to create. `name` is part of every text of it, and different for each user; default:
    made of the id.

    An `email` that is given never changes; otherwise it is made of the name. An anonymous user has
    none, unless a trigger or constraint requires one. `metadata` are keys of raw_user_meta_data, in
    addition to those of Auth. `has_names`: Auth adds the names that a provider knows; with an
    address alone, there are none.
    """

    id: uuid.UUID
    name: str = ""
    email: str | None = None
    is_anonymous: bool = False
    metadata: Mapping[str, object] = field(default_factory=dict, hash=False)
    has_names: bool = True


@dataclass(frozen=True)
class SignedUp:
    """The users as inserted: `rows` are their values, `statements` what inserted them and the rows
    that they needed.

    `cleanup` deletes the rows that were added to allow-lists; callers that commit call `clean_up`.
    """

    rows: tuple[Mapping[str, Any], ...]
    statements: tuple[Statement, ...]
    cleanup: tuple[Statement, ...] = ()


class SignUpRejectedError(SupabaseJobsError):
    """A trigger or constraint of the project rejects new users. `cause` is the server's error."""

    code = "sign_up_rejected"

    def __init__(self, message: str, hint: str, cause: psycopg.Error) -> None:
        super().__init__(message, hint=hint, sqlstate=cause.sqlstate)
        self.cause = cause


def statements(users: Sequence[NewUser]) -> list[Statement]:
    """The statements that insert and confirm the users, for a caller's own batch; none without
    users.
    """
    return _statements(_rows(users, _Adaptation())) if users else []


def run(
    connection: Connection, users: Sequence[NewUser], rejected: psycopg.Error | None = None
) -> SignedUp:
    """Create the users in the open transaction. `rejected` is the error of `statements(users)`,
    after a rollback.

    Raises SignUpRejectedError with the reason and a hint; the transaction can then be used as
    before. Raises psycopg's errors if the connection is lost, or if another session blocks a
    statement.
    """
    return run_steps(connection, sign_up(users, rejected))


def clean_up(connection: Connection, signed_up: SignedUp) -> None:
    """Delete the rows that a sign-up added to allow-lists. Raises psycopg's errors."""
    if signed_up.cleanup:
        read(connection, signed_up.cleanup)


def sign_up(users: Sequence[NewUser], rejected: psycopg.Error | None = None) -> Steps[SignedUp]:
    """The steps that create the users; see `run`."""
    yield from answered(_POINT.save)
    adaptation, error = _Adaptation(), rejected
    if error is None:
        attempt = yield from _attempt(users, adaptation)
        if attempt.done is not None:
            return attempt.done
        error = attempt.error
    tried = {adaptation}
    while True:
        _raise_if_inconclusive(error)
        if (found := _undefined_column(error)) and not adaptation.present_columns:
            candidates = iter([replace(adaptation, present_columns=True)])
        else:
            candidates = _candidates(adaptation, error, (yield from _needs(error)))
        for candidate in candidates:
            if candidate in tried or len(tried) > _MAX_ATTEMPTS:
                continue
            tried.add(candidate)
            attempt = yield from _attempt(users, candidate)
            if attempt.done is not None:
                return attempt.done
            if found or (attempt.reached_users and _signature(attempt.error) != _signature(error)):
                adaptation, error = candidate, attempt.error
                break
        else:
            yield from answered(*_POINT.end)
            raise _rejected(error, _rows(users, adaptation))


@dataclass(frozen=True)
class _Adaptation:
    """The differences from a plain sign-up. `keys` are metadata keys and their types, `values`
    metadata with its values.

    `allow` are pairs of the statement that adds to an allow-list and the one that removes from it.
    `present_columns`: auth.users lacks columns of insert.sql. `complete`: an anonymous user has an
    address and metadata too. `with_phone`: each user has a phone number.
    """

    domain: str = _DOMAIN
    suffix: str = ""
    with_phone: bool = False
    keys: tuple[tuple[str, str], ...] = ()
    values: tuple[tuple[str, str], ...] = ()
    allow: tuple[tuple[str, str], ...] = ()
    complete: bool = False
    present_columns: bool = False


@dataclass(frozen=True)
class _Attempt:
    """One sign-up: `done`, or its `error`, and whether it got as far as the users."""

    done: SignedUp | None
    error: psycopg.Error
    reached_users: bool


@dataclass(frozen=True)
class _Needs:
    """The rows of rejection.sql by kind: pairs of name and value."""

    rows: Mapping[str, tuple[tuple[str, str], ...]] = field(default_factory=dict)

    def of(self, kind: str) -> tuple[tuple[str, str], ...]:
        return self.rows.get(kind, ())


def _attempt(users: Sequence[NewUser], adaptation: _Adaptation) -> Steps[_Attempt]:
    rows = _rows(users, adaptation)
    inserts = _statements(rows)
    if adaptation.present_columns:
        present = yield from answered(_POINT.undo, _PRESENT_COLUMNS.statement(json.dumps(rows)))
        inserts = [Statement(text) for (text,) in present.rows]
    allow = [
        Statement(insert, (json.dumps(rows),), numbered=True) for insert, _ in adaptation.allow
    ]
    [result] = yield [[_POINT.undo, *allow, *inserts, _POINT.release]]
    if result.error is not None:
        return _Attempt(None, result.error, len(result.answers) > len(allow))
    cleanup = []
    added = result.answers[1 : len(allow) + 1]
    for (_, remove), answer in zip(adaptation.allow, added, strict=True):
        if answer.rows:
            values = [value for (value,) in answer.rows]
            cleanup.append(Statement(remove, (values,), numbered=True))
    return _Attempt(
        SignedUp(tuple(rows), (*allow, *inserts), tuple(cleanup)), psycopg.Error(), True
    )


def _statements(rows: Sequence[Mapping[str, Any]]) -> list[Statement]:
    return [_INSERT.statement(json.dumps(rows)), _CONFIRM.statement(json.dumps(rows))]


def _rows(users: Sequence[NewUser], adaptation: _Adaptation) -> list[dict[str, Any]]:
    """The rows of insert.sql."""
    return [_row(user, adaptation) for user in users]


def _row(user: NewUser, adaptation: _Adaptation) -> dict[str, Any]:
    name = (user.name or f"user{user.id.hex[-8:]}") + adaptation.suffix
    with_address = user.email is not None or adaptation.complete or not user.is_anonymous
    email = user.email or (f"{name}@{adaptation.domain}" if with_address else None)
    metadata: dict[str, Any] = {}
    if email is not None:
        metadata = {
            "sub": str(user.id),
            "email": email,
            "email_verified": True,
            "phone_verified": False,
        }
    if email is not None and (user.has_names or adaptation.complete):
        metadata |= {
            "name": name,
            "full_name": name,
            "user_name": name,
            "avatar_url": f"https://example.com/{name}.png",
        }
    metadata |= {
        key: _value(key, type, user, name, email)
        for key, type in adaptation.keys
        if key not in metadata
    }
    return {
        "id": str(user.id),
        "email": email,
        "phone": _phone(user) if adaptation.with_phone else None,
        "app_metadata": {"provider": "email", "providers": ["email"]} if with_address else {},
        "user_metadata": {**metadata, **dict(adaptation.values), **user.metadata},
        "is_anonymous": user.is_anonymous,
    }


def _phone(user: NewUser) -> str:
    """A number as Auth keeps it, in the form of E.164 without the plus sign."""
    return f"1555{user.id.int % 10**7:07}"


def _value(key: str, type: str, user: NewUser, name: str, email: str | None) -> object:
    """A metadata value that fits its key and the type that it is cast to."""
    if type.startswith("enum "):
        return type.removeprefix("enum ")
    if type in _BY_TYPE:
        return _BY_TYPE[type]
    if type == "uuid":
        return str(uuid.uuid5(user.id, key))
    if "mail" in key:
        return email
    if "phone" in key or "mobile" in key:
        return f"+{_phone(user)}"
    if any(part in key for part in ("url", "avatar", "image", "picture", "website")):
        return f"https://example.com/{name}.png"
    return name


_BY_TYPE: Mapping[str, object] = {
    **dict.fromkeys(
        (
            "smallint",
            "integer",
            "int",
            "int2",
            "int4",
            "int8",
            "bigint",
            "numeric",
            "real",
            "float8",
        ),
        1,
    ),
    **dict.fromkeys(("boolean", "bool"), True),
    "date": "2000-01-01",
    **dict.fromkeys(
        ("timestamptz", "timestamp", "timestamp with time zone"), "2000-01-01T00:00:00Z"
    ),
    **{type: {} for type in ("json", "jsonb")},
}


def _needs(error: psycopg.Error) -> Steps[_Needs]:
    """The needs of the project's triggers and constraints; none if the role may not read auth.users
    at all.
    """
    if isinstance(error, psycopg.errors.InsufficientPrivilege) and error.diag.context is None:
        return _Needs()
    diag = error.diag
    names = (diag.schema_name, diag.table_name, diag.constraint_name, diag.datatype_name)
    parameters = [name or "" for name in (*names, diag.context)]
    answer = yield from answered(_POINT.undo, _NO_JIT, _REJECTION.statement(*parameters))
    rows: dict[str, tuple[tuple[str, str], ...]] = {}
    for kind, name, value in answer.rows:
        rows[kind] = (*rows.get(kind, ()), (name, value))
    return _Needs(rows)


def _candidates(
    adaptation: _Adaptation, error: psycopg.Error, needs: _Needs
) -> Iterator[_Adaptation]:
    """The adaptations to try after an error, the likeliest first."""
    keys = dict(needs.of("key"))
    if (column := error.diag.column_name) is not None:
        keys.setdefault(column, dict(needs.of("column")).get(column, "text"))
    known = {*adaptation.keys, *keys.items()}
    base = replace(adaptation, keys=tuple(sorted(known)), complete=True)
    yield base
    values = {**dict(adaptation.values), **dict(needs.of("value"))}
    if values != dict(adaptation.values):
        base = replace(base, values=tuple(sorted(values.items())))
        yield base
    if isinstance(error, psycopg.errors.UniqueViolation):
        yield replace(base, suffix=secrets.token_hex(2))
    domains = [domain for _, domain in needs.of("domain")][:_MAX_DOMAINS]
    yield from (replace(base, domain=domain) for domain in domains)
    if allow := tuple(zip(_values(needs, "allow"), _values(needs, "remove"), strict=True)):
        listed = replace(base, allow=allow)
        yield listed
        yield from (replace(listed, domain=domain) for domain in domains)
    yield replace(base, with_phone=True)
    yield from (replace(base, domain=domain) for domain in _OTHER_DOMAINS)


def _values(needs: _Needs, kind: str) -> list[str]:
    return [value for _, value in needs.of(kind)]


def _undefined_column(error: psycopg.Error) -> bool:
    """Whether auth.users lacks a column of insert.sql, or generates it."""
    kinds = (psycopg.errors.UndefinedColumn, psycopg.errors.GeneratedAlways)
    return isinstance(error, kinds) and error.diag.context is None


def _raise_if_inconclusive(error: psycopg.Error) -> None:
    if isinstance(error, (psycopg.OperationalError, *INCONCLUSIVE_ERRORS)):
        raise error


def _signature(error: psycopg.Error) -> tuple[str | None, ...]:
    """The parts that distinguish rejections: not the message, which may contain the address."""
    diag = error.diag
    return (error.sqlstate, diag.table_name, diag.constraint_name, diag.column_name, diag.context)


def _rejected(error: psycopg.Error, rows: Sequence[Mapping[str, Any]]) -> SignUpRejectedError:
    diag, named = error.diag, named_objects(error)
    table = f"{named.schema}.{named.table}"
    if named.constraint and named.table:
        where = f'constraint "{named.constraint}" of {table}'
    elif named.column and named.table:
        where = f'the NOT NULL constraint of column "{named.column}" of {table}'
    else:
        where = outermost_function(error) or "table auth.users"
    message = f"creating users failed with {sqlstate_and_message(error)} ({where})"
    if isinstance(error, psycopg.errors.InsufficientPrivilege) and error.diag.context is None:
        refused = SignUpRejectedError(
            message, "Connect as postgres, which may insert into auth.users.", error
        )
        refused.exit_code = ExitCode.NO_CONNECTION
        return refused
    if isinstance(error, psycopg.errors.UniqueViolation) and diag.table_name != "users":
        detail = "" if values_are_hidden() else f"{diag.message_detail} "
        hint = (
            f"{detail}Two sign-ups get the same value, which can happen in production too. Let the"
            " trigger add more of the user's id, or a random value."
        )
        return SignUpRejectedError(message, hint, error)
    if values_are_hidden():
        hint = (
            "Sign-ups may fail in production too. Let the trigger or constraint accept addresses of"
            f" {_DOMAIN}, for example by a default value."
        )
        return SignUpRejectedError(message, hint, error)
    addresses = (
        ", ".join(sorted({row["email"].partition("@")[2] for row in rows if row["email"]}))
        or "none"
    )
    keys = ", ".join(sorted({key for row in rows for key in row["user_metadata"]})) or "none"
    hint = (
        f"Sign-ups like these fail in production too: addresses of {addresses}, metadata keys"
        f" {keys}."
        " Let the trigger or constraint accept them, for example by a default value."
    )
    return SignUpRejectedError(message, hint, error)
