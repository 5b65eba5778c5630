"""Faults that the lints report: one TOML file for each lint, with the stem of the lint, in the
folder of the lint.

Each fault breaks the project `NOTES` (`break`, after `given`), names the one finding (`id`,
`severity`, `fix`), and repairs the project by the printed fix, or by `repair` if the fix is not
SQL. `superuser` runs it as a superuser.
"""

import tomllib
from dataclasses import dataclass
from pathlib import Path

from supabase_jobs.database.connection import Connection
from supabase_jobs.findings import Finding
from supabase_jobs.session.settings import SETTINGS
from supabase_jobs.verify import lints
from supabase_jobs.verify.context import Context
from supabase_jobs.verify.lints.check import run_lints

# A project with other sources: a table, a function and a view. No fact about them is recorded, so
# that every lint runs.
NOTES = """
create table public.notes (id uuid primary key, owner uuid, phone text, note text);
alter table public.notes enable row level security;
grant select, update on public.notes to authenticated;
create policy own on public.notes to authenticated using (owner = (select auth.uid()));
create view public.titles with (security_invoker) as select note from public.notes;
create function public.mine() returns bigint language sql stable set search_path = ''
  as 'select count(*) from public.notes';
"""
SCOPE = {
    "relations": ["public.notes", "public.titles"],
    "functions": ["public.mine()"],
    "schemas": [],
}

LINTS = Path(lints.__file__).parent
STEMS = {
    folder: {path.stem for path in (LINTS / folder).glob("*.sql")}
    for folder in ("structure", "plans")
}
PREFIXES = {"structure": "structure:lint", "plans": "plans"}


@dataclass(frozen=True)
class LintFault:
    """One way to break a rule."""

    folder: str
    stem: str
    break_sql: str
    id: str
    severity: str
    fix: str
    given: str = ""
    repair: str = ""
    superuser: bool = False

    @property
    def finding(self) -> tuple[str, str, str]:
        """The id, the severity and the fix of the finding."""
        return self.id, self.severity, self.fix

    @property
    def repair_sql(self) -> str:
        """The SQL that repairs the project inside a transaction."""
        return self.repair or self.fix.replace(" concurrently", "")


def load() -> list[LintFault]:
    """All faults, in the order of their files."""
    return [
        LintFault(
            path.parent.name,
            path.stem,
            **{"break_sql" if key == "break" else key: fault[key] for key in fault},
        )
        for path in sorted(Path(__file__).parent.glob("*/*.toml"))
        for fault in tomllib.loads(path.read_text(encoding="utf-8"))["faults"]
    ]


def run(connection: Connection, folder: str = "structure") -> list[Finding]:
    """The findings of a folder's lints about the objects of `NOTES`."""
    context = Context()
    names = [name for part in SCOPE.values() for name in part] + ["private.notes"]
    connection.execute(SETTINGS)
    parameters = {"managed": names, "recorded": [], "exposed": ["public"], "query_indexes": []}
    run_lints(connection, folder, tuple(PREFIXES[folder].split(":")), folder, parameters, context)
    assert {f.id for f in context.findings} <= {case.id for case in context.cases}
    return context.findings
