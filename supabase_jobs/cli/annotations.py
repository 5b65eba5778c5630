"""GitHub annotations of errors and findings, printed on stderr inside a workflow."""

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from supabase_jobs.errors import SupabaseJobsError

if TYPE_CHECKING:
    from supabase_jobs.report.document import Document


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


def annotate_findings(document: "Document", *, with_infos: bool = True) -> None:
    """Annotate the findings of a command, at their lines if the checkout contains the files."""
    if not enabled():
        return
    from supabase_jobs.findings import Severity
    from supabase_jobs.report import github

    top = Path(os.environ.get("GITHUB_WORKSPACE") or Path.cwd())
    results = []
    for result in document.results:
        if result.finding.severity is Severity.INFO and not with_infos:
            continue
        is_known = result.location is not None and (top / result.location.file).is_file()
        results.append(result if is_known else replace(result, location=None))
    for line in github.annotations(replace(document, results=tuple(results))):
        click.echo(line, err=True)


def _in_workspace(file: Path) -> str | None:
    """The path relative to the checkout, as GitHub expects; None if the file does not exist."""
    if not file.exists():
        return None
    path, workspace = file.resolve(), os.environ.get("GITHUB_WORKSPACE")
    if workspace and path.is_relative_to(Path(workspace).resolve()):
        return path.relative_to(Path(workspace).resolve()).as_posix()
    return str(file)
