"""What the two kinds of session have in common: whose connection it is, and how its callers are made."""

from collections.abc import Callable, Mapping
from typing import Generic, TypeVar

import psycopg
from psycopg.pq import TransactionStatus

from supabase_jobs.database.conninfo import read
from supabase_jobs.database.hosts import Address, is_local
from supabase_jobs.errors import ConfigError, SupabaseJobsError
from supabase_jobs.testing import identity as identities
from supabase_jobs.testing.identity import Identity

C = TypeVar("C")

# what Supabase's Auth fills in; a project's trigger on the table often reads the address
NEW_USER = """
insert into auth.users (id, aud, role, email, raw_app_meta_data, raw_user_meta_data, is_anonymous)
values (gen_random_uuid(), 'authenticated', 'authenticated', %s, '{}', '{}', %s)
returning id
"""
FORGET_USER = "delete from auth.users where id = %s"


class Session(Generic[C]):
    """Makes callers: somebody to act as, on the connection of one test."""

    def __init__(self, guest_header: str | Callable[[], str] | None) -> None:
        self._guest_header = guest_header

    def _caller(self, identity: Identity) -> C:
        raise NotImplementedError

    def as_anon(self, *, headers: Mapping[str, str] | None = None) -> C:
        """Somebody with the anonymous key and no guest's id."""
        return self._caller(identities.anonymous(headers))

    def as_guest(self, guest_id: object, *, headers: Mapping[str, str] | None = None) -> C:
        """A guest, known by the id in its request's header (ini option `supabase_guest_header`)."""
        header = self._guest_header() if callable(self._guest_header) else self._guest_header
        if not header:
            raise ConfigError(
                "no header is known by which a guest is recognised",
                hint="Set supabase_guest_header in pytest's configuration, or use as_anon(headers={…}).",
            )
        return self._caller(identities.guest(header, guest_id, headers))

    def as_user(
        self, user_id: object, *, claims: Mapping[str, object] | None = None, headers: Mapping[str, str] | None = None
    ) -> C:
        """A signed-in user. `claims` are added to those of its JWT, or replace them: `{"is_anonymous": True}`."""
        return self._caller(identities.user(user_id, claims, headers))

    def as_service(self, *, headers: Mapping[str, str] | None = None) -> C:
        """The backend, which holds the service key."""
        return self._caller(identities.service(headers))

    def as_role(
        self,
        role: str,
        *,
        claims: Mapping[str, object] | None = None,
        headers: Mapping[str, str] | None = None,
        settings: Mapping[str, str] | None = None,
    ) -> C:
        """A request as any role that the connection may become; `settings` are made as they stand."""
        return self._caller(identities.role(role, claims, headers, settings))


def refuse_remote(where: psycopg.ConnectionInfo | str, allow_remote: bool) -> None:
    """ConfigError where a connection, or a URL, leads to another machine and nobody said that it may."""
    address: psycopg.ConnectionInfo | Address = read(where).address if isinstance(where, str) else where
    if not (allow_remote or (is_local(address.host) and is_local(address.hostaddr))):
        raise ConfigError(
            f"{address.host or address.hostaddr} is not this machine, and tests write before they roll back",
            hint="Locks keep everybody else out meanwhile, and sequences advance. If nobody else uses that database,"
            " say --supabase-allow-remote.",
        )


def aborted(info: psycopg.ConnectionInfo) -> bool:
    """Whether an error has aborted the transaction, so that only going back to a savepoint is left."""
    if info.transaction_status in (TransactionStatus.IDLE, TransactionStatus.UNKNOWN):
        raise SupabaseJobsError(
            "the transaction of the test has ended inside it (commit, rollback, or a lost connection)",
            hint="What a commit wrote is still there: remove it. Code under test that commits needs the API, or a"
            " database of its own.",
        )
    return info.transaction_status == TransactionStatus.INERROR
