"""A server that no embedded server is: what a command meets behind a forwarded port of 127.0.0.1."""

from collections.abc import Iterator
from itertools import count

import psycopg
import pytest

from supabase_jobs.local.platform import load_platform
from supabase_jobs.local.server import throwaway
from tests.fix_db import Database, Server, _migrations

_numbers = count()


@pytest.fixture(scope="session")
def server_in_use() -> Iterator[Server]:
    """A server without the marker of an embedded one, with the template databases `platform` and
    `applied`.
    """
    with (
        throwaway(platform=False, settings={"cluster_name": "production"}) as info,
        psycopg.connect(info.superuser_url, autocommit=True) as admin,
    ):
        server = Server(
            host=info.host,
            port=info.port,
            user="supabase_admin",
            password=info.superuser_password,
            major=info.major,
            admin=admin,
        )
        server.create("platform", "template1", owner=server.user)
        load_platform(Database(server, "platform").superuser_url, default_privileges=True)
        server.create("applied", "platform")
        _migrations(Database(server, "applied"))
        yield server


@pytest.fixture
def in_use(server_in_use: Server) -> Iterator[Database]:
    """A database with our migrations on a server that is not an embedded one."""
    database = Database(server_in_use, f"in_use_{next(_numbers)}")
    database.server.create(database.name, "applied")
    yield database
    database.server.drop(database.name)
