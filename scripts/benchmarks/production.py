"""Commands on the database of a shop in use: how long its clients wait for them, and large schemas.

The clients work alone first, then beside each command; both are measured in one run. The server is
a PostgreSQL 17 of the system, because the shop writes through dblink.
"""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click
import psycopg

from benchmarks import shop as shops
from benchmarks.databases import Databases, log, statement
from benchmarks.distance import distance
from benchmarks.figures import Figure, holds
from benchmarks.hosted import ONE_WAY_SECONDS
from benchmarks.independent_server import IndependentServer, independent_server
from benchmarks.programs import ROOT, Programs
from benchmarks.shop import CLIENTS, Observation, Shop, marks_in
from supabase_jobs.local import account, binaries
from supabase_jobs.local.platform import load_platform, load_services

MAJOR = 17
# milliseconds that a client may wait longer than without the command; seconds that a command may
# keep what it writes and rolls back
WAIT_MS, WRITE_S = 50.0, 1.0
TABLES, PARTITIONS = 500, 2000
# seconds of an audit of 20 tables, at a distance
DISTANT_S = 10.0
_CALM_SECONDS = 10.0
_COMMANDS = {
    "audit": ("audit", "--json"),
    "plan --access": ("plan", "--access", "--json"),
    "apply --dry-run": ("apply", "--dry-run", "--json"),
    "verify": ("verify", "--json"),
    "stats": ("stats", "--json"),
    "check-results": ("check-results", "--json"),
}


def measure(databases: Databases) -> list[Figure]:
    """Waits of the clients and the time of each command; then a schema of many tables."""
    found = binaries.installed(MAJOR, ROOT, account.current())
    if found is None:
        raise click.ClickException(f"PostgreSQL {MAJOR} with its contrib modules is not installed")
    with independent_server(MAJOR, found.bin_dir, {"max_wal_size": "4GB"}) as server:
        shop = shops.create(server, orders=databases.rows)
        databases.version = server_version(shop)
        log(f"{shop.name}: {shop.orders:,} orders")
        with _project() as programs:
            figures = _beside_clients(shop, programs)
        return figures + _many_tables(server)


def server_version(shop: Shop) -> str:
    """The version of the shop's server."""
    with shop.connect() as connection:
        version = connection.info.parameter_status("server_version") or ""
    return version.partition(" ")[0]  # without the name of the package


@contextmanager
def _project() -> Iterator[Programs]:
    with tempfile.TemporaryDirectory() as folder:
        shops.write_project(Path(folder), pending=True)
        with Programs(Path(folder) / "supabase") as programs:
            yield programs


def _beside_clients(shop: Shop, programs: Programs) -> list[Figure]:
    with shop.observed(clients=CLIENTS) as calm:
        calm.wait(_CALM_SECONDS)
    own = calm.longest_wait(for_own=True)
    figures = [
        Figure(
            "clients alone: longest action",
            calm.percentile(100),
            "ms",
            detail=f"{CLIENTS} clients that sign up, order, read; 99 % below"
            f" {calm.percentile(99):.1f} ms; longest wait for another client {own:.0f} ms",
        )
    ]
    silent = True
    for name, words in _COMMANDS.items():
        with shop.observed(clients=CLIENTS) as seen:
            ran = programs.supabase_jobs(*words, url=shop.url)
        silent = silent and marks_in(ran.out) == []
        figures += _figures_of(name, ran.ms, seen, calm)
    return [*figures, holds("no value of the shop in an output", silent)]


def _figures_of(name: str, ms: float, seen: Observation, calm: Observation) -> list[Figure]:
    ratio = seen.percentile(99) / calm.percentile(99)
    return [
        Figure(f"{name}: time", ms / 1000, "s"),
        Figure(
            f"{name}: longest wait for it",
            seen.longest_wait(for_own=False),
            "ms",
            WAIT_MS * seen.stretch + calm.longest_wait(for_own=True),
            detail=f"its sessions took {seen.stretch:.1f} times as long as on a quiet machine;"
            f" longest action of a client {seen.percentile(100):.0f} ms; 99 % below"
            f" {seen.percentile(99):.1f} ms, {ratio:.1f} times as much as alone",
        ),
        Figure(
            f"{name}: longest transaction that writes",
            seen.longest_write,
            "s",
            WRITE_S * seen.stretch,
        ),
    ]


def _many_tables(server: IndependentServer) -> list[Figure]:
    """The time of an audit of a large schema, and the round trips of one of 20 tables."""
    with tempfile.TemporaryDirectory() as folder, Programs(Path(folder)) as programs:
        url = large_project(server, "large", TABLES, PARTITIONS)
        large = programs.supabase_jobs("audit", "--json", url=url)
        small = large_project(server, "small", 20, 0)
        with distance(server.port, ONE_WAY_SECONDS) as proxy:
            away = small.replace(f":{server.port}/", f":{proxy.port}/")
            distant = programs.supabase_jobs("audit", "--json", url=away)
            copying = max(proxy.trips.values())  # pg_dump's connection makes most of them
    return [
        Figure(
            f"audit of {TABLES} tables and {PARTITIONS:,} partitions: time", large.ms / 1000, "s"
        ),
        Figure(
            "audit of 20 tables at 50 ms: time",
            distant.ms / 1000,
            "s",
            DISTANT_S,
            detail=f"{proxy.round_trips - copying} round trips and {copying} of pg_dump",
        ),
    ]


def large_project(server: IndependentServer, name: str, tables: int, partitions: int) -> str:
    """Create a database with so many tables, and partitions of 20 of them; returns its URL."""
    with psycopg.connect(server.superuser_url("template1"), autocommit=True) as connection:
        connection.execute(f"create database {name}".encode())
    load_platform(server.superuser_url(name), default_privileges=True)
    load_services(server.superuser_url(name))
    partitioned = 20 if partitions else 0
    with psycopg.connect(server.url(name), autocommit=True) as connection:
        connection.execute(
            "select set_config('audit.tables', %s, false), set_config('audit.functions', '0',"
            " false)",
            (str(tables - partitioned),),
        )
        connection.execute(statement("audit_project"))
        if partitioned:
            connection.execute(
                "select set_config('audit.partitions', %s, false)",
                (str(partitions // partitioned),),
            )
            connection.execute(statement("partitioned_project"))
    return server.url(name)
