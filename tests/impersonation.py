"""Impersonation in SQL with the settings of PostgREST, and fixture rows: two guests and two users
with one job each.
"""

import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import psycopg

from supabase_jobs.database.connection import Connection
from supabase_jobs.database.request import request_settings

GUEST_A, GUEST_B, USER_A, USER_B = (uuid.UUID(int=n) for n in (0xA1, 0xB1, 0xA2, 0xB2))
JOBS = {owner: uuid.UUID(int=owner.int << 16) for owner in (GUEST_A, GUEST_B, USER_A, USER_B)}


@dataclass(frozen=True)
class RequestIdentity:
    """A request's role, JWT subject and guest header."""

    role: str
    sub: uuid.UUID | None = None
    guest: object = None


ANON = RequestIdentity("anon")
SERVICE = RequestIdentity("service_role")


def guest(guest_id: object) -> RequestIdentity:
    """A guest, identified by its header."""
    return RequestIdentity("anon", guest=guest_id)


def user(user_id: uuid.UUID, header: object = None) -> RequestIdentity:
    """A user, identified by its JWT; `header` adds a guest header."""
    return RequestIdentity("authenticated", sub=user_id, guest=header)


@contextmanager
def acting_as(
    connection: Connection, caller: RequestIdentity
) -> Iterator[Callable[..., list[tuple[Any, ...]]]]:
    """Run statements as a caller, with the settings of PostgREST; everything is rolled back."""
    claims = {"role": caller.role} | ({"sub": str(caller.sub)} if caller.sub else {})
    headers = {"accept": "*/*"} | (
        {"x-guest-id": str(caller.guest)} if caller.guest is not None else {}
    )

    def execute(statement: str, *values: object) -> list[tuple[Any, ...]]:
        cursor = connection.execute(statement.encode(), values)
        return cursor.fetchall() if cursor.description else [()] * max(cursor.rowcount, 0)

    with connection.transaction(force_rollback=True):
        for name, value in request_settings(claims, headers).items():
            connection.execute("select set_config(%s, %s, true)", (name, value))
        connection.execute("select set_config('role', %s, true)", (caller.role,))
        yield execute


def insert_fixture_rows(connection: Connection) -> None:
    """Insert two guests and two users with one job each."""
    connection.execute("insert into auth.users (id) values (%s), (%s)", (USER_A, USER_B))
    connection.execute(
        "insert into public.guest_users (guest_id) values (%s), (%s)", (GUEST_A, GUEST_B)
    )
    for owner, job in JOBS.items():
        column = "guest_id" if owner in (GUEST_A, GUEST_B) else "user_id"
        connection.execute(
            psycopg.sql.SQL(
                "insert into public.async_jobs (id, url, {}) values (%s, 'https://x.com/1', %s)"
            ).format(psycopg.sql.Identifier(column)),
            (job, owner),
        )


def visible_jobs(connection: Connection, caller: RequestIdentity) -> set[uuid.UUID]:
    """The ids of the jobs that a caller reads."""
    with acting_as(connection, caller) as execute:
        return {job for (job,) in execute("select id from public.async_jobs")}


def sqlstate_of(
    connection: Connection, caller: RequestIdentity, statement: str, *values: object
) -> str | None:
    """The SQLSTATE with which a statement fails for a caller, None if it succeeds."""
    try:
        with acting_as(connection, caller) as execute:
            execute(statement, *values)
    except psycopg.Error as error:
        return error.sqlstate
    return None


def row_count(
    connection: Connection, caller: RequestIdentity, statement: str, *values: object
) -> int:
    """The number of rows that a caller's statement returns or affects."""
    with acting_as(connection, caller) as execute:
        return len(execute(statement, *values))


MIGRATE = "select migrated_count from public.migrate_guest_jobs(%s, %s)"
