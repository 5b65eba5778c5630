"""Run the lints: one SQL file for each rule, which selects the objects that break it.

The first sentence of the file's comment states the rule. Its columns are object, name (of a part of
the object, or ''), message, fix, severity and facts: the recorded facts (`object:kind:name`) that
describe the same problem. If the structure check has reported one of them, the lint reports
nothing. Two more columns may follow: whether the project accepts its findings by the name of the
object, and the fix for a transaction, in which the other one cannot run. The parameter $1 is a JSON
object of name lists.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from psycopg.types.json import Jsonb

from supabase_jobs.database.batch import read
from supabase_jobs.database.connection import Connection
from supabase_jobs.database.sql_files import SqlFile, sql_files
from supabase_jobs.findings import Case, Finding, Fix, Id, Severity
from supabase_jobs.session import script
from supabase_jobs.verify.context import Context

_HERE = Path(__file__).parent
# what the columns after the facts are if a lint has none
_NO_MORE: Sequence[Any] = (False, "")

Parameters = Mapping[str, Sequence[str]]


def run_lints(
    connection: Connection,
    area: str,
    within: tuple[str, ...],
    folder: str,
    parameters: Parameters,
    context: Context,
) -> None:
    """Run every lint of a folder in one round trip. Needs an empty search_path; only reads
    catalogs.

    All lints may read the lists `managed` (names of the managed objects) and `recorded` (recorded
    facts); the lints of a folder may read more. Nothing is reported about a fact that the project
    allows. A lint without findings is the case `within:stem`; a finding has the id
    `within:stem:object:name`.
    """
    known = {
        finding.id for finding in context.findings if finding.severity is not Severity.INFO
    } | context.allowed.ids
    prefix = Id(*within)
    context.preambles.setdefault(prefix, script.preamble("A lint of verify."))
    lints = sql_files(_HERE / folder)
    statements = [lint.statement(_parameter(lint, parameters)) for lint in lints.values()]
    results = read(connection, statements)
    for (stem, file), rows in zip(lints.items(), results, strict=True):
        title = _title(file.text)
        probe = partial(_script, title, file, parameters)
        findings = []
        for subject, name, message, fix, severity, facts, *more in rows:
            if not known.isdisjoint(f"structure:{fact}" for fact in facts):
                continue
            is_accepted, tried = [*more, *_NO_MORE[len(more) :]]
            id = Id(*within, stem, subject, name)
            findings.append(
                Finding(
                    id=id,
                    area=area,
                    severity=Severity(severity),
                    object=subject,
                    message=message,
                    fix=Fix(fix, tried) if tried else fix,
                )
            )
            if is_accepted:
                context.allowed.candidates[id] = {"name": subject}
        context.findings += findings
        for id, subject in [(f.id, f.object) for f in findings] or [
            (Id(*within, stem), "database")
        ]:
            context.cases.append(
                Case(id=id, area=area, object=subject, name=title, script=probe, preamble=prefix)
            )


def _parameter(lint: SqlFile, parameters: Parameters) -> Jsonb:
    """The lists that a lint reads: there are hundreds of recorded facts, which few do."""
    return Jsonb({key: list(names) for key, names in parameters.items() if f"'{key}'" in lint.text})


def _script(title: str, lint: SqlFile, parameters: Parameters) -> str:
    literal = script.literal(_parameter(lint, parameters))
    return script.probe((title,), "", lint.text.replace("$1", literal))


def _title(text: str) -> str:
    lines = [line.removeprefix("--").strip() for line in text.splitlines()]
    comment = " ".join(
        lines[: next(n for n, line in enumerate(text.splitlines()) if not line.startswith("--"))]
    )
    return comment.partition(".")[0].partition(":")[0]
