"""Errors and findings as GitHub workflow commands, which annotate the lines of a pull request."""

from collections import Counter

from supabase_jobs.findings import Finding, Location, Severity, Verification
from supabase_jobs.report.wording import counted

_LEVELS = {Severity.ERROR: "error", Severity.WARNING: "warning", Severity.INFO: "notice"}


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


def verification(result: Verification, program: str = "verify") -> list[str]:
    """A command for each finding that no other explains, at the line that creates its object if the
    line is known.
    """
    explained = Counter(finding.cause for finding in result.findings)
    causes = [finding for finding in result.findings if not finding.cause]
    return [
        _finding(finding, explained[finding.id], result.location(finding), program)
        for finding in causes
    ]


def _finding(finding: Finding, explained: int, source: Location | None, program: str) -> str:
    message = f"{finding.object}: {finding.message}"
    message += f"\nexplains {counted(explained, 'finding')}" if explained else ""
    return command(
        _LEVELS[finding.severity],
        message + (f"\nfix: {finding.fix}" if finding.fix else ""),
        title=f"supabase-jobs {program}: {finding.id}",
        file=source.file if source else None,
        line=source.line if source else None,
    )


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
