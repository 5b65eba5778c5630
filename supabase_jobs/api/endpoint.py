"""URL and keys of a project's API: validation, environment variables, HTTP client.

No message from this module contains a key.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from supabase_jobs.api.keys import Keys, claimed_role
from supabase_jobs.database.hosts import is_local
from supabase_jobs.errors import ConfigError

if TYPE_CHECKING:
    from httpx import Client

URL_VARIABLE = "SUPABASE_URL"
ANON_VARIABLE = "SUPABASE_ANON_KEY"
SERVICE_VARIABLE = "SUPABASE_SERVICE_ROLE_KEY"
JWT_VARIABLE = "SUPABASE_JWT_SECRET"

_TIMEOUT = 30  # seconds


@dataclass(frozen=True)
class Endpoint:
    """An API and its keys; an unknown key is ''."""

    url: str
    keys: Keys

    def client(self) -> "Client":
        """An HTTP client (extra `api`) that sends the keys to this host only.

        It follows no redirects, and uses no proxy for this machine.
        """
        import httpx

        return httpx.Client(
            timeout=_TIMEOUT, follow_redirects=False, trust_env=not is_local(host_of(self.url))
        )


def parse_url(url: str, source: str) -> str:
    """The normalized URL of an API: scheme, host and port. `source` names where the URL comes from.

    Raises ConfigError for a URL with a user, a path, a query or an invalid port.
    """
    try:
        parts = urlsplit(url.strip())
        invalid = parts.scheme not in ("http", "https") or not parts.hostname or parts.port == 0
    except ValueError:  # invalid brackets or port
        raise _invalid_url(source) from None
    if (
        invalid
        or parts.path.strip("/")
        or parts.query
        or parts.fragment
        or set(parts.netloc) & set("@,\\")
    ):
        raise _invalid_url(source)
    return f"{parts.scheme}://{parts.netloc}"


def host_of(url: str) -> str:
    """The host of a URL that `parse_url` has returned."""
    return urlsplit(url).hostname or ""


def _invalid_url(source: str) -> ConfigError:
    return ConfigError(
        f"{source} is not the URL of a project's API",
        hint="The form is https://PROJECT.example, without /rest/v1, user and key.",
    )


def keys_from_environment(environ: Mapping[str, str]) -> Keys:
    """The keys in the environment, '' for a missing one; surrounding white space is removed.

    Raises ConfigError for a key with invalid characters, and for keys that are swapped.
    """
    values = {
        name: environ.get(name, "").strip()
        for name in (ANON_VARIABLE, SERVICE_VARIABLE, JWT_VARIABLE)
    }
    for name, role in ((ANON_VARIABLE, "anon"), (SERVICE_VARIABLE, "service_role")):
        key = values[name]
        if not (key.isascii() and key.isprintable()) or " " in key:
            raise ConfigError(
                f"{name} contains characters that no key contains",
                hint="Copy it again, on one line.",
            )
        if (other := claimed_role(key)) not in (None, role):
            raise ConfigError(
                f"{name} is a key of the role {other}",
                hint=f"Set it to the key of the role {role}.",
            )
    return Keys(values[JWT_VARIABLE], values[ANON_VARIABLE], values[SERVICE_VARIABLE])
