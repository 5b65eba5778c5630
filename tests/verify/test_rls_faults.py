"""docs/rls-faults.md shows what happens: `verify` prints its outputs for the SQL of the fault
catalogues.

A fault has a row of the table and a section of the same number and name, with one `sql` block and
one `text` block. `SUPABASE_JOBS_RECORD=1` writes both blocks and the verdicts of the table again;
`scripts/record` does it.
"""

import os
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import psycopg
import pytest

from supabase_jobs.findings import Finding, Verification
from supabase_jobs.report.formats import text
from supabase_jobs.report.producers.verify import areas, document, groups
from supabase_jobs.verify.areas import AREAS
from supabase_jobs.verify.verify import verify
from tests.fix_cli import Run
from tests.fix_db import EXPECTATIONS, Database, superuser_session
from tests.verify.catalogue import assert_reported, every_catalogue

pytestmark = pytest.mark.slow

DOCUMENT = Path(__file__).parents[2] / "docs" / "rls-faults.md"
MAJOR = 16
RECORD = bool(os.environ.get("SUPABASE_JOBS_RECORD"))
MAX_LINES = 8  # of a fix
MAX_GROUPS = 3
NUMBERS = r"\b\d+/\d+\b|\b\d+(?= (times|findings?|structure|access|functions|plans|checks|errors|other|more)\b)"

_SECTION = re.compile(r"^## (\d+)\. (.+?)\n(.*?)(?=^## |\Z)", flags=re.DOTALL | re.MULTILINE)
_ROW = re.compile(r"^\| (\d+) \| \[(.+?)\]\(#.+?\) \| .+? \| (.+?) \|$", flags=re.MULTILINE)
_BLOCK = "```{}\n(.*?)```\n"


@dataclass(frozen=True)
class Section:
    """One fault in the document; `verdict` is the last cell of its row: the exit code, and the
    areas with findings.
    """

    number: int
    name: str
    sql: str
    output: str
    verdict: str


def table(document: str) -> dict[int, tuple[str, str]]:
    """Number → name and verdict, from the rows of the table."""
    return {int(number): (name, verdict) for number, name, verdict in _ROW.findall(document)}


def load() -> list[Section]:
    """The sections in the document's order. AssertionError if one has no row, or not one block of
    each kind.
    """
    document = DOCUMENT.read_text(encoding="utf-8")
    rows = table(document)
    sections = []
    for number, name, body in _SECTION.findall(document):
        [sql] = re.findall(_BLOCK.format("sql"), body, flags=re.DOTALL)
        [output] = re.findall(_BLOCK.format("text"), body, flags=re.DOTALL)
        sections.append(Section(int(number), name, sql, output, rows[int(number)][1]))
    return sections


def record(section: Section, sql: str, output: str, verdict: str) -> None:
    """Replace the blocks and the verdict of a section, and keep everything else."""
    document = DOCUMENT.read_text(encoding="utf-8")
    start = document.index(f"\n## {section.number}. ")
    head, body = document[:start], document[start:]
    for language, block in (("sql", sql), ("text", output)):
        shown = re.search(_BLOCK.format(language), body, flags=re.DOTALL)
        assert shown
        body = body[: shown.start(1)] + block + body[shown.end(1) :]
    head = re.sub(
        rf"^(\| {section.number} \| .+ \| ).+? \|$",
        lambda row: f"{row[1]}{verdict} |",
        head,
        flags=re.MULTILINE,
    )
    DOCUMENT.write_text(head + body, encoding="utf-8")


SECTIONS = load()


def shown(report: str, findings: Sequence[Finding]) -> str:
    """The part of a text report that the document shows: the first three causes, then the summary.

    A long fix is cut, the other findings are counted, and the duration is omitted.
    """
    blocks = re.findall(
        r"^(?:error|warning|info): .*?(?=^$)", report, flags=re.DOTALL | re.MULTILINE
    )
    found = groups(findings)
    assert len(blocks) >= len(found)
    parts = [_cut(block) for block in blocks[:MAX_GROUPS]]
    if left := sum(len(group.findings) for group in found[MAX_GROUPS:]):
        parts.append(f"… {left} more findings\n")
    end = report[report.index("\npassed: ") + 1 :]
    return "\n".join([*parts, re.sub(r", [\d.]+ s\n$", "\n", end)])


def _cut(block: str) -> str:
    head, _, fix = block.partition("\nfix:\n")
    lines = fix.splitlines()
    shown_lines = lines if len(lines) <= MAX_LINES else [*lines[: MAX_LINES - 1], "…"]
    return "\n".join([head.rstrip("\n"), *(["fix:", *shown_lines] if lines else [])]) + "\n"


def verdict(result: Verification) -> str:
    """The last cell of a row: the exit code, and the areas with an error, or with a warning if no
    area has an error.
    """
    caught = [
        area.name if area.failed else f"{area.name} (warning)"
        for area in areas(result)
        if area.failed or (result.ok and area.others)
    ]
    return f"{0 if result.ok else 1}: {', '.join(caught)}"


def without_counts(output: str) -> str:
    """The output without the numbers of cases and findings, which grow with later versions."""
    return re.sub(r" +(?=N )", " ", re.sub(NUMBERS, "N", output))


@pytest.fixture
def connection(shared_database: Callable[[int], Database]) -> Iterator[psycopg.Connection]:
    """A transaction on the version that the document names; rolled back after the test."""
    with superuser_session(shared_database(MAJOR)) as connection:
        # databases with the schemas of the platform give it to the role, which the server's share
        connection.execute("reset session authorization")
        connection.execute("revoke supabase_auth_admin from postgres")
        connection.execute("set local session authorization postgres")
        yield connection


@pytest.mark.parametrize("section", SECTIONS, ids=lambda section: section.name)
def test_verify_prints_what_the_document_shows(
    connection: psycopg.Connection, section: Section
) -> None:
    fault = every_catalogue()[section.name]
    result = assert_reported(connection, replace(fault, areas=AREAS))
    output = shown(text.write(document(result), whole=False), result.findings)
    if RECORD:
        record(section, fault.sql, output, verdict(result))
        return
    assert section.sql == fault.sql
    assert without_counts(section.output) == without_counts(output)
    assert section.verdict == verdict(result)


def test_command_prints_what_the_document_shows(cli: Run, applied_url: str) -> None:
    """For the first fault, committed, in a process of its own."""
    with psycopg.connect(applied_url, autocommit=True) as connection:
        every_catalogue()[SECTIONS[0].name].insert(connection)
        findings = verify(connection, EXPECTATIONS).findings
    ran = cli("verify", SUPABASE_DB_URL=applied_url)
    assert without_counts(shown(ran.out, findings)) == without_counts(load()[0].output)
    assert f"{ran.code}: " == load()[0].verdict[:3]


def test_documented_faults_are_the_sections() -> None:
    assert {fault.name for fault in every_catalogue().values() if fault.documented} == {
        s.name for s in SECTIONS
    }


def test_every_section_has_a_row() -> None:
    rows = table(DOCUMENT.read_text(encoding="utf-8"))
    assert {section.number: (section.name, section.verdict) for section in load()} == rows
    assert list(rows) == list(range(1, len(rows) + 1))


def test_at_least_twenty_faults_fail_verify_and_the_others_are_warnings() -> None:
    assert all(re.fullmatch(r"1: .+|0: .+ \(warning\)", section.verdict) for section in load())
    assert sum(section.verdict.startswith("1: ") for section in load()) >= 20


def test_document_names_the_recorded_version() -> None:
    assert f"PostgreSQL {MAJOR}" in DOCUMENT.read_text(encoding="utf-8")
