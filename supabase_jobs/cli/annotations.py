"""GitHub annotations of errors and findings, printed on stderr inside a workflow."""

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from supabase_jobs.errors import SupabaseJobsError

if TYPE_CHECKING:
    from supabase_jobs.findings import Verification


def enabled() -> bool:
    """Whether the program runs in a GitHub workflow."""
    return os.environ.get("GITHUB_ACTIONS") == "true"


def annotate_error(error: SupabaseJobsError, message: str, hint: str | None) -> None:
    """Annotate an error, at its file and line if known. `message` and `hint` must contain no
    password.
    """
    if not enabled():
        return
    from supabase_jobs.report import github

    text = message + (f"\nhint: {hint}" if hint else "")
    code = f"supabase-jobs: {error.code}"
    file = None if error.file is None else _in_workspace(Path(error.file))
    line = None if file is None else error.line
    click.echo(github.command("error", text, title=code, file=file, line=line), err=True)


def annotate_findings(result: "Verification", program: str = "verify") -> None:
    """Annotate the findings of a command, at its line if the checkout contains the file."""
    if not enabled():
        return
    from supabase_jobs.report import github

    top = Path(os.environ.get("GITHUB_WORKSPACE") or Path.cwd())
    existing = {
        name: location
        for name, location in result.locations.items()
        if (top / location.file).is_file()
    }
    for line in github.verification(replace(result, locations=existing), program):
        click.echo(line, err=True)


def _in_workspace(file: Path) -> str | None:
    """The path relative to the checkout, as GitHub expects; None if the file does not exist."""
    if not file.exists():
        return None
    path, workspace = file.resolve(), os.environ.get("GITHUB_WORKSPACE")
    if workspace and path.is_relative_to(Path(workspace).resolve()):
        return path.relative_to(Path(workspace).resolve()).as_posix()
    return str(file)
