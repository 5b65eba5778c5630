"""The scheduled tasks of docs/operations.md: with pg_cron, with cron, and over the API."""

import psycopg
import pytest

from tests.fix_api import serve_api
from tests.fix_cron import Cron, apply, eventually
from tests.fix_db import Make
from tests.impersonation import insert_fixture_rows
from tests.operations.conftest import BLOCKS, Shell, query
from tests.sql.population import expired, left

pytestmark = pytest.mark.slow

STUCK = """
alter table public.async_jobs disable trigger user;
update public.async_jobs set status = 'processing', updated_at = now() - interval '6 minutes';
alter table public.async_jobs enable trigger user;
"""
REQUEUED = "select count(*) = 4 from public.async_jobs where status = 'queued' and metadata ->> 'retry_count' = '1'"


def test_pg_cron_runs_the_scheduled_tasks(cron: Cron) -> None:
    """Scheduling twice results in one job each; the jobs succeed, and can be unscheduled."""
    cron.install()
    apply(cron.url)
    query(cron.url, BLOCKS["schedule"])
    query(cron.url, BLOCKS["schedule"])
    names = "select jobname from cron.job order by 1"
    assert query(cron.url, names) == [
        ("async_jobs_cleanup",),
        ("async_jobs_requeue",),
        ("cron_history",),
    ]
    with psycopg.connect(cron.url, autocommit=True) as connection:
        insert_fixture_rows(connection)
        connection.execute(STUCK.encode())
        connection.execute("select cron.alter_job(jobid, schedule := '1 seconds') from cron.job")
        eventually(connection, REQUEUED)
        done = "count(distinct j.jobname) = 3"
        ran = "from cron.job_run_details as d inner join cron.job as j using (jobid) where d.status = 'succeeded'"
        eventually(connection, f"select {done} {ran}")
    query(
        cron.url,
        "insert into cron.job_run_details (runid, jobid, end_time) values (-1, -1, now() -"
        " interval '15 days')",
    )
    with psycopg.connect(cron.url, autocommit=True) as connection:
        eventually(
            connection, "select not exists (select from cron.job_run_details where runid = -1)"
        )
    assert query(cron.url, BLOCKS["runs"]) == []
    query(cron.url, "select cron.schedule('broken', '1 seconds', 'select 1 / 0')")
    with psycopg.connect(cron.url, autocommit=True) as connection:
        eventually(
            connection, "select exists (select from cron.job_run_details where status = 'failed')"
        )
    assert query(cron.url, BLOCKS["runs"])[0][1] == "broken"
    query(cron.url, BLOCKS["nightly-cron"])
    [(nightly,)] = query(
        cron.url, "select command from cron.job where jobname = 'async_jobs_partitions'"
    )
    assert nightly.replace("; ", ";\n") + ";\n" == BLOCKS["nightly"]  # which test_partitions runs
    assert {name for name, _ in query(cron.url, BLOCKS["unschedule"])} == {
        "async_jobs_partitions",
        "async_jobs_requeue",
    }
    assert query(cron.url, names) == [("async_jobs_cleanup",), ("broken",), ("cron_history",)]


def test_more_time_for_the_scheduled_cleanup(cron: Cron) -> None:
    """The timeout of the role in this database applies to the runs, whatever the default of the
    server is.
    """
    cron.install()
    apply(cron.url)
    cron.as_superuser("alter system set statement_timeout = '1s'")
    cron.as_superuser("select pg_reload_conf()")
    query(cron.url, BLOCKS["timeout"])
    with psycopg.connect(cron.url, autocommit=True) as connection:
        assert connection.execute("show statement_timeout").fetchone() == ("30min",)
        connection.execute("select cron.schedule('show', '1 seconds', 'select pg_sleep(1.2)')")
        eventually(
            connection,
            "select exists (select from cron.job_run_details where status = 'succeeded')",
        )


def test_crontab_runs_cleanup_and_requeue(applied_url: str, shell: Shell) -> None:
    lines = [line.split(" ", 5) for line in BLOCKS["crontab"].splitlines()]
    assert [" ".join(line[:5]) for line in lines] == ["0 3 * * *", "* * * * *"]
    cleanup, requeue = (line[5] for line in lines)
    with psycopg.connect(applied_url) as connection:
        expired(connection, 25)
    assert '"jobs_deleted": 25' in shell(cleanup, applied_url)
    with psycopg.connect(applied_url) as connection:
        insert_fixture_rows(connection)
        connection.execute(STUCK.encode())
    shell(requeue, applied_url)
    assert query(applied_url, REQUEUED) == [(True,)]


def test_cleanup_and_requeue_over_the_api(make_database: Make) -> None:
    database = make_database("applied")
    with psycopg.connect(database.url) as connection:
        insert_fixture_rows(connection)
        connection.execute(STUCK.encode())
        expired(connection, 2500)
        connection.execute(
            "insert into public.guest_users (last_seen_at)"
            " select now() - interval '31 days' from generate_series(1, 1001)"
        )
    defined: dict[str, object] = {}
    exec(BLOCKS["api"], defined)  # noqa: S102  it is our own document
    clean_up = defined["clean_up"]
    assert callable(clean_up)
    with serve_api(database.server, database.name) as api:
        clean_up(api.client(service=True))
    jobs, guests = left(database.url)
    assert (len(jobs), len(guests)) == (4, 2)
    assert query(database.url, REQUEUED) == [(True,)]
