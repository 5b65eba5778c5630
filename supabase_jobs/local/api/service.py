"""Start and find the REST API of a directory's server: PostgREST and the gateway, with their keys.

Both are processes that outlive the command. They listen on 127.0.0.1 only.
"""

import json
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from supabase_jobs.api.keys import Keys, new_keys, with_opaque_keys
from supabase_jobs.api.signing import key_set, verification_keys
from supabase_jobs.errors import LocalServerError
from supabase_jobs.local import account as accounts
from supabase_jobs.local import api_state, ports, process
from supabase_jobs.local import directory as directories
from supabase_jobs.local.account import Account
from supabase_jobs.local.api import gateway, postgrest
from supabase_jobs.local.api.signing_keys import project_signing_keys
from supabase_jobs.local.api_state import ApiState, Processes
from supabase_jobs.local.ports import HOST
from supabase_jobs.local.server import ServerInfo
from supabase_jobs.sources.config_toml import ApiSettings, load_api_settings

START_TIMEOUT = 30.0  # seconds
# for a running PostgREST that has lost its database; restarting PostgREST takes about as long
RECOVERY_TIMEOUT = 3.0  # seconds


@dataclass(frozen=True)
class ApiInfo:
    """A running API: clients use `url`/rest/v1; `postgrest_url` is PostgREST itself, which checks
    no API key.
    """

    url: str
    postgrest_url: str
    keys: Keys = field(repr=False)
    processes: Processes = field(repr=False)

    @property
    def rest_url(self) -> str:
        """The URL under which clients reach PostgREST."""
        return f"{self.url}/rest/v1"

    def environment(self, db_url: str) -> dict[str, str]:
        """The variables that `supabase status -o env` prints, with the keys."""
        return {
            "API_URL": self.url,
            "REST_URL": self.rest_url,
            "DB_URL": db_url,
            "ANON_KEY": self.keys.anon,
            "SERVICE_ROLE_KEY": self.keys.service_role,
            "PUBLISHABLE_KEY": self.keys.publishable,
            "SECRET_KEY": self.keys.secret_key,
            "JWT_SECRET": self.keys.secret,
        }


@dataclass(frozen=True)
class _Launch:
    """The files of a start. `home` must be open to PostgREST's account, `private` need not be."""

    home: Path
    private: Path
    program: Path
    database_port: int
    database: str
    served: ApiSettings
    keys: Keys
    port: int
    exact: bool


def check(directory: Path, postgrest_bin: Path | None = None) -> None:
    """Raise the errors that `start` would raise, before anything is started: no PostgREST, no
    PyJWT.
    """
    server_directory = directories.of(directory)
    postgrest.check_settings(load_api_settings(server_directory.project))
    postgrest.find(server_directory.project, postgrest_bin)
    if api_state.load(server_directory) is None:
        new_keys()
    project_signing_keys(server_directory.project)


def start(
    directory: Path,
    server: ServerInfo,
    *,
    port: int | None = None,
    postgrest_bin: Path | None = None,
) -> ApiInfo:
    """Start the API of a directory's running server, or return the running one.

    Keys and port persist; `port` requests another port. Raises ConfigError, LocalServerError.
    """
    server_directory = directories.of(directory)
    with directories.locked(server_directory, accounts.current()):
        saved = api_state.load(server_directory) or ApiState(new_keys())
        signing = project_signing_keys(server_directory.project)
        keys = replace(with_opaque_keys(saved.keys), signing=signing)
        running = saved.processes
        if (
            running
            and keys == saved.keys
            and running.alive()
            and running.database_port == server.port
            and port in (None, saved.port)
            and postgrest.answers(running.postgrest_port, RECOVERY_TIMEOUT)
        ):
            return _info(keys, saved.port, running)
        launch = _Launch(
            home=server.data_dir.parent,
            private=server_directory.root,
            program=postgrest.find(server_directory.project, postgrest_bin),
            database_port=server.port,
            database="postgres",
            served=load_api_settings(server_directory.project),
            keys=keys,
            port=port or saved.port,
            exact=port is not None,
        )
        api_state.stop(server_directory)
        api_state.save(server_directory, replace(saved, keys=keys, processes=None))
        processes, actual_port = _launch(launch)
        api_state.save(server_directory, ApiState(keys, actual_port, processes))
        return _info(keys, actual_port, processes)


def status(directory: Path) -> ApiInfo | None:
    """The API of a directory, if both of its processes run."""
    saved = api_state.load(directories.of(directory))
    if saved is None or saved.processes is None or not saved.processes.alive():
        return None
    return _info(saved.keys, saved.port, saved.processes)


@contextmanager
def throwaway(
    database_port: int,
    database: str,
    *,
    directory: Path | None = None,
    postgrest_bin: Path | None = None,
    served: ApiSettings | None = None,
) -> Iterator[ApiInfo]:
    """An API with new keys on a database of an embedded server, removed after the block.

    PostgREST is looked up from `directory`, by default the working directory.
    """
    project = (directory or Path.cwd()).resolve()
    program = postgrest.find(project, postgrest_bin)
    keys = replace(new_keys(), signing=project_signing_keys(project))
    home = Path(tempfile.mkdtemp(prefix="supabase-jobs-api-"))
    try:
        home.chmod(0o711)  # PostgREST's account passes through
        processes, port = _launch(
            _Launch(
                home=home,
                private=home,
                program=program,
                database_port=database_port,
                database=database,
                served=served or ApiSettings(),
                keys=keys,
                port=0,
                exact=False,
            )
        )
        try:
            yield _info(keys, port, processes)
        finally:
            processes.stop()
    finally:
        shutil.rmtree(home)


def _launch(launch: _Launch) -> tuple[Processes, int]:
    """Start PostgREST, then the gateway; return both and the gateway's port. After an error neither
    runs.
    """
    account = accounts.current()
    postgrest_config = launch.home / api_state.POSTGREST_CONFIG
    postgrest_pid, postgrest_port = postgrest.start(
        postgrest.executable_by(account, launch.program, launch.home),
        account,
        postgrest_config,
        log_file=launch.private / "postgrest.log",
        uri=f"postgresql://authenticator@{HOST}:{launch.database_port}/{launch.database}"
        "?sslmode=disable",
        secret=verification_keys(launch.keys.secret, launch.keys.signing),
        served=launch.served,
    )
    gateway_config = launch.private / api_state.GATEWAY_CONFIG
    settings = gateway.GatewaySettings(
        port=launch.port,
        exact=launch.exact,
        upstream=postgrest_port,
        keys=(launch.keys.anon, launch.keys.service_role),
        tokens=launch.keys.tokens,
        key_set=key_set(launch.keys.signing),
        account=(account.uid, account.gid) if account.switches else None,
    )
    try:
        pid, port = _start_gateway(
            account, gateway_config, launch.private / "gateway.log", settings
        )
    except BaseException:
        api_state.stop_launched(postgrest_config)
        raise
    processes = Processes(
        postgrest=postgrest_pid,
        postgrest_config=postgrest_config,
        postgrest_port=postgrest_port,
        gateway=pid,
        gateway_config=gateway_config,
        database_port=launch.database_port,
    )
    return processes, port


def _start_gateway(
    account: Account, config_file: Path, log_file: Path, settings: gateway.GatewaySettings
) -> tuple[int, int]:
    """Start the gateway; return its process id and port. If we are root, the gateway itself changes
    its account.
    """
    directories.write_private(config_file, json.dumps(asdict(settings)))
    log = ""
    try:
        pid = process.launch(
            replace(account, switches=False),
            gateway.command(config_file),
            log_file,
            pid_file=api_state.pid_file(config_file),
        )
        deadline = time.monotonic() + START_TIMEOUT
        alive = True
        while alive and time.monotonic() < deadline:
            alive = process.alive(pid, config_file)
            log = process.read_log(log_file)
            for line in log.splitlines():
                if line.startswith(gateway.LISTENING):
                    return pid, int(line.removeprefix(gateway.LISTENING))
            time.sleep(process.POLL_SECONDS)
    except BaseException:
        api_state.stop_launched(config_file)
        raise
    api_state.stop_launched(config_file)
    if "Address already in use" in log or "Permission denied" in log:
        raise ports.unavailable(settings.port, "--api-port")
    last_line = log.splitlines()[-1:] or ["it printed nothing"]
    raise LocalServerError(f"the gateway of the API did not start: {last_line[0]}")


def _info(keys: Keys, port: int, processes: Processes) -> ApiInfo:
    return ApiInfo(
        f"http://{HOST}:{port}", f"http://{HOST}:{processes.postgrest_port}", keys, processes
    )
