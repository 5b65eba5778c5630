"""`verify --format`, `--output` and `--explain`: what is written where, and what is refused."""

import json
import os
import pty
import subprocess
import sys
from pathlib import Path
from xml.etree.ElementTree import fromstring

import psycopg
import pytest

from supabase_jobs.report import FORMATS
from tests.fix_cli import Run
from tests.psql import psql_outcome, run_in_psql

CELL = "access:public.async_jobs:guest, its own job:take over"


@pytest.fixture
def faulty_url(applied_url: str) -> str:
    """A database with a missing index and a policy that nobody declared."""
    with psycopg.connect(applied_url, autocommit=True) as connection:
        connection.execute("drop index public.idx_async_jobs_url")
        connection.execute(
            'create policy "it\'s mine" on public.async_jobs for select to anon using (false)'
        )
    return applied_url


def test_every_format_reports_the_finding(faulty_url: str, cli: Run, tmp_path: Path) -> None:
    for form in FORMATS:
        words = ("verify", "--only", "structure", "--format", form, "--db-url", faulty_url)
        ran = cli(*words, "--output", f"report.{form}")
        assert (ran.code, ran.out) == (1, "")
        text = (tmp_path / f"report.{form}").read_text(encoding="utf-8")
        assert "idx_async_jobs_url" in text
        assert "mine" in text
        assert cli(*words, "--all").out.startswith(text[:40])


def test_results_are_at_the_lines_of_their_objects(
    faulty_url: str, cli: Run, files: Path, tmp_path: Path
) -> None:
    (tmp_path / ".git").mkdir()
    ran = cli("verify", "--only", "structure", "--format", "sarif", "--db-url", faulty_url)
    places = {
        found["message"]["text"].rpartition("id: ")[2]: found["locations"][0]["physicalLocation"]
        for found in json.loads(ran.out)["runs"][0]["results"]
    }
    place = places["structure:public.async_jobs:index:idx_async_jobs_url"]
    uri, line = place["artifactLocation"]["uri"], place["region"]["startLine"]
    assert uri.startswith("supabase/migrations/")
    assert "create index idx_async_jobs_url" in (tmp_path / uri).read_text().splitlines()[line - 1]
    # ours
    suite = fromstring(cli("verify", "--format", "junit", "--db-url", faulty_url).out.encode())  # noqa: S314
    failed = [case for case in suite.iter("testcase") if case.find("failure") is not None]
    assert {case.get("file") for case in failed} == {uri}


def test_an_existing_output_is_replaced(applied_url: str, cli: Run, tmp_path: Path) -> None:
    (tmp_path / "report.json").write_text("x" * 500_000)
    assert cli("verify", "--json", "--output", "report.json", "--db-url", applied_url).code == 0
    assert json.loads((tmp_path / "report.json").read_text())["ok"] is True


@pytest.mark.parametrize("output", ["no/such/folder/report.html", "."])
def test_an_output_that_cannot_be_written_is_refused_before_verify_runs(
    cli: Run, output: str
) -> None:
    ran = cli(
        "verify",
        "--format",
        "html",
        "--output",
        output,
        SUPABASE_DB_URL="postgresql://127.0.0.1:1/none",
    )
    assert ran.code == 2
    assert output.split("/")[0] in ran.err
    assert "database:" not in ran.err


def test_json_conflicts_with_another_format(cli: Run) -> None:
    ran = cli("verify", "--json", "--format", "html", "--output", "x.html")
    assert ran.code == 2
    assert "--json conflicts with --format html" in ran.json["error"]["message"]


def test_an_html_report_on_a_terminal_is_refused(applied_url: str, tmp_path: Path) -> None:
    controller, terminal = pty.openpty()
    words = [
        sys.executable,
        "-m",
        "supabase_jobs",
        "verify",
        "--format",
        "html",
        "--db-url",
        applied_url,
    ]
    ran = subprocess.run(
        words, cwd=tmp_path, stdout=terminal, stderr=subprocess.PIPE, text=True, check=False
    )
    os.close(terminal)
    os.close(controller)
    assert ran.returncode == 2
    assert "--output report.html" in ran.stderr


@pytest.mark.parametrize("id", [CELL, "structure:public.async_jobs:index:idx_async_jobs_url"])
def test_a_declared_case_is_explained_without_a_database(cli: Run, id: str) -> None:
    ran = cli("verify", "--explain", id)
    assert (ran.code, ran.err) == (0, "")
    assert "\nbegin;\n" in ran.out
    assert "rollback;\n" in ran.out
    explanation = cli("verify", "--explain", id, "--json").json
    assert set(explanation) == {"id", "area", "object", "name", "sql"}
    assert (explanation["id"], explanation["object"]) == (id, "public.async_jobs")


def test_an_explanation_works_in_psql(applied_url: str, cli: Run) -> None:
    assert psql_outcome(applied_url, cli("verify", "--explain", CELL).out) == "violates"
    out, err = run_in_psql(
        applied_url, cli("verify", "--explain", "structure:public.async_jobs:grant:anon").out
    )
    assert (err, "INSERT, SELECT, UPDATE" in out) == ("", True)


def test_an_object_that_is_in_no_migration_is_explained_from_the_database(
    faulty_url: str, cli: Run
) -> None:
    id = "structure:public.async_jobs:policy:it's mine"
    assert id in [
        finding["id"]
        for finding in cli("verify", "--json", "--db-url", faulty_url).json["findings"]
    ]
    ran = cli("verify", "--explain", id, "--db-url", faulty_url)
    assert ran.code == 0
    assert "it's mine" in run_in_psql(faulty_url, ran.out)[0]
    assert cli("verify", "--explain", id).code == 2


def test_an_area_that_was_not_checked_is_explained(platform_url: str, cli: Run) -> None:
    ran = cli("verify", "--explain", "access:fixture", "--db-url", platform_url)
    assert ran.code == 0
    assert "was not checked" in ran.out.splitlines()[0]
    assert "insert into" in ran.out


def test_every_id_is_explained(applied_url: str, cli: Run, tmp_path: Path) -> None:
    """One case of each area and kind, by the ids of a report."""
    cli("verify", "--format", "sarif", "--output", "log.sarif", "--db-url", applied_url)
    rules = json.loads((tmp_path / "log.sarif").read_text())["runs"][0]["tool"]["driver"]["rules"]
    assert len(rules) > 20
    id = "structure:private.cleanup_old_jobs(integer,integer,timestamp with time zone):body"
    ran = cli("verify", "--explain", id, "--db-url", applied_url)
    assert (
        "CREATE OR REPLACE FUNCTION private.cleanup_old_jobs"
        in run_in_psql(applied_url, ran.out)[0]
    )


@pytest.mark.parametrize(
    ("id", "meant"),
    [
        ("access:public.async_jobs:guest, its own job:takeover", CELL),
        (
            "structure:public.async_jobs:index:idx_async_job_url",
            "structure:public.async_jobs:index:idx_async_jobs_url",
        ),
        ("acess:public.async_jobs:guest, its own job:take over", CELL),
    ],
)
def test_an_unknown_id_is_refused_with_similar_ids(
    applied_url: str, cli: Run, id: str, meant: str
) -> None:
    ran = cli("verify", "--explain", id, "--json", "--db-url", applied_url)
    assert ran.code == 2
    assert meant in ran.json["error"]["hint"]


def test_an_id_without_similar_ids_gets_no_suggestion(applied_url: str, cli: Run) -> None:
    ran = cli("verify", "--explain", "???", "--db-url", applied_url)
    assert ran.code == 2
    assert "--json" in ran.err


def test_an_explanation_has_no_other_formats(cli: Run) -> None:
    assert cli("verify", "--explain", CELL, "--format", "html").code == 2


def test_an_explanation_goes_into_a_file(cli: Run, tmp_path: Path) -> None:
    ran = cli("verify", "--explain", CELL, "--output", "probe.sql")
    assert (ran.code, ran.out) == (0, "")
    assert "take over" in (tmp_path / "probe.sql").read_text()
