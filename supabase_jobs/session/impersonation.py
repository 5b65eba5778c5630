"""Act on one connection as PostgREST would for a caller.

Everything works inside a transaction that the caller rolls back.
"""

import uuid
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import psycopg
from psycopg import sql

from supabase_jobs.database.batch import Answer, Statement, read, run_groups
from supabase_jobs.database.connection import Connection
from supabase_jobs.database.request import REQUEST_SETTINGS
from supabase_jobs.errors import ConfigError, SupabaseJobsError
from supabase_jobs.session.caller import Caller
from supabase_jobs.session.repeated import Repeatable

# stands for null in declarations, where an id is expected
NULL = "null"

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
    """The connection that acts as callers. `caller` is what policies read about the connection's
    own role.

    `setup` are statements that each transaction needs: they empty request settings of the database.
    """

    connection: Connection = field(kw_only=True)
    caller: tuple[str, ...] = field(kw_only=True)
    setup: tuple[Statement, ...] = field(default=(), kw_only=True)


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

    In the texts of callers, `$name` is an id or a variable, `$NAME` the same in upper case, and
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
    setup: tuple[Statement, ...] = ()
    if any(caller[-len(REQUEST_SETTINGS) :]):
        setup = (_empty_settings(),)
        *_, [caller] = read(connection, [*setup, Statement(CALLER)])
    names = make_names(area, ids, placeholders, variables, own_role=caller[1], make=make)
    constraints = tuple(name for (name,) in deferred)
    return Impersonation(
        ids=names.ids,
        texts=names.texts,
        own_role=names.own_role,
        deferred=constraints,
        connection=connection,
        caller=caller,
        setup=setup,
    )


def caller_statement(caller: Caller) -> Statement:
    """The statement that makes the rest of a transaction a request of the caller, for a batch;
    `check_caller` checks its answer.
    """
    settings = {**caller.all_settings(), "role": caller.role}
    text = _set_statement(len(settings), with_caller=True).decode()
    name = f"supabase_jobs_caller_{len(settings)}"
    values = [part for pair in settings.items() for part in pair]
    return Repeatable(sql=text, params=values, name=name)


def check_caller(
    impersonation: Impersonation, caller: Caller, answer: Answer, *, is_first: bool = True
) -> None:
    """Raise SupabaseJobsError if the answer to `caller_statement` shows that the caller was not
    set, or if it `is_first` and something was left behind before.
    """
    [row] = answer.rows
    before, role = tuple(row[: len(impersonation.caller)]), row[-1]
    if is_first and before != impersonation.caller:
        raise SupabaseJobsError(
            f"an earlier probe left its role or request settings behind: {list(before)}"
        )
    if role != caller.role:
        raise SupabaseJobsError(f"could not set the role {caller.role}: current_user is {role}")


def own_role(impersonation: Impersonation) -> Statement:
    """The statement that sets the connection's own role, and keeps the settings of the request."""
    return Statement(SET, ("role", impersonation.own_role))


def become(impersonation: Impersonation, caller: Caller) -> None:
    """Make the rest of the transaction a request of the caller."""
    [answer] = run_groups(impersonation.connection, [[caller_statement(caller)]])
    check_caller(impersonation, caller, answer.answer())


def reset_role(impersonation: Impersonation) -> None:
    """Reset the role and the request settings; keep the changes to rows."""
    statement = reset_statement(impersonation)
    impersonation.connection.execute(statement.sql.encode(), statement.params)


def reset_statement(impersonation: Impersonation, caller: Caller | None = None) -> Statement:
    """The statement of `reset_role`, for a batch; it also resets the settings of `caller`."""
    settings = dict.fromkeys(caller.all_settings() if caller else (), "")
    settings |= dict(zip(("role", *REQUEST_SETTINGS), impersonation.caller[1:], strict=True))
    text = _set_statement(len(settings), with_caller=False).decode()
    name = f"supabase_jobs_reset_{len(settings)}"
    values = [part for pair in settings.items() for part in pair]
    return Repeatable(sql=text, params=values, name=name)


def _empty_settings() -> Statement:
    """The statement that sets every request setting to ''."""
    text = _set_statement(len(REQUEST_SETTINGS), with_caller=False).decode()
    return Statement(text, [part for name in REQUEST_SETTINGS for part in (name, "")])


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


def committed(impersonation: Impersonation) -> list[Statement]:
    """The statements that check what a commit would, and then defer the same constraints again."""
    if not impersonation.deferred:
        return []
    return [
        CHECK_DEFERRED,
        Statement(f"set constraints {', '.join(impersonation.deferred)} deferred"),
    ]
