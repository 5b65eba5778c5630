"""A server is ours if it says so; a forwarded port of this machine is not enough."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks.distance import distance
from supabase_jobs.database.connection import connect
from supabase_jobs.local.embedded import MARKER, is_embedded
from tests.fix_cli import Run
from tests.fix_db import Database, Make, every_major
from tests.migrations.helpers import write

REFUSED = "is not an embedded server of supabase-jobs"
API = {
    "SUPABASE_ANON_KEY": "a",
    "SUPABASE_SERVICE_ROLE_KEY": "b",
    "SUPABASE_JWT_SECRET": "a secret of at least thirty-two characters",
}


@every_major
def test_an_embedded_server_is_recognised(make_database: Make, each_major: int) -> None:
    with connect(make_database("platform", each_major).url) as connection:
        assert is_embedded(connection)


def test_an_embedded_server_is_recognised_through_a_pooler(
    platform_url: str, pooled: Callable[..., str]
) -> None:
    with connect(pooled(platform_url)) as connection:
        assert is_embedded(connection)


def test_a_forwarded_port_is_not(in_use: Database) -> None:
    with connect(in_use.url) as connection:
        assert not is_embedded(connection)


@pytest.mark.parametrize("claim", ["database", "role", "connection"])
def test_no_session_can_claim_it(in_use: Database, claim: str) -> None:
    statement = {
        "database": f"alter database {in_use.name} set cluster_name = '{MARKER}'",
        "role": f"alter role postgres set cluster_name = '{MARKER}'",
        "connection": f"set cluster_name = '{MARKER}'",
    }[claim]
    with connect(in_use.superuser_url) as connection:
        with pytest.raises(Exception, match="cannot be changed"):
            connection.execute(statement)
        assert not is_embedded(connection)


def test_another_machine_is_not_asked(platform_url: str) -> None:
    elsewhere = platform_url.replace("127.0.0.1", "db.example.invalid")
    with connect(f"{elsewhere}?hostaddr=127.0.0.1&sslmode=disable") as connection:
        assert not is_embedded(connection)


@pytest.mark.parametrize(
    "words",
    [
        ("mutate",),
        ("verify", "--api-url", "http://127.0.0.1:1"),
        ("audit", "--api-url", "http://127.0.0.1:1"),
    ],
    ids=" ".join,
)
def test_commands_refuse_a_forwarded_port(
    cli: Run, in_use: Database, words: tuple[str, ...]
) -> None:
    with distance(in_use.server.port, 0) as tunnel:
        url = in_use.url.replace(str(in_use.server.port), str(tunnel.port))
        ran = cli(*words, "--db-url", url, **API)
    assert (ran.code, REFUSED in ran.err) == (2, True), ran.err
    assert "hint: " in ran.err


def test_dry_run_on_a_forwarded_port_runs_the_files_alone(
    cli: Run, in_use: Database, files: Path
) -> None:
    write(files, "20990101000000_add.sql", "create table public.added (id int);")
    with distance(in_use.server.port, 0) as tunnel:
        url = in_use.url.replace(str(in_use.server.port), str(tunnel.port))
        ran = cli("apply", "--dry-run", "--json", "--db-url", url)
    document = json.loads(ran.out)
    assert (ran.code, document["verify"], document["access"]) == (0, None, None), ran.err
    assert [file["name"] for file in document["applied"]] == ["add"]


def test_verify_tries_no_fix_on_a_forwarded_port(cli: Run, in_use: Database) -> None:
    with connect(in_use.superuser_url) as connection:
        connection.execute('create policy "open" on public.async_jobs using (true)')
    with distance(in_use.server.port, 0) as tunnel:
        url = in_use.url.replace(str(in_use.server.port), str(tunnel.port))
        ran = cli("verify", "--only", "structure", "--json", "--db-url", url)
    [finding] = [f for f in ran.json["findings"] if "open" in f["message"]]
    assert finding["fix"].startswith("-- Not tried: that would lock tables of a server in use.")
    assert "functions of the project are called on an embedded server only" in ran.err


def test_verify_calls_no_hook_on_a_forwarded_port(cli: Run, in_use: Database) -> None:
    with connect(in_use.superuser_url) as connection:
        connection.execute(
            "create sequence public.calls;"
            " create function public.check_request() returns void language sql"
            " as $$ select nextval('public.calls') $$;"
            " grant usage on sequence public.calls to anon, authenticated, service_role;"
            " alter role authenticator set pgrst.db_pre_request = 'public.check_request'"
        )
    try:
        with distance(in_use.server.port, 0) as tunnel:
            url = in_use.url.replace(str(in_use.server.port), str(tunnel.port))
            cli("verify", "--only", "access", "--json", "--db-url", url)
        with connect(in_use.superuser_url) as connection:
            called = connection.execute("select is_called from public.calls").fetchone()
    finally:
        with connect(in_use.superuser_url) as connection:
            connection.execute("alter role authenticator reset pgrst.db_pre_request")
    assert called == (False,)
