"""What callers learn of a running server."""

from dataclasses import dataclass, field
from pathlib import Path

from supabase_jobs.local import postmaster
from supabase_jobs.local.cluster import SUPERUSER
from supabase_jobs.local.postmaster import Process
from supabase_jobs.local.state import State

HOST = "127.0.0.1"


@dataclass(frozen=True)
class ServerInfo:
    """A server that accepts connections. `url` is for the role `postgres`; no password stands in it."""

    url: str
    host: str
    port: int
    pid: int
    data_dir: Path
    bin_dir: Path
    major: int
    platform: bool
    default_privileges: bool
    superuser_password: str = field(repr=False)

    def url_for(self, database: str, role: str = "postgres") -> str:
        """The URL of a database for a role that needs no password; names go in as they are."""
        return url(self.port, database, role)

    def superuser_url_for(self, database: str) -> str:
        """The URL of a database for the superuser, with its password: never to be printed."""
        return url(self.port, database, f"{SUPERUSER}:{self.superuser_password}")

    @property
    def superuser_url(self) -> str:
        """The superuser's URL of the database `postgres`, with its password: never to be printed."""
        return self.superuser_url_for("postgres")

    @property
    def own_url(self) -> str:
        """The superuser's URL, such that PG* variables of the caller's environment do not lead it elsewhere."""
        return f"{self.superuser_url}?hostaddr={self.host}&sslmode=disable&options="


def url(port: int, database: str = "postgres", login: str = "postgres") -> str:
    """The URL of a database of an embedded server."""
    return f"postgresql://{login}@{HOST}:{port}/{database}"


def describe(state: State, process: Process) -> ServerInfo:
    """State and process as one value."""
    return ServerInfo(
        url=url(process.port),
        host=HOST,
        port=process.port,
        pid=process.pid,
        data_dir=state.data_dir,
        bin_dir=state.bin_dir,
        major=state.major,
        platform=state.platform,
        default_privileges=state.default_privileges,
        superuser_password=state.password,
    )


def running(state: State | None) -> Process | None:
    """The process of a remembered server, when its database is complete and it lives."""
    return None if state is None or not state.prepared else postmaster.find(state.data_dir)
