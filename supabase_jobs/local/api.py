"""The REST API of a directory's server: PostgREST behind a gateway, on one URL, with the keys for it.

Both are processes of their own that outlive the command. They listen on 127.0.0.1 only.
"""

import json
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from supabase_jobs.api.keys import Keys, new_keys
from supabase_jobs.errors import ConfigError, LocalServerError
from supabase_jobs.local import account as accounts
from supabase_jobs.local import api_state as states
from supabase_jobs.local import background, gateway, postgrest
from supabase_jobs.local import place as places
from supabase_jobs.local.account import Account
from supabase_jobs.local.api_state import ApiState, Processes
from supabase_jobs.local.info import HOST, ServerInfo
from supabase_jobs.local.postgrest import Exposed
from supabase_jobs.local.state import locked

START_TIMEOUT = 30.0  # seconds
# for one that lives and has lost its database: a new one takes about as long
RECOVERY_TIMEOUT = 3.0  # seconds


@dataclass(frozen=True)
class ApiInfo:
    """An API that answers under `url`/rest/v1; `postgrest_url` is PostgREST itself, which asks for no key."""

    url: str
    postgrest_url: str
    keys: Keys = field(repr=False)
    processes: Processes = field(repr=False)

    @property
    def rest_url(self) -> str:
        """Where PostgREST is, as clients see it."""
        return f"{self.url}/rest/v1"

    def environment(self, db_url: str) -> dict[str, str]:
        """What `supabase status -o env` prints, by the same names; it holds the keys."""
        return {
            "API_URL": self.url,
            "REST_URL": self.rest_url,
            "DB_URL": db_url,
            "ANON_KEY": self.keys.anon,
            "SERVICE_ROLE_KEY": self.keys.service_role,
            "JWT_SECRET": self.keys.secret,
        }


def check(directory: Path, postgrest_bin: Path | None = None) -> None:
    """Raise what would keep an API from starting, before anything is started: no PostgREST, no PyJWT."""
    place = places.of(directory)
    postgrest.exposed(place.directory)
    postgrest.find(place.directory, postgrest_bin)
    if states.load(place) is None:
        new_keys()


def start(
    directory: Path, server: ServerInfo, *, port: int | None = None, postgrest_bin: Path | None = None
) -> ApiInfo:
    """Start the API of a directory's running server, or find it running.

    Keys and port are those of the last time; `port` asks for another. Raises ConfigError, LocalServerError.
    """
    place = places.of(directory)
    with locked(place, accounts.current()):
        state = states.load(place)
        if state is None:
            state = ApiState(new_keys())
        before = state.processes
        found = before and before.alive() and before.database_port == server.port and port in (None, state.port)
        if before and found and postgrest.serves(before.postgrest_port, RECOVERY_TIMEOUT):
            return _describe(state.keys, state.port, before)
        program = postgrest.find(place.directory, postgrest_bin)
        shown = postgrest.exposed(place.directory)
        states.halt(place)
        states.save(place, replace(state, processes=None))
        processes, number = _launch(
            home=server.data_dir.parent,
            private=place.root,
            program=program,
            uri=_uri(server.port, "postgres"),
            shown=shown,
            keys=state.keys,
            port=port or state.port,
            exact=port is not None,
            database_port=server.port,
        )
        states.save(place, ApiState(state.keys, number, processes))
        return _describe(state.keys, number, processes)


def status(directory: Path) -> ApiInfo | None:
    """The API of a directory, when both of its processes live."""
    state = states.load(places.of(directory))
    if state is None or state.processes is None or not state.processes.alive():
        return None
    return _describe(state.keys, state.port, state.processes)


@contextmanager
def throwaway(
    database_port: int,
    database: str,
    *,
    directory: Path | None = None,
    postgrest_bin: Path | None = None,
    shown: Exposed | None = None,
) -> Iterator[ApiInfo]:
    """An API on a database of an embedded server, with keys of its own; gone afterwards.

    PostgREST is looked for from `directory`, by default the working one.
    """
    program = postgrest.find((directory or Path.cwd()).resolve(), postgrest_bin)
    keys = new_keys()
    home = Path(tempfile.mkdtemp(prefix="supabase-jobs-api-"))
    try:
        home.chmod(0o711)  # PostgREST's account passes through
        processes, number = _launch(
            home=home,
            private=home,
            program=program,
            uri=_uri(database_port, database),
            shown=shown or Exposed(),
            keys=keys,
            port=0,
            exact=False,
            database_port=database_port,
        )
        try:
            yield _describe(keys, number, processes)
        finally:
            processes.stop()
    finally:
        shutil.rmtree(home)


def _launch(
    *,
    home: Path,
    private: Path,
    program: Path,
    uri: str,
    shown: Exposed,
    keys: Keys,
    port: int,
    exact: bool,
    database_port: int,
) -> tuple[Processes, int]:
    """Start both, PostgREST first: both or none. `home` is open to PostgREST's account, `private` need not be."""
    account = accounts.current()
    server = postgrest.serve(
        postgrest.usable(program, account, home),
        account,
        home / states.POSTGREST_MARK,
        log_file=private / "postgrest.log",
        uri=uri,
        secret=keys.secret,
        shown=shown,
    )
    mark = private / states.GATEWAY_MARK
    settings = gateway.Settings(
        port,
        exact,
        server.port,
        (keys.anon, keys.service_role),
        (account.uid, account.gid) if account.switches else None,
    )
    try:
        pid, number = _start_gateway(account, mark, private / "gateway.log", settings)
    except BaseException:
        background.clear(home / states.POSTGREST_MARK)
        raise
    return Processes(server.pid, home / states.POSTGREST_MARK, server.port, pid, mark, database_port), number


def _start_gateway(account: Account, mark: Path, log_file: Path, settings: gateway.Settings) -> tuple[int, int]:
    """Start the gateway; returns its process id and port. As root it changes its account by itself."""
    states.write_private(mark, json.dumps(settings.__dict__))
    said = ""
    try:
        pid = background.launch(replace(account, switches=False), gateway.command(mark), mark, log_file)
        deadline = time.monotonic() + START_TIMEOUT
        living = True
        while living and time.monotonic() < deadline:
            living = background.alive(pid, mark)
            said = background.written(log_file)
            for line in said.splitlines():
                if line.startswith(gateway.LISTENING):
                    return pid, int(line.removeprefix(gateway.LISTENING))
            time.sleep(background.POLL)
    except BaseException:
        background.clear(mark)
        raise
    background.clear(mark)
    if "Address already in use" in said or "Permission denied" in said:
        raise ConfigError(
            f"port {settings.port} on 127.0.0.1 cannot be had: another program listens there, or it is reserved",
            hint="give another --api-port, or none to get a free one",
        )
    last = said.splitlines()[-1:] or ["it said nothing"]
    raise LocalServerError(f"the gateway of the API did not come up: {last[0]}")


def _uri(port: int, database: str) -> str:
    return f"postgresql://authenticator@{HOST}:{port}/{database}?sslmode=disable"


def _describe(keys: Keys, port: int, processes: Processes) -> ApiInfo:
    return ApiInfo(f"http://{HOST}:{port}", f"http://{HOST}:{processes.postgrest_port}", keys, processes)
