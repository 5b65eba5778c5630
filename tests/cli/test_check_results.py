"""`supabase-jobs check-results`: output and exit codes."""

from pathlib import Path

import psycopg

from tests.fix_cli import Run
from tests.operations.test_check_results import RESULT, changed, insert_jobs


def test_deviations_are_warnings_and_errors_with_strict(cli: Run, applied_url: str) -> None:
    with psycopg.connect(applied_url) as connection:
        insert_jobs(connection, RESULT)
    valid = cli("check-results", "--strict", "--db-url", applied_url)
    assert (valid.code, valid.out) == (
        0,
        "1 newest completed jobs sampled; ok: none of them deviates\n",
    )
    with psycopg.connect(applied_url) as connection:
        insert_jobs(
            connection,
            changed(RESULT, "vision", ["secret"]),
            changed(RESULT, "vision", {"secret": "secret"}),
        )
        ids = {str(row[0]) for row in connection.execute("select id from public.async_jobs")}
    ran = cli("check-results", "--db-url", applied_url)
    assert ran.code == 0
    assert "     2  result.vision  is not string or null\n" in ran.out
    assert "3 newest completed jobs sampled; warning: 2 of them deviate" in ran.out
    assert "secret" not in ran.out + ran.err
    assert cli("check-results", "--strict", "--db-url", applied_url).code == 1
    sample = cli("check-results", "--json", "--db-url", applied_url).json
    assert (sample["sampled"], sample["deviating"]) == (3, 2)
    [deviation] = sample["deviations"]
    assert deviation.pop("example") in ids
    assert deviation == {"path": "result.vision", "problem": "is not string or null", "rows": 2}
    assert (
        cli("check-results", "--sample", "1", "--json", "--db-url", applied_url).json["sampled"]
        == 1
    )


def test_a_database_without_jobs(cli: Run, applied_url: str) -> None:
    assert cli("check-results", "--json", "--db-url", applied_url).json == {
        "sampled": 0,
        "deviating": 0,
        "deviations": [],
    }


def test_invalid_sample_and_missing_migrations_exit_2(cli: Run, platform_url: str) -> None:
    for number in ("0", "10001", "all"):
        assert cli("check-results", "--sample", number, "--db-url", platform_url).code == 2
    assert (
        cli("check-results", "--json", "--db-url", platform_url).json["error"]["code"]
        == "not_applied"
    )


def test_the_schemas_of_the_project(cli: Run, applied_url: str, tmp_path: Path) -> None:
    with psycopg.connect(applied_url) as connection:
        insert_jobs(connection, {"pages": "none"})
    (tmp_path / "own.json").write_text('{"properties": {"pages": {"type": "integer"}}}')
    (tmp_path / "supabase-jobs.toml").write_text('[results]\nschema = "own.json"\n')
    ran = cli("check-results", "--json", "--db-url", applied_url)
    assert [one["path"] for one in ran.json["deviations"]] == ["result.pages"]
    (tmp_path / "own.json").unlink()
    missing = cli("check-results", "--db-url", applied_url)
    assert missing.code == 2
    assert "cannot read" in missing.err
