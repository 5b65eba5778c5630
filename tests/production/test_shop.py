"""Commands on the database of a shop in use: nobody waits, nothing is written, no value is shown."""

from pathlib import Path

import pytest

from benchmarks.shop import CLIENTS, Observation, Shop, marks_in
from tests.fix_cli import Run

LIMIT_MS = 50
# rolled back within this time
WRITE_SECONDS = 1.0

READ_ONLY = {
    "stats": ("stats", "--json"),
    "check-results": ("check-results", "--json"),
}
ROLLED_BACK = {
    "apply --dry-run": ("apply", "--dry-run", "--json"),
    "plan --locks": ("plan", "--locks", "--json"),
}
ALL = READ_ONLY | ROLLED_BACK
each_command = pytest.mark.parametrize("words", ALL.values(), ids=ALL)
each_read_only = pytest.mark.parametrize("words", READ_ONLY.values(), ids=READ_ONLY)
each_rolled_back = pytest.mark.parametrize("words", ROLLED_BACK.values(), ids=ROLLED_BACK)


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
    assert marks_in(ran.out + ran.err) == []


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


@each_rolled_back
def test_only_rows_that_are_rolled_back(
    cli: Run, shop: Shop, project: Path, words: tuple[str, ...]
) -> None:
    before = shop.contents()
    with shop.observed() as seen:
        ran = cli(*words, cwd=project, SUPABASE_DB_URL=shop.url)
    assert ran.code in (0, 1), ran.err
    assert shop.contents() == before
    assert seen.longest_write <= WRITE_SECONDS
    assert reached(seen, shop) == []


def reached(seen: Observation, shop: Shop) -> list[str]:
    """What left the database: notifications, and sessions on the other database."""
    others = [s.application for s in seen.visitors if s.database == shop.log_name]
    return seen.notifications + others


FORMATS = {
    "verify": ("text", "html", "json", "junit", "sarif", "markdown"),
}


@pytest.mark.slow
@pytest.mark.parametrize(("command", "formats"), FORMATS.items(), ids=list(FORMATS))
def test_no_value_in_any_format(
    cli: Run, shop: Shop, project: Path, command: str, formats: tuple[str, ...]
) -> None:
    for format_ in formats:
        file = project / f"report.{format_}"
        words = [command, "--format", format_, "--output", str(file)]
        ran = cli(*words, cwd=project, SUPABASE_DB_URL=shop.url)
        assert ran.code in (0, 1), ran.err
        assert marks_in(ran.out + ran.err + file.read_text()) == [], format_
