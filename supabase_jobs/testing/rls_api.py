"""The fixture `rls_api`: impersonation over the REST API, with supabase-py clients and the real
PostgREST.

Requests commit, so nothing is rolled back; a test names the rows to remove after it.
"""

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx

from supabase import Client, ClientOptions, PostgrestAPIError, create_client
from supabase_jobs.api.endpoint import (
    ANON_VARIABLE,
    JWT_VARIABLE,
    SERVICE_VARIABLE,
    URL_VARIABLE,
    Endpoint,
    host_of,
    keys_from_environment,
    parse_url,
)
from supabase_jobs.api.keys import Keys
from supabase_jobs.database.connection import connect
from supabase_jobs.database.hosts import is_local
from supabase_jobs.errors import ConfigError, SupabaseJobsError
from supabase_jobs.local.api.signing_keys import project_signing_keys
from supabase_jobs.outcomes import DENIED, HIDDEN, ROWS, VIOLATES
from supabase_jobs.session.caller import Caller
from supabase_jobs.session.outcome import outcome_of_api_error, outcome_of_count
from supabase_jobs.session.sign_up import SignedUp, clean_up
from supabase_jobs.settings import DB_URL_VARIABLE
from supabase_jobs.testing import impersonation
from supabase_jobs.testing.assertions import Outcome, hint, request_failure, row_count
from supabase_jobs.testing.database import DatabaseUrl, require_embedded
from supabase_jobs.testing.impersonation import DELETE_USER, CallerFactory, Result
from supabase_jobs.testing.rls import run


@contextmanager
def endpoint(
    db_url: Callable[[], str], directory: Path, *, allow_remote: bool
) -> Iterator[Endpoint]:
    """The API of the environment variables, otherwise a PostgREST on the throwaway server of this
    run.

    Raises ConfigError if there is neither, or the API or its database is not local;
    LocalServerError without PostgREST.
    """
    if configured := os.environ.get(URL_VARIABLE):
        url = parse_url(configured, URL_VARIABLE)
        if not (allow_remote or is_local(host := host_of(url))):
            raise ConfigError(
                f"{host} is not this machine, and writes over the API are not rolled back",
                hint="Use a local API (supabase-jobs local start --api). If nobody else uses this"
                " project, pass"
                " --supabase-allow-remote.",
            )
        signing = project_signing_keys(directory)
        keys = _keys(keys_from_environment(os.environ, signing))
        if not allow_remote:
            _require_embedded(db_url())
        yield Endpoint(url, keys)
        return
    if (database := db_url()) and isinstance(database, DatabaseUrl) and database.port:
        from supabase_jobs.local.api.service import throwaway

        with throwaway(database.port, database.name, directory=directory) as info:
            yield Endpoint(info.url, info.keys)
        return
    raise ConfigError(
        "no API is configured for this database",
        hint=f"Set {URL_VARIABLE}, {ANON_VARIABLE}, {SERVICE_VARIABLE} and {JWT_VARIABLE}, as"
        " printed by supabase-jobs"
        " local start --api or supabase status. If no database is configured either, the tests"
        " start both.",
    )


def _require_embedded(db_url: str) -> None:
    """Raise ConfigError if the database behind a configured API is not on an embedded server."""
    if isinstance(db_url, DatabaseUrl) and db_url.is_throwaway:
        raise ConfigError(
            f"{URL_VARIABLE} is set, but not the database behind it",
            hint=f"Set {DB_URL_VARIABLE}: its server shows whether this API is local. If nobody"
            " else uses this project, pass --supabase-allow-remote.",
        )
    with connect(db_url) as connection, connection.transaction():
        run(connection, require_embedded(allow_remote=False))


def _keys(keys: Keys) -> Keys:
    if not (
        keys.anon and keys.service_role
    ):  # a gateway rejects keys that are only signed with the project's secret
        raise ConfigError(
            "SUPABASE_URL is set, but its keys are not",
            hint="Set SUPABASE_ANON_KEY and SUPABASE_SERVICE_ROLE_KEY, and SUPABASE_JWT_SECRET to"
            " act as users.",
        )
    return keys


class RlsApi(CallerFactory[Client]):
    """Creates callers over the API; each is a supabase-py client. See the fixture `rls_api`."""

    def __init__(
        self,
        target: Endpoint,
        *,
        guest_header: str | Callable[[], str] | None,
        db_url: Callable[[], str],
    ) -> None:
        super().__init__(guest_header)
        self.url = target.url
        self._keys = target.keys
        self._db_url = db_url
        self._callers: dict[str, Caller] = {}
        self._removals: list[tuple[str, Callable[[], object]]] = []
        self._http = target.client()

    def _caller(self, identity: Caller) -> Client:
        if identity.settings:
            raise ConfigError(
                "settings cannot be sent over the API", hint="Use the fixture rls to test settings."
            )
        keys = {"anon": self._keys.anon, "service_role": self._keys.service_role}
        key = self._keys.service_role if identity.role == "service_role" else self._keys.anon
        role_only = identity.claims == {"role": identity.role}
        token = (
            keys[identity.role] if role_only and identity.role in keys else self._token(identity)
        )
        headers = {**(identity.headers or {}), "Authorization": f"Bearer {token}"}
        self._callers[headers["Authorization"]] = identity
        return create_client(self.url, key, ClientOptions(headers=headers, httpx_client=self._http))

    def _token(self, identity: Caller) -> str:
        if not self._keys.can_sign:
            raise ConfigError(
                "the JWT secret is required to act as a user",
                hint="Set SUPABASE_JWT_SECRET, or [auth] signing_keys_path in the configuration.",
            )
        claims = dict(identity.claims or {})
        if "sub" in claims:
            return self._keys.user_token(str(claims.pop("sub")), **claims)
        return self._keys.sign(claims)

    def new_user(
        self,
        *,
        email: str | None = None,
        is_anonymous: bool = False,
        metadata: Mapping[str, object] | None = None,
    ) -> UUID:
        """Create a user as Auth does, on a database connection, and return its id; it is deleted
        after the test.

        The parameters are those of `Rls.new_user`. Rows that were added to an allow-list are
        deleted too, and so are rows that refer to the user if their foreign keys are `on delete
        cascade`. Otherwise the test ends with an error.
        """
        with connect(self._db_url()) as connection, connection.transaction():
            user, signed_up = run(
                connection, impersonation.new_user(None, email, is_anonymous, metadata)
            )
        self._removals.append((f"user {user}", lambda: self._delete_user(user, signed_up)))
        return user

    def _delete_user(self, user: UUID, signed_up: SignedUp) -> None:
        with connect(self._db_url()) as connection, connection.transaction():
            connection.execute(DELETE_USER.encode(), (user,))
            clean_up(connection, signed_up)

    def remove_after(self, table: str, **equals: object) -> None:
        """After the test, delete the rows of a table in which these columns have these values, as
        the service.

        Call it before the rows are written, so that they are removed after any error. The last call
        is removed first.
        """
        if not equals:
            raise ConfigError(
                f"remove_after({table!r}) names no column", hint="Without one it deletes all rows."
            )

        def remove() -> None:
            query = self.as_service().table(table).delete()
            for column, value in equals.items():
                query = query.eq(column, str(value))
            query.execute()

        self._removals.append((f"{table} {equals}", remove))

    def outcome(self, query: Any) -> Outcome:
        """The outcome of a request; `query` is a query of supabase-py:
        `client.table("notes").select("*")`.

        A response without rows counts as hidden, so a request with `returning="minimal"` must
        request a count.
        """
        sent = getattr(query, "request", query)
        if (
            "return=minimal" in (prefer := sent.headers.get("prefer", ""))
            and "count=" not in prefer
        ):
            raise ConfigError(
                'a response to returning="minimal" does not show whether a row was affected',
                hint='Add count="exact".',
            )
        try:
            response = query.execute()
        except PostgrestAPIError as error:
            code, message = error.code or "error", error.message or ""
            return Outcome(outcome_of_api_error(code, message), Result(), code, message)
        data, count = response.data, getattr(response, "count", None)
        rows = data if isinstance(data, list) else [data]
        rows = [] if data is None else rows
        count = len(rows) if count is None else count
        return Outcome(outcome_of_count(count), Result(rows, count))

    def assert_allowed(self, query: Any, *, count: int | None = None) -> list[Any]:
        """The request returns or affects at least one row, or exactly `count`. Returns its rows; it
        is committed.
        """
        __tracebackhide__ = True
        actual = self._expect(ROWS, query)
        if count is not None and actual.result.count != count:
            self._fail(f"expected {row_count(count)}, got {actual.result.count}", query, actual, "")
        return actual.result.rows

    def assert_hidden(self, query: Any, *, control: Any) -> None:
        """The request returns or affects no row, and `control`, a request of the service, finds the
        row.
        """
        __tracebackhide__ = True
        actual = self._expect(HIDDEN, query)
        if (control_outcome := self.outcome(control)).name != ROWS:
            self._fail(
                f"inconclusive: expected rows from the control, got {control_outcome}",
                query,
                actual,
                "",
            )

    def assert_denied(self, query: Any) -> None:
        """The request fails with 42501, not from a policy's WITH CHECK according to the message."""
        __tracebackhide__ = True
        self._expect(DENIED, query)

    def assert_violates(self, query: Any) -> None:
        """The request fails with 42501 from a policy's WITH CHECK, according to the message."""
        __tracebackhide__ = True
        self._expect(VIOLATES, query)

    def assert_fails(self, code: str, query: Any) -> None:
        """The request fails with this code: an SQLSTATE, or a code of PostgREST (`"PGRST301"`:
        invalid token).
        """
        __tracebackhide__ = True
        self._expect(code, query)

    def _expect(self, expected: str, query: Any) -> Outcome:
        __tracebackhide__ = True
        actual = self.outcome(query)
        if actual.name != expected:
            self._fail(
                f"expected {expected}, got {actual.name}", query, actual, hint(expected, actual)
            )
        return actual

    def _fail(self, headline: str, query: Any, actual: Outcome, cause: str) -> None:
        __tracebackhide__ = True
        sent = getattr(query, "request", query)
        path = str(sent.path).removeprefix(self.url)
        request = f"{sent.http_method} {path}" + (f"?{sent.params}" if str(sent.params) else "")
        identity = self._callers.get(
            sent.headers.get("authorization", ""), Caller(role="(unknown)")
        )
        raise AssertionError(request_failure(headline, identity, request, sent.json, actual, cause))

    def __repr__(self) -> str:
        return f"<RlsApi on {self.url}>"

    def close(self) -> None:
        """Run all removals, also after one fails; raises SupabaseJobsError with the rows that were
        not removed.
        """
        failed = []
        with ExitStack() as stack:
            stack.callback(self._http.close)
            while self._removals:
                rows, remove = self._removals.pop()
                try:
                    remove()
                except (PostgrestAPIError, httpx.HTTPError, SupabaseJobsError) as error:
                    failed.append(f"{rows}: {getattr(error, 'message', None) or error}")
        if failed:
            raise SupabaseJobsError(
                f"rows of the test could not be removed: {'; '.join(failed)}",
                hint="Remove them, because they can affect later tests.",
            )
