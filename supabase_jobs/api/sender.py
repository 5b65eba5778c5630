"""Send requests to an API as their callers, and read the outcomes of the responses.

No message from this module contains a key.
"""

from collections.abc import Collection
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from supabase_jobs.api import keys
from supabase_jobs.api.endpoint import Endpoint
from supabase_jobs.database.errors import INCONCLUSIVE_SQLSTATES
from supabase_jobs.database.masking import mask
from supabase_jobs.errors import ConfigError, ConnectError
from supabase_jobs.session.caller import Caller
from supabase_jobs.session.outcome import outcome_of_api_error, outcome_of_count
from supabase_jobs.session.request import SERVICE, Request

if TYPE_CHECKING:
    import httpx

NO_SUCH_PATH, NO_SUCH_TABLE = "PGRST125", "PGRST205"

# the API refused the token or the key before it ran a statement
_TOKEN_REFUSED = ("PGRST300", "PGRST301", "PGRST302", "PGRST303")
# the load on the server, or no free connection
_INCONCLUSIVE = (*INCONCLUSIVE_SQLSTATES, "PGRST000", "PGRST001", "PGRST002", "PGRST003")
_SHOWN_CHARACTERS = 300  # of a response


def require_client() -> None:
    """Raise ConfigError if the extra `api` is not installed."""
    if find_spec("httpx") is None:
        raise ConfigError(
            "the client for the API is not installed", hint="pip install 'supabase-jobs[api]'"
        )


@dataclass(frozen=True)
class Reply:
    """The outcome of a request: rows, hidden, denied, violates, or the code of an error. `text` is
    the body of a response without an error.
    """

    outcome: str
    text: str = ""


class Sender:
    """Sends requests to an API with the client of its endpoint, and the key and token of each
    caller.

    A response with one of the codes `not_served` is an error.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        client: "httpx.Client",
        not_served: Collection[str] = (NO_SUCH_PATH,),
    ) -> None:
        self.url = endpoint.url
        self._keys, self._client = endpoint.keys, client
        self._tokens: dict[Caller, str] = {}
        client.event_hooks["response"] = [partial(_require_served, endpoint, not_served)]

    def send(self, request: Request) -> Reply:
        """Send a request, and read its outcome.

        Raises ConfigError (2) if the API refuses the key or the token, or does not serve the
        request; ConnectError (7) if it does not answer.
        """
        import httpx

        headers = {**request.headers, **self._credentials(request.caller)}
        if request.prefer:
            headers["Prefer"] = request.prefer
        try:
            response = self._client.request(
                request.method,
                f"{self.url}/{request.address}",
                headers=headers,
                content=request.body.encode() or None,
            )
        except httpx.HTTPError as error:
            reason = str(error) or type(error).__name__
            raise ConnectError(f"the API does not answer: {reason}") from error
        if not response.is_success:
            found = _error(response)
            code = str(found.get("code") or response.status_code)
            return Reply(_outcome_of_failure(code, str(found.get("message") or "")))
        return Reply(outcome_of_count(_reached(request, response)), response.text)

    def _credentials(self, caller: Caller) -> dict[str, str]:
        """The key of the project, and the token of a caller who has more claims than a role."""
        claims = caller.claims or {}
        if claims.keys() <= {"role"} and caller.role == "anon":
            return {"apikey": self._keys.anon}
        if claims.keys() <= {"role"} and caller.role == SERVICE:
            key = self._keys.service_role
            bearer = {} if keys.is_opaque(key) else {"Authorization": f"Bearer {key}"}
            return {"apikey": key, **bearer}
        if caller not in self._tokens:
            self._tokens[caller] = self._keys.claims_token(caller.role, claims)
        return {"apikey": self._keys.anon, "Authorization": f"Bearer {self._tokens[caller]}"}


def _reached(request: Request, response: "httpx.Response") -> bool:
    """Whether a request has returned or written a row."""
    if "count=exact" in request.prefer:
        return not response.headers.get("Content-Range", "").endswith("/0")
    try:
        return bool(response.json())
    except ValueError:  # a function may return another type than JSON, or nothing
        return bool(response.text)


def _error(response: "httpx.Response") -> dict[str, Any]:
    """The error of a response; empty if it is none of PostgREST's."""
    try:
        body = response.json()
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}


def _outcome_of_failure(code: str, message: str) -> str:
    """The outcome of a request that failed: `denied`, `violates` (a policy's WITH CHECK), or the
    code of the error.

    Raises ConfigError (2) if the API refuses the key or the token, ConnectError (7) if it could not
    answer.
    """
    # a proxy before PostgREST sends no code, so this is the HTTP status
    if code in (*_TOKEN_REFUSED, "401", "403"):
        raise ConfigError(
            f"the API refuses the key or the token: {message or code}",
            hint="Pass the keys of the project at this URL; if it uses signing keys, its legacy"
            " JWT secret.",
        )
    if code in _INCONCLUSIVE or (code.isdigit() and len(code) == len("503")):
        raise ConnectError(f"the API could not answer: {code} {message}")
    return outcome_of_api_error(code, message)


def _require_served(
    endpoint: Endpoint, not_served: Collection[str], response: "httpx.Response"
) -> None:
    """Raise ConfigError, with the request and the response, if the response has one of these codes,
    or a 404 has none.

    A 404 with another code is an outcome: a function or table that does not exist in the database.
    """
    if not response.is_client_error:
        return
    response.read()
    code = _error(response).get("code")
    if code not in not_served and (code or response.status_code != HTTPStatus.NOT_FOUND):
        return
    of_project = endpoint.keys
    secrets = {of_project.anon, of_project.service_role, of_project.secret}
    body = mask(" ".join(response.text.split()), secrets)
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
