"""pgbouncer in transaction mode, which stands in for Supavisor on port 6543."""

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from tests.programs import unavailable


def _program() -> str:
    found = shutil.which("pgbouncer") or shutil.which("/usr/sbin/pgbouncer")
    if found is None:
        unavailable("pgbouncer is not installed")
    return found


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
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        configuration = folder / "pgbouncer.ini"
        configuration.write_text(
            f"[databases]\n* = host={info['host']} port={info['port']}"
            f" user={info['user']}\n[pgbouncer]\n"
            f"listen_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\nauth_type = any\n"
            "max_client_conn = 100\n"
            "ignore_startup_parameters = extra_float_digits,options\n"
            + "".join(
                f"{name} = {value}\n"
                for name, value in (
                    {"pool_mode": "transaction", "default_pool_size": 20} | settings
                ).items()
            )
        )
        user = {"user": "nobody", "group": nobody.pw_gid, "extra_groups": []} if as_root else {}
        running.append(
            subprocess.Popen(
                [program, str(configuration)],
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                **user,  # type: ignore[call-overload]
            )
        )
        through = f"postgresql://{info['user']}@127.0.0.1:{port}/{info['dbname']}"
        deadline = time.monotonic() + 10
        while True:
            try:
                with psycopg.connect(through, prepare_threshold=None):
                    return through
            except psycopg.OperationalError:
                assert time.monotonic() < deadline, "pgbouncer does not answer"
                time.sleep(0.05)

    yield start
    for process in running:
        process.terminate()
        process.wait(10)
    shutil.rmtree(folder)
