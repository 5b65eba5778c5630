"""Insert jobs and guests of every age and state, including ages at a limit."""

import random

import psycopg

from supabase_jobs.database.connection import Connection

STATUSES = ("queued", "processing", "completed", "failed", "cancelled")
# days; the fractions are a microsecond before and after the default limits, the last one is in the
# future
AGES = (0.0, 1.0, 6.0, 7.0, 7 - 1 / 86_400e6, 7 + 1 / 86_400e6, 8.0, 29.0, 30.0, 31.0, 100.0, -1.0)

_GUESTS = """
insert into public.guest_users (guest_id, last_seen_at)
select gen_random_uuid(), now() - a * interval '1 day' from unnest(%s::float8[]) as a returning guest_id
"""
_JOBS = """
insert into public.async_jobs (url, status, guest_id, updated_at)
select 'https://x.com/' || a, s, g, now() - a * interval '1 day'
from unnest(%s::uuid[], %s::text[], %s::float8[]) as t (g, s, a)
"""


def populate(connection: Connection, guests: int = 200, jobs: int = 600, seed: int = 1) -> None:
    """Insert guests, most of them with jobs; `seed` determines all values."""
    draw = random.Random(seed)  # noqa: S311  no secret, and the same every time
    ids = [
        row[0] for row in connection.execute(_GUESTS, ([draw.choice(AGES) for _ in range(guests)],))
    ]
    owners = [draw.choice(ids[: guests * 2 // 3]) for _ in range(jobs)]
    statuses = [draw.choice(STATUSES[2:] if draw.random() < 0.8 else STATUSES) for _ in range(jobs)]
    connection.execute(_JOBS, (owners, statuses, [draw.choice(AGES) for _ in range(jobs)]))


def expired(connection: Connection, number: int, *, tied: bool = False) -> None:
    """Insert `number` completed jobs of a new user, 8 days old and older, oldest first; `tied`: all
    of one time.
    """
    connection.execute(
        "with u as (insert into auth.users (id) values (gen_random_uuid()) returning id)"
        " insert into public.async_jobs (url, status, user_id, updated_at)"
        " select 'https://x.com/' || n, 'completed', u.id, date_trunc('day', now()) - interval '9"
        " days'"
        " + case when %s then interval '0' else n * interval '1 second' end"
        " from u, generate_series(1, %s) as n",
        (tied, number),
    )


def left(url: str) -> tuple[set[str], set[str]]:
    """The ids of all jobs and of all guests."""
    with psycopg.connect(url) as connection:
        return left_in(connection)


def left_in(connection: Connection) -> tuple[set[str], set[str]]:
    """The same in the transaction of a connection."""
    jobs = connection.execute("select id::text from public.async_jobs").fetchall()
    guests = connection.execute("select guest_id::text from public.guest_users").fetchall()
    return {row[0] for row in jobs}, {row[0] for row in guests}
