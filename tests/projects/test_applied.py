"""The migrations that a database has, and what the embedded server cannot have of them."""

from supabase_jobs.migrations.ledger import LedgerRow
from supabase_jobs.projects.applied import (
    applied_files,
    default_privileges,
    ledger_files,
    not_comparable,
)
from supabase_jobs.projects.catalog import EXPOSED_BY_DEFAULT, Fact
from supabase_jobs.sources.files import Migration, MigrationFiles


def file(version: str, text: str) -> Migration:
    return Migration(version, "x", text, f"{version}_x.sql")


def fact(object_: str, kind: str, value: str = "") -> Fact:
    return Fact(object_, kind, "", (), value, "", "", None)


def facts(*found: Fact) -> dict[tuple[str, str, str], Fact]:
    return {f.key: f for f in found}


FILES = MigrationFiles([file("1", "select 1"), file("2", "select 2"), file("4", "select 4")])
ROWS = [
    LedgerRow("1", "x", ("select 1",)),
    LedgerRow("3", "agent", ("select 2",)),
    LedgerRow("5", "other", ("select 5",)),
    LedgerRow("6", "old", None),
]


def test_applied_are_files_under_the_versions_of_their_rows_and_rows_without_a_file() -> None:
    notes: list[str] = []
    found = applied_files(FILES, ROWS, notes.append)
    assert [(m.version, m.text.strip().strip(";")) for m in found.migrations] == [
        ("1", "select 1"),
        ("3", "select 2"),
        ("5", "select 5"),
    ]
    assert notes == [
        "note: left out, because they are not applied: 4",
        "note: left out: 6, of which neither file nor statements exist",
    ]


def test_without_a_ledger_all_files_count() -> None:
    assert applied_files(FILES, [], print) is FILES


def test_the_ledger_wins_over_an_edited_file() -> None:
    rows = [LedgerRow("1", "x", ("select 0",)), LedgerRow("2", "x", None)]
    found = ledger_files(rows, FILES)
    assert [m.text for m in found.migrations] == ["select 0;\n\n", "select 2"]


def test_the_switch_is_off_only_if_no_role_has_its_default_privileges() -> None:
    assert default_privileges({}) is False
    assert default_privileges({EXPOSED_BY_DEFAULT[0]: fact("public", "x")}) is None


def test_what_needs_an_extension_is_not_compared() -> None:
    database = facts(fact("nightly", "cron job"), fact("other", "cron job"))
    expected = facts(fact("t", "constraint", "EXCLUDE (extensions.equality_range(a) WITH &&)"))
    files = MigrationFiles([file("1", "perform cron.schedule('nightly', '* * * * *', '');")])
    assert not_comparable(database, expected, ["vector"], files) == {
        ("nightly", "cron job", ""),
        ("t", "constraint", ""),
        ("vector", "extension", ""),
    }
    # without pg_cron there are no jobs
    assert not_comparable({}, facts(fact("nightly", "cron job")), [], files) == {
        ("nightly", "cron job", "")
    }
    with_cron = facts(fact("pg_cron", "extension"))
    assert not_comparable(with_cron, facts(fact("nightly", "cron job")), [], files) == set()
    changed = facts(fact("nightly", "cron job", "at another time"))
    assert not_comparable(changed, facts(fact("nightly", "cron job")), [], files) == set()
