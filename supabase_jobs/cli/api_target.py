"""Which API `verify --api-url` asks, and with which keys."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from supabase_jobs.errors import ConfigError

if TYPE_CHECKING:
    from supabase_jobs.api.endpoint import Endpoint


def api_target(url: str, directory: Path, environ: Mapping[str, str], *, allow_remote: bool) -> "Endpoint":
    """The API at `url`; where that is '', at SUPABASE_URL, else the local one of this directory.

    Keys come from the environment; the local API's own are known. Raises ConfigError (2) for a URL that is none or
    not a local one, and for a key that is missing or cannot be one.
    """
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
    from supabase_jobs.database.hosts import is_local
    from supabase_jobs.local.api import service

    local = service.status(directory)
    given = url or environ.get(URL_VARIABLE) or (local.url if local else "")
    if not given:
        raise ConfigError(
            "no API to ask",
            hint=f"Give one with --api-url URL, or set {URL_VARIABLE}, or start one here: local start --api.",
        )
    url = read_url(given, "--api-url" if url else URL_VARIABLE)
    if not allow_remote and not is_local(host := host_of(url)):
        raise ConfigError(
            f"verify through the API commits rows before it removes them again, and {host} is not a local machine",
            hint="If it is a project on which that does no harm (no worker takes up queued jobs, for one), say"
            " --allow-remote.",
        )
    if local is not None and url.replace("//localhost:", "//127.0.0.1:") == local.url:
        return Endpoint(local.url, local.keys)
    keys = read_keys(environ)
    named = {ANON: keys.anon, SERVICE: keys.service_role, SECRET: keys.secret}
    if missing := [name for name, key in named.items() if not key]:
        raise ConfigError(
            f"{', '.join(missing)} {'is' if len(missing) == 1 else 'are'} not set",
            hint="The keys are on the API settings of the project; `supabase status -o env` prints a local one's.",
        )
    return Endpoint(url, keys)
