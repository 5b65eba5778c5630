"""docs/rls-faults.md is what happens: each fault is planted, and what `verify` then says is what stands there.

`SUPABASE_JOBS_RECORD=1` writes the outputs and the verdicts of the table anew; `scripts/record` does it.
"""

import os
import re
from collections.abc import Callable, Iterator, Sequence

import psycopg
import pytest

from supabase_jobs.findings import Finding, Verification
from supabase_jobs.report import summary, text
from supabase_jobs.verify.run import verify
from tests.fix_cli import Run
from tests.fix_db import EXPECTATIONS
from tests.rls_faults import DOCUMENT, Documented, load, rewrite, table

MAJOR = 16
RECORD = bool(os.environ.get("SUPABASE_JOBS_RECORD"))
FAULTS = load()
LINES = 6  # of a finding; of several that one thing mends, three stand in them
NUMBERS = r"\b\d+(?= (times|cases|failed|checks|errors|other|more)\b)"


def shown(report: str, findings: Sequence[Finding]) -> str:
    """The lines of a text report that the document shows: of each area its first finding, then the verdict.

    A long finding is cut, and what is left out is counted. The time that the run took is left out.
    """
    blocks = re.findall(r"^(?:error|warning|info): .*?(?=^$)", report, flags=re.DOTALL | re.MULTILINE)
    groups = summary.grouped(findings)
    assert len(blocks) == len(groups)
    first: dict[str, tuple[list[Finding], str]] = {}
    for group, block in zip(groups, blocks, strict=True):
        first.setdefault(group[0].area, (group, block))
    lines: list[str] = []
    left = len(findings)
    for group, block in first.values():
        part = _cut(block.splitlines(), several=len(group) > 1)
        left -= sum(line.startswith("  ") and line[2:5] not in ("fix", "…") for line in part) if len(group) > 1 else 1
        lines += [*part, ""]
    if left:
        lines += [f"… {left} more findings", ""]
    end = report[report.index("\nstructure ") + 1 :]
    return "\n".join(lines) + "\n" + re.sub(r", [\d.]+ s\n$", "\n", end)


def _cut(block: list[str], *, several: bool) -> list[str]:
    if several:
        fix = next((n for n, line in enumerate(block) if line.startswith("  fix: ")), len(block))
        return block[:fix] if fix <= LINES else [*block[: LINES - 2], "  …"]
    return block if len(block) <= LINES + 1 else [*block[:LINES], "  …"]


def verdict(result: Verification) -> str:
    """The last cell of a row: the exit code, and the areas that report an error, or else something less."""
    caught = [
        area.name if area.failed else f"{area.name} (warning)"
        for area in summary.areas(result)
        if area.failed or (result.ok and area.others)
    ]
    return f"{0 if result.ok else 1}: {', '.join(caught)}"


def without_counts(output: str) -> str:
    """What has to be the same. How many cases `verify` asks grows with it, and says nothing about a fault."""
    return re.sub(r" +(?=N )", " ", re.sub(NUMBERS, "N", output))


@pytest.fixture
def connection(shared: Callable[[int], str]) -> Iterator[psycopg.Connection]:
    """A transaction on the version that the document names; undone after the test."""
    with (
        psycopg.connect(shared(MAJOR), autocommit=True) as connection,
        connection.transaction(force_rollback=True),
    ):
        yield connection


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_verify_says_what_the_document_shows(connection: psycopg.Connection, fault: Documented) -> None:
    connection.execute(fault.sql.encode())
    result = verify(connection, EXPECTATIONS)
    seen = shown(text.verification(result), result.findings), verdict(result)
    if RECORD:
        rewrite(fault, *seen)
        return
    assert without_counts(seen[0]) == without_counts(fault.output)
    assert seen[1] == fault.verdict


def test_the_command_says_it_too(cli: Run, applied_url: str) -> None:
    """For the first fault: a process of its own, on a database in which the fault is committed."""
    with psycopg.connect(applied_url, autocommit=True) as connection:
        connection.execute(FAULTS[0].sql.encode())
        findings = verify(connection, EXPECTATIONS).findings
    ran = cli("verify", SUPABASE_DB_URL=applied_url)
    assert without_counts(shown(ran.out, findings)) == without_counts(load()[0].output)
    assert f"{ran.code}: " == load()[0].verdict[:3]


def test_every_fault_has_a_row_and_each_row_its_section() -> None:
    rows = table(DOCUMENT.read_text(encoding="utf-8"))
    assert {fault.number: (fault.name, fault.verdict) for fault in load()} == rows
    assert list(rows) == list(range(1, len(rows) + 1))


def test_each_of_at_least_twenty_is_caught() -> None:
    """Where a row says 0, something less than an error is reported, and the document says so."""
    assert all(re.fullmatch(r"1: .+|0: .+ \(warning\)", fault.verdict) for fault in load())
    assert sum(fault.verdict.startswith("1: ") for fault in load()) >= 20


def test_the_document_says_on_which_version_it_was_recorded() -> None:
    assert f"PostgreSQL {MAJOR}" in DOCUMENT.read_text(encoding="utf-8")
