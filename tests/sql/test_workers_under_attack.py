"""Workers that are killed while hostile owners write: no job is lost, none is done twice, no job of
others fails.

A run takes a few seconds; SUPABASE_JOBS_ATTACK_SECONDS=60 makes it a minute. `pytest -s` prints the
figures.
"""

import os
import random
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import pairwise
from multiprocessing import get_context
from multiprocessing.process import BaseProcess

import psycopg
import pytest
from psycopg.types.json import Jsonb

from supabase_jobs.database.connection import Connection
from tests.fix_db import Make
from tests.impersonation import GUEST_A, GUEST_B, USER_A, USER_B, RequestIdentity, guest, user
from tests.sql.test_hostile_owners import BAD_METADATA, keep
from tests.sql.test_worker_deaths import WATCH
from tests.sql.test_workers import COMPLETE, HEARTBEAT, NEXT, REQUEUE, claim, value

pytestmark = pytest.mark.slow

SECONDS = float(os.environ.get("SUPABASE_JOBS_ATTACK_SECONDS", "4"))
WORKERS = 8
PROCESSES = get_context("forkserver")
PROCESSES.set_forkserver_preload(["tests.sql.test_workers_under_attack"])
chance = random.Random()  # noqa: S311  no secret

# the hostile owners are GUEST_A and USER_A
INNOCENT = (GUEST_B, USER_B)
OWNERS = """
insert into auth.users (id) values (%(a)s), (%(b)s);
insert into public.guest_users (guest_id) values (%(c)s), (%(d)s);
"""
ADD = """
insert into public.async_jobs (url, guest_id, user_id, metadata)
select 'https://x.com/1', %s, %s, '{"item_id": "1", "platform": "x"}' from generate_series(1, %s)
"""
INNOCENT_JOBS = "select status, count(*) from public.async_jobs where guest_id = %s or user_id = %s group by status"


# Workers ----------------------------------------------------------------------------------------

# jobs, each with its claim
Claimed = Sequence[tuple[uuid.UUID, str]]


def work(url: str, name: str) -> None:
    """Process jobs until the process is killed; connect again after pg_terminate_backend. Other
    errors end it.
    """
    while True:
        try:
            with psycopg.connect(url, autocommit=True, application_name="worker") as connection:
                connection.execute("set role service_role")
                while True:
                    process_batch(connection, name)
        except psycopg.OperationalError as error:
            if not isinstance(error, psycopg.errors.AdminShutdown) and error.sqlstate is not None:
                raise


def process_batch(connection: Connection, name: str) -> None:
    """Claim up to ten jobs, report progress on some, and complete them together or one by one. Half
    of the time the report on them claims the next ones.
    """
    claimed = claim(connection, name, chance.randint(1, 10))
    process(connection, name, claimed)
    while claimed and chance.random() < 0.5:
        reports = Jsonb(completions(name, claimed))
        rows = connection.execute(NEXT.encode(), (reports, name, chance.randint(1, 10)))
        claimed = [(job, metadata["claim_id"]) for job, _, metadata in rows]
        process(connection, name, claimed)
    if chance.random() < 0.5:
        jobs = Jsonb(completions(name, claimed))
        value(connection, "select public.complete_jobs(%s, %s)", name, jobs)
    else:
        for job, claim_id in claimed:
            value(connection, COMPLETE, job, name, claim_id, Jsonb({"by": name}))


def process(connection: Connection, name: str, claimed: Claimed) -> None:
    """Work on the jobs, or pause as an idle worker does."""
    time.sleep(0.005)
    for job, claim_id in claimed[::4]:
        value(connection, HEARTBEAT, job, name, claim_id, chance.choice((None, 50)))


def completions(name: str, claimed: Claimed) -> list[dict[str, object]]:
    """The reports on the jobs."""
    return [
        {"id": str(job), "claim_id": claim_id, "result": {"by": name}} for job, claim_id in claimed
    ]


class Workers:
    """Eight worker processes, some of which are killed and replaced."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.running: list[BaseProcess] = []
        self.deaths: Counter[str] = Counter()

    def start(self) -> None:
        """Start another worker."""
        name = f"worker-{len(self.running) + self.deaths['process']}"
        process = PROCESSES.Process(target=work, args=(self.url, name), daemon=True)
        process.start()
        self.running.append(process)

    def assert_alive(self) -> None:
        """No worker has ended by itself, that is, by an error of a function."""
        assert all(process.is_alive() for process in self.running), "a worker ended by an error"

    def kill_one(self, keeper: Connection) -> None:
        """Kill a process and replace it, or terminate the backend of one."""
        if chance.random() < 0.5:
            terminate = (
                "select count(pg_terminate_backend(pid)) from (select pid from pg_stat_activity"
                " where datname ="
                " current_database() and application_name = 'worker' order by random() limit 1) as"
                " a"
            )
            self.deaths["backend"] += value(keeper, terminate)
            return
        process = self.running.pop(chance.randrange(WORKERS))
        process.kill()
        process.join()
        self.deaths["process"] += 1
        self.start()


@contextmanager
def working(url: str) -> Iterator[Workers]:
    """Run all workers until the end of the block."""
    workers = Workers(url)
    try:
        for _ in range(WORKERS):
            workers.start()
        yield workers
    finally:
        for process in workers.running:
            process.kill()
            process.join()


# Hostile owners ---------------------------------------------------------------------------------

SOME = "where id in (select id from public.async_jobs order by random() limit 4)"
FORGED = Jsonb(
    {
        "claim_id": str(uuid.UUID(int=7)),
        "server_id": "worker-1",
        "retry_count": -9,
        "last_check": "infinity",
    }
)


def insert(owner: RequestIdentity, columns: str, number: int = 3) -> str:
    """An INSERT of jobs of the owner with one more column or several."""
    column, owner_id = ("guest_id", GUEST_A) if owner.role == "anon" else ("user_id", USER_A)
    marks = ", ".join(["%s"] * (columns.count(",") + 1))
    return (
        f"insert into public.async_jobs (url, {column}, {columns})"
        f" select 'u', '{owner_id}', {marks} from generate_series(1, {number})"
    )


def attacks(owner: RequestIdentity) -> dict[str, tuple[str, tuple[object, ...]]]:
    """Names of attacks → the statement of a hostile owner and its values."""
    update = "update public.async_jobs set"
    return {
        **{
            f"poison {n}": (insert(owner, "metadata"), (text,))
            for n, text in enumerate(BAD_METADATA)
        },
        **{
            f"poison update {n}": (f"{update} metadata = %s {SOME}", (text,))
            for n, text in enumerate(BAD_METADATA)
        },
        "poison result": (f"{update} result = %s {SOME}", (BAD_METADATA[0],)),
        "large metadata": (insert(owner, "metadata"), (Jsonb({"k": "x" * 65_000}),)),
        "large result": (f"{update} result = %s {SOME}", (Jsonb("x" * 65_000),)),
        "too large result": (f"{update} result = %s {SOME}", (Jsonb("x" * 66_000),)),
        "backdated": (insert(owner, "created_at, updated_at", 20), ("1970-01-01", "infinity")),
        "backdate": (f"{update} created_at = %s, updated_at = 'infinity' {SOME}", ("1970-01-01",)),
        "queued": (f"{update} status = 'queued', progress = 0, metadata = '{{}}' {SOME}", ()),
        "forged": (f"{update} status = 'processing', metadata = %s {SOME}", (FORGED,)),
        "forged insert": (insert(owner, "metadata, status"), (FORGED, "processing")),
        "invented": (f"{update} status = 'completed', progress = 100, result = '7' {SOME}", ()),
        "failed": (f"{update} status = 'failed', error = 'e' {SOME}", ()),
        "cancelled": (f"{update} status = 'cancelled' {SOME}", ()),
        "renamed": (f"{update} id = gen_random_uuid() {SOME}", ()),
        "held": (
            f"with u as ({update} progress = 1 {SOME} returning 1) select pg_sleep(0.05) from u"
            " limit 1",
            (),
        ),
        "deleted": (f"delete from public.async_jobs {SOME}", ()),
        "migrated": ("select public.migrate_guest_jobs(%s, %s)", (GUEST_A, USER_A)),
        "state": ("update private.worker_state set retry_count = 99, claim_id = null", ()),
        "claimed": ("select public.claim_jobs('worker-1', 1000)", ()),
        "requeued": ("select public.requeue_stale_jobs('0', 0)", ()),
    }


class Attack:
    """Hostile owners in threads, and what became of their statements."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.over = threading.Event()
        self.outcomes: Counter[tuple[str, str, str]] = Counter()
        self.errors: list[BaseException] = []

    def run(self, owner: RequestIdentity) -> None:
        """Send statements at random, each in its own transaction."""
        try:
            statements = list(attacks(owner).items())
            with psycopg.connect(self.url, autocommit=True) as connection:
                while not self.over.wait(0.01):
                    name, (statement, values) = chance.choice(statements)
                    send = partial(keep, connection, owner, statement, *values)
                    self.outcomes[owner.role, name, outcome(send)] += 1
        except BaseException as error:  # noqa: BLE001  a thread's failure is the test's
            self.errors.append(error)


def outcome(send: Callable[[], object]) -> str:
    """`ok`, or the SQLSTATE."""
    try:
        send()
    except psycopg.Error as error:
        return error.sqlstate or "?"
    return "ok"


@contextmanager
def attacking(url: str) -> Iterator[Attack]:
    """Let a guest, a user, and the user with the header of the guest attack until the end of the
    block.
    """
    attack = Attack(url)
    callers = (
        guest(GUEST_A),
        user(USER_A),
        RequestIdentity("authenticated", sub=USER_A, guest=GUEST_A),
    )
    threads = [threading.Thread(target=attack.run, args=(caller,)) for caller in callers]
    for thread in threads:
        thread.start()
    try:
        yield attack
    finally:
        attack.over.set()
        for thread in threads:
            thread.join(30)


# The run ----------------------------------------------------------------------------------------


def step(keeper: Connection, workers: Workers) -> None:
    """Requeue the jobs of killed workers, as a scheduled call does."""
    keeper.execute(REQUEUE.encode(), ("2 seconds", 20, None))
    workers.assert_alive()
    time.sleep(0.05)


def test_killed_workers_and_hostile_owners_harm_no_job_of_others(make_database: Make) -> None:
    url, added = make_database("applied").url, 0
    with psycopg.connect(url, autocommit=True) as keeper:
        with psycopg.ClientCursor(keeper) as cursor:
            cursor.execute(OWNERS.encode(), {"a": USER_A, "b": USER_B, "c": GUEST_A, "d": GUEST_B})
        keeper.execute(WATCH.encode())
        with working(url) as workers:
            started = time.monotonic()
            with attacking(url) as attack:
                while time.monotonic() - started < SECONDS:
                    for owner in ((GUEST_B, None), (None, USER_B)):
                        keeper.execute(ADD.encode(), (*owner, 5))
                        added += 5
                    step(keeper, workers)
                    if chance.random() < 0.3:
                        workers.kill_one(keeper)
            assert attack.errors == []
            deadline = time.monotonic() + 60 + SECONDS
            while (counts := keeper.execute(INNOCENT_JOBS, INNOCENT).fetchall()) != [
                ("completed", added)
            ]:
                assert time.monotonic() < deadline, f"jobs were lost: {counts}"
                step(keeper, workers)
            seconds = time.monotonic() - started
        assert_histories(keeper, added)
        [(every,)] = keeper.execute(
            "select count(*) from public.history where status = 'completed'"
        )
    report(attack, workers, added, every, seconds)
    assert_refusals(attack)


def assert_histories(keeper: Connection, added: int) -> None:
    """Each job of others was claimed only from the queue, by one worker at a time, and was
    completed once.
    """
    steps: dict[uuid.UUID, list[tuple[str, str]]] = {}
    innocent = "select h.job, h.status, h.claim from public.history h join public.async_jobs j on j.id = h.job"
    where = " where j.guest_id = %s or j.user_id = %s order by h.id"
    for job, status, claim_id in keeper.execute((innocent + where).encode(), INNOCENT):
        steps.setdefault(job, []).append((status, claim_id))
    assert len(steps) == added
    legal = {("processing", "queued"), ("queued", "processing"), ("processing", "completed")}
    for history in steps.values():
        statuses = [status for status, _ in history]
        assert set(pairwise(statuses)) <= legal, history
        assert (statuses[0], statuses[-1], statuses.count("completed")) == (
            "processing",
            "completed",
            1,
        )
    claims = [
        claim_id
        for history in steps.values()
        for status, claim_id in history
        if status == "processing"
    ]
    assert len(claims) == len(set(claims))
    results = "select count(*) from public.async_jobs where (guest_id = %s or user_id = %s) and result ? 'by'"
    assert value(keeper, results, *INNOCENT) == added


def assert_refusals(attack: Attack) -> None:
    """No statement of an owner had an effect that it must not have, and every refusal has its own
    SQLSTATE.
    """
    seen: dict[str, set[tuple[str, str]]] = {}
    for role, name, result in attack.outcomes:
        seen.setdefault(name, set()).add((role, result))
    for name, results in seen.items():
        refusals = {result for _, result in results} - {"ok", "40P01"}
        if name in ("state", "claimed", "requeued"):
            assert refusals == {result for _, result in results} == {"42501"}, name
        elif name in ("deleted", "migrated"):
            assert refusals <= {"42501"}, name
            assert ("anon", "ok") not in results, name
        elif name.startswith("poison") and "update" not in name and "result" not in name:
            assert {result for _, result in results} == {"23514"}, name
        else:
            assert refusals <= {"23514"}, (name, results)


def report(attack: Attack, workers: Workers, added: int, completed: int, seconds: float) -> None:
    """Print the figures of the run."""
    sent = attack.outcomes.total()
    refused = Counter(
        {
            result: sum(n for (_, _, r), n in attack.outcomes.items() if r == result)
            for _, _, result in attack.outcomes
        }
    )
    print(  # noqa: T201  the figures of a run
        f"\n{SECONDS:.0f} s of attack, {seconds:.0f} s until the last job: {added:,} jobs of"
        " others completed once,"
        f" {completed:,} completions in all; {workers.deaths['process']} processes and"
        f" {workers.deaths['backend']}"
        f" backends killed; {sent:,} hostile statements: "
        + ", ".join(f"{number:,} {result}" for result, number in refused.most_common())
    )
