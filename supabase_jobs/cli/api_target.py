"""Which API `verify --api-url` asks, and with which keys."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from supabase_jobs.errors import ConfigError

if TYPE_CHECKING:
    from supabase_jobs.verify.over_http import Target

URL_VARIABLE = "SUPABASE_URL"
KEY_VARIABLES = ("SUPABASE_ANON_KEY", "SUPABASE_SERVICE_ROLE_KEY", "SUPABASE_JWT_SECRET")


def api_target(url: str, directory: Path, environ: Mapping[str, str], *, allow_remote: bool) -> "Target":
    """The API at `url`; where that is '', at SUPABASE_URL, else the local one of this directory.

    Keys come from the environment; the local API's own are known. Raises ConfigError (2) for a URL that is none or
    not a local one, and where a key is missing.
    """
    from supabase_jobs.hosts import is_local
    from supabase_jobs.local import api
    from supabase_jobs.verify.over_http import Target

    local = api.status(directory)
    url = (url or environ.get(URL_VARIABLE) or (local.url if local else "")).rstrip("/")
    if not url:
        raise ConfigError(
            "no API to ask",
            hint=f"Give one with --api-url URL, or set {URL_VARIABLE}, or start one here: local start --api.",
        )
    try:
        parts = urlsplit(url)
        host = parts.hostname if parts.scheme in ("http", "https") else None
    except ValueError:
        host = None
    if host is None or parts.username or parts.query or parts.path:
        raise ConfigError(
            "--api-url is not the URL of a project's API",
            hint="It has the form https://PROJECT.example, without /rest/v1 and without a key.",
        )
    if not allow_remote and not is_local(host):
        raise ConfigError(
            f"verify through the API commits rows before it removes them again, and {host} is not a local machine",
            hint="If it is a project on which that does no harm (no worker takes up queued jobs, for one), say"
            " --allow-remote.",
        )
    if local is not None and url == local.url:
        return Target(url, local.keys.anon, local.keys.service_role, local.keys.secret)
    if missing := [name for name in KEY_VARIABLES if not environ.get(name)]:
        raise ConfigError(
            f"{', '.join(missing)} {'is' if len(missing) == 1 else 'are'} not set",
            hint="The keys are on the API settings of the project; `supabase status -o env` prints a local one's.",
        )
    return Target(url, *(environ[name] for name in KEY_VARIABLES))
