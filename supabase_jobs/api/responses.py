"""Outcomes of responses of the REST API, and the responses that show nothing about access."""

from collections.abc import Collection
from http import HTTPStatus
from typing import TYPE_CHECKING

from supabase_jobs.api.endpoint import Endpoint
from supabase_jobs.database.errors import INCONCLUSIVE_SQLSTATES
from supabase_jobs.errors import ConfigError, ConnectError
from supabase_jobs.session.outcome import outcome_of_api_error

if TYPE_CHECKING:
    import httpx

NO_SUCH_PATH, NO_SUCH_TABLE = "PGRST125", "PGRST205"

# the API refused the token or the key before it ran a statement
_TOKEN_REFUSED = ("PGRST300", "PGRST301", "PGRST302", "PGRST303")
# the load on the server, or no free connection
_INCONCLUSIVE = (*INCONCLUSIVE_SQLSTATES, "PGRST000", "PGRST001", "PGRST002", "PGRST003")
_SHOWN_CHARACTERS = 300  # of a response


def outcome_of_failure(code: str, message: str) -> str:
    """The outcome of a request that failed: `denied`, `violates` (a policy's WITH CHECK), or the
    code of the error.

    Raises ConfigError (2) if the API refuses the key or the token, ConnectError (7) if it could not
    answer.
    """
    # a proxy before PostgREST sends no code, or the client reports the HTTP status as the code
    if code in (*_TOKEN_REFUSED, "", "401", "403"):
        raise ConfigError(
            f"the API refuses the key or the token: {message or code}",
            hint="Pass the keys of the project at this URL; if it uses signing keys, its legacy"
            " JWT secret.",
        )
    if code in _INCONCLUSIVE or (code.isdigit() and len(code) == len("503")):
        raise ConnectError(f"the API could not answer: {code} {message}")
    return outcome_of_api_error(code, message)


def require_served(
    endpoint: Endpoint, not_served: Collection[str], response: "httpx.Response"
) -> None:
    """Raise ConfigError, with the request and the response, if the response has one of these codes,
    or a 404 has none.

    A 404 with another code is an outcome: a function or table that does not exist in the database.
    """
    if not response.is_client_error:
        return
    response.read()
    try:
        code = response.json().get("code")
    except (ValueError, AttributeError):
        code = None
    if code not in not_served and (code or response.status_code != HTTPStatus.NOT_FOUND):
        return
    body = " ".join(response.text.split())
    for key in (endpoint.keys.anon, endpoint.keys.service_role, endpoint.keys.secret):
        body = body.replace(key, "***") if key else body
    shown = body[:_SHOWN_CHARACTERS] + ("…" if len(body) > _SHOWN_CHARACTERS else "")
    request = response.request
    raise ConfigError(
        f"the API does not serve this request: {request.method} {request.url} returned "
        f"{response.status_code} {shown}".rstrip(),
        hint="Expose the schema in the settings of the API, or reload its schema cache: notify"
        " pgrst, 'reload schema';"
        if code == NO_SUCH_TABLE
        else "Pass the URL before /rest/v1, such as API_URL of `supabase status -o env`. A bare"
        " PostgREST has"
        " no /rest/v1; `supabase-jobs local start --api` starts both.",
    )
