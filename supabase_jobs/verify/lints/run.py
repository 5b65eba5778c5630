"""Rules of one SQL file each: a query that answers with what breaks the rule, and with nothing where all is well.

The first sentence of the file's comment is the rule. Its columns are object, name (of what in the object, or ''),
message, fix, severity, and facts: the facts of the recorded structure (`object:kind:name`) that say the same. Where
one of these is found wrong, the rule says nothing more. Its one parameter, $1, is JSON: lists of names.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from psycopg.types.json import Jsonb

from supabase_jobs.database.connection import Connection
from supabase_jobs.database.sql_files import sql_files
from supabase_jobs.findings import Case, Finding, Severity
from supabase_jobs.verify import script
from supabase_jobs.verify.context import Context

_HERE = Path(__file__).parent

About = Mapping[str, Sequence[str]]


def run_lints(connection: Connection, area: str, prefix: str, group: str, about: About, result: Context) -> None:
    """Ask every rule in the folder `group`; only reads catalogs. Needs an empty search_path.

    `about` holds the lists that the rules look into: `scope` (the names of our objects), `recorded` (the facts that
    are meant to be so), and whatever else the rules of this folder want. With `doors`, the names of doors that are
    meant, a rule says nothing of what leads through one of them. A case is `prefix:rule`, or one for each
    finding, `prefix:rule:object:name`.
    """
    said = {finding.id for finding in result.findings if finding.severity is not Severity.INFO}
    meant = tuple(f":{door}" for door in about.get("allowed_bypasses", ()))
    result.preambles.setdefault(prefix, script.preamble("A question to the catalogs."))
    parameter = Jsonb({key: list(names) for key, names in about.items()})
    rules = sql_files(_HERE / group)
    with connection.pipeline():  # one round trip
        answers = [rule.execute(connection, [parameter]) for rule in rules.values()]
    literal = script.quoted({"": parameter})[""]
    for (stem, file), answer in zip(rules.items(), answers, strict=True):
        rule, title = stem.replace("_", " "), _title(file.text)
        asked = script.probe((title,), "", file.text.replace("$1", literal))
        found = [
            Finding(
                id=":".join(part for part in (prefix, rule, subject, name) if part),
                area=area,
                severity=Severity(severity),
                object=subject,
                message=message,
                fix=fix,
            )
            for subject, name, message, fix, severity, facts in answer.fetchall()
            if said.isdisjoint(f"structure:{fact}" for fact in facts)
            and not any(fact.endswith(meant) for fact in facts)
        ]
        result.findings += found
        for id, subject in [(f.id, f.object) for f in found] or [(f"{prefix}:{rule}", "database")]:
            result.cases.append(Case(id, area, subject, title, asked, preamble=prefix))


def _title(text: str) -> str:
    lines = [line.removeprefix("--").strip() for line in text.splitlines()]
    comment = " ".join(lines[: next(n for n, line in enumerate(text.splitlines()) if not line.startswith("--"))])
    return re.split(r"[:.]", comment, maxsplit=1)[0]
