"""Acting as somebody over the REST API, with supabase-py: what a browser can do, through the real PostgREST.

A request commits. Nothing here can be rolled back: what a test writes is removed only where the test says so.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, cast
from uuid import UUID

import httpx

from supabase import Client, ClientOptions, PostgrestAPIError, create_client
from supabase_jobs.api.endpoint import (
    ANON,
    SECRET,
    SERVICE,
    URL_VARIABLE,
    Endpoint,
    host_of,
    read_keys,
    read_url,
)
from supabase_jobs.api.keys import Keys, sign, user_token
from supabase_jobs.database.connection import connect
from supabase_jobs.database.hosts import is_local
from supabase_jobs.errors import ConfigError, SupabaseJobsError
from supabase_jobs.testing.identity import Identity
from supabase_jobs.testing.outcome import Outcome, Result, request_failure, usually
from supabase_jobs.testing.session import FORGET_USER, NEW_USER, Session
from supabase_jobs.testing.target import DatabaseUrl

# all that the API tells of a refused row is this message of PostgreSQL's, in English on hosted projects
_VIOLATES = "violates row-level security policy"
_REFUSED = "42501"


@contextmanager
def found(db_url: Callable[[], str], directory: Path, *, allow_remote: bool) -> Iterator[Endpoint]:
    """The API that the environment names, or else one on the throwaway server of this run.

    Raises ConfigError where neither is there, or the API is on another machine; LocalServerError without PostgREST.
    """
    if given := os.environ.get(URL_VARIABLE):
        url = read_url(given, URL_VARIABLE)
        if not (allow_remote or is_local(host := host_of(url))):
            raise ConfigError(
                f"{host} is not this machine, and what is written over the API stays",
                hint="Use a local one (supabase-jobs local start --api). If it is a project that nobody else uses, say"
                " --supabase-allow-remote.",
            )
        yield Endpoint(url, _keys(read_keys(os.environ)))
        return
    if (database := db_url()) and isinstance(database, DatabaseUrl) and database.port:
        from supabase_jobs.local.api import throwaway

        with throwaway(database.port, database.name, directory=directory) as info:
            yield Endpoint(info.url, info.keys)
        return
    raise ConfigError(
        "no API was named for this database",
        hint=f"Set {URL_VARIABLE}, {ANON}, {SERVICE} and {SECRET}, as supabase-jobs local start --api or supabase"
        " status print them. Where no database is named either, tests start both by themselves.",
    )


def _keys(keys: Keys) -> Keys:
    if not (keys.anon and keys.service_role):  # a gateway takes the project's own keys only, none made from the secret
        raise ConfigError(
            "SUPABASE_URL is set, and its keys are not",
            hint="Set SUPABASE_ANON_KEY and SUPABASE_SERVICE_ROLE_KEY, and SUPABASE_JWT_SECRET to act as users.",
        )
    return keys


class RlsApi(Session[Client]):
    """One test's callers over the API; each is a supabase-py client. See the fixture `rls_api`."""

    def __init__(
        self, target: Endpoint, *, guest_header: str | Callable[[], str] | None, db_url: Callable[[], str]
    ) -> None:
        super().__init__(guest_header)
        self.url = target.url
        self._keys = target.keys
        self._db_url = db_url
        self._callers: dict[str, Identity] = {}
        self._removals: list[tuple[str, Callable[[], object]]] = []
        self._http = target.client()

    def _caller(self, identity: Identity) -> Client:
        if identity.settings:
            raise ConfigError("settings cannot be sent over the API", hint="Use the fixture rls for them.")
        own = {"anon": self._keys.anon, "service_role": self._keys.service_role}
        key = self._keys.service_role if identity.role == "service_role" else self._keys.anon
        plain = identity.claims == {"role": identity.role}
        token = own[identity.role] if plain and identity.role in own else self._token(identity)
        headers = {**(identity.headers or {}), "Authorization": f"Bearer {token}"}
        self._callers[headers["Authorization"]] = identity
        return create_client(self.url, key, ClientOptions(headers=headers, httpx_client=self._http))

    def _token(self, identity: Identity) -> str:
        if not self._keys.secret:
            raise ConfigError("the JWT secret is needed to act as a user", hint="Set SUPABASE_JWT_SECRET.")
        claims = dict(identity.claims or {})
        if "sub" in claims:
            return user_token(self._keys.secret, str(claims.pop("sub")), **claims)
        return sign(self._keys.secret, claims)

    def new_user(self, *, email: str | None = None, is_anonymous: bool = False) -> UUID:
        """The id of a new row in auth.users, made through the database; deleted after the test, with what refers to it.

        (Where the foreign keys say `on delete cascade`. Otherwise the deletion fails, and the test says so.)
        """
        with connect(self._db_url()) as connection:
            row = connection.execute(NEW_USER.encode(), (email, is_anonymous)).fetchone()
        user = cast(UUID, row[0] if row else None)
        self._removals.append((f"user {user}", lambda: self._forget(user)))
        return user

    def _forget(self, user: UUID) -> None:
        with connect(self._db_url()) as connection:
            connection.execute(FORGET_USER.encode(), (user,))

    def remove_after(self, table: str, **equals: object) -> None:
        """Delete the rows of a table in which these columns have these values, as the service, after the test.

        Say it before the row is written, so that it is removed whatever happens then; the last said is removed first.
        """
        if not equals:
            raise ConfigError(f"remove_after({table!r}) names no column", hint="It would delete the whole table.")

        def remove() -> None:
            query = self.as_service().table(table).delete()
            for column, value in equals.items():
                query = query.eq(column, str(value))
            query.execute()

        self._removals.append((f"{table} {equals}", remove))

    def outcome(self, query: Any) -> Outcome:
        """What a request comes to; `query` is what supabase-py executes: `client.table("notes").select("*")`.

        An answer without rows counts as hidden, so a request with `returning="minimal"` has to ask for a count.
        """
        sent = getattr(query, "request", query)
        if "return=minimal" in (prefer := sent.headers.get("prefer", "")) and "count=" not in prefer:
            raise ConfigError(
                'an answer to returning="minimal" does not say whether a row was reached', hint='Add count="exact".'
            )
        try:
            answer = query.execute()
        except PostgrestAPIError as error:
            code, message = error.code or "error", error.message or ""
            name = ("violates" if _VIOLATES in message else "denied") if code == _REFUSED else code
            return Outcome(name, Result(), code, message)
        data, count = answer.data, getattr(answer, "count", None)
        rows = data if isinstance(data, list) else [] if data is None else [data]
        reached = len(rows) if count is None else count
        return Outcome("rows" if reached else "hidden", Result(rows, reached))

    def assert_allowed(self, query: Any, *, count: int | None = None) -> list[Any]:
        """A request reaches at least one row, or exactly `count`; returns the rows. It stays done."""
        __tracebackhide__ = True
        found = self._expect("rows", query)
        if count is not None and found.result.count != count:
            self._fail(f"expected {count} rows, but it reached {found.result.count}", query, found, "")
        return found.result.rows

    def assert_hidden(self, query: Any, *, control: Any) -> None:
        """A request reaches nothing, although `control`, a request of the service's, finds the row."""
        __tracebackhide__ = True
        found = self._expect("hidden", query)
        if (there := self.outcome(control)).name != "rows":
            self._fail(f"this proves nothing: the control came to {there}", query, found, "")

    def assert_denied(self, query: Any) -> None:
        """42501, and not from a policy's WITH CHECK: by its message, which is all that the API passes on."""
        __tracebackhide__ = True
        self._expect("denied", query)

    def assert_violates(self, query: Any) -> None:
        """42501 from a policy's WITH CHECK: by its message, which is all that the API passes on."""
        __tracebackhide__ = True
        self._expect("violates", query)

    def assert_fails(self, code: str, query: Any) -> None:
        """An error by its code: an SQLSTATE, or one of PostgREST's own (`"PGRST301"`: the token was refused)."""
        __tracebackhide__ = True
        self._expect(code, query)

    def _expect(self, expected: str, query: Any) -> Outcome:
        __tracebackhide__ = True
        found = self.outcome(query)
        if found.name != expected:
            headline = f"expected {expected}, but it came to {found.name}"
            self._fail(headline, query, found, usually(expected, found))
        return found

    def _fail(self, headline: str, query: Any, found: Outcome, meaning: str) -> None:
        __tracebackhide__ = True
        sent = getattr(query, "request", query)
        path = str(sent.path).removeprefix(self.url)
        request = f"{sent.http_method} {path}" + (f"?{sent.params}" if str(sent.params) else "")
        identity = self._callers.get(sent.headers.get("authorization", ""), Identity("(unknown)"))
        raise AssertionError(request_failure(headline, identity, request, sent.json, found, meaning))

    def __repr__(self) -> str:
        return f"<RlsApi on {self.url}>"

    def close(self) -> None:
        """Remove what was to be removed, all of it even where one fails; raises SupabaseJobsError for what stayed."""
        stayed = []
        with ExitStack() as stack:
            stack.callback(self._http.close)
            while self._removals:
                what, remove = self._removals.pop()
                try:
                    remove()
                except (PostgrestAPIError, httpx.HTTPError, SupabaseJobsError) as error:
                    stayed.append(f"{what}: {getattr(error, 'message', None) or error}")
        if stayed:
            raise SupabaseJobsError(
                f"what the test wrote is still there: {'; '.join(stayed)}", hint="Remove it, or later tests meet it."
            )
