"""A schema of 500 tables and 2,000 partitions is copied with the locks of a server's defaults."""

from collections.abc import Callable

import pytest

from benchmarks.independent_server import IndependentServer
from benchmarks.production import PARTITIONS, TABLES, large_project
from tests.fix_cli import Run
from tests.production.conftest import MAJOR

pytestmark = pytest.mark.slow


def test_five_hundred_tables_and_two_thousand_partitions(
    cli: Run, independent: Callable[[int], IndependentServer]
) -> None:
    """All are copied; an item and a partitioned table are audited. scripts/bench audits all."""
    url = large_project(independent(MAJOR), "large", TABLES, PARTITIONS)
    chosen = ("--table", "public.items_1", "--table", "public.events_1")
    ran = cli("audit", "--json", *chosen, SUPABASE_DB_URL=url)
    assert ran.code == 0, ran.err
    assert ran.json["coverage"]["not_tested"] == []
    assert {row["object"] for row in ran.json["access"]} == {"public.items_1", "public.events_1"}
