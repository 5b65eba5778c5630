"""Act on one connection as PostgREST would for an identity.

Everything works inside a transaction that the caller rolls back.
"""

import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import psycopg
from psycopg import sql
from psycopg.pq import ExecStatus

from supabase_jobs.database.batch import Answer, Statement, read
from supabase_jobs.database.connection import Connection
from supabase_jobs.database.interrupts import pipeline
from supabase_jobs.database.request import REQUEST_SETTINGS
from supabase_jobs.errors import ConfigError, SupabaseJobsError
from supabase_jobs.session.identity import NULL, Identity

SET = "select set_config(%s, %s, true)"

# Constraints and triggers that PostgreSQL checks at the end of the transaction, unless they are
# made immediate.
_DEFERRED = """
select format('%I.%I', n.nspname, k.conname)
from pg_constraint as k
inner join pg_namespace as n on k.connamespace = n.oid
where k.condeferred and has_schema_privilege(n.oid, 'usage')
"""
# what a commit would check; the rollback of verify would skip it
CHECK_DEFERRED = Statement("set constraints all immediate")

# what policies can read about the caller; must be the same before every probe
CALLER = ", ".join(
    (
        "select current_user::text",
        "current_setting('role')",
        *(f"coalesce(current_setting('{name}', true), '')" for name in REQUEST_SETTINGS),
    )
)

Params = Mapping[str, uuid.UUID | None]


@dataclass(frozen=True)
class Names:
    """The values of the names in declarations during one run.

    `ids` are the ids made for this run, `texts` the values of placeholders, `own_role` the
    connection's `role` setting, `deferred` the constraints that the end of a transaction checks.
    """

    ids: Mapping[str, uuid.UUID]
    texts: Mapping[str, str]
    own_role: str
    deferred: tuple[str, ...] = ()

    def params(self, binds: Mapping[str, str]) -> Params:
        """The parameters of a statement: for each name the id that it is bound to, or None for
        null.
        """
        return {name: None if bind == NULL else self.ids[bind] for name, bind in binds.items()}


@dataclass(frozen=True)
class Impersonation(Names):
    """The connection that acts as identities. `caller` is what policies read about the connection's
    own role.
    """

    connection: Connection = field(kw_only=True)
    caller: tuple[str, ...] = field(kw_only=True)


def _random(_name: str) -> uuid.UUID:
    return uuid.uuid4()


def make_names(
    area: str,
    ids: Iterable[str],
    placeholders: Iterable[str],
    variables: Mapping[str, object],
    own_role: str = "none",
    make: Callable[[str], uuid.UUID] = _random,
) -> Names:
    """Make an id for each name in `ids`: by default a random one.

    In the texts of identities, `$name` is an id or a variable, `$NAME` the same in upper case, and
    `$name_hex` an id without hyphens. `variables` fill the placeholders that are not ids
    (`$guest_header`). Raises ConfigError for a placeholder that is neither.
    """
    if missing := set(placeholders) - set(variables):
        raise ConfigError(
            f"the declarations of {area} use ${min(missing)}, which is neither an id nor a"
            " variable of the SQL sources"
        )
    made = {name: make(name) for name in ids}
    texts = {name: str(value) for name, value in {**variables, **made}.items()}
    texts |= {name.upper(): text.upper() for name, text in texts.items()}
    texts |= {f"{name}_hex": id.hex for name, id in made.items()}
    return Names(made, texts, own_role)


def begin(
    connection: Connection,
    area: str,
    ids: Iterable[str],
    placeholders: Iterable[str],
    variables: Mapping[str, object],
    *,
    make: Callable[[str], uuid.UUID] = _random,
) -> Impersonation:
    """Make the names of a run (see `make_names`) for this connection.

    Request settings that the database or the role sets by default are set to '': each request makes
    its own.
    """
    [caller], deferred = read(connection, [Statement(CALLER), Statement(_DEFERRED)])
    if any(caller[-len(REQUEST_SETTINGS) :]):
        _set(connection, dict.fromkeys(REQUEST_SETTINGS, ""))
        caller = one(connection.execute(CALLER))
    names = make_names(area, ids, placeholders, variables, own_role=caller[1], make=make)
    constraints = tuple(name for (name,) in deferred)
    return Impersonation(
        names.ids, names.texts, names.own_role, constraints, connection=connection, caller=caller
    )


def identity_statements(impersonation: Impersonation, identity: Identity) -> list[Statement]:
    """The statements of `set_identity`, for a batch; `check_identity` checks their answers."""
    settings = {**identity.settings_for(impersonation.texts), "role": identity.role}
    text = _set_statement(len(settings), with_caller=True).decode()
    statement = Statement(text, [part for pair in settings.items() for part in pair])
    if identity.previous is None:
        return [statement]
    return [
        *identity_statements(impersonation, identity.previous),
        Statement(identity.previous_statement),
        Statement(SET, ("role", impersonation.own_role)),
        statement,
    ]


def check_identity(
    impersonation: Impersonation, identity: Identity, answers: Sequence[Answer]
) -> None:
    """Raise SupabaseJobsError if the answers to `identity_statements` show that the identity was
    not set.
    """
    if identity.previous is not None:
        check_identity(impersonation, identity.previous, answers[:-3])
    [row] = answers[-1].rows
    _check_state(impersonation, identity, row)


def set_identity(impersonation: Impersonation, identity: Identity) -> None:
    """Set an identity's role and request settings, until the transaction or savepoint is rolled
    back.
    """
    serve_previous(impersonation, identity)
    with pipeline(impersonation.connection):  # fewer round trips
        check = send_identity(impersonation, identity)
    check()


def serve_previous(impersonation: Impersonation, identity: Identity) -> None:
    """Run the previous identity's statement, if there is one. Raises psycopg's errors if it fails."""
    if identity.previous is not None:
        set_identity(impersonation, identity.previous)
        impersonation.connection.execute(identity.previous_statement.encode())
        impersonation.connection.execute(SET, ("role", impersonation.own_role))


def send_identity(impersonation: Impersonation, identity: Identity) -> Callable[[], None]:
    """Send the statement of `set_identity` in an open pipeline.

    After the pipeline, call the returned function: it raises SupabaseJobsError if the identity was
    not set.
    """
    settings = {**identity.settings_for(impersonation.texts), "role": identity.role}
    statement = _set_statement(len(settings), with_caller=True)
    cursor = impersonation.connection.execute(
        statement, [part for pair in settings.items() for part in pair]
    )

    def check() -> None:
        if cursor.pgresult is None or cursor.pgresult.status != ExecStatus.TUPLES_OK:
            raise SupabaseJobsError(f"could not set the role {identity.role}")
        _check_state(impersonation, identity, one(cursor))

    return check


def _check_state(impersonation: Impersonation, identity: Identity, row: Sequence[object]) -> None:
    """Check what setting an identity returned: the caller before it, and current_user after it."""
    before, role = tuple(row[: len(impersonation.caller)]), row[-1]
    if identity.previous is None and before != impersonation.caller:
        raise SupabaseJobsError(
            f"an earlier probe left its role or request settings behind: {list(before)}"
        )
    if role != identity.role:
        raise SupabaseJobsError(f"could not set the role {identity.role}: current_user is {role}")


def reset_role(impersonation: Impersonation) -> None:
    """Reset the role and the request settings; keep the changes to rows."""
    statement = reset_statement(impersonation)
    impersonation.connection.execute(statement.sql.encode(), statement.params)


def reset_statement(impersonation: Impersonation, identity: Identity | None = None) -> Statement:
    """The statement of `reset_role`, for a batch; it also resets the settings of `identity`."""
    settings = dict.fromkeys(identity.settings_for(impersonation.texts) if identity else (), "")
    settings |= dict(zip(("role", *REQUEST_SETTINGS), impersonation.caller[1:], strict=True))
    text = _set_statement(len(settings), with_caller=False).decode()
    return Statement(text, [part for pair in settings.items() for part in pair])


def _set(connection: Connection, settings: Mapping[str, str]) -> None:
    statement = _set_statement(len(settings), with_caller=False)
    connection.execute(statement, [part for pair in settings.items() for part in pair])


@cache
def _set_statement(count: int, *, with_caller: bool) -> bytes:
    """A select that makes `count` settings; `with_caller`: between the caller before and
    current_user after.

    PostgreSQL evaluates the columns in their order.
    """
    calls = sql.SQL(", ").join([sql.SQL("set_config(%s, %s, true)")] * count)
    return (
        sql.SQL(f"{CALLER}, {{}}, current_user::text" if with_caller else "select {}")
        .format(calls)
        .as_bytes()
    )


def one(cursor: psycopg.Cursor[Any]) -> tuple[Any, ...]:
    """The row of a select that always returns one."""
    row = cursor.fetchone()
    assert row is not None  # noqa: S101  a select without FROM has one row
    return tuple(row)
