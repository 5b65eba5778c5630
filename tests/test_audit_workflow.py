"""The action, and the workflows of the guide to `audit`: their steps run in a real clone, with a
recorder as `gh`.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import fromstring

import pytest
import yaml  # type: ignore[import-untyped]

from supabase_jobs.database.connection import connect
from supabase_jobs.report import FORMATS
from supabase_jobs.report.producers.audit import MARKER
from tests.audit.catalogue import PROJECTS
from tests.checkout import Checkout, Step, annotations, checked_out, last
from tests.fix_cli import Run
from tests.fix_db import Make

ROOT = Path(__file__).parents[1]
ACTION: dict[str, Any] = yaml.safe_load((ROOT / "action.yml").read_text(encoding="utf-8"))
STEPS: list[dict[str, Any]] = ACTION["runs"]["steps"]
WORKFLOW: dict[Any, Any] = yaml.safe_load(
    (ROOT / "docs" / "github-audit-workflow.yml").read_text(encoding="utf-8")
)
GITLAB: dict[str, Any] = yaml.safe_load(
    (ROOT / "docs" / "gitlab-ci.yml").read_text(encoding="utf-8")
)
FAULT = 'create policy "todos: open" on public.todos for update using (true);\n'
VALUES = {"inputs.token": "secret-token", "github.event.pull_request.number": "7"}
# it appends its arguments, and the file that it sends; the list of comments is in $HOME/comments
GH = """#!/bin/sh
printf '%s\\n' "$GH_TOKEN $*" >> "$HOME/calls"
case "$*" in
  *--jq*) cat "$HOME/comments" ;;
esac
"""


@pytest.fixture
def checkout(tmp_path: Path) -> Iterator[Checkout]:
    """A repository whose `origin/main` has the migrations of the project todos."""
    folder = PROJECTS / "todos" / "supabase" / "migrations"
    with checked_out(tmp_path, {file.name: file.read_text() for file in folder.iterdir()}) as made:
        gh = made.temp / "gh"
        gh.write_text(GH)
        gh.chmod(0o755)
        (made.temp / "comments").write_text("")
        yield made


@pytest.fixture
def todos(make_database: Make) -> str:
    """The URL of a database with these migrations, for commands that need no server of their own."""
    url = make_database("platform").url
    with connect(url) as connection:
        for file in sorted((PROJECTS / "todos" / "supabase" / "migrations").iterdir()):
            connection.execute(file.read_bytes())
    return url


@pytest.fixture
def leaking(todos: str) -> str:
    """The URL of the same database with the fault."""
    with connect(todos) as connection:
        connection.execute(FAULT.encode())
    return todos


def add(checkout: Checkout, sql: str) -> None:
    (checkout.migrations / "20991231000000_change.sql").write_text(sql)


def run(checkout: Checkout, *, database: str = "", **inputs: str) -> list[Step]:
    values = {f"inputs.{name}": str(entry["default"]) for name, entry in ACTION["inputs"].items()}
    values |= VALUES | {f"inputs.{name}": value for name, value in inputs.items()}
    return checkout.run(STEPS, values, database=database)


def calls(checkout: Checkout) -> list[str]:
    return (checkout.temp / "calls").read_text().splitlines()


@pytest.mark.slow
def test_action_comments_on_what_a_pull_request_opens_and_fails(checkout: Checkout) -> None:
    add(checkout, FAULT)
    steps = run(checkout)
    assert last(steps) == ("Verdict", 1), steps[-1].err
    assert "the summary of this job has the report" in steps[-1].err
    comment = (checkout.temp / "audit.md").read_text()
    assert comment.startswith(MARKER)
    assert "`origin/main` → `the current migrations`: " in comment
    wider = comment.split("### Wider access")[1]
    assert "can now update public.todos" in wider
    assert comment == checkout.summary.read_text()
    listed, posted = calls(checkout)
    assert "api --paginate repos/example/project/issues/7/comments --jq" in listed
    assert (
        f"api repos/example/project/issues/7/comments --field body=@{checkout.temp}/audit.md"
        in posted
    )
    assert posted.startswith("secret-token ")
    assert any("20991231000000_change.sql,line=1" in line for line in annotations(steps))


@pytest.mark.slow
def test_action_updates_its_comment_and_passes_for_a_leak_of_the_target_branch(
    checkout: Checkout, leaking: str, cli: Run
) -> None:
    """With a baseline, the comment has the changes, then the report of the audit."""
    (checkout.temp / "comments").write_text("41\n42\n")
    add(checkout, FAULT)
    checkout.git("add", "--all")
    checkout.git("commit", "--message", "a leak")
    checkout.git("push", "origin", "HEAD:main")
    assert cli("audit", "--update-baseline", "--db-url", leaking, cwd=checkout.folder).code == 0
    baseline = checkout.folder / "supabase" / "access.toml"
    baseline.write_text(baseline.read_text().replace(' = ""\n', ' = "known"\n'))
    steps = run(checkout, database=leaking, options="--no-functions")
    assert last(steps) == ("Verdict", 0), steps[-1].err
    assert "api --method PATCH repos/example/project/issues/comments/42 " in calls(checkout)[-1]
    comment = (checkout.temp / "audit.md").read_text()
    assert comment.startswith(MARKER)
    assert "0 cells wider, 0 new objects, 0 cells narrower" in comment
    assert "\n4 info, 0 differences from supabase/access.toml" in comment  # and no leak
    assert comment == checkout.summary.read_text()


@pytest.mark.slow
def test_action_fails_for_a_broken_migration_without_a_comment(checkout: Checkout) -> None:
    add(checkout, "select no_such_column;\n")
    steps = run(checkout)
    assert last(steps) == ("Changes since the target branch", 6)
    assert "no_such_column" in annotations(steps)[-1]
    assert not (checkout.temp / "calls").exists()


@pytest.mark.slow
def test_action_without_a_target_branch_finds_leaks(checkout: Checkout, todos: str) -> None:
    """The first pull request of a project: the target branch has no migrations."""
    checkout.git("rm", "-r", "--cached", "supabase")
    checkout.git("commit", "--message", "none")
    checkout.git("push", "origin", "HEAD:main")
    steps = run(checkout, database=todos)
    assert last(steps) == ("Verdict", 0), steps[-1].err
    assert "difference" not in checkout.summary.read_text()


def test_action_asks_for_the_target_branch_if_the_checkout_lacks_it(checkout: Checkout) -> None:
    checkout.git("update-ref", "-d", "refs/remotes/origin/main")
    steps = run(checkout)
    assert last(steps) == ("Changes since the target branch", 1)
    assert annotations(steps) == [
        "::error::the checkout lacks origin/main: add fetch-depth: 0 to actions/checkout"
    ]


def test_action_comments_only_where_its_token_can_write() -> None:
    [comment] = [step for step in STEPS if step.get("name") == "Comment"]
    assert "github.event.pull_request.head.repo.full_name == github.repository" in comment["if"]
    assert "inputs.comment == 'true'" in comment["if"]
    assert [
        step["name"] for step in STEPS if "run" in step and "GH_TOKEN" in step.get("env", {})
    ] == ["Comment"]
    assert MARKER in comment["run"]
    assert all(step["shell"] == "bash" for step in STEPS if "run" in step)


def test_action_uses_only_its_inputs() -> None:
    used = set(re.findall(r"inputs\.(\w+)", yaml.safe_dump(STEPS)))
    assert used == set(ACTION["inputs"])
    assert all(entry["description"] for entry in ACTION["inputs"].values())


def test_workflow_uses_the_action_with_few_permissions() -> None:
    assert WORKFLOW["permissions"] == {"contents": "read", "pull-requests": "write"}
    assert WORKFLOW[True] == {"pull_request": {"paths": ["supabase/**"]}}  # YAML 1.1 reads `on` so
    [checkout, action] = WORKFLOW["jobs"]["audit"]["steps"]
    assert checkout["with"] == {"fetch-depth": 0, "persist-credentials": False}
    assert action["uses"].startswith("supabase-jobs/supabase-jobs@")
    assert action.get("with", {}).keys() <= ACTION["inputs"].keys()


@pytest.mark.slow
def test_gitlab_job_writes_its_reports_and_fails_for_a_leak(
    checkout: Checkout, leaking: str
) -> None:
    add(checkout, FAULT)
    job = GITLAB["supabase-audit"]
    steps = checkout.run([{"run": "\n".join(job["script"])}], database=leaking)
    assert steps[-1].code == 1
    reports = job["artifacts"]["reports"]
    entries = json.loads((checkout.folder / reports["codequality"]).read_text())
    errors = [entry for entry in entries if entry["severity"] == "critical"]
    assert errors
    assert errors[0]["location"]["path"] == "supabase/migrations/20991231000000_change.sql"
    # written by us
    root = fromstring((checkout.folder / reports["junit"]).read_text().encode())  # noqa: S314
    assert int(root.get("failures", "0")) >= len(errors)
    [page] = job["artifacts"]["paths"]
    assert (checkout.folder / page).read_text().startswith("<!DOCTYPE html>")
    assert job["artifacts"]["when"] == "always"


def test_gitlab_job_uses_formats_that_exist() -> None:
    used = re.findall(r"--format (\w+)", "\n".join(GITLAB["supabase-audit"]["script"]))
    assert set(used) <= set(FORMATS)
