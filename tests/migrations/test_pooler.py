"""`apply` through a transaction-mode pooler."""

import time
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest

from tests.fix_cli import Run
from tests.migrations.helpers import TABLES, rows, write


def test_apply_and_verify_work_through_a_pooler(
    platform_url: str, pooled: Callable[..., str], cli: Run, files: Path
) -> None:
    url = pooled(platform_url)
    write(files, "20260101000000_t.sql", "create table public.t (id integer);")
    write(
        files,
        "20260101000001_i.sql",
        "--! transaction:false\ncreate index concurrently i on public.t (id);",
    )
    there = ("--db-url", url, "--migrations", str(files))
    assert cli("apply", "--dry-run", *there).code == 0
    assert cli("apply", *there).code == 0
    assert cli("status", "--exit-code", *there).code == 0
    assert cli("verify", *there).code == 0
    assert rows(platform_url, "select * from pg_locks where locktype = 'advisory'") == []


def test_settings_of_a_file_do_not_reach_other_clients(
    platform_url: str, files: Path, pooled: Callable[..., str], cli: Run
) -> None:
    write(
        files,
        "20260101000000_sets.sql",
        "set statement_timeout = '77s'; set default_transaction_read_only = on; select"
        " set_config('x.y', 'z', false);",
    )
    write(files, "20260101000001_next.sql", "create table public.next (id integer);")
    url = pooled(platform_url, default_pool_size=1)
    assert cli("apply", "--db-url", url, "--migrations", str(files)).code == 0
    left = "select current_setting('statement_timeout'), current_setting('default_transaction_read_only')"
    assert rows(url, left) == [("0", "off")]
    assert ("public", "next") in rows(platform_url, TABLES)


def test_a_pool_of_one_connection_does_not_delay_apply(
    platform_url: str, files: Path, pooled: Callable[..., str], cli: Run
) -> None:
    """The second connection, which looks for blocking sessions, must not block the first one."""
    write(files, "20260101000000_sleeps.sql", "select pg_sleep(2);")
    url = pooled(platform_url, default_pool_size=1, query_wait_timeout=20)
    started = time.monotonic()
    ran = cli("apply", "--lock-timeout", "1s", "--db-url", url, "--migrations", str(files))
    assert ran.code == 0
    assert time.monotonic() - started < 8


@pytest.mark.parametrize("option", [(), ("--dry-run",)], ids=["apply", "dry run"])
def test_the_blocking_session_is_named_through_a_pooler(
    platform_url: str, tmp_path: Path, pooled: Callable[..., str], cli: Run, option: tuple[str, ...]
) -> None:
    write(tmp_path, "1_first.sql", "select 1;")
    url = pooled(platform_url)
    with psycopg.connect(platform_url) as owner:
        owner.execute("create table public.held (id integer)")
    write(tmp_path, "2_second.sql", "alter table public.held add column more text;")
    with psycopg.connect(platform_url) as holder:
        holder.execute("select from public.held")
        words = (
            "apply",
            *option,
            "--json",
            "--retries",
            "0",
            "--lock-timeout",
            "2s",
            "--db-url",
            url,
        )
        ran = cli(*words, "--migrations", str(tmp_path))
        assert ran.code == 5
        message = ran.json["error"]["message"]
        assert message.startswith("2_second.sql: could not get a lock within 2000 ms")
        assert f"pid {holder.info.backend_pid}" in message
