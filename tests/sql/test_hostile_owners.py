"""Nothing that a guest or user writes into its own rows stops the queue, the workers or the
cleanup.
"""

import json
import uuid
from typing import Any

import psycopg
import pytest
from psycopg.types.json import Jsonb

from supabase_jobs.database.connection import Connection
from tests.fix_db import oldest_and_newest
from tests.impersonation import (
    GUEST_A,
    JOBS,
    SERVICE,
    USER_A,
    USER_B,
    RequestIdentity,
    acting_as,
    guest,
    insert_fixture_rows,
    row_count,
    sqlstate_of,
    user,
)
from tests.sql.test_workers import COMPLETE, HEARTBEAT, REQUEUE, claim, job, silence, value

pytestmark = oldest_and_newest

OWNERS = [pytest.param(guest(GUEST_A), id="guest"), pytest.param(user(USER_A), id="user")]
each_owner = pytest.mark.parametrize("owner", OWNERS)
KIB = 1024


def owner_id(owner: RequestIdentity) -> uuid.UUID:
    """The guest id or user id of an owner."""
    return GUEST_A if owner.role == "anon" else USER_A


def insert(owner: RequestIdentity, columns: str) -> str:
    """An INSERT of a job of this owner with `columns`, whose values are parameters."""
    column = "guest_id" if owner.role == "anon" else "user_id"
    marks = ", ".join(["%s"] * (columns.count(",") + 1))
    return (
        f"insert into public.async_jobs (url, {column}, {columns}) values ('u',"
        f" '{owner_id(owner)}', {marks})"
        " returning id"
    )


def keep(
    connection: Connection, owner: RequestIdentity, statement: str, *values: object
) -> list[tuple[Any, ...]]:
    """Run a statement as an owner, and keep its changes."""
    claims = {"role": owner.role} | ({"sub": str(owner.sub)} if owner.sub else {})
    settings = {
        "request.jwt.claims": json.dumps(claims),
        "request.headers": json.dumps({"x-guest-id": str(owner.guest)}),
        "role": owner.role,
    }
    with connection.transaction():
        for name, text in settings.items():
            connection.execute("select set_config(%s, %s, true)", (name, text))
        cursor = connection.execute(statement.encode(), values)
        rows = cursor.fetchall() if cursor.description else []
        connection.execute("select set_config('role', 'postgres', true)")
    return rows


def refused(
    connection: Connection, owner: RequestIdentity, statement: str, *values: object
) -> str | None:
    """The constraint that refuses a statement of an owner with 23514; None if it succeeds."""
    try:
        with acting_as(connection, owner) as execute:
            execute(statement, *values)
    except psycopg.errors.CheckViolation as error:
        return error.diag.constraint_name
    return None


@pytest.fixture
def queue(rolled_back: Connection) -> Connection:
    """Four queued jobs of four owners."""
    insert_fixture_rows(rolled_back)
    return rolled_back


# Times ------------------------------------------------------------------------------------------


@each_owner
@pytest.mark.parametrize("time", ["infinity", "-infinity", "1970-01-01", "2999-01-01"])
def test_an_owner_chooses_no_time(queue: Connection, owner: RequestIdentity, time: str) -> None:
    [(job_id,)] = keep(queue, owner, insert(owner, "created_at, updated_at"), time, time)
    times = "select (created_at, updated_at) = (now(), now()) from public.async_jobs where id = %s"
    assert value(queue, times, job_id)
    queue.execute("alter table public.async_jobs disable trigger user")
    queue.execute(
        "update public.async_jobs set created_at = '2020-01-01', updated_at = '2020-01-01'"
    )
    queue.execute("alter table public.async_jobs enable trigger user")
    keep(
        queue,
        owner,
        "update public.async_jobs set created_at = %s, updated_at = %s where id = %s",
        time,
        time,
        job_id,
    )
    times = "select (created_at, updated_at) = ('2020-01-01'::timestamptz, now()) from public.async_jobs where id = %s"
    assert value(queue, times, job_id)


@each_owner
def test_jobs_inserted_with_an_old_date_wait_for_their_turn(
    queue: Connection, owner: RequestIdentity
) -> None:
    queue.execute("update public.async_jobs set created_at = now() - interval '1 minute'")
    column = "guest_id" if owner.role == "anon" else "user_id"
    keep(
        queue,
        owner,
        f"insert into public.async_jobs (url, {column}, created_at) select 'u', %s, '1970-01-01'"
        " from generate_series(1, 1000)",
        owner_id(owner),
    )
    assert {job_id for job_id, _ in claim(queue, limit=4)} == set(JOBS.values())


@pytest.mark.parametrize("time", ["infinity", "2999-01-01", "1970-01-01"])
def test_a_guest_chooses_no_time_of_its_visit(queue: Connection, time: str) -> None:
    new = uuid.uuid4()
    keep(
        queue,
        guest(new),
        "insert into public.guest_users (guest_id, last_seen_at) values (%s, %s)",
        new,
        time,
    )
    times = "select (created_at, last_seen_at) = (now(), now()) from public.guest_users where guest_id = %s"
    assert value(queue, times, new)
    queue.execute("alter table public.guest_users disable trigger user")
    queue.execute(
        "update public.guest_users set created_at = '2020-01-01', last_seen_at = '2020-01-01'"
    )
    queue.execute("alter table public.guest_users enable trigger user")
    keep(queue, guest(new), "update public.guest_users set last_seen_at = %s", time)
    times = "select created_at = '2020-01-01' and last_seen_at = now() from public.guest_users where guest_id = %s"
    assert value(queue, times, new)


def test_a_role_that_inherits_from_authenticated_chooses_no_time(queue: Connection) -> None:
    queue.execute("create role premium in role authenticated; grant premium to postgres")
    owner = RequestIdentity("premium", sub=USER_A)
    [(job_id,)] = keep(queue, owner, insert(user(USER_A), "created_at"), "1970-01-01")
    assert value(queue, "select created_at = now() from public.async_jobs where id = %s", job_id)


@pytest.mark.parametrize("caller", ["service_role", "postgres"])
def test_the_service_and_the_owner_set_times_on_insert(queue: Connection, caller: str) -> None:
    queue.execute("select set_config('role', %s, true)", (caller,))
    new = uuid.uuid4()
    queue.execute(
        "insert into public.guest_users (guest_id, created_at, last_seen_at) values (%s, 'epoch',"
        " 'epoch')",
        (new,),
    )
    queue.execute(
        "insert into public.async_jobs (id, url, guest_id, created_at, updated_at)"
        " values (%s, 'u', %s, 'epoch', 'epoch')",
        (new, new),
    )
    queue.execute("select set_config('role', 'postgres', true)")
    assert value(
        queue,
        "select created_at = 'epoch' and last_seen_at = 'epoch' from public.guest_users where"
        " guest_id = %s",
        new,
    )
    assert value(
        queue,
        "select created_at = 'epoch' and updated_at = 'epoch' from public.async_jobs where id = %s",
        new,
    )


def test_a_service_role_without_bypassrls_sets_times(queue: Connection) -> None:
    queue.execute(
        "create role backend in role service_role; grant backend to postgres; set local role"
        " backend"
    )
    queue.execute(
        "insert into public.async_jobs (id, url, user_id, created_at) values (%s, 'u', %s, 'epoch')",
        (USER_B, USER_B),
    )
    queue.execute("update public.guest_users set last_seen_at = 'epoch'")
    queue.execute("set local role postgres")
    assert value(queue, "select created_at = 'epoch' from public.async_jobs where id = %s", USER_B)
    assert value(queue, "select bool_and(last_seen_at = 'epoch') from public.guest_users")


# Sizes ------------------------------------------------------------------------------------------

LARGEST = {"metadata": 64 * KIB, "result": 64 * KIB, "error": 16 * KIB}


def of_size(column: str, size: int) -> object:
    """A value whose text has `size` bytes."""
    return "x" * size if column == "error" else Jsonb({"k": "x" * (size - len('{"k": ""}'))})


@each_owner
@pytest.mark.parametrize("column", LARGEST)
def test_an_owner_writes_no_larger_value(
    queue: Connection, owner: RequestIdentity, column: str
) -> None:
    for statement in (
        insert(owner, column),
        f"update public.async_jobs set {column} = %s returning id",
    ):
        assert refused(queue, owner, statement, of_size(column, LARGEST[column])) is None
        assert (
            refused(queue, owner, statement, of_size(column, LARGEST[column] + 1))
            == f"chk_valid_{column}"
        )
    size = 8 * KIB * KIB if column == "result" else LARGEST[column]
    assert refused(queue, SERVICE, insert(owner, column), of_size(column, size)) is None
    assert (
        refused(queue, SERVICE, insert(owner, column), of_size(column, size + 1))
        == f"chk_valid_{column}"
    )


@each_owner
def test_an_owner_keeps_a_larger_result_of_the_service(
    queue: Connection, owner: RequestIdentity
) -> None:
    """Also when the client sends the whole row."""
    queue.execute(
        "update public.async_jobs set result = to_jsonb(repeat('x', 8000000)), progress = 7"
    )
    assert (
        refused(queue, owner, "update public.async_jobs set status = 'cancelled', result = result")
        is None
    )
    changed = "update public.async_jobs set result = to_jsonb(repeat('x', 8000001))"
    assert refused(queue, owner, changed) == "chk_valid_result"


@each_owner
@pytest.mark.parametrize("column", ["metadata", "result"])
def test_the_densest_value_has_room(queue: Connection, owner: RequestIdentity, column: str) -> None:
    """The limit holds for the text; as jsonb this array takes four times as many bytes."""
    for text, element in (
        ("[0%s]", ", 0"),
        ("[[0]%s]", ", [0]"),
        ("[[]%s]", ", []"),
        ('["", 0%s]', ', "", 0'),
    ):
        count = (64 * KIB - len(text % "")) // len(element)
        assert refused(queue, owner, insert(owner, column), text % (element * count)) is None
        assert (
            refused(queue, owner, insert(owner, column), text % (element * (count + 2)))
            == f"chk_valid_{column}"
        )


@each_owner
def test_the_size_is_that_of_the_text(queue: Connection, owner: RequestIdentity) -> None:
    """1e300 has 5 bytes in the request and 301 in the text; a character may have several bytes."""
    assert (
        refused(queue, owner, insert(owner, "metadata"), "[" + "1e300," * 300 + "0]")
        == "chk_valid_metadata"
    )
    assert refused(queue, owner, insert(owner, "error"), "ä" * (8 * KIB + 1)) == "chk_valid_error"
    assert refused(
        queue, owner, insert(owner, "metadata"), json.dumps("ä" * (32 * KIB), ensure_ascii=False)
    ) == ("chk_valid_metadata")


@each_owner
def test_the_largest_metadata_is_claimed_reported_requeued_and_completed(
    queue: Connection, owner: RequestIdentity
) -> None:
    job_id = JOBS[owner_id(owner)]
    queue.execute("delete from public.async_jobs where id <> %s", (job_id,))
    largest = {"k": "x" * (64 * KIB - len('{"k": ""}'))}
    forged = largest | {"server_id": "x" * 1000, "last_check": "x" * 1000}
    worker = "\x01" * 255  # six bytes each in JSON
    forge = "update public.async_jobs set metadata = %s"
    for metadata in (largest, forged):
        keep(queue, owner, forge, Jsonb(metadata))
        [(_, claim_id)] = claim(queue, worker)
        keep(queue, owner, forge, Jsonb(metadata))
        assert value(queue, HEARTBEAT, job_id, worker, claim_id, 50)
        keep(queue, owner, forge, Jsonb(metadata))
        silence(queue, job_id)
        assert queue.execute(REQUEUE.encode(), ("1 minute", 10, None)).fetchone() == (1, 0)
    keep(queue, owner, forge, Jsonb(forged))
    [(_, claim_id)] = claim(queue, worker)
    keep(queue, owner, forge, Jsonb(forged))
    assert value(queue, COMPLETE, job_id, worker, claim_id, Jsonb({}))
    found = job(queue, job_id)["metadata"]
    assert (found["k"], found["server_id"], found["retry_count"]) == (largest["k"], worker, 2)


@each_owner
def test_the_keys_of_workers_give_an_owner_2_kib_at_most(
    queue: Connection, owner: RequestIdentity
) -> None:
    metadata = {"k": "x" * (64 * KIB - len('{"k": ""}')), "server_id": "x" * 3000}
    assert refused(queue, owner, insert(owner, "metadata"), Jsonb(metadata)) == "chk_valid_metadata"
    metadata["server_id"] = "x" * 2000
    assert refused(queue, owner, insert(owner, "metadata"), Jsonb(metadata)) is None


@each_owner
def test_results_and_errors_of_owners_are_not_given_to_workers(
    queue: Connection, owner: RequestIdentity
) -> None:
    job_id = JOBS[owner_id(owner)]
    keep(
        queue,
        owner,
        "update public.async_jobs set result = to_jsonb(repeat('x', 65000)), error = repeat('x',"
        " 16000) where id = %s",
        job_id,
    )
    rows = queue.execute("select id, result, error from public.claim_jobs('w', 10)").fetchall()
    assert (job_id, None, None) in rows


def test_an_error_that_is_too_long_is_shortened(queue: Connection) -> None:
    (first, first_claim), (second, second_claim), *_ = claim(queue, limit=2)
    error = "ä" * (8 * KIB) + "x"
    assert value(queue, "select public.fail_job(%s, 'w1', %s, %s)", first, first_claim, error)
    jobs = [{"id": str(second), "claim_id": second_claim, "error": "€" * 10**6}]
    assert value(queue, "select public.fail_jobs('w1', %s)", Jsonb(jobs)) == 1
    assert job(queue, first)["error"] == "ä" * 4 * KIB
    assert job(queue, second)["error"] == "€" * 4 * KIB


# Cost of the checks -----------------------------------------------------------------------------

EXPENSIVE = {
    "digits": "'1e130000,', 9000",
    "decimals": "'1e-16000,', 50000",
    "elements": "'1,', 2700000",
}


@pytest.fixture(params=EXPENSIVE)
def expensive(queue: Connection, request: pytest.FixtureRequest) -> Connection:
    """The queue next to a table with a value that is expensive to check, and one second for each
    statement.
    """
    queue.execute(
        "create temporary table expensive as"
        f" select jsonb_build_object('a', ('[' || repeat({EXPENSIVE[request.param]}) ||"
        " '1]')::jsonb) as v".encode()
    )
    queue.execute("grant select on expensive to public")
    queue.execute("set local statement_timeout = '1s'")
    return queue


@each_owner
@pytest.mark.parametrize("column", ["metadata", "result"])
def test_an_expensive_value_is_refused_at_once(
    expensive: Connection, owner: RequestIdentity, column: str
) -> None:
    """As text the values have up to 1.2 GB."""
    update = f"update public.async_jobs set {column} = (select v from pg_temp.expensive)"
    assert refused(expensive, owner, update) == f"chk_valid_{column}"


def test_the_largest_object_is_refused(queue: Connection) -> None:
    """PostgreSQL raises 54000 for an array with such an object."""
    assert not value(
        queue, "select private.is_valid_metadata(jsonb_build_object('k', repeat('x', 268435440)))"
    )


def test_an_expensive_row_fails_alone(expensive: Connection) -> None:
    """A row that is older than the constraints."""
    bad = JOBS[GUEST_A]
    for column in ("metadata", "result"):
        expensive.execute(
            f"alter table public.async_jobs drop constraint chk_valid_{column}".encode()
        )
    expensive.execute(
        "update public.async_jobs set metadata = v, result = v from pg_temp.expensive where id = %s",
        (bad,),
    )
    constrain(expensive)
    assert {job_id for job_id, _ in claim(expensive, limit=10)} == set(JOBS.values()) - {bad}
    assert job(expensive, bad)["status"] == "failed"


# PostgreSQL checks 64 KiB of metadata again for each job; a sleep is as slow in fewer jobs
SLOW = """
create function public.be_slow() returns trigger language plpgsql as $$
begin
  perform pg_sleep(0.6) where new.url in ('1', '51');
  return new;
end $$;
create trigger be_slow before update on public.async_jobs for each row execute function public.be_slow();
"""


@each_owner
def test_slow_jobs_of_an_owner_do_not_stop_requeue_stale_jobs(
    queue: Connection, owner: RequestIdentity
) -> None:
    """A timeout would undo every call."""
    queue.execute("delete from public.async_jobs")
    column = "guest_id" if owner.role == "anon" else "user_id"
    processing = (
        f"insert into public.async_jobs (url, {column}, status)"
        " select n, %s, 'processing' from generate_series(1, 70) as n"
    )
    keep(queue, owner, processing, owner_id(owner))
    queue.execute(
        "update public.async_jobs set created_at = now() + url::integer * interval '1 ms'"
    )
    queue.execute(SLOW.encode())
    queue.execute("set local statement_timeout = '1s'")
    for requeued in (50, 20, 0):
        assert queue.execute(REQUEUE.encode(), ("0", 3, None)).fetchone() == (requeued, 0)
    queue.execute(
        "set local statement_timeout = 0; alter table public.async_jobs disable trigger be_slow;"
        " update public.async_jobs set status = 'processing'; alter table public.async_jobs enable"
        " trigger be_slow"
    )
    assert queue.execute(REQUEUE.encode(), ("0", 1, None)).fetchone() == (0, 70)


# Numbers and depth ------------------------------------------------------------------------------


def nested(levels: int, inner: str = "") -> str:
    """A JSON array in `levels` arrays."""
    return "[" * levels + inner + "]" * levels


UNREADABLE = [
    "1e5000",
    "-1e5000",
    "1e309",
    "1.8e308",
    "1e-400",
    "-1e-5000",
    nested(100),
    '{"b": ' * 100 + "1" + "}" * 100,
]
READABLE = [
    "1e308",
    "1.7976931348623157e308",
    "-1.7976931348623157e308",
    "5e-324",
    "0e-5000",
    nested(99, "1"),
    '"1e5000"',
    "0",
]


@each_owner
@pytest.mark.parametrize("column", ["metadata", "result"])
def test_json_that_workers_cannot_parse_is_refused(
    queue: Connection, owner: RequestIdentity, column: str
) -> None:
    for statement in (
        insert(owner, column),
        f"update public.async_jobs set {column} = %s returning id",
    ):
        for text in UNREADABLE:
            assert refused(queue, owner, statement, f'{{"a": {text}}}') == f"chk_valid_{column}", (
                text
            )
            assert refused(queue, owner, statement, f"[[{text}]]") == f"chk_valid_{column}", text
        for text in READABLE:
            assert refused(queue, owner, statement, f'{{"a": {text}}}') is None, text


def test_everything_that_is_accepted_can_be_parsed(queue: Connection) -> None:
    for text in READABLE:
        accepted = value(queue, "select %s::jsonb::text", f'{{"a": {text}}}')
        json.loads(accepted)
    with pytest.raises(ValueError, match="digits"):
        json.loads(value(queue, "select '1e5000'::jsonb::text"))


BAD_METADATA = [
    f'{{"a": {text}}}' for text in (UNREADABLE[0], UNREADABLE[-2], '"' + "x" * 70000 + '"')
]


@pytest.fixture
def unconstrained(queue: Connection) -> Connection:
    """The queue in a table whose constraints do not hold for the existing rows."""
    for column in ("metadata", "result"):
        queue.execute(f"alter table public.async_jobs drop constraint chk_valid_{column}".encode())
    return queue


def constrain(connection: Connection) -> None:
    """Add the constraints for new rows again."""
    for column in ("metadata", "result"):
        connection.execute(
            f"alter table public.async_jobs add constraint chk_valid_{column}"
            f" check (private.is_valid_{column}({column})) not valid".encode()
        )


@pytest.mark.parametrize("metadata", BAD_METADATA, ids=["number", "depth", "size"])
def test_a_job_that_cannot_be_handed_out_fails_alone(
    unconstrained: Connection, metadata: str
) -> None:
    """A row that is older than the constraints."""
    bad = JOBS[GUEST_A]
    unconstrained.execute(
        "update public.async_jobs set metadata = %s where id = %s", (metadata, bad)
    )
    constrain(unconstrained)
    claimed = claim(unconstrained, limit=10)
    assert {job_id for job_id, _ in claimed} == set(JOBS.values()) - {bad}
    found = job(unconstrained, bad)
    assert (found["status"], found["metadata"]) == ("failed", {})
    assert found["error"] == "The metadata was too large or not readable, so no worker got the job."
    jobs = [{"id": str(job_id), "claim_id": claim_id, "result": {}} for job_id, claim_id in claimed]
    assert value(unconstrained, "select public.complete_jobs('w1', %s)", Jsonb(jobs)) == 3


@pytest.mark.parametrize("limit", [1, 2])
@pytest.mark.parametrize("last_claim", ["", "{now,2019-01-01}"], ids=["first claim", "later claim"])
def test_a_claim_goes_on_after_jobs_that_cannot_be_handed_out(
    unconstrained: Connection, last_claim: str, limit: int
) -> None:
    bad = [JOBS[USER_A], JOBS[GUEST_A]]
    unconstrained.execute(
        "update public.async_jobs set created_at = '2020-01-01', metadata = %s where id = any(%s)",
        (BAD_METADATA[0], bad),
    )
    constrain(unconstrained)
    if last_claim:
        last_claim = value(unconstrained, "select (%s::timestamptz[])::text", last_claim)
    value(unconstrained, "select set_config('supabase_jobs.last_claim', %s, false)", last_claim)
    claimed = {job_id for job_id, _ in claim(unconstrained, limit=limit)}
    assert len(claimed) == limit
    assert claimed.isdisjoint(bad)
    assert [job(unconstrained, job_id)["status"] for job_id in bad] == ["failed", "failed"]


@pytest.mark.parametrize("limit", [1, 2])
@pytest.mark.parametrize("last_claim", ["", "{now,2019-01-01}"], ids=["first claim", "later claim"])
def test_a_call_that_ends_and_claims_goes_on_after_jobs_that_cannot_be_handed_out(
    unconstrained: Connection, last_claim: str, limit: int
) -> None:
    [(held, claim_id)] = claim(unconstrained)
    bad = JOBS[GUEST_A]
    assert held != bad
    unconstrained.execute(
        "update public.async_jobs set created_at = '2020-01-01', metadata = %s where id = %s",
        (BAD_METADATA[0], bad),
    )
    constrain(unconstrained)
    if last_claim:
        last_claim = value(unconstrained, "select (%s::timestamptz[])::text", last_claim)
    value(unconstrained, "select set_config('supabase_jobs.last_claim', %s, false)", last_claim)
    call = "select id from public.complete_and_claim(%s, 'w1', %s)"
    reports = Jsonb([{"id": str(held), "claim_id": claim_id, "result": {}}])
    claimed = {job_id for (job_id,) in unconstrained.execute(call, (reports, limit))}
    assert len(claimed) == limit
    assert claimed.isdisjoint({bad, held})
    statuses = [job(unconstrained, job_id)["status"] for job_id in (held, bad)]
    assert statuses == ["completed", "failed"]


def test_a_claim_ends_before_it_has_met_many_jobs_that_cannot_be_handed_out(
    unconstrained: Connection,
) -> None:
    """A timeout would undo it each time."""
    unconstrained.execute(
        "insert into public.async_jobs (url, user_id, created_at, metadata)"
        " select 'x', %s, '2020-01-01', %s from generate_series(1, 20)",
        (USER_A, BAD_METADATA[0]),
    )
    constrain(unconstrained)
    assert claim(unconstrained) == []
    failed = "select count(*) from public.async_jobs where status = 'failed'"
    assert value(unconstrained, failed) == 10


@pytest.mark.parametrize("metadata", BAD_METADATA, ids=["number", "depth", "size"])
@pytest.mark.parametrize("report", ["heartbeat", "complete", "fail", "requeue"])
def test_a_bad_row_that_is_processing_can_be_reported_on(
    unconstrained: Connection, metadata: str, report: str
) -> None:
    claimed = dict(claim(unconstrained, limit=10))
    bad = JOBS[GUEST_A]
    unconstrained.execute(
        "update public.async_jobs set metadata = %s, result = %s where id = %s",
        (metadata, metadata, bad),
    )
    if report == "heartbeat":
        unconstrained.execute("update public.async_jobs set result = null")
    constrain(unconstrained)
    if report == "heartbeat":
        assert value(unconstrained, HEARTBEAT, bad, "w1", claimed[bad], 50)
    elif report == "requeue":
        assert unconstrained.execute(REQUEUE.encode(), ("0", 3, None)).fetchone() == (4, 0)
    else:
        items = [
            {"id": str(j), "claim_id": c, "result": {}, "error": "e"} for j, c in claimed.items()
        ]
        assert value(unconstrained, f"select public.{report}_jobs('w1', %s)", Jsonb(items)) == 4


@pytest.mark.parametrize(
    "result",
    ["[1e5000]", nested(101), '"' + "x" * 8 * KIB * KIB + '"'],
    ids=["number", "depth", "size"],
)
def test_a_result_that_cannot_be_stored_fails_its_job_alone(queue: Connection, result: str) -> None:
    (bad, bad_claim), *others = claim(queue, limit=4)
    assert (
        sqlstate_of(
            queue, SERVICE, "select public.complete_job(%s, 'w1', %s, %s)", bad, bad_claim, result
        )
        == "23514"
    )
    items = ", ".join(
        f'{{"id": "{j}", "claim_id": "{c}", "result": {result if j == bad else "{}"}}}'
        for j, c in [(bad, bad_claim), *others]
    )
    assert value(queue, "select public.complete_jobs('w1', %s)", f"[{items}]") == 3
    found = job(queue, bad)
    assert (found["status"], found["error"]) == (
        "failed",
        "The result was too large or not readable.",
    )
    assert {job(queue, j)["status"] for j, _ in others} == {"completed"}


@pytest.mark.parametrize(("text", "code"), [('"a\\u0000"', "22P05"), ("1e131072", "22003")])
@pytest.mark.parametrize("function", ["complete_jobs", "fail_jobs"])
def test_json_that_postgresql_cannot_store_is_refused_before_the_call(
    queue: Connection, function: str, text: str, code: str
) -> None:
    """The guide asks workers to remove it."""
    reports = f'[{{"id": "{JOBS[USER_A]}", "result": {text}, "error": {text}}}]'
    assert sqlstate_of(queue, SERVICE, f"select public.{function}('w1', %s)", reports) == code


# Worker state -----------------------------------------------------------------------------------


@each_owner
def test_an_owner_sees_its_worker_but_no_claim(queue: Connection, owner: RequestIdentity) -> None:
    claimed = dict(claim(queue, limit=4))
    with acting_as(queue, owner) as execute:
        [(text,)] = execute("select j::text from public.async_jobs j")
        [(metadata,)] = execute("select metadata from public.async_jobs")
    assert claimed[JOBS[owner_id(owner)]] not in text
    assert set(metadata) == {"server_id", "last_check", "retry_count"}
    assert sqlstate_of(queue, owner, "select from private.worker_state") == "42501"
    assert sqlstate_of(queue, owner, "update private.worker_state set retry_count = 0") == "42501"


@each_owner
def test_an_owner_cannot_reset_the_retries(queue: Connection, owner: RequestIdentity) -> None:
    job_id = JOBS[owner_id(owner)]
    queue.execute("update public.async_jobs set created_at = '2020-01-01' where id = %s", (job_id,))
    for _ in range(4):
        assert [j for j, _ in claim(queue)] == [job_id]
        keep(queue, owner, "update public.async_jobs set metadata = '{}' where id = %s", job_id)
        silence(queue, job_id)
        queue.execute(REQUEUE.encode(), ("1 minute", 3, None))
    assert job(queue, job_id)["status"] == "failed"
    keep(
        queue,
        owner,
        "update public.async_jobs set status = 'queued', metadata = '{}' where id = %s",
        job_id,
    )
    claim(queue)
    silence(queue, job_id)
    assert queue.execute(REQUEUE.encode(), ("1 minute", 3, None)).fetchone() == (0, 1)


@each_owner
def test_an_owner_cannot_change_the_id_of_a_job(queue: Connection, owner: RequestIdentity) -> None:
    """Otherwise its retries would be lost, and its worker state would stay."""
    claimed = dict(claim(queue, limit=4))
    job_id = JOBS[owner_id(owner)]
    keep(queue, owner, "update public.async_jobs set id = gen_random_uuid()")
    assert {j for (j,) in queue.execute("select id from public.async_jobs")} == set(JOBS.values())
    assert value(queue, HEARTBEAT, job_id, "w1", claimed[job_id], 1)


@each_owner
def test_an_owner_cannot_take_or_keep_a_claim(queue: Connection, owner: RequestIdentity) -> None:
    job_id = JOBS[owner_id(owner)]
    claimed = dict(claim(queue, limit=4))
    forged = Jsonb({"server_id": "me", "claim_id": str(USER_B), "last_check": "infinity"})
    keep(
        queue,
        owner,
        "update public.async_jobs set metadata = %s, status = 'processing' where id = %s",
        forged,
        job_id,
    )
    assert not value(queue, HEARTBEAT, job_id, "me", USER_B, 1)
    assert value(queue, HEARTBEAT, job_id, "w1", claimed[job_id], 1)
    silence(queue, job_id)
    keep(queue, owner, "update public.async_jobs set metadata = %s where id = %s", forged, job_id)
    assert queue.execute(REQUEUE.encode(), ("1 minute", 3, None)).fetchone() == (1, 0)


OWN_JOB = [
    "update public.async_jobs set status = 'queued', metadata = '{}' where id = %s",
    "update public.async_jobs set status = 'completed', progress = 100, result = '7' where id = %s",
    "update public.async_jobs set status = 'cancelled' where id = %s",
    "delete from public.async_jobs where id = %s",
]


@each_owner
@pytest.mark.parametrize("statement", OWN_JOB, ids=["queued", "completed", "cancelled", "deleted"])
def test_an_owner_ends_the_claim_of_its_own_job_only(
    queue: Connection, owner: RequestIdentity, statement: str
) -> None:
    if owner.role == "anon" and statement.startswith("delete"):
        assert sqlstate_of(queue, owner, statement, JOBS[GUEST_A]) == "42501"
        return
    job_id = JOBS[owner_id(owner)]
    claimed = claim(queue, limit=4)
    keep(queue, owner, statement, job_id)
    before = queue.execute("select j from public.async_jobs j where id = %s", (job_id,)).fetchall()
    jobs = [{"id": str(j), "claim_id": claim_id, "result": {}} for j, claim_id in claimed]
    assert value(queue, "select public.complete_jobs('w1', %s)", Jsonb(jobs)) == 3
    assert (
        queue.execute("select j from public.async_jobs j where id = %s", (job_id,)).fetchall()
        == before
    )
    assert {job(queue, j)["status"] for j in JOBS.values() if j != job_id} == {"completed"}


@each_owner
def test_a_job_that_its_owner_marks_as_processing_returns_to_the_queue(
    queue: Connection, owner: RequestIdentity
) -> None:
    job_id = JOBS[owner_id(owner)]
    keep(queue, owner, "update public.async_jobs set status = 'processing' where id = %s", job_id)
    silence(queue, job_id)
    assert queue.execute(REQUEUE.encode(), ("1 minute", 0, None)).fetchone() == (0, 1)
    keep(queue, owner, "update public.async_jobs set status = 'processing' where id = %s", job_id)
    silence(queue, job_id)
    assert queue.execute(REQUEUE.encode(), ("1 minute", 3, None)).fetchone() == (1, 0)
    assert job(queue, job_id)["metadata"]["retry_count"] == 1


def test_the_state_of_a_deleted_job_is_deleted(queue: Connection) -> None:
    claim(queue, limit=4)
    assert row_count(queue, user(USER_A), "delete from public.async_jobs returning id") == 1
    keep(queue, user(USER_A), "delete from public.async_jobs")
    queue.execute("delete from auth.users where id = %s", (USER_B,))
    queue.execute("delete from public.guest_users where guest_id = %s", (GUEST_A,))
    assert len(queue.execute("select from private.worker_state").fetchall()) == 1
    keep(
        queue,
        user(USER_A),
        "insert into public.async_jobs (id, url, user_id) values (%s, 'u', %s)",
        JOBS[USER_A],
        USER_A,
    )
    [(job_id, _)] = claim(queue)
    assert (job_id, job(queue, job_id)["metadata"]["retry_count"]) == (JOBS[USER_A], 0)
