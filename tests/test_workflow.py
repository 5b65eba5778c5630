"""The workflow in docs/ works: each job's steps are run as GitHub runs them, against real local databases."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest
import yaml  # type: ignore[import-untyped]

from supabase_jobs.local import server
from tests.fix_db import packaged
from tests.programs import unavailable

pytestmark = pytest.mark.slow

WORKFLOW: dict[Any, Any] = yaml.safe_load(
    (Path(__file__).parents[1] / "docs" / "github-workflow.yml").read_text(encoding="utf-8")
)
JOBS: dict[str, Any] = WORKFLOW["jobs"]
OWN = "20991231000000_own.sql"


@dataclass(frozen=True)
class Step:
    """A step that ran; `name` is its name, or its command where it has none."""

    name: str
    code: int
    out: str
    err: str


@dataclass(frozen=True)
class Checkout:
    """A repository whose `origin/main` has the packaged migrations, checked out on a branch of a pull request."""

    folder: Path
    temp: Path

    @property
    def migrations(self) -> Path:
        return self.folder / "supabase" / "migrations"

    @property
    def summary(self) -> Path:
        return self.temp / "summary.md"

    def run(self, job: str, **secrets: str) -> list[Step]:
        """Run a job's steps up to the first that fails, with bash as GitHub calls it."""
        done: list[Step] = []
        for step in JOBS[job]["steps"]:
            if "uses" in step:
                assert re.fullmatch(r"actions/(checkout|setup-python)@v\d+", step["uses"])
                continue
            if step["run"].startswith("pip install "):
                continue  # the checkout is installed already
            assert "${{" not in step["run"], "values go in through env, never into the script"
            environ = {key: _expand(value, secrets) for key, value in step.get("env", {}).items()}
            ran = subprocess.run(
                [_program("bash"), "-e", "-c", step["run"]], cwd=self.folder, env={**self.environ(), **environ},
                stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120, check=False,
            )  # fmt: skip
            assert "Traceback" not in ran.stderr
            done.append(Step(step.get("name", step["run"]), ran.returncode, ran.stdout, ran.stderr))
            if ran.returncode:
                break
        return done

    def git(self, *words: str, cwd: Path | None = None) -> None:
        settings = ("-c", "user.name=test", "-c", "user.email=test@example.com", "-c", "init.defaultBranch=main")
        subprocess.run(
            [_program("git"), *settings, *words], cwd=cwd or self.folder, env=self.environ(), check=True,
            capture_output=True,
        )  # fmt: skip

    def environ(self) -> dict[str, str]:
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("SUPABASE", "PG", "GITHUB", "GIT_"))}
        return {
            **kept,
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "HOME": str(self.temp),
            "CI": "true",
            "GITHUB_ACTIONS": "true",
            "GITHUB_BASE_REF": "main",
            "GITHUB_WORKSPACE": str(self.folder),
            "GITHUB_STEP_SUMMARY": str(self.summary),
            "RUNNER_TEMP": str(self.temp),
        }


def _program(name: str) -> str:
    return shutil.which(name) or unavailable(f"{name} is not installed")


def _expand(value: str, secrets: dict[str, str]) -> str:
    """`${{ secrets.NAME }}`; one that is not set is empty, as on GitHub."""
    return re.sub(r"\$\{\{ secrets\.(\w+) \}\}", lambda found: secrets.get(found[1], ""), value)


@pytest.fixture
def checkout(tmp_path: Path) -> Iterator[Checkout]:
    origin = tmp_path / "origin.git"
    made = Checkout(tmp_path / "checkout", tmp_path / "temp")
    made.temp.mkdir()

    made.git("init", "--bare", str(origin), cwd=tmp_path)
    made.git("clone", str(origin), str(made.folder), cwd=tmp_path)
    made.migrations.mkdir(parents=True)
    for migration in packaged():
        (made.migrations / migration.file_name).write_text(migration.text, newline="")
    made.git("add", "--all")
    made.git("commit", "--message", "what is on main")
    made.git("push", "origin", "HEAD:main")
    made.git("checkout", "-b", "change")
    try:
        yield made
    finally:
        server.remove(made.folder)


def last(steps: list[Step]) -> tuple[str, int]:
    return steps[-1].name, steps[-1].code


def annotations(steps: list[Step]) -> list[str]:
    return [line for step in steps for line in step.err.splitlines() if line.startswith("::")]


def test_pull_request_runs_dry_run_apply_and_verify(checkout: Checkout) -> None:
    (checkout.migrations / OWN).write_text("create table public.own (id int primary key);\n")
    steps = checkout.run("dry-run")
    assert last(steps) == ("Verify", 0), steps[-1].err
    by_name = {step.name: step for step in steps}
    assert by_name["New migrations"].out == "pending  20991231000000  own\n"
    assert "20991231000000" in by_name["Dry run"].out
    assert by_name["Apply"].out.startswith("applied  20991231000000  own")
    assert "\n| guest" in checkout.summary.read_text()
    assert annotations(steps) == []


def test_a_broken_migration_fails_with_an_annotation_at_its_line(checkout: Checkout) -> None:
    (checkout.migrations / OWN).write_text("create table public.own (id int);\n\nselect no_such_column;\n")
    steps = checkout.run("dry-run")
    assert last(steps) == ("Dry run", 6)
    (line,) = annotations(steps)
    assert line.startswith(f"::error file=supabase/migrations/{OWN},line=3,title=")
    assert "no_such_column" in line


def test_an_edited_migration_fails(checkout: Checkout) -> None:
    first = min(checkout.migrations.iterdir())
    first.write_text(first.read_text() + "\ncreate table public.more ();\n")
    steps = checkout.run("dry-run")
    assert last(steps) == ("Dry run", 4)
    assert annotations(steps)[0].startswith(f"::error file=supabase/migrations/{first.name},title=")


def test_a_migration_that_opens_a_table_fails(checkout: Checkout) -> None:
    (checkout.migrations / OWN).write_text("alter table public.async_jobs disable row level security;\n")
    steps = checkout.run("dry-run")
    assert last(steps) == ("Dry run", 1)


def test_the_first_pull_request_of_all(checkout: Checkout) -> None:
    """The target branch has no migrations yet."""
    checkout.git("rm", "-r", "--cached", "supabase")
    checkout.git("commit", "--message", "none")
    checkout.git("push", "origin", "HEAD:main")
    steps = checkout.run("dry-run")
    assert last(steps) == ("Verify", 0), steps[-1].err


def test_deploying_applies_and_verifies_and_again_does_no_harm(checkout: Checkout, platform_url: str) -> None:
    for first in (True, False):
        steps = checkout.run("deploy", SUPABASE_DB_URL=platform_url)
        assert last(steps) == ("Verify", 0), steps[-1].err
        assert steps[0].out.startswith("applied  " if first else "Nothing to apply")
    assert checkout.summary.read_text().count("\n| service_role") >= 2


def test_deploying_fails_if_verify_finds_an_error(checkout: Checkout, applied_url: str) -> None:
    with psycopg.connect(applied_url) as connection:
        connection.execute("grant truncate on public.async_jobs to anon")
    steps = checkout.run("deploy", SUPABASE_DB_URL=applied_url)
    assert last(steps) == ("Verify", 1)
    assert annotations(steps)
    assert "truncate" in checkout.summary.read_text().lower()


def test_deploying_without_the_secret_fails(checkout: Checkout) -> None:
    steps = checkout.run("deploy")
    assert last(steps) == ("Apply", 2)
    assert "no target database" in annotations(steps)[0]


def test_permissions_secrets_and_concurrency() -> None:
    assert WORKFLOW["permissions"] == {"contents": "read"}
    assert "secrets" not in yaml.safe_dump(JOBS["dry-run"])
    assert JOBS["deploy"]["concurrency"] == {"group": "supabase-migrations", "cancel-in-progress": False}
    assert WORKFLOW[True] == {"pull_request": None, "push": {"branches": ["main"]}}  # YAML 1.1 reads `on` so
    assert JOBS["dry-run"]["if"] == "github.event_name == 'pull_request'"
    assert JOBS["deploy"]["if"] == "github.event_name == 'push'"


def test_the_reports_of_the_guide_are_written_despite_errors(checkout: Checkout, applied_url: str) -> None:
    guide = (Path(__file__).parents[1] / "docs" / "CI.md").read_text(encoding="utf-8")
    block = next(block for block in re.findall(r"```yaml\n(.*?)```", guide, flags=re.DOTALL) if "sarif" in block)
    step = yaml.safe_load(block)[0]
    with psycopg.connect(applied_url) as connection:
        connection.execute("grant truncate on public.async_jobs to anon")
    ran = subprocess.run(
        [_program("bash"), "-e", "-c", step["run"]], cwd=checkout.folder, check=False, capture_output=True, text=True,
        env={**checkout.environ(), "SUPABASE_DB_URL": applied_url},
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    written = [(checkout.folder / name).read_text(encoding="utf-8") for name in ("verify.sarif", "verify.html")]
    assert all("TRUNCATE" in text for text in written)
    assert "supabase/migrations/" in written[0]
