"""The section "Beyond one server" of docs/partitions.md: read-only servers, and several projects."""

import subprocess
from pathlib import Path

import pytest

from tests.fix_cli import Run
from tests.fix_db import Make
from tests.operations.conftest import BLOCKS, TEXT, Shell, query, sqlstate

READ_ONLY = "?options=-c%20default_transaction_read_only%3Don"  # as on a replica


def test_commands_on_a_read_only_server_do_as_documented(cli: Run, applied_url: str) -> None:
    url = applied_url + READ_ONLY
    whole = cli("verify", "--json", "--db-url", url)
    assert (whole.code, whole.json["unchecked"]) == (1, ["access", "functions"])
    assert not [finding for finding in whole.json["findings"] if finding["severity"] == "error"]
    documented, *words = BLOCKS["replica"].split()
    assert documented == "supabase-jobs"
    assert cli(*words, "--db-url", url).code == 0
    for command in ("plan", "status", "stats", "check-results"):
        assert f"`{command}`" in TEXT.split("### Read replicas")[1].split("###")[0]
        assert cli(command, "--db-url", url).code == 0
    assert cli("cleanup", "--db-url", url).code == 7
    assert cli("audit", "--db-url", url).code == 0, "it audits a copy"
    assert sqlstate(url, "select public.claim_jobs('w', 1)") == "25006"
    for caller in ("anon", "authenticated"):
        assert sqlstate(url, f"set role {caller}; select count(*) from public.async_jobs") is None


def test_apply_of_a_pending_file_fails_on_a_read_only_server(cli: Run, platform_url: str) -> None:
    assert cli("apply", "--db-url", platform_url + READ_ONLY).code == 7


@pytest.mark.slow
def test_shards_are_applied_and_verified(make_database: Make, shell: Shell) -> None:
    one, other = make_database("platform").url, make_database("bare").url
    out = shell(BLOCKS["shards"], "", SHARD_URLS=f"{one} {other}")
    assert out.count("ok: ") == 2
    [(shard,)] = query(one, BLOCKS["shard"])
    assert 0 <= shard < 4


def test_the_loop_over_shards_stops_at_the_first_failure(tmp_path: Path) -> None:
    program = tmp_path / "supabase-jobs"
    program.write_text('#!/bin/sh\necho "$@"; [ "$3" != "bad" ]\n')
    program.chmod(0o755)
    environ = {"PATH": f"{tmp_path}:/usr/bin:/bin", "SHARD_URLS": "good bad other"}
    script = f'{BLOCKS["shards"]}\necho "code $?"'
    ran = subprocess.run(
        ["/bin/sh", "-c", script], env=environ, capture_output=True, text=True, check=True
    )
    assert ran.stdout.splitlines() == [
        "apply --db-url good",
        "verify --db-url good",
        "apply --db-url bad",
        "code 1",
    ]
