"""Commands on the database of a shop in use: nobody waits, nothing is written, no value is shown."""

from pathlib import Path

import pytest

from benchmarks.shop import CLIENTS, MARKS, Observation, Shop
from tests.fix_cli import Ran, Run

LIMIT_MS = 50
# rolled back within this time
WRITE_SECONDS = 1.0

READ_ONLY = {
    "stats": ("stats", "--json"),
    "check-results": ("check-results", "--json"),
}
ALL = READ_ONLY
each_command = pytest.mark.parametrize("words", ALL.values(), ids=ALL)
each_read_only = pytest.mark.parametrize("words", READ_ONLY.values(), ids=READ_ONLY)


def values_in(ran: Ran) -> list[str]:
    """The marks of values in the output of a command."""
    return [mark for mark in MARKS if mark in ran.out + ran.err]


@each_command
def test_no_client_waits(
    cli: Run, shop: Shop, calm: Observation, project: Path, words: tuple[str, ...]
) -> None:
    with shop.observed(clients=CLIENTS) as seen:
        ran = cli(*words, cwd=project, SUPABASE_DB_URL=shop.url)
    assert ran.code in (0, 1), ran.err
    assert seen.errors == []
    assert seen.longest_wait(for_own=False) <= calm.longest_wait(for_own=True) + LIMIT_MS
    assert seen.longest_write <= WRITE_SECONDS
    assert values_in(ran) == []


@each_read_only
def test_nothing_is_written(cli: Run, shop: Shop, project: Path, words: tuple[str, ...]) -> None:
    shop.settle()
    before = shop.state()
    with shop.observed() as seen:
        ran = cli(*words, cwd=project, SUPABASE_DB_URL=shop.url)
    assert ran.code in (0, 1), ran.err
    assert shop.state() == before
    assert {lock.split()[0] for lock in seen.locks} <= {"AccessShareLock"}
    assert reached(seen, shop) == []


def reached(seen: Observation, shop: Shop) -> list[str]:
    """What left the database: notifications, and sessions on the other database."""
    others = [s.application for s in seen.visitors if s.database == shop.log_name]
    return seen.notifications + others
