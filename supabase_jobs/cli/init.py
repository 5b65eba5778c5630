"""`supabase-jobs init`."""

import sys
from dataclasses import dataclass
from difflib import unified_diff
from pathlib import Path
from typing import TYPE_CHECKING

import click

from supabase_jobs.cli.common import (
    as_json,
    json_option,
    narrate,
    print_json,
    settings,
    shared_options,
    write_file,
)
from supabase_jobs.errors import ConfigError
from supabase_jobs.settings import DEFAULT_MIGRATIONS

if TYPE_CHECKING:
    from supabase_jobs.settings import Settings

_FILES = Path(__file__).with_name("init_files")
# a wheel has the workflow of docs/ beside the other files
_WORKFLOW = (_FILES / "audit.yml", Path(__file__).parents[2] / "docs" / "github-audit-workflow.yml")
_BEGIN, _END = "<!-- supabase-jobs: begin -->", "<!-- supabase-jobs: end -->"
_RENDER_HOOK = "      - id: supabase-jobs-render\n"


@dataclass(frozen=True)
class _Change:
    """A file of the project, its text now (None: there is no file), and the text that is proposed.

    `note` says what to do by hand with a file that is kept.
    """

    name: str
    before: str | None
    after: str
    note: str = ""

    @property
    def action(self) -> str:
        """`create`, `change`, `keep`, or `none` if the file has everything."""
        if self.note:
            return "keep"
        if self.before is None:
            return "create"
        return "none" if self.before == self.after else "change"

    @property
    def diff(self) -> str:
        """The lines that change, as `git diff` prints them."""
        old = (self.before or "").splitlines(keepends=True)
        lines = unified_diff(old, self.after.splitlines(keepends=True), self.name, self.name)
        return "".join(line if line.endswith("\n") else f"{line}\n" for line in lines)


@click.command(epilog="Example: supabase-jobs init --dry-run")
@click.option("--yes", is_flag=True, help="Make all changes without asking.")
@click.option("--dry-run", is_flag=True, help="Print the changes and make none.")
@shared_options
@json_option
@click.pass_context
def command(ctx: click.Context, yes: bool, dry_run: bool) -> None:
    """Set a project up: a section of AGENTS.md, a workflow that audits each pull request, and the
    hooks of pre-commit.

    Each change is printed first, and asked for on a terminal. A workflow and hooks that exist are
    kept; what to add to them is printed. A second run changes nothing.
    """
    if not (yes or dry_run or sys.stdin.isatty()):
        raise ConfigError(
            "init asks before each change, and stdin is not a terminal",
            hint="Look at init --dry-run, then pass --yes.",
        )
    given = settings(ctx)
    if not (given.directory / DEFAULT_MIGRATIONS).is_dir():
        raise ConfigError(
            f"no folder {DEFAULT_MIGRATIONS} in {given.directory}",
            hint="Run it in the project's folder.",
        )
    made = []
    for change in _changes(given):
        action = change.action
        if action in ("create", "change"):
            narrate(change.diff.rstrip("\n"), is_pasted=True)
            asks = not (yes or dry_run)
            if asks and not click.confirm(f"Write {change.name}?", default=True, err=True):
                action = "refused"
            elif not dry_run:
                write_file(given.directory / change.name, change.after)
        made.append({"path": change.name, "action": action, "note": change.note})
    if as_json(ctx):
        print_json({"changes": made, "dry_run": dry_run})
        return
    for one in made:
        click.echo(f"{one['action']:<7}  {one['path']}{'  ' + one['note'] if one['note'] else ''}")


def _changes(given: "Settings") -> list[_Change]:
    return [_agents(given.directory), _workflow(given.directory), _hooks(given)]


def _agents(directory: Path) -> _Change:
    """The section between its marks, or at the end of the file."""
    before = _read(directory / "AGENTS.md")
    section = f"{_BEGIN}\n{(_FILES / 'AGENTS.md').read_text(encoding='utf-8')}{_END}\n"
    text = before or ""
    start, end = text.find(_BEGIN), text.find(_END)
    if start >= 0 and end > start:
        after = text[:start] + section + text[end + len(_END) :].removeprefix("\n")
    else:
        after = f"{text.rstrip()}\n\n{section}" if text.strip() else section
    return _Change("AGENTS.md", before, after)


def _workflow(directory: Path) -> _Change:
    name = ".github/workflows/audit.yml"
    file = next(path for path in _WORKFLOW if path.is_file())
    # without the line that says where to copy it to
    text = file.read_text(encoding="utf-8").partition("\n")[2]
    before = _read(directory / name)
    note = "" if before in (None, text) else "a workflow of yours: docs/CI.md has the steps to add"
    return _Change(name, before, text, note)


def _hooks(given: "Settings") -> _Change:
    from supabase_jobs.sources import project

    name = ".pre-commit-config.yaml"
    text = (_FILES / "pre-commit.yaml").read_text(encoding="utf-8")
    if not project.installs_sources(given, project.files(given)):
        text = text.replace(_RENDER_HOOK, "")
    before = _read(given.directory / name)
    if before is None:
        return _Change(name, None, text)
    if "supabase-jobs-migrations" in before:
        return _Change(name, before, before)
    hooks = text.removeprefix("repos:\n").rstrip()
    return _Change(name, before, before, f"add to its repos:\n{hooks}")


def _read(path: Path) -> str | None:
    """The text of a file; None without one. Raises ConfigError if it cannot be read."""
    try:
        return path.read_text(encoding="utf-8") if path.exists() else None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot read {path}: {error}") from error
