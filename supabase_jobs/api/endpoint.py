"""URL and keys of a project's API: validation, environment variables, HTTP client.

No message from this module contains a key.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from supabase_jobs.api.keys import PUBLISHABLE, SECRET, Keys, claimed_role
from supabase_jobs.api.signing import SigningKey
from supabase_jobs.database.hosts import is_local
from supabase_jobs.errors import ConfigError

if TYPE_CHECKING:
    from httpx import Client

URL_VARIABLE = "SUPABASE_URL"
ANON_VARIABLE = "SUPABASE_ANON_KEY"
SERVICE_VARIABLE = "SUPABASE_SERVICE_ROLE_KEY"
PUBLISHABLE_VARIABLE = "SUPABASE_PUBLISHABLE_KEY"
SECRET_VARIABLE = "SUPABASE_SECRET_KEY"  # noqa: S105 (a name)
JWT_VARIABLE = "SUPABASE_JWT_SECRET"

# variables of the public and of the secret key, the first that is set counts → begin and role
_PUBLIC = {PUBLISHABLE_VARIABLE: (PUBLISHABLE, "anon"), ANON_VARIABLE: ("", "anon")}
_SECRET = {SECRET_VARIABLE: (SECRET, "service_role"), SERVICE_VARIABLE: ("", "service_role")}

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


def keys_from_environment(environ: Mapping[str, str], signing: tuple[SigningKey, ...] = ()) -> Keys:
    """The keys in the environment, '' for a missing one; surrounding white space is removed.

    `signing` are the keys of the project, which count without a secret. Raises ConfigError for a
    key with invalid characters, and for keys that are swapped.
    """
    secret = environ.get(JWT_VARIABLE, "").strip()
    return Keys(
        secret=secret,
        anon=_key(environ, _PUBLIC),
        service_role=_key(environ, _SECRET),
        signing=() if secret else signing,
    )


def _key(environ: Mapping[str, str], variables: Mapping[str, tuple[str, str]]) -> str:
    for name, (start, role) in variables.items():
        key = environ.get(name, "").strip()
        if key:
            _check_key(name, key, start, role)
            return key
    return ""


def _check_key(name: str, key: str, start: str, role: str) -> None:
    if not (key.isascii() and key.isprintable()) or " " in key:
        raise ConfigError(
            f"{name} contains characters that no key contains",
            hint="Copy it again, on one line.",
        )
    others = {PUBLISHABLE: "anon", SECRET: "service_role"}
    opaque = next((other for begin, other in others.items() if key.startswith(begin)), None)
    if (other := opaque or claimed_role(key)) not in (None, role):
        raise ConfigError(
            f"{name} is a key of the role {other}",
            hint=f"Set it to the key of the role {role}.",
        )
    if not key.startswith(start):
        raise ConfigError(
            f"{name} does not begin with {start}", hint="Copy it from the API keys of the project."
        )
