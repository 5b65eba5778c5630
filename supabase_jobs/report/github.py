"""Errors and findings as GitHub workflow commands, which annotate the lines of a pull request."""

from supabase_jobs.findings import Severity
from supabase_jobs.report.document import Document, Result
from supabase_jobs.report.phrases import counted

_LEVELS = {
    Severity.ERROR: "error",
    Severity.WARNING: "warning",
    Severity.INFO: "notice",
    Severity.QUESTION: "notice",
}


def command(
    level: str, message: str, *, title: str, file: str | None = None, line: int | None = None
) -> str:
    """One workflow command on one line, with all values escaped: `::error
    file=…,line=…,title=…::message`.

    `level` is error, warning or notice. Source of the syntax and its escapes: GitHub Docs, workflow
    commands.
    """
    properties = {"file": file, "line": None if line is None else str(line), "title": title}
    pairs = ",".join(
        f"{key}={_property(value)}" for key, value in properties.items() if value is not None
    )
    return f"::{level} {pairs}::{_data(message)}"


def annotations(document: Document) -> list[str]:
    """A command for each finding that no other explains, at its line if that is known."""
    return [
        _annotation(result, document.command)
        for result in document.results
        if not result.finding.cause
    ]


def _annotation(result: Result, program: str) -> str:
    finding, location = result.finding, result.location
    message = f"{finding.object}: {finding.message}"
    if result.explained:
        message += f"\nexplains {counted(result.explained, 'finding')}"
    if finding.fix:
        message += f"\nfix: {finding.fix}"
    return command(
        _LEVELS[finding.severity],
        message,
        title=f"supabase-jobs {program}: {finding.id}",
        file=location.file if location else None,
        line=location.line if location else None,
    )


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
