"""The optional limits of owners: what each refuses, what it counts, whom it spares."""

import threading
import time
from collections.abc import Callable
from typing import Any

import psycopg
import pytest
from psycopg import IsolationLevel

from supabase_jobs.database.connection import Connection
from tests.fix_db import Make, oldest_and_newest
from tests.impersonation import (
    GUEST_A,
    GUEST_B,
    JOBS,
    MIGRATE,
    SERVICE,
    USER_A,
    RequestIdentity,
    acting_as,
    guest,
    insert_fixture_rows,
    row_count,
    sqlstate_of,
    user,
)
from tests.programs import DEFAULT_MAJOR
from tests.sql.owner_limits import STRICTEST, set_limits
from tests.sql.test_hostile_owners import each_owner, insert, keep, owner_id
from tests.sql.test_worker_plans import fetched
from tests.sql.test_workers import claim

ACTIVE = "insert into public.async_jobs (url, {}, status) select 'u', %s, %s from generate_series(1, %s) returning id"
REACTIVATE = "update public.async_jobs set status = 'queued' where status = 'completed'"
CANCEL = "update public.async_jobs set status = 'cancelled' where id = %s"


@pytest.fixture(params=[DEFAULT_MAJOR], ids=lambda major: f"pg{major}")
def each_major(request: pytest.FixtureRequest) -> int:
    """The versions differ in nothing that these tests depend on; only the concurrent requests run
    on two of them.
    """
    major: int = request.param
    return major


def many(owner: RequestIdentity) -> str:
    """An INSERT of jobs of an owner; its parameters: owner, status, number."""
    return ACTIVE.format("guest_id" if owner.role == "anon" else "user_id")


def active_limit(owner: RequestIdentity, limit: int) -> dict[str, int]:
    """The variable that limits the active jobs of an owner of this kind."""
    return {f"max_active_jobs_per_{'guest' if owner.role == 'anon' else 'user'}": limit}


@pytest.fixture
def queue(rolled_back: Connection) -> Connection:
    """Four queued jobs of four owners, each created two hours ago."""
    insert_fixture_rows(rolled_back)
    rolled_back.execute("update public.async_jobs set created_at = now() - interval '2 hours'")
    return rolled_back


def fails(
    connection: Connection, caller: RequestIdentity, statement: str, *values: object
) -> psycopg.Error:
    """The error with which a caller's statement fails."""
    with pytest.raises(psycopg.Error) as caught, acting_as(connection, caller) as execute:
        execute(statement, *values)
    return caught.value


# Active jobs --------------------------------------------------------------------------------------


@each_owner
def test_active_jobs_are_limited_for_each_owner(queue: Connection, owner: RequestIdentity) -> None:
    set_limits(queue, **active_limit(owner, 3))
    keep(queue, owner, many(owner), owner_id(owner), "queued", 2)
    error = fails(queue, owner, many(owner), owner_id(owner), "queued", 1)
    kind = "guest" if owner.role == "anon" else "user"
    assert (
        error.sqlstate,
        error.diag.message_primary,
        error.diag.message_detail,
        error.diag.message_hint,
    ) == (
        "PT429",
        "too many active jobs",
        f"Queued and processing jobs of a {kind}: at most 3.",
        "Wait until a job has ended, or cancel one.",
    )
    assert row_count(queue, guest(GUEST_B), many(guest(GUEST_B)), GUEST_B, "queued", 1) == 1


@each_owner
def test_a_request_with_many_jobs_is_refused_as_a_whole(
    queue: Connection, owner: RequestIdentity
) -> None:
    set_limits(queue, **active_limit(owner, 3))
    assert row_count(queue, owner, many(owner), owner_id(owner), "queued", 2) == 2
    assert sqlstate_of(queue, owner, many(owner), owner_id(owner), "queued", 3) == "PT429"
    assert row_count(queue, owner, "select from public.async_jobs") == 1


@each_owner
def test_finished_jobs_are_not_counted(queue: Connection, owner: RequestIdentity) -> None:
    set_limits(queue, **active_limit(owner, 1))
    assert row_count(queue, owner, many(owner), owner_id(owner), "completed", 9) == 9
    assert sqlstate_of(queue, owner, many(owner), owner_id(owner), "processing", 1) == "PT429"
    keep(queue, owner, CANCEL, JOBS[owner_id(owner)])
    assert row_count(queue, owner, many(owner), owner_id(owner), "queued", 1) == 1


@each_owner
def test_a_claimed_job_counts_until_its_worker_ends_it(
    queue: Connection, owner: RequestIdentity
) -> None:
    set_limits(queue, **active_limit(owner, 1))
    claim(queue, limit=4)
    assert sqlstate_of(queue, owner, many(owner), owner_id(owner), "queued", 1) == "PT429"
    queue.execute("update public.async_jobs set status = 'failed'")
    assert sqlstate_of(queue, owner, many(owner), owner_id(owner), "queued", 1) is None


@each_owner
def test_an_update_that_queues_a_job_again_is_limited(
    queue: Connection, owner: RequestIdentity
) -> None:
    set_limits(queue, **active_limit(owner, 2))
    keep(queue, owner, many(owner), owner_id(owner), "completed", 2)
    assert sqlstate_of(queue, owner, REACTIVATE) == "PT429"
    one = f"{REACTIVATE} and id = (select max(id::text)::uuid from public.async_jobs where status = 'completed')"
    keep(queue, owner, one)
    assert sqlstate_of(queue, owner, REACTIVATE) == "PT429"
    assert (
        row_count(
            queue,
            owner,
            "update public.async_jobs set status = 'processing' where status = 'queued'",
        )
        == 2
    )


@each_owner
def test_an_upsert_counts_only_what_it_inserts(queue: Connection, owner: RequestIdentity) -> None:
    set_limits(queue, **active_limit(owner, 1))
    upsert = insert(owner, "id").replace(
        " returning", " on conflict (id) do update set progress = 7 returning"
    )
    assert sqlstate_of(queue, owner, upsert, JOBS[owner_id(owner)]) is None
    assert sqlstate_of(queue, owner, upsert, JOBS[GUEST_B]) == "42501"
    assert sqlstate_of(queue, owner, upsert, GUEST_B) == "PT429"


@each_owner
def test_an_owner_above_the_limit_changes_and_ends_its_jobs(
    queue: Connection, owner: RequestIdentity
) -> None:
    keep(queue, owner, many(owner), owner_id(owner), "queued", 4)
    set_limits(queue, **active_limit(owner, 2))
    assert (
        row_count(queue, owner, "update public.async_jobs set progress = 50, status = 'processing'")
        == 5
    )
    assert row_count(queue, owner, "update public.async_jobs set status = 'cancelled'") == 5
    assert sqlstate_of(queue, owner, many(owner), owner_id(owner), "queued", 1) == "PT429"


@each_owner
def test_the_other_kind_of_owner_has_no_limit(queue: Connection, owner: RequestIdentity) -> None:
    other = (
        {"max_active_jobs_per_user": 1}
        if owner.role == "anon"
        else {"max_active_jobs_per_guest": 1}
    )
    set_limits(queue, **other)
    assert row_count(queue, owner, many(owner), owner_id(owner), "queued", 9) == 9


def test_a_users_guest_header_does_not_change_its_limit(queue: Connection) -> None:
    set_limits(queue, max_active_jobs_per_guest=1, max_new_jobs_per_guest_per_hour=1)
    both = user(USER_A, GUEST_A)
    assert row_count(queue, both, many(both), USER_A, "queued", 9) == 9


def test_a_foreign_row_is_refused_by_its_policy_whatever_the_limit(queue: Connection) -> None:
    """Whether another owner has reached the limit is not visible."""
    set_limits(
        queue,
        max_active_jobs_per_guest=1,
        max_active_jobs_per_user=1,
        max_new_jobs_per_guest_per_hour=1,
    )
    assert sqlstate_of(queue, guest(GUEST_A), many(guest(GUEST_A)), GUEST_B, "queued", 1) == "42501"
    take_over = "update public.async_jobs set guest_id = %s, status = 'queued'"
    keep(queue, guest(GUEST_A), CANCEL, JOBS[GUEST_A])
    assert sqlstate_of(queue, guest(GUEST_A), take_over, GUEST_B) == "42501"


def test_a_policy_that_hides_jobs_from_their_owner_does_not_raise_the_limit(
    queue: Connection,
) -> None:
    set_limits(queue, max_active_jobs_per_guest=1)
    queue.execute(
        "create policy hide on public.async_jobs as restrictive for select to anon using (false)"
    )
    statement = "insert into public.async_jobs (url, guest_id) values ('u', %s)"
    assert sqlstate_of(queue, guest(GUEST_A), statement, GUEST_A) == "PT429"


def test_the_service_and_definer_functions_of_the_owner_have_no_limit(queue: Connection) -> None:
    set_limits(queue, **STRICTEST)
    for caller in (guest(GUEST_A), user(USER_A)):
        assert row_count(queue, SERVICE, many(caller), owner_id(caller), "queued", 3) == 3
    assert (
        row_count(
            queue, SERVICE, "update public.async_jobs set progress = 50, status = 'completed'"
        )
        == 4
    )
    queue.execute(
        "create function public.add_job() returns void language sql security definer as"
        f" $$ insert into public.async_jobs (url, guest_id) values ('u', '{GUEST_A}');"
        f" update public.async_jobs set progress = 50 where guest_id = '{GUEST_A}' $$"
    )
    assert sqlstate_of(queue, guest(GUEST_A), "select public.add_job()") is None


def test_a_migration_of_a_guest_exceeds_the_limit_of_the_user(queue: Connection) -> None:
    set_limits(queue, **STRICTEST)
    both = user(USER_A, GUEST_A)
    assert keep(queue, both, MIGRATE, GUEST_A, USER_A) == [(1,)]
    assert row_count(queue, both, "select from public.async_jobs where status = 'queued'") == 2
    assert sqlstate_of(queue, both, many(both), USER_A, "queued", 1) == "PT429"
    keep(queue, both, CANCEL, JOBS[GUEST_A])
    keep(queue, both, CANCEL, JOBS[USER_A])
    assert sqlstate_of(queue, both, many(both), USER_A, "queued", 1) is None


# New jobs in an hour ------------------------------------------------------------------------------


def test_new_jobs_of_a_guest_in_an_hour_are_limited(queue: Connection) -> None:
    set_limits(queue, max_new_jobs_per_guest_per_hour=2)
    caller = guest(GUEST_A)
    assert sqlstate_of(queue, caller, many(caller), GUEST_A, "queued", 3) == "PT429"
    keep(queue, caller, many(caller), GUEST_A, "cancelled", 2)
    error = fails(queue, caller, many(caller), GUEST_A, "completed", 1)
    assert (
        error.sqlstate,
        error.diag.message_primary,
        error.diag.message_detail,
        error.diag.message_hint,
    ) == (
        "PT429",
        "too many new jobs",
        "New jobs of a guest in one hour: at most 2.",
        "Try again later.",
    )
    assert row_count(queue, guest(GUEST_B), many(caller), GUEST_B, "queued", 2) == 2
    assert row_count(queue, user(USER_A), many(user(USER_A)), USER_A, "queued", 9) == 9
    backdated = (
        "insert into public.async_jobs (url, guest_id, created_at) values ('u', %s, '2001-01-01')"
    )
    assert sqlstate_of(queue, caller, backdated, GUEST_A) == "PT429"


@pytest.mark.parametrize(
    ("age", "state"), [("1 hour", None), ("59 minutes 59.999999 seconds", "PT429")]
)
def test_the_hour_ends_with_the_request(queue: Connection, age: str, state: str | None) -> None:
    set_limits(queue, max_new_jobs_per_guest_per_hour=1)
    queue.execute("update public.async_jobs set created_at = now() - %s::interval", (age,))
    assert sqlstate_of(queue, guest(GUEST_A), many(guest(GUEST_A)), GUEST_A, "queued", 1) == state


# Cancellation only --------------------------------------------------------------------------------


@each_owner
@pytest.mark.parametrize("status", ["queued", "processing"])
def test_an_owner_cancels_an_active_job(
    queue: Connection, owner: RequestIdentity, status: str
) -> None:
    set_limits(queue, owners_may_only_cancel=True)
    queue.execute(
        "update public.async_jobs set status = %s, result = '8', metadata = '{\"a\": 1.0}'",
        (status,),
    )
    job = JOBS[owner_id(owner)]
    assert row_count(queue, owner, CANCEL, job) == 1
    sent = "update public.async_jobs set status = 'cancelled', updated_at = 'infinity', created_at = now(), url = url"
    assert row_count(queue, owner, sent) == 1
    upsert = (
        insert(owner, "id, status")
        .replace("'u'", "'https://x.com/1'")
        .replace(
            " returning",
            " on conflict (id) do update set status = excluded.status, url ="
            " excluded.url returning",
        )
    )
    assert row_count(queue, owner, upsert, job, "cancelled") == 1


CHANGES = {
    "another status": "status = 'completed'",
    "no change": "status = status",
    "the progress too": "status = 'cancelled', progress = 50",
    "the url too": "status = 'cancelled', url = 'v'",
    "a result too": "status = 'cancelled', result = '1'",
    "an error too": "status = 'cancelled', error = 'e'",
    "metadata too": "status = 'cancelled', metadata = '{}'",
    "metadata with equal values": "status = 'cancelled', metadata = '{\"a\": 1.00}'",
    "the id too": "status = 'cancelled', id = gen_random_uuid()",
    "the owner too": "status = 'cancelled', guest_id = null",
    "a column of the project": "status = 'cancelled', note = 'x'",
}


@each_owner
@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_an_owner_changes_nothing_else(
    queue: Connection, owner: RequestIdentity, change: str
) -> None:
    queue.execute(
        "alter table public.async_jobs add note text, add length integer generated always as (1)"
        " stored"
    )
    queue.execute("update public.async_jobs set metadata = '{\"a\": 1.0}'")
    if owner.role != "anon":
        change = change.replace("guest_id", "user_id")
    set_limits(queue, owners_may_only_cancel=True)
    error = fails(queue, owner, f"update public.async_jobs set {change}")
    assert (error.sqlstate, error.diag.message_primary, error.diag.message_hint) == (
        "PT403",
        "a guest or user may only cancel a job that is queued or processing",
        "Update nothing but the status, and filter by the status queued or processing.",
    )
    assert sqlstate_of(queue, owner, CANCEL, JOBS[owner_id(owner)]) is None


@each_owner
@pytest.mark.parametrize("status", ["completed", "failed", "cancelled"])
def test_an_owner_does_not_cancel_a_finished_job(
    queue: Connection, owner: RequestIdentity, status: str
) -> None:
    queue.execute("update public.async_jobs set status = %s", (status,))
    set_limits(queue, owners_may_only_cancel=True)
    assert sqlstate_of(queue, owner, CANCEL, JOBS[owner_id(owner)]) == "PT403"
    assert sqlstate_of(queue, owner, CANCEL, JOBS[GUEST_B]) is None  # hidden


def test_a_trigger_of_the_project_sets_columns_of_a_cancelled_job(queue: Connection) -> None:
    queue.execute(
        "alter table public.async_jobs add ended_at timestamptz;"
        "create function public.ended() returns trigger language plpgsql as"
        " $$ begin new.ended_at := now(); return new; end $$;"
        "create trigger set_ended_at before update on public.async_jobs"
        " for each row execute function public.ended()"
    )
    set_limits(queue, owners_may_only_cancel=True)
    assert row_count(queue, guest(GUEST_A), CANCEL, JOBS[GUEST_A]) == 1


# All limits ---------------------------------------------------------------------------------------


@each_owner
@pytest.mark.parametrize("before", [{}, STRICTEST], ids=["never on", "off again"])
def test_without_a_limit_an_owner_does_as_before(
    queue: Connection, owner: RequestIdentity, before: dict[str, Any]
) -> None:
    if before:
        set_limits(queue, **before)
        set_limits(queue)
    keep(queue, owner, many(owner), owner_id(owner), "queued", 20)
    keep(
        queue,
        owner,
        "update public.async_jobs set status = 'completed', progress = 50, result = '1'",
    )
    assert row_count(queue, owner, "update public.async_jobs set status = 'queued'") == 21


LOCKS = """
select distinct c.oid::regclass::text
from pg_locks as l inner join pg_class as c on l.relation = c.oid
where l.pid = pg_backend_pid() and l.mode in ('ShareRowExclusiveLock', 'AccessExclusiveLock')
  and c.relnamespace in ('public'::regnamespace, 'private'::regnamespace)
"""


def test_another_number_locks_no_table(make_database: Make) -> None:
    with psycopg.connect(make_database("applied").url) as connection:
        for limit, locked in ((3, ["async_jobs"]), (5, []), (0, ["async_jobs"])):
            set_limits(connection, max_active_jobs_per_guest=limit)
            assert [name for (name,) in connection.execute(LOCKS).fetchall()] == locked
            connection.commit()


TRIGGERS = "select tgname from pg_trigger where tgrelid = 'public.async_jobs'::regclass and not tgisinternal"


@pytest.mark.parametrize(
    ("variables", "triggers"),
    [
        (
            {"max_active_jobs_per_guest": 1},
            {"limit_new_jobs_trigger", "limit_reactivated_jobs_trigger"},
        ),
        (
            {"max_active_jobs_per_user": 1},
            {"limit_new_jobs_trigger", "limit_reactivated_jobs_trigger"},
        ),
        ({"max_new_jobs_per_guest_per_hour": 1}, {"limit_new_jobs_trigger"}),
        ({"owners_may_only_cancel": True}, {"allow_only_cancellation_trigger"}),
    ],
)
def test_only_a_limit_that_is_on_has_triggers(
    rolled_back: Connection, variables: dict[str, int | bool], triggers: set[str]
) -> None:
    before = rolled_back.execute(TRIGGERS).fetchall()
    for limits, added in (
        (variables, triggers),
        (variables, triggers),
        (STRICTEST, None),
        (variables, triggers),
    ):
        set_limits(rolled_back, **limits)
        if added is not None:
            now = {name for (name,) in rolled_back.execute(TRIGGERS).fetchall()}
            assert now - {name for (name,) in before} == added
    set_limits(rolled_back)
    assert rolled_back.execute(TRIGGERS).fetchall() == before


@pytest.mark.parametrize("level", [IsolationLevel.REPEATABLE_READ, IsolationLevel.SERIALIZABLE])
def test_a_limit_is_not_checked_with_an_old_snapshot(
    shared: Callable[[int], str], level: IsolationLevel
) -> None:
    with psycopg.connect(shared(DEFAULT_MAJOR)) as connection:
        connection.isolation_level = level
        insert_fixture_rows(connection)
        caller = guest(GUEST_A)
        assert sqlstate_of(connection, caller, many(caller), GUEST_A, "queued", 1) is None
        for limit in ("max_active_jobs_per_guest", "max_new_jobs_per_guest_per_hour"):
            set_limits(connection, **{limit: 5})
            error = fails(connection, caller, many(caller), GUEST_A, "queued", 1)
            assert error.sqlstate == "0A000"
            assert "READ COMMITTED" in str(error.diag.message_hint)
        connection.rollback()


@pytest.mark.parametrize("known", [True, False], ids=["analyzed since", "not analyzed since"])
@pytest.mark.parametrize("rounds", [1, 40], ids=["together", "scattered"])
@each_owner
def test_a_check_reads_only_as_many_jobs_as_the_limit(
    queue: Connection, owner: RequestIdentity, rounds: int, known: bool
) -> None:
    column, who = ("guest_id", GUEST_A) if owner.role == "anon" else ("user_id", USER_A)
    if not known:
        queue.execute("analyze public.async_jobs")
    for _ in range(rounds):
        for status, number in (("completed", 2000), ("queued", 200)):
            keep(queue, SERVICE, many(owner), who, status, number // rounds)
            keep(queue, SERVICE, many(guest(GUEST_B)), GUEST_B, status, number // rounds)
    if known:
        queue.execute("analyze public.async_jobs")
    set_limits(queue, **active_limit(owner, 300))
    check = (
        f"select private.check_active_jobs({'%s, null' if column == 'guest_id' else 'null, %s'})"
    )
    for _ in range(7):  # later calls may use a generic plan
        before = fetched(queue)
        queue.execute(check.encode(), (who,))
        assert fetched(queue) - before <= 201
    set_limits(queue, **active_limit(owner, 5))
    before = fetched(queue)
    with pytest.raises(psycopg.Error, match="too many active jobs"), queue.transaction():
        queue.execute(check.encode(), (who,))
    assert fetched(queue) - before <= 6


# Concurrent requests ------------------------------------------------------------------------------


def _begin(
    url: str, caller: RequestIdentity, statement: str, values: tuple[object, ...]
) -> Callable[[], Any]:
    """Run a statement of a caller in a thread, and commit it; returns a function that waits for its
    SQLSTATE.
    """
    found: list[str | None] = []

    def run() -> None:
        with psycopg.connect(url, autocommit=True) as connection:
            try:
                keep(connection, caller, statement, *values)
                found.append(None)
            except psycopg.Error as error:
                found.append(error.sqlstate)

    thread = threading.Thread(target=run)
    thread.start()

    def wait() -> str | None:
        thread.join(20)
        return found[0]

    return wait


WAITING = "select count(*) from pg_locks where locktype = 'advisory' and not granted"


def _until_waiting(connection: Connection) -> None:
    for _ in range(2000):
        if connection.execute(WAITING).fetchone() == (1,):
            return
        time.sleep(0.01)
    raise AssertionError("the second request does not wait")


@oldest_and_newest
@pytest.mark.parametrize("ending", ["commit", "rollback"])
def test_of_two_concurrent_requests_at_the_limit_one_succeeds(
    make_database: Make, each_major: int, ending: str
) -> None:
    url = make_database("applied", each_major).url
    requests = [
        (
            {"max_active_jobs_per_guest": 2},
            guest(GUEST_A),
            many(guest(GUEST_A)),
            (GUEST_A, "queued", 1),
        ),
        ({"max_active_jobs_per_user": 2}, user(USER_A), many(user(USER_A)), (USER_A, "queued", 1)),
        (
            {"max_new_jobs_per_guest_per_hour": 2},
            guest(GUEST_A),
            many(guest(GUEST_A)),
            (GUEST_A, "failed", 1),
        ),
        ({"max_active_jobs_per_user": 1}, user(USER_A), REACTIVATE + " and id = any(%s)", ()),
    ]
    with psycopg.connect(url, autocommit=True) as admin, psycopg.connect(url) as first:
        insert_fixture_rows(admin)
        for variables, caller, statement, values in requests:
            admin.execute(
                "delete from public.async_jobs where id <> all(%s)", (list(JOBS.values()),)
            )
            set_limits(admin, **variables)
            sent: list[tuple[object, ...]] = [values, values]
            if not values:
                admin.execute("update public.async_jobs set status = 'completed'")
                [(other,)] = keep(admin, SERVICE, many(caller), USER_A, "completed", 1)
                sent = [([JOBS[USER_A]],), ([other],)]
            first.execute("select 1")  # begins a transaction
            keep(first, caller, statement, *sent[0])
            second = _begin(url, caller, statement, sent[1])
            _until_waiting(admin)
            getattr(first, ending)()
            assert second() == ("PT429" if ending == "commit" else None)
