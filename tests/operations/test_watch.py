"""The statements of docs/operations.md and docs/backups.md: alerts, sizes, workers, retention."""

import re
from pathlib import Path

import psycopg
import pytest

from tests.fix_cli import Run
from tests.fix_db import Make
from tests.impersonation import GUEST_A, JOBS, USER_A, insert_fixture_rows
from tests.operations.conftest import BLOCKS, LANGUAGES, TEXT, Shell, query
from tests.sql.population import populate
from tests.sql.test_workers import CLAIM, REQUEUE

pytestmark = pytest.mark.slow

WATCH = BLOCKS["watch"]
OF_USER = f"user_id = '{USER_A}'"
SILENT = (
    "alter table public.async_jobs disable trigger user; update public.async_jobs set {} where "
    + OF_USER
)
MANY = (
    "insert into public.async_jobs (url, user_id, status, updated_at)"
    f" select 'u', '{USER_A}', {{}} from generate_series(1, {{}}) as n"
)
GAVE_UP = "No sign of life from the worker; given up after 3 retries."

# statements that raise one alert; just below the threshold they raise none
ALERTS = {
    "oldest queued": SILENT.format("created_at = now() - interval '{} minutes'"),
    "processing without an update": SILENT.format(
        "status = 'processing', updated_at = now() - interval '{} minutes'"
    ),
    "per cent failed": MANY.format(
        "case when n <= {} then 'failed' else 'completed' end, now()", 20
    ),
    "given up": MANY.format("'failed', now() - interval '2 hours' + interval '{} minutes'", 1)
    .replace("(url,", "(error, url,")
    .replace("select ", f"select '{GAVE_UP}', "),
    "one owner": MANY.format("'queued', now()", "{}"),
    "oldest finished": MANY.format("'completed', now() - interval '{} hours'", 1),
}
LIMITS = {
    "oldest queued": (9, 12),
    "processing without an update": (9, 12),
    "per cent failed": (2, 3),
    "given up": (0, 90),
    "one owner": (499, 500),
    "oldest finished": (9 * 24 - 1, 9 * 24 + 2),
}


@pytest.fixture
def url(applied_url: str) -> str:
    """A database with two guests and two users, a queued job each."""
    with psycopg.connect(applied_url) as connection:
        insert_fixture_rows(connection)
    return applied_url


def alerts(url: str, statement: str = WATCH) -> list[str]:
    return [alert for alert, _, _ in query(url, statement)]


@pytest.mark.parametrize("alert", ALERTS)
def test_an_alert_is_raised_at_its_threshold(url: str, alert: str) -> None:
    assert alerts(url) == []
    below, above = LIMITS[alert]
    query(url, ALERTS[alert].format(below))
    assert alerts(url) == []
    query(url, "delete from public.async_jobs where url = 'u'")
    query(url, ALERTS[alert].format(above))
    [raised] = alerts(url)
    assert alert in raised


def test_nineteen_failed_jobs_raise_no_alert(url: str) -> None:
    query(url, MANY.format("'failed', now()", 19))
    assert alerts(url) == []


def test_dead_rows_an_invalid_index_and_an_open_transaction_raise_alerts(
    make_database: Make,
) -> None:
    database = make_database("applied")
    with psycopg.connect(database.superuser_url, autocommit=True) as connection:
        insert_fixture_rows(connection)
        connection.execute("alter table public.async_jobs set (autovacuum_enabled = off)")
        connection.execute(MANY.format("'completed', now()", 10000).encode())
        connection.execute(f"delete from public.async_jobs where {OF_USER}".encode())
        connection.execute("select pg_stat_force_next_flush()")
        connection.execute(
            "update pg_index set indisvalid = false where indexrelid ="
            " 'idx_async_jobs_url'::regclass"
        )
    dead, invalid = alerts(database.url)
    assert ("dead" in dead, "invalid" in invalid) == (True, True)
    sooner = WATCH.replace("min(xact_start)) / 60, 60", "min(xact_start)) / 60, -1")
    assert len(alerts(database.url, sooner)) == 3
    query(database.superuser_url, "update pg_index set indisvalid = true where not indisvalid")


def test_infinite_timestamps_raise_no_alert(url: str) -> None:
    query(url, "update public.async_jobs set created_at = '-infinity'")
    assert alerts(url) == []


def test_the_alerts_need_no_sequential_scan(url: str) -> None:
    states = "case n % 50 when 0 then 'queued' when 1 then 'processing' else 'completed' end"
    query(url, MANY.format(f"{states}, now() - n * interval '1 minute'", 20000))
    query(url, "vacuum (analyze) public.async_jobs")
    plan = "\n".join(line for (line,) in query(url, f"explain {WATCH}"))
    assert "idx_async_jobs_cleanup" in plan
    assert "Seq Scan on async_jobs" not in plan


def test_open_transactions_are_listed(url: str) -> None:
    sooner = BLOCKS["transactions"].replace("10 minutes", "0 minutes")
    with psycopg.connect(url, application_name="nightly-report") as other:
        other.execute("select 1")
        assert query(url, BLOCKS["transactions"]) == []
        assert "nightly-report" in [row[2] for row in query(url, sooner)]


def test_every_documented_key_of_stats_exists(url: str, cli: Run) -> None:
    with psycopg.connect(url) as connection:
        populate(connection)
        connection.execute("alter table public.async_jobs disable trigger user")
        connection.execute(
            "update public.async_jobs set created_at = now() - interval '1 hour' where status ="
            " 'queued'"
        )
    document = cli("stats", "--json", "--db-url", url).json
    keys = re.findall(r"`(\w+)\[\](?:\.(\w+))?`", BLOCKS_OF_KEYS)
    assert len(keys) >= 12
    for section, key in keys:
        assert isinstance(document[section], list)
        assert not key or key in document[section][0], (section, key)


BLOCKS_OF_KEYS = TEXT.split("| alert | key |")[1].split("\n\n")[0]


def test_the_read_only_commands_change_nothing(url: str, shell: Shell) -> None:
    assert "0 errors" in shell(BLOCKS["look"], url)
    before = query(url, "select count(*) from public.async_jobs")
    assert "would delete" in shell(BLOCKS["count"], url)
    assert query(url, "select count(*) from public.async_jobs") == before


def test_the_newest_failures_are_listed(url: str) -> None:
    query(
        url,
        f"update public.async_jobs set status = 'failed', error = 'Timeout error' where {OF_USER}",
    )
    [(_, _, worker, error)] = query(url, BLOCKS["failures"])
    assert (worker, error) == (None, "Timeout error")


def test_old_queued_jobs_are_cancelled(url: str) -> None:
    query(
        url, f"update public.async_jobs set created_at = now() - interval '31 days' where {OF_USER}"
    )
    query(url, BLOCKS["cancel"])
    cancelled = "select user_id::text from public.async_jobs where status = 'cancelled'"
    assert query(url, cancelled) == [(str(USER_A),)]


def test_jobs_of_soft_deleted_users_stay_until_they_are_deleted(url: str) -> None:
    count = f"select count(*) from public.async_jobs where {OF_USER}"
    before = query(url, "select count(*) from public.async_jobs")
    query(url, f"update auth.users set deleted_at = now() where id = '{USER_A}'")
    assert query(url, count) == [(1,)]
    query(url, BLOCKS["soft-deleted"])
    assert query(url, count) == [(0,)]
    assert (
        query(url, "select count(*) + 1 from public.async_jobs") == before
    )  # those of other owners stay


def test_jobs_are_requeued_and_given_up_jobs_are_put_back(url: str) -> None:
    with psycopg.connect(url) as connection:
        connection.execute(CLAIM.encode(), ("w1", 10))
        connection.execute("alter table public.async_jobs disable trigger user")
        connection.execute(
            "update public.async_jobs set updated_at = now() - interval '3 minutes' where"
            f" {OF_USER}".encode()
        )
        connection.execute(
            "update private.worker_state set heartbeat_at = now() - interval '3 minutes'"
            f" where job_id in (select id from public.async_jobs where {OF_USER})".encode()
        )
    assert query(url, BLOCKS["requeue"]) == [(1, 0)]
    query(url, CLAIM.replace("%s, %s", "'w2', 10"))
    query(url, REQUEUE.replace("%s, %s, %s", "'0', 0, null"))  # no retry is allowed
    assert len(query(url, BLOCKS["given-up"])) == 4
    query(
        url, f"update public.async_jobs set metadata = '7' where {OF_USER}"
    )  # owners may write it
    query(
        url,
        "update public.async_jobs set error = 'Timeout error' where id = (select id from"
        " public.async_jobs"
        f" where guest_id = '{GUEST_A}')",
    )
    query(url, BLOCKS["put-back"])
    assert query(url, BLOCKS["given-up"]) == []
    states = "select id, status, metadata ? 'retry_count' from public.async_jobs"
    jobs = {job: (status, retried) for job, status, retried in query(url, states)}
    assert jobs.pop(JOBS[GUEST_A]) == ("failed", True)
    assert set(jobs.values()) == {("queued", False)}


def test_verify_accepts_the_autovacuum_settings(url: str, cli: Run) -> None:
    query(url, BLOCKS["autovacuum"])
    [(options,)] = query(
        url, "select reloptions from pg_class where oid = 'public.async_jobs'::regclass"
    )
    assert "autovacuum_vacuum_scale_factor=0.02" in options
    assert cli("verify", "--only", "structure", "--db-url", url).code == 0


RESULT = "jsonb_build_object('transcription', (select string_agg(md5(n::text || k), ' ') from generate_series(1, 45) as k))"


@pytest.mark.parametrize(
    ("row", "result"), [("without a result", "null"), ("with a result of 1.5 kB", RESULT)]
)
def test_the_documented_size_of_a_job(url: str, row: str, result: str) -> None:
    rows = re.findall(
        r"^\| (with.*?) \| ([\d,]+) B \| ([\d,]+) B \| ([\d,]+) B \|", TEXT, flags=re.MULTILINE
    )
    [documented] = [
        [int(n.replace(",", "")) for n in numbers] for name, *numbers in rows if name == row
    ]
    query(
        url,
        "truncate public.async_jobs;"
        "insert into public.async_jobs (url, status, user_id, result, metadata, created_at,"
        " updated_at)"
        " select 'https://x.com/someone/status/' || 1800000000000000000 + n, 'completed',"
        f" '{USER_A}', {result}, '{METADATA}', now() - n * interval '1 s', now() - n * interval '1"
        " s'"
        " from generate_series(1, 5000) as n",
    )
    query(url, "vacuum (analyze) public.async_jobs")
    [(_, rows_now, _, table, indexes)] = [
        row for row in query(url, BLOCKS["bytes"]) if row[0] == "async_jobs"
    ]
    assert rows_now == 5000
    assert [table, indexes, table + indexes] == pytest.approx(documented, rel=0.15)


def test_the_size_of_a_row_is_unknown_before_analyze(applied_url: str) -> None:
    found = {row[0]: (row[1], *row[3:]) for row in query(applied_url, BLOCKS["bytes"])}
    assert found["async_jobs"] == found["guest_users"] == (None, None, None)


def test_the_documented_size_of_a_guest(url: str) -> None:
    [documented] = re.findall(r"A guest takes (\d+) bytes", TEXT)
    query(
        url,
        "insert into public.guest_users (guest_id) select gen_random_uuid() from"
        " generate_series(1, 5000)",
    )
    query(url, "vacuum (analyze) public.guest_users")
    [(table, indexes)] = [row[3:] for row in query(url, BLOCKS["bytes"]) if row[0] == "guest_users"]
    # ids are random, so the pages of the index are between half full and full
    assert table + indexes == pytest.approx(int(documented), rel=0.3)


@pytest.mark.parametrize(
    ("documented", "progress"),
    [
        (r"new progress costs at least ([\d.]+) kB", "1 + progress"),
        (r"without new progress costs ([\d.]+) kB", "null"),
    ],
)
def test_the_documented_wal_of_a_heartbeat(url: str, documented: str, progress: str) -> None:
    [size] = re.findall(documented, TEXT)
    beat = (
        f"select heartbeat_job(id, 'w', claim_id, {progress})"
        " from public.async_jobs inner join private.worker_state on id = job_id"
    )
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(CLAIM.encode(), ("w", 10))
        [(before,)] = connection.execute("select pg_current_wal_insert_lsn()").fetchall()
        for _ in range(50):
            assert connection.execute(beat).fetchall() == [(True,)] * 4
        [(written,)] = connection.execute(
            "select pg_current_wal_insert_lsn() - %s::pg_lsn", (before,)
        ).fetchall()
    assert float(written) / 200 == pytest.approx(float(size) * 1000, rel=0.3)


METADATA = (
    '{"platform": "x", "server_id": "worker-1", "last_check": "2026-11-25T10:00:00+00:00", "retry_count": 0,'
    ' "processing_time_ms": 12345}'
)


def test_every_block_of_the_document_is_run_by_a_test() -> None:
    tests = "".join(path.read_text() for path in Path(__file__).parent.glob("*.py"))
    assert TEXT.count("```") == 2 * len(BLOCKS)
    assert set(LANGUAGES.values()) == {"sh", "sql", "python", "crontab"}
    for name in BLOCKS:
        assert f'BLOCKS["{name}"]' in tests or name.startswith(("partitions/", "restore-")), name
