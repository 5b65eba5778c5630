"""pgbouncer in transaction mode, which stands in for Supavisor on port 6543."""

import os
import pwd
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path

import psycopg
import pytest

from supabase_jobs.local import ports
from tests.programs import unavailable


def _program() -> str:
    found = shutil.which("pgbouncer") or shutil.which("/usr/sbin/pgbouncer")
    if found is None:
        unavailable("pgbouncer is not installed")
    return found


def _configuration(info: Mapping[str, object], port: int, settings: Mapping[str, int | str]) -> str:
    settings = {"pool_mode": "transaction", "default_pool_size": 20, **settings}
    return (
        f"[databases]\n* = host={info['host']} port={info['port']} user={info['user']}\n"
        f"[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\n"
        "auth_type = any\nmax_client_conn = 100\n"
        "ignore_startup_parameters = extra_float_digits,options\n"
        + "".join(f"{name} = {value}\n" for name, value in settings.items())
    )


def _leads_to(target: int, through: str, process: "subprocess.Popen[bytes]") -> bool:
    """Whether the pooler runs and leads to its server; another program may have its port."""
    deadline = time.monotonic() + 30
    while process.poll() is None:
        assert time.monotonic() < deadline, "pgbouncer does not answer"
        with (
            suppress(psycopg.OperationalError),
            psycopg.connect(through, prepare_threshold=None) as connection,
        ):
            return connection.execute("select inet_server_port()").fetchone() == (target,)
        time.sleep(0.05)
    return False


@pytest.fixture
def pooled() -> Iterator[Callable[..., str]]:
    """`pooled(url)`: the URL of the same database through a pooler of its own, with more settings
    as keywords.
    """
    program = _program()
    running: list[subprocess.Popen[bytes]] = []
    # not below pytest's own folder, which only its user may enter; and pgbouncer does not run as
    # root
    as_root = os.geteuid() == 0
    folder = Path(tempfile.mkdtemp(prefix="pooler-"))
    if as_root:
        nobody = pwd.getpwnam("nobody")
        os.chown(folder, nobody.pw_uid, nobody.pw_gid)

    def start(url: str, **settings: int | str) -> str:
        info = psycopg.conninfo.conninfo_to_dict(url)
        configuration = folder / "pgbouncer.ini"
        user = {"user": "nobody", "group": nobody.pw_gid, "extra_groups": []} if as_root else {}
        # what another worker of pytest starts may take a free port before the pooler does
        for port in ports.free_ports(5):
            configuration.write_text(_configuration(info, port, settings))
            process = subprocess.Popen(
                [program, str(configuration)],
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                **user,  # type: ignore[call-overload]
            )
            running.append(process)
            through = f"postgresql://{info['user']}@127.0.0.1:{port}/{info['dbname']}"
            if _leads_to(int(str(info["port"])), through, process):
                return through
        raise AssertionError("pgbouncer does not start")

    yield start
    for process in running:
        process.terminate()
        process.wait(10)
    shutil.rmtree(folder)
