"""What a path leads to behind the gateway of the local API."""

from urllib.parse import quote

PREFIX = "/rest/v1"

ABSENT = {"auth": "Auth", "storage": "Storage", "realtime": "Realtime", "functions": "Edge Functions"}


def target(path: str, query: str) -> str:
    """The path and query for PostgREST: without an `apikey`, and with nothing but ASCII."""
    kept = "&".join(part for part in query.split("&") if part.partition("=")[0] != "apikey")
    target = f"{path}?{kept}" if kept else path
    return quote(target.encode("latin-1"), safe="".join(map(chr, range(33, 127))))


def not_here(path: str) -> tuple[int, dict[str, str]]:
    """Status and answer for a path that is not PostgREST's."""
    name = path.split("/")[1]
    if name not in ABSENT:
        return 404, {"message": "no Route matched with those values"}
    return 501, {
        "message": f"{ABSENT[name]} is not provided by the local API, which is PostgREST alone",
        "hint": "the REST API is under /rest/v1; the Supabase CLI's `supabase start` has the other services",
    }


def listed(values: list[str]) -> set[str]:
    """The names in the values of a header that lists names, in lower case."""
    return {name.strip().lower() for value in values for name in value.split(",")}
