"""The API of a project as people name it, by URL and keys: read, checked, and asked only where it is.

Connects to nothing by itself. No message made here holds a key.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from supabase_jobs.api.keys import Keys, role_of
from supabase_jobs.database.hosts import is_local
from supabase_jobs.errors import ConfigError

if TYPE_CHECKING:
    from httpx import Client

URL_VARIABLE = "SUPABASE_URL"
ANON, SERVICE, SECRET = "SUPABASE_ANON_KEY", "SUPABASE_SERVICE_ROLE_KEY", "SUPABASE_JWT_SECRET"

_TIMEOUT = 30  # seconds


@dataclass(frozen=True)
class Endpoint:
    """An API and its keys; a key that is not known is ''."""

    url: str
    keys: Keys

    def client(self) -> "Client":
        """An HTTP client (extra `api`) that takes the keys to this host and to no other.

        It follows no redirect, and asks this machine directly, whatever proxy the environment names.
        """
        import httpx

        return httpx.Client(timeout=_TIMEOUT, follow_redirects=False, trust_env=not is_local(host_of(self.url)))


def read_url(given: str, source: str) -> str:
    """An API's URL, which ends with its host and port; `source` says where it was given.

    Raises ConfigError for one with a user, a path, a query, or a port that does not exist.
    """
    try:
        parts = urlsplit(given.strip())
        odd = parts.scheme not in ("http", "https") or not parts.hostname or parts.port == 0
    except ValueError:  # brackets, or a port, that are none
        raise _no_url(source) from None
    if odd or parts.path.strip("/") or parts.query or parts.fragment or set(parts.netloc) & set("@,\\"):
        raise _no_url(source)
    return f"{parts.scheme}://{parts.netloc}"


def host_of(url: str) -> str:
    """The host in a URL of `read_url`."""
    return urlsplit(url).hostname or ""


def _no_url(source: str) -> ConfigError:
    return ConfigError(
        f"{source} is not the URL of a project's API",
        hint="It has the form https://PROJECT.example, without /rest/v1, without a user and without a key.",
    )


def read_keys(environ: Mapping[str, str]) -> Keys:
    """The keys that the environment holds, '' for one that it does not; space around them is cut off.

    Raises ConfigError for a key that cannot be sent, or that is known to be the other one.
    """
    found = {name: environ.get(name, "").strip() for name in (ANON, SERVICE, SECRET)}
    for name, role in ((ANON, "anon"), (SERVICE, "service_role")):
        key = found[name]
        if not (key.isascii() and key.isprintable()) or " " in key:
            raise ConfigError(f"{name} has characters that no key has", hint="Copy it once more, on one line.")
        if (other := role_of(key)) not in (None, role):
            raise ConfigError(f"{name} is a key of the role {other}", hint=f"Give the key of the role {role}.")
    return Keys(found[SECRET], found[ANON], found[SERVICE])
