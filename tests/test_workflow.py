"""The workflow in docs/ works: each job's steps are run as GitHub runs them, against real local
databases.
"""

import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
import yaml  # type: ignore[import-untyped]

from tests.checkout import Checkout, Step, annotations, checked_out, last, program
from tests.fix_db import packaged
from tests.programs import DEFAULT_MAJOR

pytestmark = pytest.mark.slow

WORKFLOW: dict[Any, Any] = yaml.safe_load(
    (Path(__file__).parents[1] / "docs" / "github-workflow.yml").read_text(encoding="utf-8")
)
JOBS: dict[str, Any] = WORKFLOW["jobs"]
DRY_RUN: list[dict[str, Any]] = JOBS["dry-run"]["steps"]
PLATFORM_PROJECT = Path(__file__).parent / "projects" / "platform_project"
OWN = "20991231000000_own.sql"


@pytest.fixture
def checkout(tmp_path: Path) -> Iterator[Checkout]:
    """A repository whose `origin/main` has the packaged migrations."""
    with checked_out(
        tmp_path, {migration.file_name: migration.text for migration in packaged()}
    ) as made:
        yield made


def refused(checkout: Checkout, database: str) -> list[Step]:
    """The steps after the local database, on one that has the migrations of the target branch;
    nothing is applied.
    """
    [start] = [
        number
        for number, step in enumerate(DRY_RUN)
        if step.get("name", "").startswith("Local database")
    ]
    steps = checkout.run(DRY_RUN[start + 1 :], database=database)
    assert [step.name for step in steps] == ["New migrations", "Dry run"]
    return steps


def test_pull_request_runs_dry_run_apply_verify_and_audit(checkout: Checkout) -> None:
    (checkout.migrations / OWN).write_text(
        "create table public.own (id int primary key);\n"
        "alter table public.own enable row level security;\n"
    )
    steps = checkout.run(DRY_RUN)
    assert last(steps) == ("Audit", 0), steps[-1].err
    by_name = {step.name: step for step in steps}
    assert by_name["New migrations"].out == "pending  20991231000000  own\n"
    assert "20991231000000" in by_name["Dry run"].out
    assert by_name["Apply"].out.startswith("applied  20991231000000  own")
    assert "\n| guest" in checkout.summary.read_text()
    assert annotations(steps) == []


def test_a_leak_in_a_table_of_the_project_fails_beside_jobs_tables(checkout: Checkout) -> None:
    (checkout.migrations / OWN).write_text(
        "create table public.profiles (id uuid primary key references auth.users on delete cascade,"
        " is_admin boolean not null default false);\n"
        "alter table public.profiles enable row level security;\n"
        'create policy "own" on public.profiles using (id = (select auth.uid()));\n'
    )
    steps = checkout.run(DRY_RUN)
    assert last(steps) == ("Audit", 1), steps[-1].err
    assert "is_admin" in "".join(annotations(steps))


def test_a_broken_migration_fails_with_an_annotation_at_its_line(
    checkout: Checkout, shared: Callable[[int], str]
) -> None:
    (checkout.migrations / OWN).write_text(
        "create table public.own (id int);\n\nselect no_such_column;\n"
    )
    steps = refused(checkout, shared(DEFAULT_MAJOR))
    assert last(steps) == ("Dry run", 6)
    (line,) = annotations(steps)
    assert line.startswith(f"::error file=supabase/migrations/{OWN},line=3,title=")
    assert "no_such_column" in line


def test_an_edited_migration_fails(checkout: Checkout, shared: Callable[[int], str]) -> None:
    first = min(checkout.migrations.iterdir())
    first.write_text(first.read_text() + "\ncreate table public.more ();\n")
    steps = refused(checkout, shared(DEFAULT_MAJOR))
    assert last(steps) == ("Dry run", 4)
    assert annotations(steps)[0].startswith(f"::error file=supabase/migrations/{first.name},title=")


def test_a_migration_that_opens_a_table_fails(
    checkout: Checkout, shared: Callable[[int], str]
) -> None:
    (checkout.migrations / OWN).write_text(
        "alter table public.async_jobs disable row level security;\n"
    )
    steps = refused(checkout, shared(DEFAULT_MAJOR))
    assert last(steps) == ("Dry run", 1)


def test_the_first_pull_request_of_all(checkout: Checkout) -> None:
    """The target branch has no migrations yet."""
    checkout.git("rm", "-r", "--cached", "supabase")
    checkout.git("commit", "--message", "none")
    checkout.git("push", "origin", "HEAD:main")
    steps = checkout.run(DRY_RUN)
    assert last(steps) == ("Audit", 0), steps[-1].err


def test_deploying_applies_and_verifies_and_again_does_no_harm(
    checkout: Checkout, platform_url: str
) -> None:
    for first in (True, False):
        steps = checkout.run(JOBS["deploy"]["steps"], {"secrets.SUPABASE_DB_URL": platform_url})
        assert last(steps) == ("Verify", 0), steps[-1].err
        assert steps[0].out.startswith("applied  " if first else "Nothing to apply")
    assert checkout.summary.read_text().count("\n| service_role") >= 2


STORAGE = """
create table public.notes (id int primary key, owner uuid references auth.users);
alter table public.notes enable row level security;
create policy "own" on public.notes using (owner = (select auth.uid()));
insert into storage.buckets (id, name) values ('notes', 'notes');
create policy "own files" on storage.objects for select to authenticated
  using (bucket_id = 'notes' and (storage.foldername(name))[1] = (select auth.uid())::text);
"""


def test_a_project_without_jobs_tables_is_audited(checkout: Checkout) -> None:
    for file in checkout.migrations.iterdir():
        file.unlink()
    (checkout.migrations / OWN).write_text(STORAGE)
    checkout.git("add", "--all", "supabase")
    checkout.git("commit", "--message", "other tables")
    checkout.git("push", "--force", "origin", "HEAD:main")
    steps = checkout.run(DRY_RUN)
    assert last(steps) == ("Audit", 0), steps[-1].err
    assert "public.notes" in checkout.summary.read_text()


def test_a_project_with_every_service_is_audited(checkout: Checkout) -> None:
    for file in checkout.migrations.iterdir():
        file.unlink()
    shutil.copytree(PLATFORM_PROJECT / "supabase", checkout.folder / "supabase", dirs_exist_ok=True)
    checkout.git("add", "--all", "supabase")
    checkout.git("commit", "--message", "other tables")
    checkout.git("push", "--force", "origin", "HEAD:main")
    (checkout.migrations / OWN).write_text(STORAGE.replace("notes", "letters"))
    steps = checkout.run(DRY_RUN)
    assert last(steps) == ("Audit", 0), steps[-1].err
    assert "public.letters" in checkout.summary.read_text()


def test_deploying_fails_if_verify_finds_an_error(checkout: Checkout, applied_url: str) -> None:
    with psycopg.connect(applied_url) as connection:
        connection.execute("grant truncate on public.async_jobs to anon")
    steps = checkout.run(JOBS["deploy"]["steps"], {"secrets.SUPABASE_DB_URL": applied_url})
    assert last(steps) == ("Verify", 1)
    assert annotations(steps)
    assert "truncate" in checkout.summary.read_text().lower()


def test_deploying_without_the_secret_fails(checkout: Checkout) -> None:
    steps = checkout.run(JOBS["deploy"]["steps"])
    assert last(steps) == ("Apply", 2)
    assert "no target database" in annotations(steps)[0]


def test_permissions_secrets_and_concurrency() -> None:
    assert WORKFLOW["permissions"] == {"contents": "read"}
    assert "secrets" not in yaml.safe_dump(JOBS["dry-run"])
    assert JOBS["deploy"]["concurrency"] == {
        "group": "supabase-migrations",
        "cancel-in-progress": False,
    }
    assert WORKFLOW[True] == {
        "pull_request": None,
        "push": {"branches": ["main"]},
    }  # YAML 1.1 reads `on` so
    assert JOBS["dry-run"]["if"] == "github.event_name == 'pull_request'"
    assert JOBS["deploy"]["if"] == "github.event_name == 'push'"


def test_the_reports_of_the_guide_are_written_despite_errors(
    checkout: Checkout, applied_url: str
) -> None:
    guide = (Path(__file__).parents[1] / "docs" / "CI.md").read_text(encoding="utf-8")
    block = next(
        block
        for block in re.findall(r"```yaml\n(.*?)```", guide, flags=re.DOTALL)
        if "sarif" in block
    )
    step = yaml.safe_load(block)[0]
    with psycopg.connect(applied_url) as connection:
        connection.execute("grant truncate on public.async_jobs to anon")
    ran = subprocess.run(
        [program("bash"), "-e", "-c", step["run"]],
        cwd=checkout.folder,
        check=False,
        capture_output=True,
        text=True,
        env={**checkout.environ(), "SUPABASE_DB_URL": applied_url},
    )
    assert ran.returncode == 0, ran.stderr
    written = [
        (checkout.folder / name).read_text(encoding="utf-8")
        for name in ("verify.sarif", "verify.html")
    ]
    assert all("TRUNCATE" in text for text in written)
    assert "supabase/migrations/" in written[0]
