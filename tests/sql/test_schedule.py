"""004: the scheduled cleanup under pg_cron, and its notices if pg_cron cannot be used."""

import shutil
import threading
from contextlib import suppress
from pathlib import Path

import psycopg
import pytest

from supabase_jobs.database.connection import Connection
from supabase_jobs.local import server
from supabase_jobs.sources.cron import problem
from supabase_jobs.sources.files import load_sources
from supabase_jobs.sources.render import render_sources
from tests.fix_cli import Run, SupabaseCli
from tests.fix_cron import Cron, apply, eventually
from tests.impersonation import USER_A, insert_fixture_rows

pytestmark = pytest.mark.slow

JOBS = "select jobid, jobname, schedule, command, username, database, active from cron.job"
PREFIX = "no cleanup was scheduled: "

# records each deleted job and guest with its transaction
WATCH = """
create table public.deleted (xid xid8 not null default pg_current_xact_id(), what text not null);
create function public.note() returns trigger language plpgsql security definer as
  $$ begin insert into public.deleted (what) values (tg_table_name); return null; end $$;
create trigger note after delete on public.async_jobs for each row execute function public.note();
create trigger note after delete on public.guest_users for each row execute function public.note();
"""

BATCHES = "select what, count(*) from public.deleted group by xid, what order by xid"


def fill(connection: Connection, jobs: int, guests: int) -> None:
    """Insert expired jobs of a user and inactive guests."""
    insert_fixture_rows(connection)
    connection.execute(
        "insert into public.async_jobs (url, status, user_id, updated_at)"
        " select 'https://x.com/old', 'completed', %s, now() - interval '8 days' -"
        " make_interval(secs => n)"
        " from generate_series(1, %s) as n",
        (USER_A, jobs),
    )
    connection.execute(
        "insert into public.guest_users (last_seen_at) select now() - interval '31 days' from"
        " generate_series(1, %s)",
        (guests,),
    )


def run_again(url: str, **variables: object) -> list[str]:
    """Run the file again by hand; returns its notices."""
    notices: list[str] = []
    [text] = [
        r.text
        for r in render_sources(load_sources(), variables)
        if r.source.name == "schedule_job_cleanup"
    ]
    with psycopg.connect(url, autocommit=True) as connection:
        connection.add_notice_handler(lambda notice: notices.append(notice.message_primary or ""))
        connection.execute(text.encode())
    return notices


def test_repeated_runs_keep_one_schedule(cron: Cron) -> None:
    cron.install()
    assert apply(cron.url) == []
    with psycopg.connect(cron.url, autocommit=True) as connection:
        [job] = connection.execute(JOBS.encode()).fetchall()
        assert (job[1], job[2], job[4], job[5], job[6]) == (
            "async_jobs_cleanup",
            "0 3 * * *",
            "postgres",
            "postgres",
            True,
        )
        run_again(cron.url)
        run_again(cron.url)
        assert connection.execute(JOBS.encode()).fetchall() == [job]


def test_changed_schedule_updates_the_job_and_keeps_the_pause(cron: Cron) -> None:
    cron.install()
    apply(cron.url)
    with psycopg.connect(cron.url, autocommit=True) as connection:
        [before] = connection.execute(JOBS.encode()).fetchall()
        connection.execute("select cron.alter_job(%s, active => false)", (before[0],))
        run_again(cron.url, cleanup_schedule="30 4 * * *", retention_days=14)
        [found] = connection.execute(JOBS.encode()).fetchall()
    assert (found[0], found[2], found[6]) == (before[0], "30 4 * * *", False)
    assert "cleanup_old_jobs(14, 1000, next_start)" in found[3]


@pytest.mark.parametrize(
    "cron",
    [{"cron.use_background_workers": "off"}, {"cron.use_background_workers": "on"}],
    ids=["connection", "background worker"],
    indirect=True,
)
def test_scheduled_cleanup_deletes_in_batches(cron: Cron) -> None:
    cron.install()
    apply(cron.url)
    with (
        psycopg.connect(cron.url, autocommit=True) as connection,
        psycopg.connect(cron.url) as worker,
    ):
        connection.execute(WATCH.encode())
        fill(connection, jobs=35, guests=25)
        worker.execute(
            "select id from public.async_jobs where status = 'completed' order by updated_at limit"
            " 1 for update"
        )
        run_again(cron.url, cleanup_schedule="1 seconds", cleanup_batch_size=10)
        eventually(
            connection, "select count(*) = 25 from public.deleted where what = 'guest_users'"
        )
        batches = connection.execute(BATCHES.encode()).fetchall()
        worker.rollback()
        eventually(connection, "select count(*) = 35 from public.deleted where what = 'async_jobs'")
        eventually(connection, "select bool_or(status = 'succeeded') from cron.job_run_details")
        runs = connection.execute(
            "select distinct command, return_message from cron.job_run_details where status <>"
            " 'running'"
        )
        [(command, message)] = runs.fetchall()
        kept = connection.execute(
            "select count(*) from public.guest_users, public.async_jobs"
        ).fetchone()
    # the locked job is skipped; jobs are deleted before guests
    assert batches == [("async_jobs", n) for n in (10, 10, 10, 4)] + [
        ("guest_users", n) for n in (10, 10, 5)
    ]
    assert (message, "cleanup_inactive_guests(30, 10, next_start)" in command) == ("DO", True)
    assert kept == (2 * 4,)


# each batch of jobs or guests takes a quarter of a second
SLOW = """
create function public.slow() returns trigger language plpgsql as
  $$ begin perform pg_sleep(0.25); return null; end $$;
create trigger slow after delete on public.async_jobs for each statement execute function public.slow();
create trigger slow after delete on public.guest_users for each statement execute function public.slow();
"""
ENDED = "select status, count(*) from cron.job_run_details where status in ('failed', 'succeeded') group by status"


@pytest.mark.parametrize(
    "cron",
    [{"cron.use_background_workers": "off"}, {"cron.use_background_workers": "on"}],
    ids=["connection", "background worker"],
    indirect=True,
)
def test_statement_timeout_of_the_role_does_not_interrupt_the_cleanup(cron: Cron) -> None:
    """Each run ends before the timeout and deletes jobs and guests; the following runs delete the
    rest.
    """
    cron.install()
    apply(cron.url)
    with psycopg.connect(cron.url, autocommit=True) as connection:
        connection.execute(WATCH.encode())
        connection.execute(SLOW.encode())
        fill(connection, jobs=100, guests=50)
        connection.execute("alter role postgres in database postgres set statement_timeout = '2s'")
        run_again(cron.url, cleanup_schedule="1 seconds", cleanup_batch_size=10)
        eventually(
            connection, "select exists (select from public.deleted where what = 'guest_users')"
        )
        jobs_left = connection.execute("select count(*) > 4 from public.async_jobs").fetchone()
        eventually(connection, "select count(*) = 150 from public.deleted")
        runs: dict[str, int] = dict(connection.execute(ENDED.encode()).fetchall())
    assert jobs_left == (True,)  # guests do not wait until the last job is deleted
    assert "failed" not in runs
    assert runs["succeeded"] >= 2


def test_concurrent_runs_delete_every_row_once(cron: Cron) -> None:
    cron.install()
    apply(cron.url, cleanup_batch_size=5)
    errors: list[BaseException] = []
    with psycopg.connect(cron.url, autocommit=True) as connection:
        connection.execute(WATCH.encode())
        fill(connection, jobs=300, guests=300)
        [[command]] = connection.execute("select command from cron.job").fetchall()

        def run() -> None:
            try:
                with psycopg.connect(cron.url, autocommit=True) as own:
                    own.execute(command)
            except psycopg.Error as error:
                errors.append(error)

        threads = [threading.Thread(target=run) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert errors == []
        left = connection.execute(
            "select what, count(*) from public.deleted group by what order by what"
        ).fetchall()
    assert left == [("async_jobs", 300), ("guest_users", 300)]


def test_without_pg_cron_it_raises_a_notice_and_succeeds(cli: Run, platform_url: str) -> None:
    ran = cli("apply", "--json", "--db-url", platform_url)
    assert ran.code == 0
    assert "schedule_job_cleanup" in [m["name"] for m in ran.json["applied"]]
    assert f"notice: {PREFIX}pg_cron is not installed in this database" in ran.err
    assert "supabase-jobs cleanup" in ran.err


def test_notice_if_pg_cron_is_not_installed(cron: Cron) -> None:
    assert apply(cron.url) == [f"{PREFIX}pg_cron is not installed in this database"]


def test_notice_if_the_role_lacks_privileges(cron: Cron) -> None:
    cron.install(grants=False)
    cron.as_superuser(
        "revoke all on schema cron from public; revoke pg_read_all_data from postgres"
    )
    cron.as_superuser("revoke all on all functions in schema cron from public")
    assert apply(cron.url) == [f"{PREFIX}postgres has no USAGE on schema cron"]
    cron.as_superuser("grant usage on schema cron to postgres")
    assert run_again(cron.url) == [f"{PREFIX}permission denied for function schedule"]
    cron.as_superuser("grant all on all functions in schema cron to postgres")
    assert run_again(cron.url) == []
    with psycopg.connect(cron.url) as connection:
        assert connection.execute("select jobname from cron.job").fetchall() == [
            ("async_jobs_cleanup",)
        ]


def test_notice_if_pg_cron_is_not_preloaded(cron: Cron) -> None:
    cron.install()
    server.stop(cron.directory)
    info = server.start(cron.directory, settings={"shared_preload_libraries": ""})
    assert apply(info.url) == [f"{PREFIX}pg_cron is not among shared_preload_libraries"]


VALID = (
    "0 3 * * *",
    "*/5 * * * *",
    "0 0 1,15 * *",
    "30 4 * jan,JUL mon-fri",
    "0-30/10 1-5 * * 7",
    "1 seconds",
    "59 second",
    "@hourly",
    "@midnight",
    "0  3 * * *",
)
INVALID = (
    "every night",
    "0 3 * *",
    "60 * * * *",
    "* 24 * * *",
    "* * 0 * *",
    "* * 32 * *",
    "* * * 13 *",
    "* * * * 8",
    "* * * * day",
    "0 seconds",
    "60 seconds",
    "@nightly",
    "a * * * *",
    "*/x * * * *",
    "1, * * * *",
)


def test_a_malformed_schedule_is_reported_before_anything_runs(
    cron: Cron, cli: Run, tmp_path: Path
) -> None:
    """The schedules that pg_cron refuses are refused beforehand, and no others."""
    cron.install()
    with psycopg.connect(cron.url, autocommit=True) as connection:
        for schedule in VALID:
            assert connection.execute(
                "select cron.schedule('x', %s, 'select 1')", [schedule]
            ).fetchone()
            assert problem(schedule) is None
        connection.execute("select cron.unschedule('x')")
        assert all(map(problem, INVALID))
        accepted = []
        for schedule in INVALID:
            with suppress(psycopg.errors.InvalidParameterValue):
                connection.execute("select cron.schedule('x', %s, 'select 1')", [schedule])
                accepted.append(schedule)
        assert accepted == []
    assert problem("0 3 * * * *")  # pg_cron ignores the sixth field
    (tmp_path / "supabase-jobs.toml").write_text('[variables]\ncleanup_schedule = "every night"\n')
    ran = cli("apply", "--json", "--db-url", cron.url)
    assert (ran.code, ran.json["error"]["message"]) == (
        2,
        "variable 'cleanup_schedule': 'every night' has 2 fields; cron notation has 5, as in '0"
        " 3 * * *'",
    )
    assert cli("render").code == 2


def test_supabase_db_push_schedules_the_cleanup(
    cron: Cron, supabase: SupabaseCli, cli: Run, root: Path, tmp_path: Path
) -> None:
    cron.install()
    shutil.copytree(
        root / "supabase",
        tmp_path / "supabase",
        ignore=shutil.ignore_patterns(".temp", ".branches"),
    )
    pushed = supabase("db", "push", "--yes", url=cron.url, cwd=tmp_path)
    assert pushed.code == 0, pushed.err
    assert cli("status", "--exit-code", "--db-url", cron.url).code == 0
    with psycopg.connect(cron.url, autocommit=True) as connection:
        [(command,)] = connection.execute("select command from cron.job").fetchall()
        connection.execute(command)


def test_verify_and_uninstall_with_schedule(cron: Cron, cli: Run) -> None:
    cron.install()
    assert cli("render").code == 0
    assert cli("apply", "--db-url", cron.url).code == 0
    assert cli("verify", "--db-url", cron.url).code == 0
    assert cli("render", "--uninstall").code == 0
    assert cli("apply", "--db-url", cron.url).code == 0
    with psycopg.connect(cron.url) as connection:
        assert connection.execute("select count(*) from cron.job").fetchone() == (0,)
