"""Each lint reports its faults until they are fixed, repeats no finding of `structure`, and ignores
user objects.
"""

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest

from supabase_jobs.database.connection import Connection
from supabase_jobs.findings import Finding
from supabase_jobs.verify.structure import snapshot
from supabase_jobs.verify.verify import verify
from tests.fix_db import EXPECTATIONS, Make, on_one_major_each
from tests.psql import run_in_psql
from tests.verify.lints import faults
from tests.verify.lints.faults import NOTES, SCOPE, STEMS, LintFault

FAULTS = faults.load()
DOCUMENT = Path(__file__).parents[3] / "docs" / "lints.md"


def each(superuser: bool) -> pytest.MarkDecorator:
    """Run a test for each fault that needs a superuser, or for each that needs none."""
    chosen = [fault for fault in FAULTS if fault.superuser is superuser]
    ids = [f"{fault.stem}: {fault.break_sql[:40]}" for fault in chosen]
    return (
        pytest.mark.parametrize("fault", chosen, ids=ids)
        if superuser
        else on_one_major_each("fault", chosen, ids)
    )


def assert_reported_until_fixed(connection: Connection, fault: LintFault) -> None:
    """No finding, the SQL that breaks the rule, one finding, its fix, no finding."""
    connection.execute(f"{NOTES};{fault.given}".encode())
    assert faults.run(connection, fault.folder) == []
    connection.execute(fault.break_sql.encode())
    [finding] = faults.run(connection, fault.folder)
    assert (finding.id, finding.severity.value, finding.fix) == fault.finding
    assert (
        finding.area,
        finding.id.startswith(f"{faults.PREFIXES[fault.folder]}:{fault.stem}:"),
    ) == (
        fault.folder,
        True,
    )
    connection.execute(fault.repair_sql.encode())
    assert faults.run(connection, fault.folder) == []


@each(superuser=False)
def test_a_lint_reports_one_finding_until_it_is_fixed(
    rolled_back: Connection, fault: LintFault
) -> None:
    assert_reported_until_fixed(rolled_back, fault)


@pytest.mark.slow
@each(superuser=True)
def test_a_lint_that_only_a_superuser_can_break(make_database: Make, fault: LintFault) -> None:
    """In a transaction that is rolled back: the databases of a server share its roles."""
    database = make_database("platform")
    texts: dict[str, Any] = {
        key: value.replace("{database}", database.name)
        for key, value in vars(fault).items()
        if isinstance(value, str)
    }
    with (
        psycopg.connect(database.superuser_url) as connection,
        connection.transaction(force_rollback=True),
    ):
        assert_reported_until_fixed(connection, replace(fault, **texts))


@pytest.mark.parametrize("folder", STEMS)
def test_every_lint_has_a_fault(folder: str) -> None:
    assert {fault.stem for fault in FAULTS if fault.folder == folder} == STEMS[folder]


def test_every_lint_has_a_section_with_its_severity() -> None:
    """docs/lints.md has a section with the stem of each lint, in the order of the files, and no
    other.
    """
    sections = re.findall(
        r"^## (\w+)\n(.*?)(?=^## |\Z)", DOCUMENT.read_text(encoding="utf-8"), flags=re.M | re.S
    )
    assert [stem for stem, _ in sections] == [*sorted(STEMS["structure"]), *sorted(STEMS["plans"])]
    for stem, text in sections:
        severities = {fault.severity for fault in FAULTS if fault.stem == stem}
        stated = re.search(r"^Severity: (.+?)\.", text, flags=re.M)
        assert stated
        assert severities <= set(re.findall(r"error|warning|info", stated[1])), stem
        assert ("Fix:" in text, "Why:" in text) == (True, True), stem


def test_a_lint_names_the_same_advisor_as_its_section() -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    for folder, stems in STEMS.items():
        for stem in stems:
            lint = (
                (faults.LINTS / folder / f"{stem}.sql")
                .read_text(encoding="utf-8")
                .partition("select")[0]
            )
            section = text.split(f"\n## {stem}\n", 1)[1].split("\n## ", 1)[0]
            assert set(re.findall(r"\b00\d\d\b", lint)) == set(
                re.findall(r"\b00\d\d\b", section)
            ), stem


def test_a_schema_that_a_setting_exposes_is_exposed(make_database: Make) -> None:
    database = make_database("applied")
    with (
        psycopg.connect(database.superuser_url) as connection,
        connection.transaction(force_rollback=True),
    ):
        connection.execute(
            "create schema shop; grant usage on schema shop to anon;"
            "create function shop.enter() returns void language sql set role = service_role as"
            " 'select'"
        )
        assert verify(connection, EXPECTATIONS, ("structure",)).findings == ()
        connection.execute("alter role authenticator set pgrst.db_schemas = 'public, shop'")
        [finding] = verify(connection, EXPECTATIONS, ("structure",)).findings
        assert finding.id == "structure:lint:function_sets_role:shop.enter()"


def test_settings_of_another_database_are_ignored(make_database: Make) -> None:
    with (
        psycopg.connect(make_database("platform").superuser_url) as connection,
        connection.transaction(force_rollback=True),
    ):
        connection.execute(
            "alter role authenticator in database template1 set pgrst.db_anon_role = 'postgres'"
        )
        assert faults.run(connection) == []


def test_managed_objects_have_no_findings_and_each_lint_is_a_case(rolled_back: Connection) -> None:
    result = verify(rolled_back, EXPECTATIONS, ("structure", "plans"))
    assert result.findings == ()
    ids = {f"{faults.PREFIXES[folder]}:{stem}" for folder, stems in STEMS.items() for stem in stems}
    assert ids <= {case.id for case in result.cases}


@pytest.mark.parametrize(
    "sql",
    [
        "alter function public.migrate_guest_jobs security definer",
        "alter function private.migrate_guest_jobs reset search_path",
        "alter table public.async_jobs disable row level security",
        "create view public.all_jobs as select * from public.async_jobs",
        'alter policy "guests update their own jobs" on public.async_jobs using (true)',
    ],
)
def test_a_lint_repeats_no_finding_of_the_structure_check(
    rolled_back: Connection, sql: str
) -> None:
    rolled_back.execute(sql.encode())
    findings = verify(rolled_back, EXPECTATIONS, ("structure",)).findings
    assert findings
    assert [f.id for f in findings if ":lint:" in f.id] == []


def test_a_lint_reports_a_recorded_fact_that_breaks_it(
    rolled_back: Connection, tmp_path: Path
) -> None:
    rolled_back.execute(NOTES.encode())
    rolled_back.execute(
        "alter function public.mine() security definer; alter view public.titles reset"
        " (security_invoker)"
    )
    rolled_back.execute("select set_config('search_path', '', true)")
    created = [(part, name) for part, names in SCOPE.items() for name in names]
    (tmp_path / "structure.json").write_text(snapshot.dump(snapshot.record(rolled_back, created)))
    result = verify(
        rolled_back, replace(EXPECTATIONS, directory=tmp_path, texts=()), ("structure",)
    )
    assert {f.id for f in result.findings} == {
        "structure:lint:security_definer_function_executable:public.mine()",
        "structure:lint:view_without_security_invoker:public.titles",
    }


def test_user_objects_are_ignored(rolled_back: Connection) -> None:
    rolled_back.execute(
        "create table public.extra (id int); grant all on public.extra to anon;"
        "create view public.people as select email from auth.users;"
        "create function public.extra() returns int language sql security definer as 'select 1'"
    )
    findings: tuple[Finding, ...] = verify(rolled_back, EXPECTATIONS, ("structure",)).findings
    assert findings == ()


def test_the_script_of_a_lint_runs_in_psql(shared: Callable[[int], str]) -> None:
    with psycopg.connect(shared(16), autocommit=True) as connection:
        result = verify(connection, EXPECTATIONS, ("structure", "plans"))
    ids = {f"{faults.PREFIXES[folder]}:{stem}" for folder, stems in STEMS.items() for stem in stems}
    scripts = [result.script(case) for case in result.cases if case.id in ids]
    out, err = run_in_psql(shared(16), "".join(scripts))
    assert (len(scripts), err) == (len(ids), "")
    assert out.count("(0 rows)") == len(ids)
