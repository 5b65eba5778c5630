"""URL and keys of the API that `verify --api-url` and `audit --api-url` test."""

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from supabase_jobs.cli.common import database_url, narrate
from supabase_jobs.errors import ConfigError

if TYPE_CHECKING:
    from supabase_jobs.api.endpoint import Endpoint
    from supabase_jobs.settings import Settings

Command = Callable[..., Any]


def api_options(tested: str) -> Callable[[Command], Command]:
    """The options `--api-url` and `--allow-remote`. `tested` is the subject of the help."""

    def add(command: Command) -> Command:
        url = click.option(
            "--api-url",
            metavar="[URL]",
            is_flag=False,
            flag_value="",
            help=f"{tested} through this API (default: SUPABASE_URL, else the local API), with the"
            " keys in SUPABASE_PUBLISHABLE_KEY and SUPABASE_SECRET_KEY (or SUPABASE_ANON_KEY and"
            " SUPABASE_SERVICE_ROLE_KEY) and SUPABASE_JWT_SECRET, or the signing keys of [auth].",
        )
        remote = click.option(
            "--allow-remote",
            is_flag=True,
            help="Allow an API and a database that are not on an embedded server, or that have"
            " users.",
        )
        return url(remote(command))

    return add


def local_endpoint(command: str, given: "Settings", url: str, *, allow_remote: bool) -> "Endpoint":
    """The API at `url` (see `api_target`); lists the triggers of its database that reach out.

    Raises ConfigError too, unless `allow_remote`, if the target database is not on an embedded
    server, or has users that no test has made.
    """
    from supabase_jobs.api import marked_ids
    from supabase_jobs.database import conninfo
    from supabase_jobs.database.connection import connect
    from supabase_jobs.local.embedded import is_embedded
    from supabase_jobs.projects.disturbances import disturbances

    endpoint = api_target(command, url, given.directory, os.environ, allow_remote=allow_remote)
    target = database_url(given)
    address = conninfo.read(target).address
    if not allow_remote and not address.is_local:
        raise _not_for_tests(command, f"{address} is not an embedded server of supabase-jobs")
    with connect(target) as connection:
        for found in disturbances(connection):
            if found.reaches_out:
                narrate(f"warning: {command} commits rows; {found.name}: {found.why}")
        if allow_remote:
            return endpoint
        if not is_embedded(connection):
            raise _not_for_tests(command, f"{address} is not an embedded server of supabase-jobs")
        if marked_ids.has_other_users(connection):
            raise _not_for_tests(command, f"auth.users at {address} has users that no test made")
    return endpoint


def _not_for_tests(command: str, why: str) -> ConfigError:
    return ConfigError(
        f"{command} through the API commits rows before it removes them again, and {why}",
        hint="It is for test projects. If these rows can do no harm there, as in the database of"
        " supabase start, pass --allow-remote.",
    )


def api_target(
    command: str, url: str, directory: Path, environ: Mapping[str, str], *, allow_remote: bool
) -> "Endpoint":
    """The API at `url`, or if that is '' at SUPABASE_URL, or else the local API of this directory.

    Keys come from the environment, those of the local API from its state. Raises ConfigError (2)
    for an invalid or remote URL, and for a missing or invalid key.
    """
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
    from supabase_jobs.database.hosts import is_local
    from supabase_jobs.local.api import service
    from supabase_jobs.local.api.signing_keys import project_signing_keys

    local = service.status(directory)
    configured = url or environ.get(URL_VARIABLE) or (local.url if local else "")
    if not configured:
        raise ConfigError(
            "no target API",
            hint=f"Pass --api-url URL, or set {URL_VARIABLE}, or start one here: supabase-jobs"
            " local start --api.",
        )
    url = parse_url(configured, "--api-url" if url else URL_VARIABLE)
    if not allow_remote and not is_local(host := host_of(url)):
        raise ConfigError(
            f"{command} through the API commits rows and removes them again, and {host} is not a"
            " local machine",
            hint="If that does no harm to the project (no worker processes queued jobs), pass"
            " --allow-remote.",
        )
    if local is not None and url.replace("//localhost:", "//127.0.0.1:") == local.url:
        return Endpoint(local.url, local.keys)
    keys = keys_from_environment(environ, project_signing_keys(directory))
    named = {
        ANON_VARIABLE: keys.anon,
        SERVICE_VARIABLE: keys.service_role,
        JWT_VARIABLE: keys.can_sign,
    }
    if missing := [name for name, key in named.items() if not key]:
        raise ConfigError(
            f"{', '.join(missing)} {'is' if len(missing) == 1 else 'are'} not set",
            hint="See API settings in the dashboard; `supabase status -o env` prints the keys of a"
            " local project. SUPABASE_PUBLISHABLE_KEY and SUPABASE_SECRET_KEY are keys, too, and"
            " [auth] signing_keys_path instead of a secret.",
        )
    return Endpoint(url, keys)
