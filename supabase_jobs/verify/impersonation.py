"""Act as an identity on one connection, as PostgREST would, against rows planted for the purpose.

What the areas that try things have in common; knows no table. Works inside a transaction that is rolled back.
"""

import uuid
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import psycopg
from psycopg import sql
from psycopg.pq import ExecStatus

from supabase_jobs.database.connection import Connection
from supabase_jobs.database.request import REQUEST_SETTINGS
from supabase_jobs.errors import ConfigError, SupabaseJobsError
from supabase_jobs.findings import Finding, Severity
from supabase_jobs.verify import ownership
from supabase_jobs.verify.context import Context
from supabase_jobs.verify.identity import NULL, Identity

SET = "select set_config(%s, %s, true)"
# who the session is, for policies; must be the same before every probe
_STATE = ", ".join(
    (
        "select current_user::text",
        "current_setting('role')",
        *(f"coalesce(current_setting('{name}', true), '')" for name in REQUEST_SETTINGS),
    )
)

FIX_DISCARDED_ROWS = "Connect as the owner of the tables (postgres); a trigger may have thrown the rows away."
_CHANGED = "A constraint is not as the migrations make it: `verify --only structure` says what differs."
_APPLY_FIRST = "Apply the migrations first (supabase-jobs apply)."

Params = Mapping[str, uuid.UUID | None]


@dataclass(frozen=True)
class Names:
    """What the names in declarations stand for in one run: the ids made for it, and the connection's own role.

    `texts` fill the placeholders of identities.
    """

    ids: Mapping[str, uuid.UUID]
    texts: Mapping[str, str]
    own_role: str

    def params(self, binds: Mapping[str, str]) -> Params:
        """The parameters of a statement: each name with the id that it is bound to, or null."""
        return {name: None if bind == NULL else self.ids[bind] for name, bind in binds.items()}


@dataclass(frozen=True)
class Impersonation(Names):
    """What stays the same through one run; `state` is what `set_identity` has to find."""

    connection: Connection
    state: tuple[str, ...]


def make_names(
    area: str,
    ids: Iterable[str],
    placeholders: Iterable[str],
    variables: Mapping[str, object],
    own_role: str = "none",
    make: Callable[[], uuid.UUID] = uuid.uuid4,
) -> Names:
    """An id for each name in `ids`, random ones if unsaid.

    In the texts of identities `$name` is an id or a variable, `$NAME` the same in upper case, `$name_hex` an id
    without its hyphens. `variables` fill the placeholders that are not ids (`$guest_header`); ConfigError where one is
    neither.
    """
    if missing := set(placeholders) - set(variables):
        raise ConfigError(
            f"the declarations of {area} use ${min(missing)}, which is no id and no variable of the SQL sources"
        )
    made = {name: make() for name in ids}
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
    make: Callable[[], uuid.UUID] = uuid.uuid4,
) -> Impersonation:
    """A session, with `make_names` for this connection's role.

    What a database or a role has as a default for a request's settings is emptied: every request makes its own.
    """
    state = one(connection.execute(_STATE))
    if any(state[-len(REQUEST_SETTINGS) :]):
        _make(connection, dict.fromkeys(REQUEST_SETTINGS, ""))
        state = one(connection.execute(_STATE))
    names = make_names(area, ids, placeholders, variables, own_role=state[1], make=make)
    return Impersonation(names.ids, names.texts, names.own_role, connection, state)


def insert_fixture(
    session: Impersonation, area: str, fixture: Sequence[str], result: Context, ours: Collection[str] = ()
) -> bool:
    """Plant the test rows, as the connection's own role; False, and the area is not checked, where that fails.

    That a row of ours was thrown away is an error; what is not among `ours` and refuses one is not.
    """
    params = session.params({name: name for name in session.ids})
    try:
        with session.connection.transaction():
            for statement in fixture:
                session.connection.execute(statement.encode(), params)
            _restore_settings(session)
    except psycopg.OperationalError:
        raise
    except psycopg.Error as error:
        why = f"planting the test rows failed with {error.sqlstate}: {error.diag.message_primary}"
        # A missing object is a fault of the schema, and so are a constraint of ours that refuses what it should not and
        # a row of ours that is thrown away: what refers to it says so, itself and in nobody's function. Anything else
        # (a trigger of the project's own on auth.users, say) means that we do not know: never reported as passed.
        itself = error.diag.context is None
        thrown_away = isinstance(error, psycopg.errors.ForeignKeyViolation) and itself
        # a column that must not be null may be the project's own: that error names no constraint
        refused = isinstance(error, psycopg.IntegrityError) and bool(ours and error.diag.constraint_name) and itself
        found = ownership.user_object_conflict(session.connection, error, ours)
        missing = (error.sqlstate or "").startswith(("42", "3F")) and error.sqlstate != "42501" and itself
        if found is not None:
            result.mark_unchecked(
                area, "fixture", f"planting the test rows: {found.why}", found.fix, id=f"{area}:fixture"
            )
        elif missing or thrown_away or refused:
            result.unchecked.append(area)
            result.findings.append(
                Finding(
                    id=f"{area}:fixture",
                    area=area,
                    severity=Severity.ERROR,
                    object="fixture",
                    message=f"{area} was not checked: {why}",
                    fix=FIX_DISCARDED_ROWS if thrown_away else _CHANGED if refused else _APPLY_FIRST,
                )
            )
        else:
            result.mark_unchecked(
                area,
                "fixture",
                why,
                "Let the connecting role insert into these tables; a trigger of the project's own may be in the way.",
                id=f"{area}:fixture",
            )
        return False
    return True


def _restore_settings(session: Impersonation) -> None:
    """Make the settings of the start again, where a trigger of the project's own has made others."""
    if one(session.connection.execute(_STATE)) != session.state:
        reset_role(session)


def set_identity(session: Impersonation, identity: Identity) -> None:
    """Take on an identity's settings and role, until the transaction or savepoint is rolled back."""
    serve_previous(session, identity)
    with session.connection.pipeline():  # fewer round trips
        became = send_identity(session, identity)
    became()


def serve_previous(session: Impersonation, identity: Identity) -> None:
    """Serve the previous identity first, where there is one; psycopg's errors where what it does fails."""
    if identity.previous is not None:
        set_identity(session, identity.previous)
        session.connection.execute(identity.previous_statement.encode())
        session.connection.execute(SET, ("role", session.own_role))


def send_identity(session: Impersonation, identity: Identity) -> Callable[[], None]:
    """Send what `set_identity` does, in an open pipeline; what is returned raises where it has not come to that."""
    made = {**identity.settings_for(session.texts), "role": identity.role}
    took = session.connection.execute(_making(len(made), whole=True), [part for pair in made.items() for part in pair])

    def became() -> None:
        if took.pgresult is None or took.pgresult.status != ExecStatus.TUPLES_OK:
            raise SupabaseJobsError(f"could not take on the role {identity.role}")
        found = one(took)
        before, now = found[: len(session.state)], found[-1]
        if identity.previous is None and before != session.state:
            raise SupabaseJobsError(f"role, claims or headers were left over from an earlier probe: {list(before)}")
        if now != identity.role:
            raise SupabaseJobsError(f"could not take on the role {identity.role}: still {now}")

    return became


def reset_role(session: Impersonation, identity: Identity | None = None) -> None:
    """Be the connection's own role again, and nobody's request: also after an identity, which keeps what it did."""
    made = dict.fromkeys(identity.settings_for(session.texts) if identity else (), "")
    made |= dict(zip(("role", *REQUEST_SETTINGS), session.state[1:], strict=True))
    _make(session.connection, made)


def _make(connection: Connection, settings: Mapping[str, str]) -> None:
    connection.execute(_making(len(settings), whole=False), [part for pair in settings.items() for part in pair])


@cache
def _making(count: int, *, whole: bool) -> bytes:
    """The statement that makes so many settings; `whole`: between who one was and who one is then.

    Columns are evaluated in their order.
    """
    made = sql.SQL(", ").join([sql.SQL("set_config(%s, %s, true)")] * count)
    return sql.SQL(f"{_STATE}, {{}}, current_user::text" if whole else "select {}").format(made).as_bytes()


def one(cursor: psycopg.Cursor[Any]) -> tuple[Any, ...]:
    """The one row of a select that has one whatever happens."""
    row = cursor.fetchone()
    assert row is not None  # noqa: S101  a select without FROM has one row
    return tuple(row)
