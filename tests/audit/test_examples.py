"""Small projects: what an audit of them must find, what it must not, and what callers may do.

Each file of tests/audit/examples is one project:

    sql = '''create table …'''
    finds = ["error read:public.notes:select"]     # severity and id
    lacks = ["error", "warning forged:"]           # how no finding begins
    causes."read:public.notes:select" = "…"        # of a finding
    not_tested = ["data"]                          # optional: the objects that are not tested
    access."public.notes" = { stranger = "read" }  # as a baseline records it
    old, new = …                                   # optional: `finds` is true once this text is replaced,
                                                   # and `lacks` before
"""

import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from supabase_jobs.database.connection import Connection, connect
from supabase_jobs.findings import Audit
from tests.audit.conftest import run_audit
from tests.audit.recorded import in_words
from tests.fix_db import session_copy
from tests.programs import DEFAULT_MAJOR

FOLDER = Path(__file__).with_name("examples")
EXAMPLES = {
    path.stem: tomllib.loads(path.read_text(encoding="utf-8"))
    for path in sorted(FOLDER.glob("*.toml"))
}
HOLES = {name: example for name, example in EXAMPLES.items() if "old" in example}


@pytest.fixture(scope="module")
def url(request: pytest.FixtureRequest) -> str:
    return session_copy(request, "examples", "services", DEFAULT_MAJOR).url


@pytest.fixture
def connection(url: str) -> Iterator[Connection]:
    with connect(url) as opened, opened.transaction(force_rollback=True):
        yield opened


def _findings(result: Audit) -> list[str]:
    return [f"{finding.severity} {finding.id}" for finding in result.findings]


@pytest.mark.parametrize("example", EXAMPLES.values(), ids=EXAMPLES)
def test_example(connection: Connection, example: dict[str, Any]) -> None:
    sql = example["sql"]
    if "old" in example:
        assert sql.count(example["old"]) == 1
        sql = sql.replace(example["old"], example["new"])
    connection.execute(sql.encode())
    result = run_audit(connection, repairs=False, sql=sql)
    assert [one.object for one in result.not_tested] == example.get("not_tested", [])
    assert [one for one in example.get("finds", []) if one not in _findings(result)] == []
    causes = example.get("causes", {})
    assert {f.id: f.cause for f in result.findings if f.id in causes} == causes
    if "old" not in example:
        _check_what_is_right(result, example)


@pytest.mark.parametrize("example", HOLES.values(), ids=HOLES)
def test_example_without_the_hole(connection: Connection, example: dict[str, Any]) -> None:
    connection.execute(example["sql"].encode())
    _check_what_is_right(run_audit(connection, repairs=False, sql=example["sql"]), example)


def _check_what_is_right(result: Audit, example: dict[str, Any]) -> None:
    unwanted = tuple(example.get("lacks", []))
    assert [one for one in _findings(result) if one.startswith(unwanted)] == []
    for table, callers in example.get("access", {}).items():
        shown = {caller: in_words(result)[table].get(caller, "none") for caller in callers}
        assert shown == callers
