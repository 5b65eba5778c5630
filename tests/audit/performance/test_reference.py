"""The performance lints of Supabase's advisors: `audit --performance` reports the same faults."""

import json
from pathlib import Path

import psycopg

from supabase_jobs.audit.audit import audit
from supabase_jobs.audit.options import Options
from supabase_jobs.database.connection import connect
from tests.audit.performance.test_suggestions import LIBRARY
from tests.fix_cli import SupabaseCli
from tests.fix_db import Make

# (name in Supabase's advisors, the kind here)
SAME = {
    "auth_rls_initplan": "row-call",
    "duplicate_index": "duplicate-index",
    "multiple_permissive_policies": "permissive-policies",
    "no_primary_key": "primary-key",
    "unindexed_foreign_keys": "foreign-key",
}
# docs/audit-reference.md has the reason: a copy has no statistics of use
WITHOUT = {"table_bloat", "unused_index"}


def test_the_reference_reports_the_same_faults(
    make_database: Make, supabase: SupabaseCli, tmp_path: Path
) -> None:
    url = make_database("services").url
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(LIBRARY.encode())
    options = ("--type", "performance", "--level", "info", "--output-format", "json")
    ran = supabase("db", "advisors", *options, url=url, cwd=tmp_path)
    assert ran.code == 0, ran.err
    issues = [one for one in json.loads(ran.out)["results"] if one["name"] not in WITHOUT]
    assert {issue["name"] for issue in issues} == SAME.keys()
    reported = {(SAME[issue["name"]], _table(issue["metadata"])) for issue in issues}
    with connect(url) as database:
        found = audit(database, Options(repairs=False, performance=True)).performance
    assert {(finding.id.split(":")[1], finding.object) for finding in found} >= reported


def _table(metadata: dict[str, str]) -> str:
    return f"{metadata['schema']}.{metadata['name']}"
