"""A probe as a request to the API: what access.toml says of it, and sending it with supabase-py (extra `api`)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from supabase_jobs.database.errors import INCONCLUSIVE_SQLSTATES
from supabase_jobs.errors import ConfigError, ConnectError, SupabaseJobsError

if TYPE_CHECKING:
    from supabase import Client

VERBS = ("select", "insert", "upsert", "update", "delete", "rpc")

# PostgREST's words for a failed WITH CHECK; a missing grant, and a function that refuses, have others
_VIOLATES = "new row violates row-level security policy"
# the token or the key was refused before anything was asked
_TOKEN_REFUSED = ("PGRST300", "PGRST301", "PGRST302", "PGRST303")
# somebody else's lock, a slow server, no free connection: says nothing of who may do what
_NO_ANSWER = (*INCONCLUSIVE_SQLSTATES, "PGRST000", "PGRST001", "PGRST002", "PGRST003")


@dataclass(frozen=True)
class Request:
    """One request. `verb` is one of VERBS, `target` a table or a function of the API.

    `columns` are what a select asks for, `values` the row or the arguments, `where` the columns that must be equal.
    A text `$name` is the parameter of that name. `returning`: whether the rows that were written are asked for; else
    only how many there are.
    """

    verb: str
    target: str
    columns: Sequence[str] = ("*",)
    values: Mapping[str, Any] = field(default_factory=dict)
    where: Mapping[str, Any] = field(default_factory=dict)
    returning: bool = False
    on_conflict: str = ""

    def placeholders(self) -> set[str]:
        """The parameters that it uses."""
        texts = (*self.values.values(), *self.where.values())
        return {text[1:] for text in texts if isinstance(text, str) and text.startswith("$")}


def parse(action: str, table: Mapping[str, Any]) -> Request:
    """The `api` table of an action: a verb with its target, and more. ConfigError where it is something else."""
    verbs = [verb for verb in VERBS if verb in table]
    others = {key: value for key, value in table.items() if key not in VERBS}
    if len(verbs) != 1:
        raise ConfigError(f"action {action!r}: its api table has to have one of {', '.join(VERBS)}")
    try:
        return Request(verbs[0], table[verbs[0]], **others)
    except TypeError as error:
        raise ConfigError(f"action {action!r}: its api table is not a request: {error}") from error


def send(client: "Client", request: Request, params: Mapping[str, Any]) -> str:
    """Send it and say what it came to: `rows`, `hidden`, `denied`, `violates`, or the code of the error.

    Raises ConfigError (2) where the API refuses the key or the token, ConnectError (7) where it does not answer.
    """
    import httpx
    from postgrest.exceptions import APIError

    try:
        answer = _built(client, request, params).execute()
    except APIError as error:
        return _refusal(error)
    except httpx.HTTPError as error:
        raise ConnectError(f"the API does not answer: {error or type(error).__name__}") from error
    return "rows" if answer.data or answer.count else "hidden"


def _refusal(error: Any) -> str:
    code, message = str(error.code or ""), str(error.message or "")
    # what stands before PostgREST has no code of its own, or the client gives the HTTP status for one
    if code in (*_TOKEN_REFUSED, "", "401", "403"):
        raise ConfigError(
            f"the API refuses the key or the token that it was sent: {message or code}",
            hint="Give the keys of the project that answers at this URL; with signing keys, its legacy JWT secret.",
        )
    if code in _NO_ANSWER or (code.isdigit() and len(code) == len("503")):
        raise ConnectError(f"the API could not answer: {code} {message}")
    if code == "42501":
        return "violates" if message.startswith(_VIOLATES) else "denied"
    return code


def _built(client: "Client", request: Request, params: Mapping[str, Any]) -> Any:
    from postgrest import CountMethod, ReturnMethod

    values = _filled(request.values, params)
    # asked for nothing, the API still says how many rows there were
    asked: dict[str, Any] = (
        {"returning": ReturnMethod.representation}
        if request.returning
        else {"returning": ReturnMethod.minimal, "count": CountMethod.exact}
    )
    builder: Any
    match request.verb:
        case "rpc":
            builder = client.rpc(request.target, values)
        case "select":
            builder = client.table(request.target).select(*request.columns)
        case "insert":
            builder = client.table(request.target).insert(values, **asked)
        case "upsert":
            builder = client.table(request.target).upsert(values, on_conflict=request.on_conflict, **asked)
        case "update":
            builder = client.table(request.target).update(values, **asked)
        case "delete":
            builder = client.table(request.target).delete(**asked)
        case other:  # `parse` lets no other through
            raise SupabaseJobsError(f"no such verb: {other}")
    for column, value in _filled(request.where, params).items():
        builder = builder.is_(column, "null") if value is None else builder.eq(column, value)
    return builder


def _filled(texts: Mapping[str, Any], params: Mapping[str, Any]) -> dict[str, Any]:
    def value(text: Any) -> Any:
        if isinstance(text, str) and text.startswith("$"):
            found = params[text[1:]]
            return None if found is None else str(found)
        return text

    return {name: value(text) for name, text in texts.items()}
