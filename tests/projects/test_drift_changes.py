"""Each change of a database is one difference, whose SQL makes it a migration or removes it."""

import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from supabase_jobs.database.connection import Connection
from supabase_jobs.projects.catalog import Facts, read_facts_here
from supabase_jobs.projects.drift import Difference, compare, printed_otherwise
from tests.fix_db import Database
from tests.programs import DEFAULT_MAJOR

CHANGES = tomllib.loads(Path(__file__).with_name("drift").joinpath("changes.toml").read_text())


@pytest.fixture(scope="module")
def there() -> Iterator[dict[str, Connection]]:
    """The connections of this module by URL."""
    opened: dict[str, Connection] = {}
    yield opened
    for connection in opened.values():
        connection.close()


def facts_of(connection: Connection) -> Facts:
    connection.execute("set local search_path = ''")
    return read_facts_here(connection)


def left(connection: Connection, wanted: Facts) -> list[Difference]:
    """Facts that differ from the wanted ones in more than how expressions are printed."""
    facts = facts_of(connection)
    if not compare(wanted, facts):
        return []
    return compare(wanted, facts, printed_otherwise(connection, wanted, facts))


# a hosted project runs 15 or 17; every sixth change, on the embedded version, is enough while
# developing
CASES = [(DEFAULT_MAJOR, name, False) for name in list(CHANGES)[::6]]
CASES += [(major, name, True) for name in CHANGES for major in (15, 17)]


@pytest.mark.parametrize(
    ("major", "name"),
    [
        pytest.param(major, name, marks=[pytest.mark.slow] if slow else [], id=f"pg{major}-{name}")
        for major, name, slow in CASES
    ],
)
def test_each_change_is_one_difference_with_sql_for_both_ways(
    major: int,
    name: str,
    drift_project: Callable[[int], tuple[Database, Facts]],
    there: dict[str, Connection],
) -> None:
    change: dict[str, Any] = CHANGES[name]
    database, expected = drift_project(major)
    url = database.superuser_url if change.get("superuser") else database.url
    if url not in there:
        there[url] = psycopg.connect(url, autocommit=True)
    connection = there[url]
    with connection.transaction(force_rollback=True):
        connection.execute(change["sql"].encode())
        changed = facts_of(connection)
        found = compare(changed, expected)
        keys = [tuple(change["key"]), *map(tuple, change.get("with", ()))]
        assert sorted(d.key for d in found) == sorted(keys)
        for difference in found:
            connection.execute(difference.restore.encode())
        assert left(connection, expected) == []
    with connection.transaction(force_rollback=True):
        for difference in reversed(found):
            connection.execute(difference.capture.encode())
        assert left(connection, changed) == []
