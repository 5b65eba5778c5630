"""A PostgreSQL server that is not an embedded one: commands have to treat it as remote."""

import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import psycopg

from supabase_jobs.local import account as accounts
from supabase_jobs.local import binaries, ports

SUPERUSER = "supabase_admin"
PASSWORD = "superuser"  # noqa: S105  of a server on 127.0.0.1 that is removed after the block
START_SECONDS = 60

# each login role but the superuser and the role of the log connects without a password
_HBA = """\
host all         supabase_admin 127.0.0.1/32 scram-sha-256
host all         shop_log       127.0.0.1/32 scram-sha-256
host all         all            127.0.0.1/32 trust
host replication all            127.0.0.1/32 trust
"""
_SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "fsync": "off",
    "shared_buffers": "128MB",
    "max_connections": "100",
    "lc_messages": "C",
    "log_timezone": "UTC",
    "log_line_prefix": "%m [%p] ",
    "log_connections": "on",
    "log_lock_waits": "on",
    "deadlock_timeout": "20ms",
}


@dataclass
class IndependentServer:
    """A server with its own data directory, which can be stopped and started again."""

    folder: Path
    programs: binaries.Binaries
    port: int
    settings: Mapping[str, str]
    process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    @property
    def data(self) -> Path:
        """The data directory."""
        return self.folder / "data"

    @property
    def log(self) -> Path:
        """The server's log, of all its starts."""
        return self.folder / "server.log"

    def url(self, database: str, role: str = "postgres") -> str:
        """The URL of a database; the superuser's has its password."""
        login = f"{SUPERUSER}:{PASSWORD}" if role == SUPERUSER else role
        return f"postgresql://{login}@127.0.0.1:{self.port}/{database}"

    def superuser_url(self, database: str) -> str:
        """The URL of a database for the superuser."""
        return self.url(database, SUPERUSER)

    def start(self) -> None:
        """Start the server, and wait until it accepts connections."""
        account = accounts.current()
        options = [f"--{name}={value}" for name, value in self.settings.items()]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [self.programs.postgres, "-D", self.data, f"--port={self.port}", *options],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd="/",
                start_new_session=True,
                user=account.uid if account.switches else None,
                group=account.gid if account.switches else None,
                extra_groups=[] if account.switches else None,
            )
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                psycopg.connect(self.superuser_url("template1")).close()
            except psycopg.OperationalError as error:
                ended = self.process.poll() is not None
                if ended or time.monotonic() > deadline:
                    raise RuntimeError(f"no server: {error}\n{self.log.read_text()}") from error
                time.sleep(0.05)
            else:
                return

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """Stop the server: SIGINT is a fast shutdown, SIGQUIT an immediate one."""
        if self.process is None:
            return
        self.process.send_signal(how)
        self.process.wait(START_SECONDS)
        self.process = None


@contextmanager
def independent_server(
    major: int, postgres_bin: Path | None = None, settings: Mapping[str, str] | None = None
) -> Iterator[IndependentServer]:
    """Create and start a server of a major version; it is removed after the block.

    `postgres_bin` is the folder of its programs, None for those of the extra `local`.
    """
    with _folder() as folder:
        account = accounts.current()
        found = binaries.find(major, postgres_bin, account)
        programs = binaries.executable_by(account, found, folder)
        server = IndependentServer(folder, programs, 0, {**_SETTINGS, **(settings or {})})
        _initialize(server)
        server.port = ports.free_ports(1)[0]  # not before: others take free ports meanwhile
        server.start()
        try:
            yield server
        finally:
            server.stop(signal.SIGQUIT)


@contextmanager
def standby_of(primary: IndependentServer) -> Iterator[IndependentServer]:
    """A hot standby that streams from the primary; it is removed after the block."""
    account = accounts.current()
    with _folder() as folder:
        standby = IndependentServer(folder, primary.programs, 0, primary.settings)
        command: list[str | Path] = [
            primary.programs.bin_dir / "pg_basebackup",
            "--dbname",
            primary.url("template1", SUPERUSER),
            "--pgdata",
            standby.data,
            "--write-recovery-conf",
            "--checkpoint=fast",
            "--no-sync",
        ]
        done = account.run(command, timeout=120)
        if done.returncode:
            raise RuntimeError(f"pg_basebackup failed:\n{done.stdout}")
        standby.port = ports.free_ports(1)[0]
        standby.start()
        try:
            yield standby
        finally:
            standby.stop(signal.SIGQUIT)


def _initialize(server: IndependentServer) -> None:
    account = accounts.current()
    password = server.folder / "password"
    account.write(password, PASSWORD)
    command: list[str | Path] = [
        server.programs.initdb,
        "-D",
        server.data,
        "--no-sync",
        "--encoding=UTF8",
        "--locale=C.UTF-8",
        "--auth=scram-sha-256",
        f"--username={SUPERUSER}",
        f"--pwfile={password}",
    ]
    done = account.run(command, timeout=120)
    if done.returncode:
        raise RuntimeError(f"initdb failed:\n{done.stdout}")
    account.write(server.data / "pg_hba.conf", _HBA)


@contextmanager
def _folder() -> Iterator[Path]:
    """A temporary folder of the account that runs servers."""
    folder = Path(tempfile.mkdtemp(prefix="independent-"))
    folder.chmod(0o711)
    accounts.current().make_owner(folder)
    try:
        yield folder
    finally:
        for _ in range(40):
            with suppress(OSError):  # a process of the server writes a last file
                shutil.rmtree(folder)
            if not folder.exists():
                break
            time.sleep(0.05)
