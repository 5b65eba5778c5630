"""A limit of owners is switched on and off again: render, plan, apply, verify and drift."""

from pathlib import Path

import psycopg

from tests.fix_cli import Run
from tests.fix_db import Make
from tests.impersonation import GUEST_A, guest, insert_fixture_rows, sqlstate_of

CHANGE = "update public.async_jobs set progress = 50"
ADD = "insert into public.async_jobs (url, guest_id) values ('u', %s)"


def test_limits_are_switched_on_and_off_again(
    make_database: Make, cli: Run, files: Path, tmp_path: Path
) -> None:
    url = make_database("applied").url
    with psycopg.connect(url) as connection:
        insert_fixture_rows(connection)

    def run(*words: str) -> int:
        return cli(*words, "--db-url", url).code

    settings = tmp_path / "supabase-jobs.toml"
    added = []
    for limits, refusals in (
        ("max_active_jobs_per_guest = 1\nowners_may_only_cancel = true\n", ("PT429", "PT403")),
        ("", (None, None)),
    ):
        settings.write_text(f"[variables]\n{limits}")
        assert cli("render", "--check").code == 1
        assert run("verify", "--only", "structure") == 1
        assert cli("render").code == 0
        assert cli("render", "--check").code == 0
        [pending] = cli("plan", "--json", "--db-url", url).json["pending"]
        added.append(pending["name"])
        assert run("status", "--exit-code") == 3
        assert run("apply") == 0
        assert run("status", "--exit-code") == 0
        assert run("verify", "--only", "structure") == 0
        with psycopg.connect(url) as connection:
            assert sqlstate_of(connection, guest(GUEST_A), ADD, GUEST_A) == refusals[0]
            assert sqlstate_of(connection, guest(GUEST_A), CHANGE) == refusals[1]
    assert added == ["limit_job_owners_again"] * 2
    assert len([*files.iterdir()]) == 8
