"""Interruptions while a file is applied: signals, a lost connection, a server crash."""

import os
import signal
from pathlib import Path

import pytest

from supabase_jobs.local import server as local
from tests.fix_cli import Run
from tests.fix_db import packaged
from tests.migrations.helpers import LEDGER, SLOW, TABLES, rows, start, wait_until_asleep, write


def test_apply_resumes_after_sigkill(platform_url: str, files: Path, cli: Run) -> None:
    slow = write(files, "20260101000000_slow.sql", SLOW)
    running = start(platform_url, files)
    wait_until_asleep(platform_url)
    running.send_signal(signal.SIGKILL)
    running.communicate(timeout=10)
    # the server itself must notice that its client is gone
    assert ("public", "slow") not in rows(platform_url, TABLES)
    assert rows(platform_url, LEDGER)[-1][0] == packaged()[-1].version
    slow.write_text(SLOW.replace("60", "0"))
    assert cli("apply", "--db-url", platform_url, "--migrations", str(files)).code == 0
    assert ("public", "slow") in rows(platform_url, TABLES)


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)], ids=["INT", "TERM"]
)
def test_a_signal_rolls_back_and_ends_the_statement(
    platform_url: str, files: Path, number: signal.Signals, code: int
) -> None:
    write(files, "20260101000000_slow.sql", SLOW)
    running = start(platform_url, files)
    backend = wait_until_asleep(platform_url)
    running.send_signal(number)
    out, err = running.communicate(timeout=20)
    assert running.returncode == code
    assert "Traceback" not in out + err
    assert "ignored" not in err
    assert ("public", "slow") not in rows(platform_url, TABLES)
    busy = f"select 1 from pg_stat_activity where pid = {backend} and state = 'active'"
    assert rows(platform_url, busy) == []


def test_a_lost_connection_rolls_back_the_file(platform_url: str, files: Path) -> None:
    write(files, "20260101000000_slow.sql", SLOW)
    running = start(platform_url, files)
    backend = wait_until_asleep(platform_url)
    rows(platform_url, f"select pg_terminate_backend({backend}, 5000)")
    out, err = running.communicate(timeout=20)
    assert running.returncode == 7, out + err
    assert "was lost while applying 20260101000000_slow.sql" in out
    assert "Traceback" not in out + err
    assert ("public", "slow") not in rows(platform_url, TABLES)


@pytest.mark.slow
def test_apply_resumes_after_server_crash(files: Path, cli: Run, tmp_path: Path) -> None:
    slow = write(files, "20260101000000_slow.sql", SLOW)
    server = local.start(tmp_path)
    try:
        running = start(server.url, files)
        wait_until_asleep(server.url)
        os.kill(server.pid, signal.SIGQUIT)  # what pg_ctl stop -m immediate sends
        out, err = running.communicate(timeout=20)
        assert running.returncode == 7, out + err
        assert "Traceback" not in out + err
        again = local.start(tmp_path)
        slow.write_text(SLOW.replace("60", "0"))
        assert cli("apply", "--db-url", again.url, "--migrations", str(files)).code == 0
        assert cli("verify", "--db-url", again.url, "--migrations", str(files)).code == 0
    finally:
        local.remove(tmp_path)
